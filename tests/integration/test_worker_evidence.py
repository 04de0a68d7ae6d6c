"""What a result says of its execution, read from the delivery: queue, node, attempt, redelivery."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.conftest import WORKER_A, Workers, eventually
from tests.integration.caller import Caller

KEYS = ["message", "task", "task_id", "worker", "node", "queue", "attempt", "retries", "redelivered"]
KEYS += ["execution_time", "started_at", "timestamp"]


@pytest.fixture
def caller(deployment: Workers) -> Iterator[Caller]:
    made = Caller(deployment)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("task", "message", "worker", "queue"),
    [
        ("task_a", "Hello from Task A", "worker-a", "queue_a"),
        ("task_b", "Hello from Task B", "worker-b", "queue_b"),
    ],
)
def test_a_result_tells_who_executed_what_where_and_when(
    caller: Caller, task: str, message: str, worker: str, queue: str
) -> None:
    task_id = caller.send(task, work_s=0.2)
    meta = caller.final(task_id)
    result = meta["result"]
    assert list(result) == KEYS
    node = f"{worker}@{os.uname().nodename}"
    measured = ("execution_time", "started_at", "timestamp")
    assert {key: result[key] for key in KEYS if key not in measured} == {
        "message": message,
        "task": task,
        "task_id": task_id,
        "worker": worker,
        "node": node,
        "queue": queue,
        "attempt": 1,
        "retries": 0,
        "redelivered": False,
    }
    assert 0.2 <= result["execution_time"] < 0.4
    started, finished = (datetime.fromisoformat(result[key]) for key in ("started_at", "timestamp"))
    assert started.utcoffset() == finished.utcoffset() == timedelta(0)
    assert (finished - started).total_seconds() == pytest.approx(result["execution_time"], abs=0.02)
    seen = {key: meta["evidence"][key] for key in ("node", "queue", "queue_evidence", "attempt", "delivery_count")}
    assert seen == {"node": node, "queue": queue, "queue_evidence": "consumer", "attempt": 1, "delivery_count": 0}


@pytest.mark.parametrize(("task", "seconds"), [("task_a", 0.5), ("task_b", 0.7)])
def test_without_arguments_a_task_works_as_long_as_the_project_says(caller: Caller, task: str, seconds: float) -> None:
    result = caller.final(caller.send(task, body=b"[[], {}, null]"))["result"]
    assert seconds <= result["execution_time"] < seconds + 0.2


def test_after_a_delayed_retry_the_queue_is_still_the_consumers(caller: Caller) -> None:
    # the routing key is now 0.0.[...].1.queue_a
    result = caller.final(caller.send("task_a", fail_times=1))["result"]
    assert (result["queue"], result["attempt"], result["retries"], result["redelivered"]) == ("queue_a", 2, 1, False)


def test_where_queue_b_is_bound_to_the_key_of_queue_a_worker_b_refuses_the_copy(caller: Caller) -> None:
    caller.channel.queue_bind("queue_b", "tasks", "queue_a")
    try:
        task_id = caller.send("task_a")
        eventually(lambda: len(caller.metas(task_id)) >= 2, "the states of both copies")
    finally:
        caller.channel.queue_unbind("queue_b", "tasks", "queue_a")
    both = caller.metas(task_id)
    told = {(meta["status"], meta["evidence"]["queue"]) for meta in both}
    assert told == {("SUCCESS", "queue_a"), ("FAILURE", "queue_b")}
    refused = next(meta for meta in both if meta["status"] == "FAILURE")
    assert refused["result"]["exc_type"] == "WrongQueue"
    assert refused["evidence"]["node"].startswith("worker-b@")
    (letter,) = caller.dead_letters("queue_b", 1)
    assert letter.headers["id"] == task_id


def test_the_run_id_of_the_message_is_on_every_line_that_tells_of_the_task(deployment: Workers, caller: Caller) -> None:
    task_id = caller.send("task_a", headers={"run_id": "run-7"}, fail_times=1)
    caller.final(task_id)

    def told() -> list[dict[str, Any]]:
        return [record for record in deployment.records("worker-a") if task_id in record["message"]]

    # received, retry, received, succeeded
    lines = eventually(lambda: len(told()) >= 4 and told(), "the lines of both attempts")
    assert [line["message"].partition("] ")[2].split()[0] for line in lines] == [
        "received",
        "retry:",
        "received",
        "succeeded",
    ]
    node = f"worker-a@{os.uname().nodename}"
    fields = ("task_id", "task", "queue", "node", "run_id", "attempt")
    assert [tuple(line[field] for field in fields) for line in lines] == [
        (task_id, "task_a", "queue_a", node, "run-7", attempt) for attempt in (1, 1, 2, 2)
    ]
    conventional = {
        "messaging.message.id": task_id,
        "messaging.destination.name": "queue_a",
        "messaging.message.conversation_id": "run-7",
        "service.instance.id": node,
    }
    assert all(conventional.items() <= line.items() for line in lines)


def test_a_line_that_tells_of_an_exception_names_its_type(deployment: Workers, caller: Caller) -> None:
    task_id = caller.send("task_a", work_s="long")
    caller.final(task_id)

    def told() -> list[dict[str, Any]]:
        return [
            line for line in deployment.records("worker-a") if line.get("task_id") == task_id and "error.type" in line
        ]

    (line,) = eventually(told, "the line of the failure")
    assert (line["level"], line["error.type"]) == ("ERROR", "TypeError")


def test_a_task_whose_node_was_killed_runs_again_and_says_so(workers: Workers) -> None:
    killed = workers.start(WORKER_A)
    caller = Caller(workers)
    task_id = caller.send("task_a", work_s=1)
    started = caller.until(task_id, "STARTED")
    os.killpg(killed.pid, signal.SIGKILL)
    workers.start(WORKER_A)
    meta = caller.final(task_id)
    assert caller.states(task_id) == ["STARTED", "STARTED", "SUCCESS"]
    assert (started["evidence"]["redelivered"], started["evidence"]["delivery_count"]) == (False, 0)
    assert (meta["evidence"]["redelivered"], meta["evidence"]["delivery_count"]) == (True, 1)
    result = meta["result"]
    assert (result["redelivered"], result["attempt"], result["retries"]) == (True, 1, 0)
    caller.close()
