"""A task runs on its own queue or not at all: what is sent astray is refused, said and kept, however it came there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import Workers, eventually
from tests.integration.caller import Caller


@pytest.fixture
def caller(deployment: Workers) -> Iterator[Caller]:
    made = Caller(deployment)
    yield made
    made.close()


def refused(caller: Caller, deployment: Workers, task_id: str, queue: str) -> Any:
    """See that `task_id` was refused by the worker of `queue` and never started; return its dead letter."""
    meta = caller.final(task_id)
    worker = queue.replace("queue_", "worker-")
    assert meta["status"] == "FAILURE"
    assert meta["evidence"]["queue"] == queue
    assert meta["evidence"]["node"] == f"{worker}@{os.uname().nodename}"
    (letter,) = caller.dead_letters(queue, 1)
    assert letter.headers["id"] == task_id
    assert letter.headers["x-death"][0]["reason"] == "rejected"
    assert letter.headers["x-death"][0]["queue"] == queue
    assert caller.states(task_id) == ["FAILURE"]
    (line,) = [record for record in deployment.records(worker) if record.get("task_id") == task_id]
    assert line["message"] == "task refused, rejected to the dead letters"
    assert (line["queue"], line["level"]) == (queue, "ERROR")
    return letter


@pytest.mark.parametrize(("task", "queue"), [("task_a", "queue_b"), ("task_b", "queue_a")])
def test_a_task_on_the_other_queue_is_refused(caller: Caller, deployment: Workers, task: str, queue: str) -> None:
    task_id = caller.send(task, queue=queue)
    refused(caller, deployment, task_id, queue)
    error = caller.final(task_id)["result"]
    assert error["exc_type"] == "WrongQueue"
    assert error["exc_message"] == [f"{task} belongs to {task.replace('task', 'queue')}, and arrived on {queue}"]


@pytest.mark.parametrize("queue", ["queue_a", "queue_b"])
def test_an_unregistered_task_is_refused(caller: Caller, deployment: Workers, queue: str) -> None:
    task_id = caller.send("task_c", queue=queue)
    refused(caller, deployment, task_id, queue)
    error = caller.final(task_id)["result"]
    assert (error["exc_type"], error["exc_message"]) == ("NotRegistered", ["task_c"])


def test_a_task_that_is_routed_to_no_queue_is_refused(caller: Caller, deployment: Workers) -> None:
    task_id = caller.send("celery.backend_cleanup", queue="queue_a")
    refused(caller, deployment, task_id, "queue_a")
    error = caller.final(task_id)["result"]
    assert error["exc_message"] == ["celery.backend_cleanup is routed to no queue, and arrived on queue_a"]


def test_a_message_cannot_name_the_queue_that_it_wishes_for(caller: Caller, deployment: Workers) -> None:
    task_id = caller.send("task_a", queue="queue_b", headers={"consumed_queue": "queue_a"})
    refused(caller, deployment, task_id, "queue_b")


def test_a_retry_on_the_other_queue_is_refused(caller: Caller, deployment: Workers) -> None:
    task_id = caller.send("task_a", queue="queue_b", headers={"retries": 1})
    refused(caller, deployment, task_id, "queue_b")
    assert caller.final(task_id)["evidence"]["attempt"] == 2


def test_a_redelivered_message_on_the_other_queue_is_refused(caller: Caller, deployment: Workers) -> None:
    with nobody_consuming(deployment, caller, "queue_b"):
        task_id = caller.send("task_a", queue="queue_b")
        taken = eventually(lambda: caller.channel.basic_get("queue_b"), "the message")
        caller.channel.basic_reject(taken.delivery_tag, requeue=True)
    refused(caller, deployment, task_id, "queue_b")
    seen = caller.final(task_id)["evidence"]
    assert (seen["redelivered"], seen["delivery_count"]) == (True, 1)


def test_a_dead_letter_sent_back_is_refused_again_there_and_runs_where_it_belongs(
    caller: Caller, deployment: Workers
) -> None:
    first = caller.send("task_a", queue="queue_b")
    caller.final(first)
    (letter,) = caller.dead_letters("queue_b", 1)
    again = {"content_type": "application/json", "reply_to": caller.reply_queue}
    second, third = "00000000-0000-4000-8000-000000000002", "00000000-0000-4000-8000-000000000003"
    caller.publish(letter.body, {**letter.headers, "id": second}, queue="queue_b", **again)
    refused(caller, deployment, second, "queue_b")
    caller.publish(letter.body, {**letter.headers, "id": third}, queue="queue_a", **again)
    assert caller.final(third)["result"]["queue"] == "queue_a"
    assert caller.states(third) == ["SUCCESS"]


@contextmanager
def nobody_consuming(deployment: Workers, caller: Caller, queue: str) -> Iterator[None]:
    """Have the queue's node stop consuming it, and start again."""

    def consumers() -> int:
        return int(caller.channel.queue_declare(queue, passive=True).consumer_count)

    node = [f"{queue.replace('queue_', 'worker-')}@{os.uname().nodename}"]
    deployment.app.control.cancel_consumer(queue, destination=node, reply=True, timeout=10)
    eventually(lambda: consumers() == 0, f"nobody consumes {queue}")
    yield
    deployment.app.control.add_consumer(queue, destination=node, reply=True, timeout=10)
    eventually(lambda: consumers() == 1, f"{queue} is consumed")
