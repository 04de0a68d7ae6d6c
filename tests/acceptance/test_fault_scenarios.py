"""The shipped fault scenarios that need no container: of the dispatcher, of messages, of a broker of the test's own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from harness.errors import ExitCode
from tests.acceptance.rabbit import OF_THE_WORKERS, messages, queues
from tests.conftest import eventually
from tests.own_broker import OwnBroker, own_broker


@pytest.fixture(scope="module")
def broker(needs_rabbitmq: None) -> Iterator[OwnBroker]:
    with own_broker() as node:
        yield node


def played(user: Any, *arguments: str, **environment: str) -> dict[str, Any]:
    """Run a shipped scenario that must hold; return its results document."""
    done = user.dispatch(*arguments, **environment, timeout_s=200)
    assert done.returncode == 0, done.stdout + done.stderr
    (document,) = user.results()
    assert document["ledger"]["lost"] == document["ledger"]["unexplained"] == 0
    return dict(document)


@pytest.mark.parametrize(
    "name", ["partition-dispatcher", "dispatcher-kill", "malformed", "unroutable", "reply-queue-lost"]
)
def test_a_fault_of_the_dispatcher_or_its_messages_comes_out_as_stated(deployment: Any, user: Any, name: str) -> None:
    document = played(user, name, BROKER_URL=deployment.url)
    assert bool(document["faults"]) == (name != "unroutable")
    assert set(queues(deployment.url)) == OF_THE_WORKERS
    assert user.journals() == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("broker-restart", "the connection to the broker was lost"),
        ("broker-kill", "the connection to the broker was lost"),
        ("broker-freeze", "unconfirmed messages were published again"),
        ("broker-closes-connections", "CONNECTION_FORCED"),
        ("broker-memory-alarm", "the broker blocked publishing"),
    ],
)
def test_a_fault_of_the_broker_comes_out_as_stated(broker: OwnBroker, user: Any, name: str, told: str) -> None:
    url = broker.make_vhost(name)
    try:
        document = played(user, name, "--local", "--allow-broker-faults", BROKER_URL=url, RABBITMQ_NODENAME=broker.name)
    finally:
        broker.evaluate(f'rabbit_vhost:delete(<<"{name}">>, <<"test">>).')
    (fault,) = document["faults"]
    assert fault["error"] is None
    assert (fault["undone_at_s"] is None) == (name == "broker-closes-connections")
    assert any(told in note for note in document["notes"]), document["notes"]


def test_the_broker_is_not_touched_without_leave(deployment: Any, user: Any) -> None:
    done = user.dispatch("broker-kill", BROKER_URL=deployment.url)
    assert done.returncode == ExitCode.USAGE
    assert done.stderr == (
        "error: broker-kill: would disturb the broker itself\n"
        "  why: others may use it\n"
        "  try: --allow-broker-faults, with a broker that is there for tests\n"
    )


def test_a_broker_that_others_use_is_not_touched_even_with_leave(deployment: Any, user: Any, broker_url: str) -> None:
    from tests.conftest import load_app

    with load_app(broker_url).connection_for_write() as other:
        other.connect()
        done = user.dispatch("broker-kill", "--allow-broker-faults", BROKER_URL=deployment.url)
    assert done.returncode == ExitCode.UNAVAILABLE
    assert done.stderr.startswith("error: somebody else uses the broker at ")
    assert user.results() == []


def test_a_fault_that_cannot_be_applied_makes_the_run_invalid_and_never_green(deployment: Any, user: Any) -> None:
    tasks = [{"task": "task_a", "kwargs": {"work_s": 0.1}}]
    config = user.config(
        {"late": {"description": "late", "tasks": tasks, "faults": [{"at": "5s", "malformed": "queue_a"}]}}
    )
    done = user.dispatch("late", "--config", config, BROKER_URL=deployment.url)
    assert done.returncode == ExitCode.UNAVAILABLE, done.stdout
    (document,) = user.results()
    assert (document["exit_code"], document["verdict"]) == (69, "invalid")
    (fault,) = document["faults"]
    assert fault["error"] == "it was not due before the run ended: 1 of 1 tasks had ended"


def test_faults_on_workers_without_a_fleet_are_refused_before_anything_is_published(deployment: Any, user: Any) -> None:
    done = user.dispatch("worker-kill", BROKER_URL=deployment.url, PATH="/nonexistent")
    assert done.returncode == ExitCode.UNAVAILABLE
    assert done.stderr.startswith("error: ")
    assert user.results() == []
    assert messages(deployment.url).get("queue_a") is None


def test_an_interrupted_run_undoes_its_faults(broker_url: str, user: Any) -> None:
    tasks = [{"task": "task_a", "count": 4, "kwargs": {"work_s": 3}}]
    faults = [{"at": "200ms", "pause": "worker-a"}]
    config = user.config({"long": {"description": "long", "workers": ["worker-a"], "tasks": tasks, "faults": faults}})
    process = user.start("dispatch.py", "long", "--config", config, "--local", BROKER_URL=broker_url)
    paused: list[int] = []

    def struck() -> bool:
        line = process.stderr.readline()
        if line.startswith("fault: pause worker-a"):
            paused.append(int(line.partition("process ")[2].partition(" ")[0]))
        return bool(paused)

    eventually(struck, "the fault struck")
    assert state_of(paused[0]) == "T"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED, out + err
    (document,) = user.results()
    (fault,) = document["faults"]
    assert fault["error"] is None
    assert fault["undone_at_s"] is not None
    assert not os.path.exists(f"/proc/{paused[0]}")


def state_of(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]
