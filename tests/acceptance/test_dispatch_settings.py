"""Where a setting comes from: flag, then environment, then .env, then test-config.yml, then the default."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.rabbit import closed_port, queues


@pytest.fixture
def own(user: Any, tmp_path: Path) -> Any:
    """A user with a copy of their own, for a .env in it."""
    user.root = shutil.copytree(user.root, tmp_path / "own", ignore=shutil.ignore_patterns(".runs"))
    return user


def banner(done: Any) -> str:
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Broker: ")]
    return str(line.removeprefix("Broker: "))


def test_the_broker_s_url(own: Any) -> None:
    port = closed_port()
    of_config, of_file, of_environment = (f"amqp://{name}:SECRET@localhost:{port}//" for name in ("c", "f", "e"))
    config = own.config({"basic": [{"task": "task_a"}]}, broker_url=of_config)
    without = {"BROKER_URL": ""}

    first = own.dispatch("--config", config, **without)
    (own.root / ".env").write_text(f"# a comment\nexport BROKER_URL='{of_file}'  # said here\n")
    del own.environment["LC_ALL"]
    environment = own.env()
    environment.pop("BROKER_URL", None)
    second = own.dispatch("--config", config)
    third = own.dispatch("--config", config, BROKER_URL=of_environment)
    fourth = own.dispatch("--embedded", BROKER_URL=of_environment)

    assert banner(first) == f"amqp://c@localhost:{port}//"
    assert banner(second) == f"amqp://f@localhost:{port}//"
    assert banner(third) == f"amqp://e@localhost:{port}//"
    assert banner(fourth).startswith("filesystem://")
    assert [done.returncode for done in (first, second, third, fourth)] == [69, 69, 69, 0]
    assert all("SECRET" not in done.stdout + done.stderr for done in (first, second, third, fourth))


def test_env_fills_the_configuration_in(own: Any) -> None:
    port = closed_port()
    config = own.config({"basic": [{"task": "task_a"}]}, broker_url="amqp://localhost:${MY_PORT:-1}//")
    (own.root / ".env").write_text(f"MY_PORT={port}\n")

    assert banner(own.dispatch("--config", config, BROKER_URL="")) == f"amqp://localhost:{port}//"


def test_an_env_file_that_cannot_be_read_is_located(own: Any) -> None:
    (own.root / ".env").write_text("LOG_LEVEL=INFO\nBROKER_URL 'amqp://u:SECRET@localhost'\n")

    done = own.dispatch()

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {own.root}/.env:2: expected KEY=VALUE\n")
    assert "SECRET" not in done.stderr


def test_how_long_workers_are_waited_for(broker_url: str, user: Any) -> None:
    config = user.config({"basic": [{"task": "task_a"}]}, wait_workers="2s")
    begun = time.monotonic()
    of_config = user.dispatch("--config", config, BROKER_URL=broker_url)
    between = time.monotonic()
    of_flag = user.dispatch("--config", config, "--wait-workers", "1ms", BROKER_URL=broker_url)
    ended = time.monotonic()

    assert (of_config.returncode, of_flag.returncode) == (69, 69)
    assert 2 <= between - begun < 12
    assert ended - between < between - begun
    assert queues(broker_url) == {}


def test_how_long_a_run_may_take(deployment: Any, user: Any) -> None:
    config = user.config(
        {"quick": {"description": "quick", "tasks": [{"task": "task_a", "kwargs": {"work_s": 0}}], "timeout": "7s"}}
    )
    for flags, expected_s in ([], 7.0), (["--timeout", "1m5s"], 65.0):
        done = user.dispatch("quick", "--config", config, *flags, BROKER_URL=deployment.url)
        assert done.returncode == 0, done.stderr
        assert user.results()[-1]["scenario"]["timeout_s"] == expected_s


def test_where_results_go(deployment: Any, user: Any) -> None:
    config = user.config({"quick": [{"task": "task_a", "kwargs": {"work_s": 0}}]}, results_dir="results")
    (user.directory / "results").mkdir()

    default = user.dispatch("quick", "--config", config, BROKER_URL=deployment.url)
    flag = user.dispatch("quick", "--config", config, "-o", "mine.json", BROKER_URL=deployment.url)

    assert (default.returncode, flag.returncode) == (0, 0)
    assert len(list((user.directory / "results").iterdir())) == 1
    assert (user.directory / "mine.json").is_file()


def test_a_run_journal_that_cannot_be_written_is_found_before_anything_is_published(deployment: Any, own: Any) -> None:
    (own.root / ".runs").write_text("a file where the directory should be")

    done = own.dispatch("--format", "plain", BROKER_URL=deployment.url)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: the run journal {own.root}/.runs/")
    assert list(own.directory.iterdir()) == []
