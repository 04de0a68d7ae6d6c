"""The shipped fault scenarios on the real Compose file: what is killed, stopped and cut off is a container."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from kombu import Connection

from tests.acceptance.stack import Stack

#: By scenario: the rows of the fault table that it stands for.
SCENARIOS = [
    "worker-kill",  # 1
    "child-kill",  # 3
    "worker-stop",  # 4
    "worker-pause",  # 23
    "scale-down",  # 8
    "partition-worker",  # 12
    "poison-child",  # 16
    "poison-container",  # 17
]


def play(stack: Stack, shown: Callable[[str, str], None], name: str, *flags: str) -> dict[str, Any]:
    """Run a scenario that must hold; return its results document."""
    before = {path.name for path in stack.root.glob("dispatch_results_*.json")}
    done = stack.run(".venv/bin/python", "dispatch.py", name, *flags)
    shown(f"dispatch.py {name}, on containers", done.stdout[done.stdout.find("CHECKS") :])
    assert done.returncode == 0, done.stdout
    (path,) = {path for path in stack.root.glob("dispatch_results_*.json") if path.name not in before}
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_shipped_fault_on_containers_comes_out_as_stated_and_is_undone(
    stack: Stack, shown: Callable[[str, str], None], name: str
) -> None:
    before = {container["Id"] for container in stack.containers()}
    document = play(stack, shown, name)
    assert document["faults"]
    assert all(fault["hit"].startswith(("container ", "3 nodes")) for fault in document["faults"])
    assert not [fault for fault in document["faults"] if fault["error"]]
    assert document["ledger"]["unexplained"] == document["ledger"]["lost"] == 0
    # the containers of before, and none else, run again
    assert {container["Id"] for container in stack.containers()} == before
    stack.wait_healthy()


def own(stack: Stack, faults: list[dict[str, Any]], tasks: list[dict[str, Any]], **more: Any) -> str:
    """Write a configuration with one scenario, `own`; return its name."""
    scenario = {"description": "own", "workers": {"worker-a": {"replicas": 2}}, "timeout": "60s"}
    workers = {"worker-a": {"queue": "queue_a"}, "worker-b": {"queue": "queue_b"}}
    scenarios = {"own": {**scenario, **({"faults": faults} if faults else {}), "tasks": tasks, **more}}
    path = stack.root / "own.yml"
    path.write_text(json.dumps({"version": 1, "workers": workers, "scenarios": scenarios}))
    return path.name


def test_a_worker_whose_main_process_alone_is_killed_loses_nothing_and_comes_back(
    stack: Stack, shown: Callable[[str, str], None]
) -> None:
    tasks = [{"task": "task_a", "count": 8, "kwargs": {"work_s": 1}}]
    config = own(stack, [{"at": "500ms", "kill_main": "worker-a"}], tasks)
    document = play(stack, shown, "own", "--config", config)
    assert document["ledger"]["succeeded"] == 8
    assert 1 <= document["ledger"]["recovered"] <= 2
    stack.wait_healthy()


def test_a_stop_with_less_grace_than_the_task_needs_reruns_it_once(
    stack: Stack, shown: Callable[[str, str], None]
) -> None:
    tasks = [{"task": "task_a", "count": 4, "kwargs": {"work_s": 4}}]
    config = own(stack, [{"at": "500ms", "stop": "worker-a", "grace": "1s"}], tasks)
    document = play(stack, shown, "own", "--config", config)
    ledger = document["ledger"]
    assert (ledger["succeeded"], ledger["recovered"], ledger["duplicated"]) == (4, 2, 2)
    assert {duplicate["cause"] for duplicate in document["duplicates"]} == {"redelivered"}
    assert {outcome["attempts"] for outcome in document["outcomes"]} == {1, 2}


def test_a_killed_worker_s_message_runs_elsewhere_within_two_seconds(
    stack: Stack, shown: Callable[[str, str], None]
) -> None:
    document = play(stack, shown, "worker-kill")
    (fault,) = document["faults"]
    assert fault["recovery"]["tasks"] >= 1
    assert fault["recovery"]["rerun_s"] <= 2


def ready(stack: Stack, queue: str) -> int:
    with Connection(stack.setting("BROKER_URL")) as connection, connection.channel() as channel:
        count: int = channel.queue_declare(queue, passive=True).message_count
        return count


def test_an_idle_container_stops_at_once_and_nothing_is_delivered_again(
    stack: Stack, shown: Callable[[str, str], None]
) -> None:
    """At once: as fast as Celery itself ends, which takes a second or two of this machine's time."""
    tasks = [{"task": "task_a", "count": 20, "kwargs": {"work_s": 0}}]
    config = own(stack, [], tasks, workers=["worker-a"])
    container = stack.container("worker-a")["Id"]
    took_s = []
    for _ in range(3):
        ledger = play(stack, shown, "own", "--config", config)["ledger"]
        assert (ledger["succeeded"], ledger["recovered"], ledger["duplicated"]) == (20, 0, 0)
        asked = time.monotonic()
        stack.output("docker", "stop", "-t", "30", container)
        took_s.append(time.monotonic() - asked)
        try:
            assert stack.container("worker-a")["State"]["ExitCode"] == 0
            assert ready(stack, "queue_a") == 0  # where a message would be that it had not acknowledged
        finally:
            stack.output("docker", "start", container)
            stack.wait_healthy()
    shown("docker stop of an idle worker", ", ".join(f"{one_s:.2f} s" for one_s in took_s))
    assert min(took_s) < 3
