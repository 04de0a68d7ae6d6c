"""Workers while their broker restarts, dies, freezes, runs out of memory or disk, or cannot be reached."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.broker_node import BrokerNode
from tests.acceptance.proxy import Proxy
from tests.conftest import WORKER_A, Workers, eventually, load_app
from tests.integration.caller import FINAL, Caller, both_slots_work
from tests.own_broker import OwnBroker, own_broker
from worker.topology import DELIVERY_LIMIT

#: Long enough for an outage to begin while a task runs, in seconds, and seconds after the queues were declared:
#: RabbitMQ 3.10 forgets a quorum queue of the half second before it is killed, with what was confirmed
#: (rabbitmq/ra#443).
WORK_S = 4.0
#: broker_heartbeat of worker/settings.py, in seconds. A dead peer is noticed within three.
HEARTBEAT_S = 10.0

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def broker(needs_rabbitmq: None) -> Iterator[OwnBroker]:
    with own_broker() as node:
        yield node


@pytest.fixture(scope="module")
def node(broker: OwnBroker) -> Iterator[BrokerNode]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RABBITMQ_NODENAME", broker.name)
        yield BrokerNode.find(load_app(broker.url()))


@pytest.fixture
def workers(broker: OwnBroker, tmp_path: Path) -> Iterator[Workers]:
    """Nothing started yet, on a virtual host of this test's own."""
    url = broker.make_vhost(f"outage-{next(_numbers)}")
    started = Workers(url, load_app(url), tmp_path)
    yield started
    started.kill_all()


class Replies:
    """What the worker tells of some tasks, left in their reply queue until it is asked for.

    A connection on which the broker sent it while an outage began might take it along.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.caller = Caller(workers)
        self._queue = self.caller.new_queue()
        self._metas: dict[str, list[dict[str, Any]]] = {}

    def reconnect(self) -> None:
        self.caller = Caller(self._workers)

    def send(self, task: str = "task_a", **kwargs: Any) -> str:
        return self.caller.send(task, properties={"reply_to": self._queue}, **kwargs)

    def waiting(self) -> int:
        return self.caller.ready(self._queue)

    def of(self, task_id: str) -> list[dict[str, Any]]:
        """Return what has come for `task_id` by now, in the order of its arrival."""
        while message := self.caller.channel.basic_get(self._queue, no_ack=True):
            meta = json.loads(message.body)
            self._metas.setdefault(meta["task_id"], []).append(meta)
        return self._metas.get(task_id, [])

    def finals(self, task_id: str) -> list[dict[str, Any]]:
        return [meta for meta in self.of(task_id) if meta["status"] in FINAL]

    def settled(self, ids: Sequence[str], dead: int = 0) -> None:
        """Wait until every one of `ids` is accounted for, nothing is left to run, and both slots of the node work."""
        eventually(lambda: sum(bool(self.finals(i)) for i in ids) == len(ids) - dead, "every final state", 90)
        eventually(lambda: self.caller.ready("queue_a") == 0 and both_slots_work(self.caller), "an idle node", 90)
        assert self.caller.ready("queue_a.dead") == dead
        for task_id in ids:
            finals = self.finals(task_id)
            assert {meta["status"] for meta in finals} <= {"SUCCESS"}
            # whichever of them arrives first: an alarm's end lets connections go on in any order
            assert sum(not is_told_a_duplicate(meta) for meta in finals) <= 1


def is_told_a_duplicate(meta: dict[str, Any]) -> bool:
    """Return whether a final state says that it may not be the only one: its task ran, or it was sent, once more."""
    evidence = meta["evidence"]
    return bool((evidence["redelivered"] and evidence["delivery_count"]) or evidence.get("repeated"))


def two_done_and_two_running(replies: Replies, count: int = 4) -> list[str]:
    """Send `count` tasks to a node of two slots; return their ids once the first two are done and the next two run."""
    ids = [replies.send(work_s=WORK_S) for _ in range(count)]
    eventually(lambda: replies.waiting() >= 6, "STARTED of four, SUCCESS of two")
    return ids


# --- the broker goes, and comes back ------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["stop", "kill"])
def test_what_runs_while_the_broker_restarts_runs_again_and_completes_once(
    workers: Workers, node: BrokerNode, fault: str
) -> None:
    process = workers.start(WORKER_A)
    replies = Replies(workers)
    ids = two_done_and_two_running(replies)
    getattr(node, fault)()
    node.start()
    replies.reconnect()
    replies.settled(ids)
    assert [len(replies.finals(task_id)) for task_id in ids] == [1, 1, 1, 1]
    again = [replies.finals(task_id)[0]["evidence"] for task_id in ids]
    assert [(seen["redelivered"], seen["delivery_count"]) for seen in again] == [(False, 0)] * 2 + [(True, 1)] * 2
    assert process.poll() is None


def test_what_runs_while_the_broker_is_frozen_is_told_once_it_goes_on(workers: Workers, node: BrokerNode) -> None:
    process = workers.start(WORKER_A)
    replies = Replies(workers)
    ids = two_done_and_two_running(replies)
    node.freeze()
    try:
        eventually(lambda: "result waits for the broker" in workers.log("worker-a"), "a result is not confirmed")
        eventually(lambda: "Connection to broker lost" in workers.log("worker-a"), "it notices", 3 * HEARTBEAT_S)
    finally:
        node.thaw()
    replies.reconnect()
    replies.settled(ids)
    assert [len(replies.finals(task_id)) for task_id in ids[:2]] == [1, 1]
    # both completed, and could not say so before their messages went back
    assert all(any(meta["evidence"]["redelivered"] for meta in replies.finals(task_id)) for task_id in ids[2:])
    assert process.poll() is None


# --- the broker takes no more -------------------------------------------------------------------------


def memory_alarm(broker: OwnBroker, node: BrokerNode) -> tuple[Callable[[], object], Callable[[], object]]:
    return node.raise_memory_alarm, node.clear_memory_alarm


def disk_alarm(broker: OwnBroker, node: BrokerNode) -> tuple[Callable[[], object], Callable[[], object]]:
    def limit(size: str) -> Callable[[], object]:
        return lambda: broker.rabbitmqctl("set_disk_free_limit", size)

    return limit("1000000GB"), limit("50MB")


@pytest.mark.parametrize("alarm", [memory_alarm, disk_alarm])
def test_a_result_that_an_alarm_holds_up_is_said_to_wait_and_told_after_it(
    workers: Workers, broker: OwnBroker, node: BrokerNode, alarm: Callable[..., Any]
) -> None:
    process = workers.start(WORKER_A)
    replies = Replies(workers)
    raise_alarm, clear_alarm = alarm(broker, node)
    ids = two_done_and_two_running(replies, count=6)
    replies.reconnect()  # a connection that has published is not served during an alarm
    raise_alarm()
    try:
        eventually(lambda: "result waits for the broker" in workers.log("worker-a"), "a result is not confirmed")
        held = [task_id for task_id in ids if not replies.finals(task_id)]
        assert len(held) >= 2
    finally:
        clear_alarm()
    replies.settled(ids)
    for task_id in ids:
        assert len({meta["evidence"]["started_at"] for meta in replies.finals(task_id)}) == 1
        assert not any(meta["evidence"]["redelivered"] for meta in replies.finals(task_id))
    assert "Connection to broker lost" not in workers.log("worker-a")
    assert process.poll() is None


# --- the broker is not to be reached --------------------------------------------------------------------


def test_what_ran_behind_a_black_hole_runs_elsewhere_within_three_heartbeats(
    workers: Workers, broker: OwnBroker
) -> None:
    proxy = Proxy(target=("127.0.0.1", broker.port))
    try:
        url = workers.url.replace(f"localhost:{broker.port}", f"127.0.0.1:{proxy.port}")
        behind = Workers(url, workers.app, workers.logs, workers._processes)
        far = behind.start(WORKER_A, "-n", "worker-a@far", "--concurrency=1")
        replies = Replies(workers)
        task_id = replies.send(work_s=WORK_S)
        eventually(lambda: replies.of(task_id), "STARTED")
        workers.start(WORKER_A, "-n", "worker-a@near", wait=False)
        proxy.stall_at = proxy.deaf_at = 0  # nothing is cut, and nothing arrives
        since = time.time()
        eventually(lambda: replies.finals(task_id), "a result", 3 * HEARTBEAT_S + 3 * WORK_S)
        (result,) = replies.finals(task_id)
        assert (result["status"], result["evidence"]["node"]) == ("SUCCESS", "worker-a@near")
        assert (result["evidence"]["redelivered"], result["evidence"]["delivery_count"]) == (True, 1)
        assert result["evidence"]["started_at"] - since < 3 * HEARTBEAT_S
        proxy.stall_at = proxy.deaf_at = None
        eventually(lambda: len(workers.roster().nodes) == 2, "the far node is back", 60)
        eventually(
            lambda: {result["evidence"]["node"] for result in some_results(replies.caller)} > {"worker-a@near"},
            "both run tasks",
        )
        assert far.poll() is None
        assert len(replies.finals(task_id)) == 1  # it stopped the task when it lost the connection
    finally:
        proxy.close()


def some_results(caller: Caller) -> list[dict[str, Any]]:
    return [caller.final(task_id) for task_id in [caller.send(work_s=0.2) for _ in range(4)]]


# --- the broker takes a message back, or does not get rid of it -------------------------------------------


@pytest.fixture
def impatient(broker: OwnBroker) -> Iterator[Callable[[], str]]:
    """A broker that takes back what is not acknowledged in 2 s, until this is called; it looks twice a second."""

    def patience(timeout_ms: int, look_ms: int) -> str:
        return broker.evaluate(
            f"application:set_env(rabbit, consumer_timeout, {timeout_ms}), "
            f"application:set_env(rabbit, channel_tick_interval, {look_ms})."
        )

    patience(2_000, 500)
    yield lambda: patience(1_800_000, 60_000)
    patience(1_800_000, 60_000)


def test_a_task_that_outlives_the_consumer_timeout_once_runs_again_and_completes_once(
    impatient: Callable[[], str], workers: Workers
) -> None:
    process = workers.start(WORKER_A)
    replies = Replies(workers)
    task_id = replies.send(work_s=WORK_S)
    eventually(lambda: "PRECONDITION_FAILED - delivery acknowledgement" in workers.log("worker-a"), "it is taken back")
    impatient()
    replies.settled([task_id])
    (result,) = replies.finals(task_id)
    assert result["evidence"]["redelivered"] is True
    assert result["evidence"]["delivery_count"] >= 1
    assert process.poll() is None


def test_a_task_that_always_outlives_the_consumer_timeout_ends_in_the_dead_letters(
    impatient: Callable[[], str], workers: Workers
) -> None:
    process = workers.start(WORKER_A)
    replies = Replies(workers)
    task_id, quick = replies.send(work_s=WORK_S), replies.send(work_s=0)
    eventually(lambda: replies.caller.ready("queue_a.dead"), "a dead letter", 90)
    replies.settled([task_id, quick], dead=1)
    starts = [meta["evidence"]["delivery_count"] for meta in replies.of(task_id) if meta["status"] == "STARTED"]
    assert starts == list(range(DELIVERY_LIMIT + 1))
    letter = replies.caller.channel.basic_get("queue_a.dead", no_ack=True)
    assert (letter.headers["id"], letter.headers["x-death"][0]["reason"]) == (task_id, "delivery_limit")
    assert process.poll() is None


def test_a_retry_that_cannot_reach_its_queue_stays_with_the_delay_until_it_can(
    workers: Workers, broker: OwnBroker
) -> None:
    # RabbitMQ offers a dead letter that was not taken again after this time, three minutes unless told otherwise
    broker.evaluate("application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, 1000).")
    workers.start(WORKER_A)
    replies = Replies(workers)
    task_id = replies.send(fail_times=1, work_s=1)
    eventually(lambda: replies.waiting(), "STARTED")
    delivery = {"destination": "tasks", "source": "celery_delayed_delivery", "routing_key": "#.queue_a"}
    replies.caller.channel.exchange_unbind(**delivery)
    vhost = replies.caller.vhost

    def delayed() -> list[str]:
        """Return the delay queues that hold a message; it is not ready, so that declaring them shows none."""
        listed = broker.rabbitmqctl("list_queues", "--vhost", vhost, "name", "messages", "messages_ready")
        queues = [line.split("\t") for line in listed.splitlines() if line.startswith("celery_delayed_")]
        return [name for name, messages, ready in queues if (messages, ready) == ("1", "0")]

    assert eventually(delayed, "the message is with the delay") == ["celery_delayed_0"]
    assert [meta["status"] for meta in replies.of(task_id)] == ["STARTED", "RETRY"]
    replies.caller.channel.exchange_bind(**delivery)
    replies.settled([task_id])
    (result,) = replies.finals(task_id)
    assert result["result"]["attempt"] == 2
