"""`operate.py doctor` on the deployment that ./setup.sh makes, and as a command: what it prints, how it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.examined import doctor
from tests.acceptance.rabbit import closed_port
from tests.acceptance.stack import Stack
from tests.conftest import Command
from tests.own_broker import own_broker


def examined(stack: Stack, **environment: str) -> dict[str, Any]:
    """Return what the doctor found, each check by its name, and `took_s`."""
    done = stack.run(".venv/bin/python", "operate.py", "doctor", "--json", **environment)
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["passed"] else 1)
    return {"took_s": document["took_s"], **{check["check"]: check for check in document["checks"]}}


def found(checks: dict[str, Any]) -> dict[str, str]:
    """Return the causes of what is not well."""
    return {name: one["cause"] for name, one in checks.items() if name != "took_s" and one["level"] != "ok"}


# --- on containers --------------------------------------------------------------------------------


def test_a_healthy_deployment_has_nothing_to_find(stack: Stack) -> None:
    stack.wait_healthy()
    stack.clear_queues()
    checks = examined(stack)
    assert found(checks) == {}
    assert len(checks) == 50 + 1
    assert checks["image"]["cause"].startswith("containers run the celery_app.py")


@pytest.fixture
def sources(stack: Stack) -> Iterator[Path]:
    """The shared copy, whose sources are put back after the test."""
    kept = {name: (stack.root / name).read_bytes() for name in ("celery_app.py", "requirements.txt")}
    yield stack.root
    for name, content in kept.items():
        (stack.root / name).write_bytes(content)


def test_an_image_of_before_a_change_is_found(stack: Stack, sources: Path) -> None:
    stack.wait_healthy()
    with (sources / "celery_app.py").open("a") as app:
        app.write("\n# a change that was not built\n")
    with (sources / "requirements.txt").open("a") as requirements:
        requirements.write("not-a-package==1.0\n")
    check = examined(stack)["image"]
    assert check["level"] == "failed"
    assert "has another celery_app.py, not-a-package (None)" in check["cause"]
    assert check["fix"] == "make build up"


def test_guest_from_a_container_is_found_before_it_is_tried(stack: Stack) -> None:
    stack.wait_healthy()
    checks = examined(stack, WORKER_BROKER_URL="amqp://guest:guest@host.docker.internal:5672//")
    assert checks["guest from a container"]["level"] == "failed"
    assert "RabbitMQ lets guest in from its own host only" in checks["guest from a container"]["cause"]


def test_workers_on_another_virtual_host_are_found(stack: Stack) -> None:
    own = stack.setting("WORKER_BROKER_URL")
    check = examined(stack, WORKER_BROKER_URL=f"{own}-other")["one virtual host"]
    assert check["level"] == "failed"
    own_words = f"BROKER_URL leads to the virtual host {stack.name}, WORKER_BROKER_URL to {stack.name}-other"
    assert own_words in check["cause"]


def test_a_broker_that_listens_on_loopback_alone_is_found(stack: Stack) -> None:
    with own_broker() as broker:
        checks = examined(stack, BROKER_URL=broker.url(), RABBITMQ_NODENAME=broker.name)
    assert checks["listeners"]["level"] == "failed"
    assert "the broker listens on 127.0.0.1 alone" in checks["listeners"]["cause"]


def test_a_paused_worker_is_found(stack: Stack) -> None:
    stack.wait_healthy()
    stack.compose("pause", "worker-a")
    try:
        check = examined(stack)["worker worker-a"]
    finally:
        stack.compose("unpause", "worker-a")
        stack.wait_healthy()
    assert check["level"] == "failed"
    assert "(Paused)" in check["cause"]


# --- as a command ---------------------------------------------------------------------------------


def test_each_check_is_a_line_with_its_cause_and_what_mends_it(user: Command) -> None:
    done = user("operate.py", "doctor", BROKER_URL=f"amqp://me:secret@localhost:{closed_port()}//")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert all(re.match(r"\[(ok|!|x)\] {1,2}[^:]+: ", line) for line in lines)
    (broker,) = [line for line in lines if line.startswith("[x]  broker: ")]
    assert broker.endswith(" -> ./setup.sh, or rabbitmq-server -detached, or another BROKER_URL")
    assert "secret" not in done.stdout + done.stderr
    assert re.fullmatch(r"\d+ checks in [\d.]+ m?s: \d+ ok, \d+ to look at, \d+ failed\n", done.stderr)


def test_the_json_document_has_the_same(user: Command) -> None:
    url = f"amqp://me:secret@localhost:{closed_port()}//"
    checks = doctor(user, url)
    assert set(checks["broker"]) == {"subject", "check", "level", "cause", "fix"}
    assert [check["subject"] for check in checks.values()] == sorted(
        (check["subject"] for check in checks.values()),
        key=["environment", "broker", "topology", "workers", "configuration"].index,
    )
    assert "secret" not in str(checks)


def test_settings_that_cannot_be_used_are_a_check_that_failed(user: Command) -> None:
    checks = doctor(user, "redis://:secret@localhost//")
    assert checks["files"]["level"] == "failed"
    assert checks["files"]["cause"].startswith("BROKER_URL is not the URL of a broker that can be used here")
    assert "secret" not in str(checks)


def test_there_is_nothing_to_examine_in_embedded_mode(user: Command, tmp_path: Path) -> None:
    done = user("operate.py", "doctor", BROKER_URL=f"filesystem://{tmp_path}")
    assert done.returncode == 2
    assert "there is no deployment to examine in embedded mode" in done.stderr
