"""A run ends while its workers work on, or while one of them hangs: what can be somewhere is not called lost."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.acceptance.rabbit import messages
from tests.conftest import WORKER_A, Command, Workers, eventually


def dispatched(user: Command, url: str, *arguments: str) -> tuple[Any, dict[str, Any]]:
    done = user.dispatch(*arguments, BROKER_URL=url)
    assert "Traceback" not in done.stderr
    return done, user.results()[-1]


def config_of_a(user: Command, **scenarios: Any) -> str:
    """Write a configuration in which worker-a is the only worker; return its name."""
    path = user.directory / user.config(scenarios)
    path.write_text(json.dumps({**json.loads(path.read_text()), "workers": {"worker-a": {"queue": "queue_a"}}}))
    return path.name


def resumed(user: Command, url: str, results: dict[str, Any]) -> dict[str, Any]:
    done, whole = dispatched(user, url, "--config", "scenarios.yml", "--resume", results["run_id"], "--timeout", "60s")
    assert done.returncode == 0, done.stdout
    return whole["ledger"]


@pytest.mark.parametrize(("count", "work_s", "timeout"), [(400, 0.03, "2500ms"), (3000, 0, "1500ms")])
def test_what_the_workers_go_on_with_is_unfinished_and_a_resume_finds_it(
    deployment: Workers, user: Command, count: int, work_s: float, timeout: str
) -> None:
    config = user.config({"many": [{"task": "task_a", "count": count, "kwargs": {"work_s": work_s}}]})
    done, results = dispatched(user, deployment.url, "many", "--config", config, "--timeout", timeout)
    ledger = results["ledger"]
    assert done.returncode == 1
    assert 0 < ledger["unfinished"] < count
    assert ledger["succeeded"] + ledger["unfinished"] == count
    assert (ledger["lost"], ledger["duplicated"], ledger["unexplained"]) == (0, 0, 0)

    whole = resumed(user, deployment.url, results)
    assert (whole["succeeded"], whole["duplicated"], whole["unexpected"]) == (count, 0, 0)


# --- a worker that hangs --------------------------------------------------------------------------


def test_what_a_worker_may_hold_that_hung_before_the_run_is_unfinished(workers: Workers, user: Command) -> None:
    workers.start(WORKER_A)
    hung = workers.start(WORKER_A, "-n", "worker-a@hung")
    eventually(lambda: len(workers.roster().nodes) == 2, "both consume")
    config = config_of_a(user, eight=[{"task": "task_a", "count": 8, "kwargs": {"work_s": 0.05}}])
    os.killpg(hung.pid, signal.SIGSTOP)
    try:
        flags = ("eight", "--config", config, "--wait-workers", "2s", "--timeout", "3s")
        done, results = dispatched(user, workers.url, *flags)
    finally:
        os.killpg(hung.pid, signal.SIGCONT)
    assert done.returncode == 1
    ledger = results["ledger"]
    assert (ledger["lost"], ledger["succeeded"] + ledger["unfinished"]) == (0, 8)
    where = {outcome["where"] for outcome in results["outcomes"] if outcome["state"] == "unfinished"}
    assert where == {"not seen; queue_a has 1 consumers that do not answer"}
    assert resumed(user, workers.url, results)["succeeded"] == 8


def test_a_queue_whose_only_consumer_hangs_is_told_and_nothing_is_published(workers: Workers, user: Command) -> None:
    hung = workers.start(WORKER_A)
    config = config_of_a(user, one=[{"task": "task_a"}])
    os.killpg(hung.pid, signal.SIGSTOP)
    try:
        done = user.dispatch("one", "--config", config, "--wait-workers", "2s", BROKER_URL=workers.url)
        assert messages(workers.url) == {}
    finally:
        os.killpg(hung.pid, signal.SIGCONT)
    assert done.returncode == 69
    assert done.stderr.splitlines()[-3:-1] == [
        "error: queue_a has consumers, none of which answers; nothing was published",
        "  why: a worker is paused or hangs, or what consumes there is no Celery worker",
    ]
    assert user.results() == []
