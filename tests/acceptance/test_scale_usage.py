"""scale.py's manners: nonsense is refused before Docker or a broker is asked, and where one is missing it is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ExitCode
from tests.acceptance.rabbit import closed_port

HOST = os.uname().nodename


@pytest.fixture
def nobody() -> dict[str, str]:
    """Settings with which a command that reached for a broker or for Docker would end with 69."""
    return {
        "BROKER_URL": f"amqp://user:SECRET@localhost:{closed_port()}//",
        "DOCKER_HOST": f"tcp://localhost:{closed_port()}",
    }


@pytest.mark.parametrize("arguments", [[], ["status"], ["set"], ["all"]])
def test_help_lists_every_exit_code(user: Any, nobody: dict[str, str], arguments: list[str]) -> None:
    done = user("scale.py", *arguments, "--help", **nobody)

    assert done.returncode == 0
    for code in ExitCode:
        assert f"\n  {code.value:>3}  {code.meaning}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required: command"),
        (["set"], "the following arguments are required: SERVICE=COUNT"),
        (["all"], "the following arguments are required: COUNT"),
        (["stat"], "invalid choice: 'stat'"),
        (["status", "worker-a"], "unrecognized arguments: worker-a"),
        (["set", "worker-a=1", "--watch"], "unrecognized arguments: --watch"),
        (["set", "worker-a=1", "--ye"], "unrecognized arguments: --ye"),
        (["set", "worker-a"], "error: expected SERVICE=COUNT, got 'worker-a'\n"),
        (["set", "worker-c=1"], "error: no service or queue 'worker-c'; did you mean"),
        (["set", "worker-a=abc"], "error: worker-a: expected a whole number from 0 to 1000, or default, got 'abc'\n"),
        (["all", "-1"], "error: "),
        (["all", "abc"], "error: worker-a: expected a whole number from 0 to 1000, or default, got 'abc'\n"),
        (["all", "0"], "error: no service would have a replica left\n"),
        (["set", "worker-a=0", "queue_b=0"], "error: no service would have a replica left\n"),
        (["set", "worker-a=1", "--wait-workers", "5"], "error: --wait-workers: expected a duration"),
        (["status", "--config", "none.yml"], "error: none.yml"),
    ],
)
def test_nonsense_is_refused_before_anything_is_asked(
    user: Any, nobody: dict[str, str], arguments: list[str], says: str
) -> None:
    done = user("scale.py", *arguments, **nobody)

    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["status", "set worker-a=2"])
def test_a_broker_that_does_not_answer_is_named_without_its_password(user: Any, stack: Any, command: str) -> None:
    url = f"amqp://user:SECRET@localhost:{closed_port()}//"
    before = (stack.root / ".env").read_bytes()
    done = stack.run(".venv/bin/python", "scale.py", *command.split(), BROKER_URL=url)

    assert done.returncode == 69
    assert done.stdout.startswith(f"error: no broker answers at {url.replace(':SECRET', '')}\n")
    assert len(stack.containers("worker-a")) == 1
    assert (stack.root / ".env").read_bytes() == before


def test_without_docker_nothing_can_be_scaled_and_the_nodes_are_shown(
    user: Any, deployment: Any, tmp_path: Path
) -> None:
    nowhere = {"BROKER_URL": deployment.url, "DOCKER_HOST": f"unix://{tmp_path}/nobody"}
    shown = user("scale.py", "status", **nowhere)
    document = json.loads(user("scale.py", "status", "--json", **nowhere).stdout)
    refused = user("scale.py", "set", "worker-a=2", **nowhere)
    without = user("scale.py", "set", "worker-a=2", BROKER_URL=deployment.url, PATH=str(tmp_path))

    assert shown.returncode == 0
    assert "worker-a  queue_a       1           -      1          1        0        0\n" in shown.stdout
    assert f"worker-b@{HOST}  queue_b        0  -          -\n" in shown.stdout
    assert "\ncontainers: not known: docker ps failed: Cannot connect to the Docker daemon" in shown.stdout
    assert document["complete"] is True
    assert "Cannot connect to the Docker daemon" in document["containers_unknown"]
    assert [service["containers"] for service in document["services"]] == [[], []]
    assert refused.returncode == without.returncode == 69
    assert refused.stderr.startswith("error: docker ps failed\n  why: Cannot connect to the Docker daemon")
    assert without.stderr == "error: docker-compose is not installed\n  try: ./setup.sh\n"
    assert not (user.root / ".env").exists()
