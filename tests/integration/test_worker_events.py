"""Events: none unless asked for; with them a node sends what a monitor needs, whatever its command line says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from amqp.exceptions import NotFound
from celery.events.receiver import EventReceiver

from tests.conftest import WORKER_A, Workers, eventually, load_app
from tests.integration.caller import Caller
from tests.own_broker import own_broker


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


def test_a_node_sends_events_from_when_it_is_asked_to(workers: Workers) -> None:
    workers.start(WORKER_A)
    caller = Caller(workers)
    with listening(workers) as heard:
        caller.final(caller.send())  # none of this
        (answer,) = _enable_events(workers)
        asked_again = _enable_events(workers)
        task_id = caller.send()
        caller.final(task_id)

        wanted = {"worker-online", "worker-heartbeat", "task-received", "task-started", "task-succeeded"}
        eventually(lambda: wanted <= kinds(heard()), f"all of {wanted}")
        assert {event["uuid"] for event in heard() if event["type"].startswith("task-")} == {task_id}
        assert [*answer.values()] == [{"ok": "task events enabled"}]
        assert [*asked_again[0].values()] == [{"ok": "task events already enabled"}]

        workers.app.control.broadcast("disable_events", reply=True, limit=1)
        heard().clear()
        caller.final(caller.send())
        eventually(lambda: "worker-heartbeat" in kinds(heard()), "a heartbeat after that task")
        assert not [kind for kind in kinds(heard()) if kind.startswith("task-")]
    caller.close()


def _enable_events(workers: Workers) -> list[dict[str, Any]]:
    return workers.app.control.broadcast("enable_events", reply=True, limit=1, timeout=5)


@pytest.mark.parametrize("by_remote", [False, True], ids=["WORKER_EVENTS=1", "asked"])
def test_events_go_on_after_the_connection_was_lost(workers: Workers, by_remote: bool) -> None:
    caller = Caller(workers)
    with listening(workers) as heard:
        spared = caller.connections()
        workers.start(WORKER_A, WORKER_EVENTS="" if by_remote else "1")
        if by_remote:
            _enable_events(workers)
        eventually(lambda: "worker-heartbeat" in kinds(heard()), "a heartbeat")
        heard().clear()
        caller.close_connections_but(spared)

        eventually(lambda: "worker-online" in kinds(heard()), "the node says that it is back")
        caller.final(caller.send())
        eventually(lambda: "task-succeeded" in kinds(heard()), "an event of a task")
    caller.close()


def test_a_node_goes_on_while_the_broker_takes_none_of_its_events(needs_rabbitmq: None, tmp_path: Path) -> None:
    """In a memory alarm the broker confirms nothing and reads nothing from who has published; it still delivers."""
    health = tmp_path / "healthy"
    with own_broker() as broker:
        url = broker.make_vhost("events")
        workers = Workers(url, load_app(url), tmp_path)
        try:
            workers.start(WORKER_A, "--concurrency=1", WORKER_EVENTS="1", HEALTH_FILE=str(health))
            caller = Caller(workers)
            nobody_waits: dict[str, Any] = {"reply_to": None}  # a result would wait until the alarm is over
            first = caller.send(work_s=3, properties=nobody_waits)
            ids = {first, *(caller.send(properties=nobody_waits) for _ in range(5))}
            eventually(lambda: caller.ready("queue_a") == 5, "the first one runs")
            broker.rabbitmqctl("set_vm_memory_high_watermark", "0")
            eventually(lambda: "memory" in broker.evaluate("rabbit_alarm:get_alarms()."), "a memory alarm")
            assert first not in _succeeded(workers)
            eventually(lambda: ids <= _succeeded(workers), "all tasks run in the alarm", within_s=20)
            blocked = broker.rabbitmqctl("list_connections", "state").split()
            assert "blocked" in blocked  # an event was published, and more wait behind it
            seen = health.stat().st_mtime_ns
            eventually(lambda: health.stat().st_mtime_ns > seen, "its event loop turns", within_s=10)
            broker.rabbitmqctl("set_vm_memory_high_watermark", "0.4")
            with listening(workers) as heard:
                eventually(lambda: "worker-heartbeat" in kinds(heard()), "its events come again")
                last = Caller(workers)
                last.final(last.send())
                eventually(lambda: "task-succeeded" in kinds(heard()), "an event of a task")
            assert "Connection to broker lost" not in workers.log("worker-a")
        finally:
            workers.kill_all()


def _succeeded(workers: Workers) -> set[str]:
    """Return the ids of the tasks that the node says it has done."""
    return {one["task_id"] for one in workers.records("worker-a") if "succeeded" in one["message"]}
