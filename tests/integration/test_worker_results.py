"""Results: confirmed before the task is acknowledged, not lost with a connection, not in the way of the next task."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.proxy import Proxy, proxied
from tests.conftest import ROOT, WORKER_A, Workers, eventually
from tests.integration.caller import Caller, both_slots_work


@pytest.fixture
def caller(deployment: Workers) -> Iterator[Caller]:
    made = Caller(deployment)
    yield made
    made.close()


def unread_results(caller: Caller, count: int) -> list[Any]:
    """Take `count` results out of results.dead."""
    taken: list[Any] = []

    def look() -> bool:
        while message := caller.channel.basic_get("results.dead", no_ack=True):
            taken.append(message)
        return len(taken) >= count

    eventually(look, f"{count} results in results.dead")
    assert len(taken) == count
    return taken


# --- nobody waits ---------------------------------------------------------------------------------


def test_a_result_whose_reply_queue_vanished_is_kept_and_the_node_goes_on(caller: Caller) -> None:
    # three: one more than the node has slots
    queues = [caller.new_queue() for _ in range(3)]
    ids = [caller.send(work_s=0.5, properties={"reply_to": queue}) for queue in queues]
    for queue in queues:
        eventually(lambda queue=queue: caller.ready(queue), "STARTED")
        caller.channel.queue_delete(queue)
    kept = unread_results(caller, 3)
    assert {message.properties["correlation_id"] for message in kept} == set(ids)
    assert {json.loads(message.body)["status"] for message in kept} == {"SUCCESS"}
    eventually(lambda: both_slots_work(caller), "two tasks at a time")
    assert caller.ready("queue_a") == 0


def test_results_that_nobody_reads_do_not_hold_up_the_next_task(caller: Caller) -> None:
    unread = caller.new_queue()
    for _ in range(50):
        caller.send(properties={"reply_to": unread})
    assert caller.final(caller.send())["status"] == "SUCCESS"
    eventually(lambda: caller.ready(unread) == 50, "SUCCESS of each")


def test_a_revoked_task_without_a_reply_queue_does_not_stop_the_consumer(caller: Caller, deployment: Workers) -> None:
    node = f"worker-a@{os.uname().nodename}"
    for number in range(3):
        task_id = f"revoked-{number}"
        answers = deployment.app.control.revoke(task_id, destination=[node], reply=True, timeout=10)
        assert "ok" in answers[0][node]
        caller.send(headers={"id": task_id}, properties={"reply_to": "no-such-queue"})
    kept = unread_results(caller, 3)
    assert {json.loads(message.body)["status"] for message in kept} == {"REVOKED"}
    assert caller.final(caller.send())["status"] == "SUCCESS"


def test_a_task_without_a_reply_queue_tells_nobody(caller: Caller) -> None:
    caller.send(properties={"reply_to": None})
    assert caller.final(caller.send())["status"] == "SUCCESS"
    assert caller.ready("results.dead") == 0


# --- in order ---------------------------------------------------------------------------------------


def test_of_three_hundred_tasks_each_tells_that_it_started_before_it_tells_that_it_succeeded(caller: Caller) -> None:
    ids = [caller.send(task, work_s=0.05) for _ in range(150) for task in ("task_a", "task_b")]
    for task_id in ids:
        caller.final(task_id, within_s=60)
    told = [tuple(caller.states(task_id)) for task_id in ids]
    # on a busy machine a task can be over before its STARTED is out: then it is not sent after it
    assert set(told) <= {("STARTED", "SUCCESS"), ("SUCCESS",)}
    assert told.count(("STARTED", "SUCCESS")) > len(ids) / 2
    started_at = [{meta["evidence"]["started_at"] for meta in caller.metas(task_id)} for task_id in ids]
    assert {len(times) for times in started_at} == {1}


def test_a_task_too_short_to_tell_its_start_tells_it_with_its_end(caller: Caller) -> None:
    ids = [caller.send(task) for _ in range(100) for task in ("task_a", "task_b")]
    finals = [caller.final(task_id, within_s=60) for task_id in ids]
    assert all(0 <= meta["evidence"]["at"] - meta["evidence"]["started_at"] < 20 for meta in finals)
    # a busy machine makes a few of them long
    assert sum(caller.states(task_id) == ["SUCCESS"] for task_id in ids) > len(ids) / 2


# --- as any Celery program uses it ------------------------------------------------------------------


def test_a_plain_script_gets_its_results(deployment: Workers, caller: Caller) -> None:
    script = (
        "from celery_app import task_a, task_b\n"
        "results = [task.delay(work_s=0) for task in (task_a, task_b)]\n"
        "print([result.get(timeout=20)['message'] for result in results])\n"
        "try:\n"
        "    task_a.delay(work_s='much').get(timeout=20)\n"
        "except TypeError as exc:\n"
        "    print('TypeError')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "BROKER_URL": deployment.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "['Hello from Task A', 'Hello from Task B']\nTypeError\n", done.stderr
    caller.dead_letters("queue_a", 1)  # the failure's


def test_a_worker_that_publishes_declares_no_reply_queue_of_its_own(caller: Caller) -> None:
    before = caller.queues()
    options = {"task_id": "follower", "reply_to": caller.reply_queue}
    follower = {"task": "task_b", "args": [], "kwargs": {"work_s": 0}, "options": options, "immutable": True}
    caller.final(caller.send(embed={"callbacks": [follower]}))
    assert caller.final("follower")["result"]["queue"] == "queue_b"  # published by a process of the pool
    task_id = caller.send(work_s=1)
    os.kill(caller.until(task_id, "STARTED")["result"]["pid"], signal.SIGKILL)
    assert caller.final(task_id)["result"]["attempt"] == 2  # published by the main process
    assert caller.queues() == before


# --- connections that go ------------------------------------------------------------------------------


def test_a_result_connection_that_the_broker_closed_costs_no_result(caller: Caller) -> None:
    before = caller.connections()
    eventually(lambda: both_slots_work(caller), "two tasks at a time")
    ids = [caller.send(work_s=1) for _ in range(2)]
    for task_id in ids:
        caller.until(task_id, "STARTED")
    caller.close_connections_but(before)
    for task_id in ids:
        assert caller.final(task_id)["evidence"]["redelivered"] is False
        assert caller.states(task_id) == ["STARTED", "SUCCESS"]


def test_the_main_process_tells_its_results_also_after_its_connection_was_closed(caller: Caller) -> None:
    before = caller.connections()
    assert caller.final(caller.send(headers={"timelimit": [0.3, None]}, work_s=5))["status"] == "FAILURE"
    caller.close_connections_but(before)
    assert caller.final(caller.send(headers={"timelimit": [0.3, None]}, work_s=5))["status"] == "FAILURE"
    caller.dead_letters("queue_a", 2)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with proxied() as made:
        yield made


@pytest.fixture
def behind(workers: Workers, proxy: Proxy) -> Workers:
    """Workers that reach the broker through the proxy; the test's own connections do not."""
    return Workers(proxy.url(workers.url), workers.app, workers.logs, workers._processes)


def test_a_task_is_acknowledged_only_after_its_result_was_confirmed(behind: Workers, proxy: Proxy) -> None:
    process = behind.start(WORKER_A, "--concurrency=1")
    caller = Caller(behind)
    before = proxy.accepted
    caller.final(caller.send())
    task_id = caller.send(work_s=0.3)
    caller.until(task_id, "STARTED")
    proxy.deaf = range(before + 1, proxy.accepted + 1)
    caller.until(task_id, "SUCCESS")
    # the result is there, and its confirm on its way: a node that dies now has not acknowledged the task
    os.killpg(process.pid, signal.SIGKILL)
    behind.start(WORKER_A)
    eventually(lambda: caller.states(task_id).count("SUCCESS") == 2, "the result of the second run")
    assert caller.metas(task_id)[-1]["evidence"]["redelivered"] is True
    caller.close()


def test_a_confirm_that_does_not_come_is_asked_for_again(behind: Workers, proxy: Proxy) -> None:
    behind.start(WORKER_A, "--concurrency=1")
    caller = Caller(behind)
    before = proxy.accepted
    caller.final(caller.send())
    task_id = caller.send(work_s=0.3)
    caller.until(task_id, "STARTED")
    proxy.deaf = range(before + 1, proxy.accepted + 1)
    eventually(lambda: caller.states(task_id) == ["STARTED", "SUCCESS", "SUCCESS"], "the result, twice")
    assert caller.final(caller.send())["status"] == "SUCCESS"
    assert caller.states(task_id) == ["STARTED", "SUCCESS", "SUCCESS"]
    caller.close()


def test_nothing_is_lost_when_every_connection_is_cut_and_mended(behind: Workers, proxy: Proxy) -> None:
    process = behind.start(WORKER_A)
    caller = Caller(behind)
    ids = [caller.send(work_s=0.3) for _ in range(12)]
    caller.until(ids[1], "STARTED")
    proxy.refuses = True
    proxy.cut()
    eventually(lambda: "Trying again" in behind.log("worker-a"), "the worker sees that it cannot connect")
    proxy.refuses = False
    for task_id in ids:
        assert caller.final(task_id, within_s=40)["status"] == "SUCCESS"
        # at least once: what was done when the connection went may be done again, and then says so
        _, *again = [meta for meta in caller.metas(task_id) if meta["status"] == "SUCCESS"]
        assert all(meta["evidence"]["redelivered"] for meta in again)
    assert process.poll() is None
    eventually(lambda: caller.ready("queue_a") == 0, "an empty queue")
    assert any(caller.final(task_id)["evidence"]["redelivered"] for task_id in ids)
    caller.close()
