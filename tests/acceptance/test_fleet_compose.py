"""What is done to the workers' containers has happened, and does to tasks what the docs say it does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.compose import ComposeFleet
from harness.errors import UnavailableError
from harness.fleet import Unit
from tests.acceptance.stack import Stack, rabbitmqctl, wait_until
from tests.conftest import Workers, load_app
from tests.integration.caller import Caller


@pytest.fixture
def fleet(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[ComposeFleet]:
    """One container of each service, consuming; what a test ended is started again after it."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", stack.name)
    stack.wait_healthy()
    made = ComposeFleet(stack.root)
    yield made
    stack.run("docker", "compose", "unpause")
    made.scale({"worker-a": 1, "worker-b": 1})


@pytest.fixture
def workers(stack: Stack, tmp_path: Path) -> Iterator[Workers]:
    """How to ask about the nodes, as a user who may do everything."""
    rabbitmqctl("set_permissions", "-p", stack.name, "guest", ".*", ".*", ".*")
    url = f"amqp://guest:guest@localhost:5672/{stack.name}"
    yield Workers(url, load_app(url), tmp_path)
    rabbitmqctl("clear_permissions", "-p", stack.name, "guest")


@pytest.fixture
def caller(fleet: ComposeFleet, workers: Workers) -> Iterator[Caller]:
    made = Caller(workers)
    yield made
    made.close()


def the(fleet: ComposeFleet, service: str) -> Unit:
    (unit,) = fleet.units(service)
    return unit


def nodes(workers: Workers) -> list[str]:
    return [node.name for node in workers.roster().nodes]


def inspect(stack: Stack, unit: Unit) -> dict[str, Any]:
    (container,) = [one for one in stack.containers(unit.service) if one["Id"].startswith(unit.id)]
    return container


def started(caller: Caller, **kwargs: Any) -> tuple[str, int]:
    """Return the id of a task that runs, and the process that it runs in, as its worker knows it."""
    task_id = caller.send(**kwargs)
    return task_id, caller.until(task_id, "STARTED")["result"]["pid"]


def came_to(caller: Caller, task_id: str) -> tuple[int, bool]:
    """Return how often a task that succeeded was attempted, as Celery counts, and whether it was delivered again."""
    result = caller.final(task_id, 40)["result"]
    return result["attempt"], result["redelivered"]


def test_units_and_counts_are_what_runs(fleet: ComposeFleet, stack: Stack, workers: Workers) -> None:
    for service in ("worker-a", "worker-b"):
        unit, container = the(fleet, service), stack.container(service)
        assert (unit.service, unit.id, unit.node) == (service, container["Id"][:12], f"{service}@{unit.id}")
        assert unit.name == f"container {stack.name}-{service}-1" == f"container {container['Name'][1:]}"
        assert unit.node in nodes(workers)
    assert fleet.counts() == {"worker-a": 1, "worker-b": 1}


def test_what_is_killed_stays_down_and_its_task_runs_again_on_the_same_node(
    fleet: ComposeFleet, stack: Stack, caller: Caller
) -> None:
    unit = the(fleet, "worker-a")
    task_id, _ = started(caller, work_s=2)
    fleet.kill(unit)
    state = inspect(stack, unit)["State"]
    assert (state["Running"], state["ExitCode"]) == (False, 137)
    assert fleet.counts() == {"worker-a": 0, "worker-b": 1}
    assert fleet.units("worker-a") == []
    deadline = time.monotonic() + 1.5  # the restart policy would need 0.4 s
    while time.monotonic() < deadline:
        assert not inspect(stack, unit)["State"]["Running"]

    fleet.revive(unit)
    assert the(fleet, "worker-a") == unit
    assert came_to(caller, task_id) == (1, True)
    fleet.revive(unit)  # it runs already
    assert the(fleet, "worker-a") == unit


def test_a_container_whose_main_process_is_killed_comes_back_by_its_restart_policy(
    fleet: ComposeFleet, stack: Stack, caller: Caller
) -> None:
    unit = the(fleet, "worker-a")
    before = inspect(stack, unit)
    task_id, _ = started(caller, work_s=2)
    fleet.kill_main(unit)
    wait_until(lambda: fleet.units("worker-a") == [unit], 5, "the same container runs again")
    after = inspect(stack, unit)
    assert after["RestartCount"] == before["RestartCount"] + 1
    assert after["State"]["StartedAt"] > before["State"]["StartedAt"]
    assert came_to(caller, task_id) == (1, True)


def test_a_child_of_the_pool_that_is_killed_is_replaced_and_its_task_retried(
    fleet: ComposeFleet, stack: Stack, caller: Caller
) -> None:
    unit = the(fleet, "worker-a")
    before = inspect(stack, unit)["State"]["StartedAt"]
    task_id, child = started(caller, work_s=2)
    fleet.kill_child(unit, child)
    assert came_to(caller, task_id) == (2, False)
    assert inspect(stack, unit)["State"]["StartedAt"] == before


def test_only_a_child_of_the_pool_is_killed(fleet: ComposeFleet, stack: Stack) -> None:
    unit = the(fleet, "worker-a")
    main = int(stack.exec("worker-a", "cat /proc/1/task/1/children").stdout)
    for pid in (1, main, 30_000):
        with pytest.raises(UnavailableError, match=f"could not have process {pid} of its pool killed") as error:
            fleet.kill_child(unit, pid)
        assert error.value.why == "its pool has no such process"
    assert int(stack.exec("worker-a", "cat /proc/1/task/1/children").stdout) == main


def test_what_is_halted_finishes_its_task_first(fleet: ComposeFleet, stack: Stack, caller: Caller) -> None:
    unit = the(fleet, "worker-a")
    task_id, _ = started(caller, work_s=2)
    fleet.halt(unit, None)
    assert inspect(stack, unit)["State"]["ExitCode"] == 0
    assert came_to(caller, task_id) == (1, False)


def test_a_task_longer_than_the_grace_runs_again(fleet: ComposeFleet, stack: Stack, caller: Caller) -> None:
    unit = the(fleet, "worker-a")
    task_id, _ = started(caller, work_s=5)
    begun = time.monotonic()
    fleet.halt(unit, 1)
    assert 1 <= time.monotonic() - begun < 4
    assert inspect(stack, unit)["State"]["ExitCode"] == 137
    fleet.revive(unit)
    assert came_to(caller, task_id) == (1, True)


def test_a_paused_unit_does_nothing_until_it_is_resumed(fleet: ComposeFleet, stack: Stack, caller: Caller) -> None:
    unit = the(fleet, "worker-a")
    fleet.pause(unit)
    assert inspect(stack, unit)["State"]["Status"] == "paused"
    task_id = caller.send()
    assert caller.final(caller.send("task_b"))["status"] == "SUCCESS"
    assert caller.states(task_id) == []
    assert the(fleet, "worker-a") == unit

    fleet.resume(unit)
    assert came_to(caller, task_id) == (1, False)


def test_a_disconnected_unit_is_not_heard_and_its_connection_stands(
    fleet: ComposeFleet, stack: Stack, caller: Caller, workers: Workers
) -> None:
    unit = the(fleet, "worker-a")
    names = names_in_network(stack, unit)
    connections = caller.connections()
    fleet.disconnect(unit)
    assert not names_in_network(stack, unit)
    task_id = caller.send()
    assert caller.final(caller.send("task_b"))["status"] == "SUCCESS"
    seen = workers.roster()
    assert unit.node not in [node.name for node in seen.nodes]  # it had a second to answer
    assert seen.consumers == {"queue_a": 1, "queue_b": 1}  # the broker has not learned of it
    assert caller.states(task_id) == []
    assert connections <= caller.connections()

    fleet.reconnect(unit)
    assert names_in_network(stack, unit) == names
    assert caller.final(task_id, 60)["status"] == "SUCCESS"
    wait_until(lambda: unit.node in nodes(workers), 30, "it consumes again")


def names_in_network(stack: Stack, unit: Unit) -> set[str]:
    return {
        alias
        for network in inspect(stack, unit)["NetworkSettings"]["Networks"].values()
        for alias in network["Aliases"]
    }


def test_scaling_leaves_other_services_alone_and_fewer_finish_their_tasks(
    fleet: ComposeFleet, stack: Stack, caller: Caller, workers: Workers
) -> None:
    first, other = the(fleet, "worker-a"), the(fleet, "worker-b")
    fleet.halt(other, None)
    fleet.scale({"worker-a": 3})
    assert fleet.counts() == {"worker-a": 3, "worker-b": 0}  # not even started
    units = fleet.units("worker-a")
    assert units[0] == first
    wait_until(lambda: {unit.node for unit in units} == set(nodes(workers)), 30, "all three consume")

    ids = [started(caller, work_s=2)[0] for _ in range(6)]  # two on each
    fleet.scale({"worker-a": 1})
    assert fleet.units("worker-a") == [first]
    assert [came_to(caller, task_id) for task_id in ids] == [(1, False)] * 6

    fleet.revive(other)
    before = inspect(stack, other)["State"]["StartedAt"]
    fleet.scale({"worker-a": 2, "worker-b": 1})
    assert fleet.counts() == {"worker-a": 2, "worker-b": 1}
    assert inspect(stack, other)["State"]["StartedAt"] == before
    fleet.scale({"worker-b": 0, "worker-a": 1})
    assert fleet.counts() == {"worker-a": 1, "worker-b": 0}
    fleet.scale({"worker-b": 1})
    assert fleet.counts() == {"worker-a": 1, "worker-b": 1}


def test_a_container_that_is_down_counts_as_none_when_scaling(fleet: ComposeFleet) -> None:
    unit = the(fleet, "worker-a")
    fleet.kill(unit)
    fleet.scale({"worker-a": 1})
    assert the(fleet, "worker-a") == unit


ACTIONS = {
    "be killed": lambda fleet, unit: fleet.kill(unit),
    "have its main process killed": lambda fleet, unit: fleet.kill_main(unit),
    "have process 8 of its pool killed": lambda fleet, unit: fleet.kill_child(unit, 8),
    "be stopped": lambda fleet, unit: fleet.halt(unit, 1),
    "be paused": lambda fleet, unit: fleet.pause(unit),
    "be resumed": lambda fleet, unit: fleet.resume(unit),
    "be disconnected": lambda fleet, unit: fleet.disconnect(unit),
}


def test_what_cannot_be_done_is_said_with_its_reason(fleet: ComposeFleet) -> None:
    unit = the(fleet, "worker-a")
    with pytest.raises(UnavailableError, match="could not be resumed") as error:
        fleet.resume(unit)
    assert "is not paused" in error.value.why
    with pytest.raises(UnavailableError, match="could not be reconnected") as error:
        fleet.reconnect(unit)
    assert error.value.why == "it was not disconnected"
    for ask in (fleet.units, lambda service: fleet.scale({service: 1})):
        with pytest.raises(UnavailableError, match="there is no service worker-c") as error:
            ask("worker-c")
        assert error.value.why == "docker-compose.yml has worker-a, worker-b"
    fleet.kill(unit)
    gone = replace(unit, id="0123456789ab", name="container gone")
    for what, do in ACTIONS.items():
        with pytest.raises(UnavailableError, match=f"{unit.name} could not {what}") as error:
            do(fleet, unit)
        assert "not run" in error.value.why or "not paused" in error.value.why
        with pytest.raises(UnavailableError) as error:
            do(fleet, gone)
        assert "o such" in error.value.why
    with pytest.raises(UnavailableError, match="container gone could not be started"):
        fleet.revive(gone)


def test_an_engine_that_is_not_there_is_named(
    fleet: ComposeFleet, stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unit = the(fleet, "worker-a")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")
        with pytest.raises(UnavailableError, match="could not be killed") as error:
            fleet.kill(unit)
        assert "Cannot connect to the Docker daemon" in error.value.why
    with monkeypatch.context() as without:
        without.setenv("PATH", str(tmp_path))
        with pytest.raises(UnavailableError, match="docker is not installed"):
            fleet.kill(unit)
        with pytest.raises(UnavailableError, match="docker-compose is not installed"):
            ComposeFleet(stack.root).counts()
