"""Events: none unless asked for; with them a node sends what a monitor needs, whatever its command line says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from amqp.exceptions import NotFound
from celery.events.receiver import EventReceiver

from tests.conftest import WORKER_A, Workers, eventually
from tests.integration.caller import Caller


@contextmanager
def listening(workers: Workers) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Yield a function that returns the events that have come by now."""
    events: list[dict[str, Any]] = []
    with workers.app.connection_for_read() as connection:
        receiver = EventReceiver(connection, handlers={"*": events.append}, app=workers.app)
        with receiver.consumer_context() as (own, _, _):

            def heard() -> list[dict[str, Any]]:
                with contextlib.suppress(TimeoutError):
                    own.drain_events(timeout=0.05)
                return events

            yield heard


def kinds(events: list[dict[str, Any]]) -> set[str]:
    return {event["type"] for event in events}


def test_a_node_sends_no_events_unless_asked_to(workers: Workers) -> None:
    workers.start(WORKER_A)
    caller = Caller(workers)
    caller.final(caller.send())

    with pytest.raises(NotFound):  # whoever sends the first event declares it
        caller.channel.exchange_declare("celeryev", "topic", passive=True)


@pytest.mark.parametrize("asked", [{"WORKER_EVENTS": "1"}, {}], ids=["WORKER_EVENTS=1", "-E"])
def test_a_node_that_was_asked_to_tells_of_its_tasks_and_of_itself(workers: Workers, asked: dict[str, str]) -> None:
    with listening(workers) as heard:
        workers.start(WORKER_A, *([] if asked else ["-E"]), **asked)
        caller = Caller(workers)
        task_id = caller.send()
        caller.final(task_id)

        wanted = {"worker-online", "worker-heartbeat", "task-received", "task-started", "task-succeeded"}
        eventually(lambda: wanted <= kinds(heard()), f"all of {wanted}")
        assert {event["uuid"] for event in heard() if event["type"] == "task-succeeded"} == {task_id}
        caller.close()


def test_events_go_on_after_the_connection_was_lost(workers: Workers) -> None:
    caller = Caller(workers)
    with listening(workers) as heard:
        spared = caller.connections()
        workers.start(WORKER_A, WORKER_EVENTS="1")
        eventually(lambda: "worker-heartbeat" in kinds(heard()), "a heartbeat")
        heard().clear()
        caller.close_connections_but(spared)

        eventually(lambda: "worker-online" in kinds(heard()), "the node says that it is back")
        caller.final(caller.send())
        eventually(lambda: "task-succeeded" in kinds(heard()), "an event of a task")
    caller.close()
