"""What is done to worker processes on this host has happened, and does to tasks what the docs say it does."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UnavailableError
from harness.fleet import Unit
from harness.local import LocalFleet
from tests.conftest import ROOT, WORKER_A, WORKER_B, Vhosts, Workers, eventually, load_app
from tests.integration.caller import Caller

HOST = os.uname().nodename


@pytest.fixture(scope="module")
def place(vhosts: Vhosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalFleet, Workers]]:
    """worker-a and worker-b, each behind a relay of its own, and how to ask about them."""
    url = vhosts.make()
    workers = Workers(url, load_app(url), tmp_path_factory.mktemp("workers"))
    fleet = LocalFleet(ROOT, (WORKER_A, WORKER_B), url, relays=True)
    fleet.start()
    try:
        yield fleet, workers
    finally:
        fleet.stop(at_once=True)
        vhosts.delete(url)


@pytest.fixture
def workers(place: tuple[LocalFleet, Workers]) -> Workers:
    return place[1]


@pytest.fixture
def fleet(place: tuple[LocalFleet, Workers]) -> Iterator[LocalFleet]:
    """One node of each service, which consume; what a test ended is started again after it."""
    fleet, workers = place
    eventually(lambda: len(nodes(workers)) == 2, "both consume")
    units = [the(fleet, "worker-a"), the(fleet, "worker-b")]
    yield fleet
    for unit in units:
        fleet.revive(unit)
    fleet.scale({"worker-a": 1, "worker-b": 1})


@pytest.fixture
def caller(fleet: LocalFleet, workers: Workers) -> Iterator[Caller]:
    made = Caller(workers)
    yield made
    made.close()


def nodes(workers: Workers) -> list[str]:
    return [node.name for node in workers.roster().nodes]


def the(fleet: LocalFleet, service: str) -> Unit:
    (unit,) = fleet.units(service)
    return unit


def group(unit: Unit) -> set[int]:
    """Return the processes of a unit that run or could run again, its main process among them."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, _, pgid = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if pgid == unit.id and state != "Z":
                    found.add(int(entry.name))
    return found


def states(unit: Unit) -> set[str]:
    return {(Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] for pid in group(unit)}


def started(caller: Caller, **kwargs: Any) -> tuple[str, int]:
    """Return the id of a task that runs on worker-a, and the process that it runs in."""
    task_id = caller.send(**kwargs)
    return task_id, caller.until(task_id, "STARTED")["result"]["pid"]


def came_to(caller: Caller, task_id: str) -> tuple[int, bool]:
    """Return how often a task that succeeded was attempted, as Celery counts, and whether it was delivered again."""
    result = caller.final(task_id)["result"]
    return result["attempt"], result["redelivered"]


def test_units_and_counts_are_what_runs(fleet: LocalFleet, workers: Workers) -> None:
    units = [the(fleet, service) for service in ("worker-a", "worker-b")]
    assert [unit.node for unit in units] == nodes(workers) == [f"worker-a@{HOST}", f"worker-b@{HOST}"]
    assert [unit.service for unit in units] == ["worker-a", "worker-b"]
    assert all(unit.name == f"process {unit.id}" and len(group(unit)) == 3 for unit in units)
    assert fleet.counts() == {"worker-a": 1, "worker-b": 1}


def test_what_is_killed_is_down_with_its_pool_and_its_task_runs_again_on_the_same_node(
    fleet: LocalFleet, caller: Caller, workers: Workers
) -> None:
    unit = the(fleet, "worker-a")
    task_id, _ = started(caller, work_s=1)
    fleet.kill(unit)
    eventually(lambda: not group(unit), "nothing of it runs", 1)
    assert fleet.counts() == {"worker-a": 0, "worker-b": 1}
    eventually(lambda: nodes(workers) == [f"worker-b@{HOST}"], "the broker has no consumer left", 2)

    fleet.revive(unit)
    revived = the(fleet, "worker-a")
    assert (revived.node, revived.id != unit.id) == (unit.node, True)
    assert came_to(caller, task_id) == (1, True)
    fleet.revive(unit)  # it runs already
    assert fleet.units("worker-a") == [revived]


def test_with_the_main_process_its_pool_ends_and_the_task_runs_again(fleet: LocalFleet, caller: Caller) -> None:
    unit = the(fleet, "worker-a")
    task_id, _ = started(caller, work_s=4)
    fleet.kill_main(unit)
    assert fleet.units("worker-a") == []
    eventually(lambda: not group(unit), "nothing of it runs", 1)  # Linux; a task would have gone on for seconds

    fleet.revive(unit)
    assert came_to(caller, task_id) == (1, True)
    assert caller.states(task_id).count("SUCCESS") == 1


def test_a_child_of_the_pool_that_is_killed_is_replaced_and_its_task_retried(fleet: LocalFleet, caller: Caller) -> None:
    unit = the(fleet, "worker-a")
    task_id, child = started(caller, work_s=1)
    fleet.kill_child(unit, child)
    assert came_to(caller, task_id) == (2, False)
    assert the(fleet, "worker-a") == unit
    assert child not in group(unit)
    eventually(lambda: len(group(unit)) == 3, "the pool is whole again")


def test_only_a_child_of_the_units_own_pool_is_killed(fleet: LocalFleet) -> None:
    unit, other = the(fleet, "worker-a"), the(fleet, "worker-b")
    for pid in (int(unit.id), *group(other), 1, os.getpid(), 2**22):
        with pytest.raises(UnavailableError, match=f"could not have process {pid} of its pool killed"):
            fleet.kill_child(unit, pid)
    assert len(group(unit)) == len(group(other)) == 3


def test_what_is_halted_finishes_its_task_first(fleet: LocalFleet, caller: Caller) -> None:
    unit = the(fleet, "worker-a")
    task_id, _ = started(caller, work_s=1)
    fleet.halt(unit, None)
    assert group(unit) == set()
    assert came_to(caller, task_id) == (1, False)


def test_a_task_longer_than_the_grace_runs_again(fleet: LocalFleet, caller: Caller) -> None:
    unit = the(fleet, "worker-a")
    task_id, _ = started(caller, work_s=4)
    begun = time.monotonic()
    fleet.halt(unit, 0.5)
    assert 0.5 <= time.monotonic() - begun < 2
    eventually(lambda: not group(unit), "nothing of it runs", 1)
    fleet.revive(unit)
    assert came_to(caller, task_id) == (1, True)


def test_a_paused_unit_does_nothing_until_it_is_resumed(fleet: LocalFleet, caller: Caller) -> None:
    unit = the(fleet, "worker-a")
    fleet.pause(unit)
    eventually(lambda: states(unit) == {"T"}, "all of its processes have stopped", 1)
    task_id = caller.send()
    assert caller.final(caller.send("task_b"))["status"] == "SUCCESS"
    assert caller.states(task_id) == []
    assert the(fleet, "worker-a") == unit

    fleet.resume(unit)
    assert came_to(caller, task_id) == (1, False)


@pytest.mark.parametrize("end", [lambda fleet, unit: fleet.kill(unit), lambda fleet, unit: fleet.halt(unit, None)])
def test_a_paused_unit_can_be_ended(fleet: LocalFleet, end: Callable[[LocalFleet, Unit], None]) -> None:
    unit = the(fleet, "worker-a")
    fleet.pause(unit)
    begun = time.monotonic()
    end(fleet, unit)
    assert time.monotonic() - begun < 10  # not the grace of a worker that cannot hear
    eventually(lambda: not group(unit), "nothing of it runs", 1)


def test_a_disconnected_unit_is_not_heard_and_its_connection_stands(
    fleet: LocalFleet, caller: Caller, workers: Workers
) -> None:
    unit = the(fleet, "worker-a")
    connections = caller.connections()
    fleet.disconnect(unit)
    task_id = caller.send()
    assert caller.final(caller.send("task_b"))["status"] == "SUCCESS"
    seen = workers.roster()
    assert [node.name for node in seen.nodes] == [f"worker-b@{HOST}"]  # worker-a had a second to answer
    assert seen.consumers == {"queue_a": 1, "queue_b": 1}  # the broker has not learned of it
    assert seen.backlog["queue_a"] == 0  # nor does it know that the message did not arrive
    assert caller.states(task_id) == []
    assert connections <= caller.connections()

    fleet.reconnect(unit)
    assert came_to(caller, task_id) == (1, False)
    assert unit.node in nodes(workers)


def test_more_units_get_names_of_their_own_and_fewer_finish_their_tasks(
    fleet: LocalFleet, caller: Caller, workers: Workers
) -> None:
    first, other = the(fleet, "worker-a"), the(fleet, "worker-b")
    fleet.scale({"worker-a": 3})
    assert fleet.counts() == {"worker-a": 3, "worker-b": 1}
    names = [unit.node for unit in fleet.units("worker-a")]
    assert names == [f"worker-a@{HOST}", f"worker-a@2.{HOST}", f"worker-a@3.{HOST}"]
    eventually(lambda: set(names) <= set(nodes(workers)), "all three consume")

    ids = [started(caller, work_s=1)[0] for _ in range(6)]  # two on each
    fleet.scale({"worker-a": 1})
    assert fleet.units("worker-a") == [first]
    assert fleet.units("worker-b") == [other]
    assert [came_to(caller, task_id) for task_id in ids] == [(1, False)] * 6

    fleet.scale({"worker-a": 2, "worker-b": 0})
    assert [unit.node for unit in fleet.units("worker-a")] == [f"worker-a@{HOST}", f"worker-a@4.{HOST}"]
    assert fleet.units("worker-b") == []


def test_a_fleet_that_stops_lets_tasks_finish_and_leaves_no_process(broker_url: str, tmp_path: Path) -> None:
    workers = Workers(broker_url, load_app(broker_url), tmp_path)
    fleet = LocalFleet(ROOT, (WORKER_A,), broker_url)
    fleet.start()
    try:
        eventually(lambda: nodes(workers), "it consumes")
        unit, caller = the(fleet, "worker-a"), Caller(workers)
        task_id, _ = started(caller, work_s=1)
    finally:
        fleet.stop()
    assert group(unit) == set()
    assert came_to(caller, task_id) == (1, False)
    caller.close()


def test_replicas_are_numbered_from_the_start(broker_url: str) -> None:
    fleet = LocalFleet(ROOT, (replace(WORKER_A, replicas=2),), broker_url)
    fleet.start()
    try:
        assert [unit.node for unit in fleet.units("worker-a")] == [f"worker-a@1.{HOST}", f"worker-a@2.{HOST}"]
        fleet.scale({"worker-a": 3})
        units = fleet.units("worker-a")
        assert units[2].node == f"worker-a@3.{HOST}"
    finally:
        fleet.stop(at_once=True)
    eventually(lambda: not any(group(unit) for unit in units), "nothing of them runs", 1)


ACTIONS = {
    "be killed": lambda fleet, unit: fleet.kill(unit),
    "have its main process killed": lambda fleet, unit: fleet.kill_main(unit),
    "have process 1 of its pool killed": lambda fleet, unit: fleet.kill_child(unit, 1),
    "be stopped": lambda fleet, unit: fleet.halt(unit, None),
    "be paused": lambda fleet, unit: fleet.pause(unit),
    "be resumed": lambda fleet, unit: fleet.resume(unit),
    "be disconnected": lambda fleet, unit: fleet.disconnect(unit),
}
GONE = Unit(service="worker-a", id="1", node="worker-a@elsewhere", name="process 1")


def test_what_cannot_be_done_is_said_with_its_reason(broker_url: str) -> None:
    fleet = LocalFleet(ROOT, (WORKER_A,), broker_url)
    fleet.start()
    try:
        unit = the(fleet, "worker-a")
        for use in (fleet.disconnect, fleet.reconnect):
            with pytest.raises(UnavailableError, match="could not be disconnected") as error:
                use(unit)
            assert error.value.why == "it was started without a relay"
        for ask in (fleet.units, lambda service: fleet.scale({service: 1})):
            with pytest.raises(UnavailableError, match="there is no service worker-c") as error:
                ask("worker-c")
            assert error.value.why == "started here are worker-a"
        fleet.kill(unit)
        for what, do in ACTIONS.items():
            with pytest.raises(UnavailableError, match=f"{unit.name} .* could not {what}") as error:
                do(fleet, unit)
            assert error.value.why == f"it ended with code -{signal.SIGKILL.value}"
            with pytest.raises(UnavailableError, match=f"could not {what}") as error:
                do(fleet, GONE)
            assert error.value.why == "it was not started here"
        with pytest.raises(UnavailableError, match="could not be started"):
            fleet.revive(GONE)
    finally:
        fleet.stop(at_once=True)


def test_a_broker_that_is_a_directory_has_no_relays(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="the connection to the broker cannot be cut"):
        LocalFleet(ROOT, (WORKER_A,), f"filesystem://{tmp_path}", relays=True)
