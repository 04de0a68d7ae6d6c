"""Whichever worker starts first declares everything, with the arguments that keep messages; what differs is said."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from amqp.exceptions import ChannelError
from celery.exceptions import QueueNotFound

from tests.conftest import WORKER_A, WORKER_B, Workers, eventually
from tests.integration.caller import Caller
from worker.topology import REFUSED_WAIT_S, declare


def task_queue(name: str) -> dict[str, object]:
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": 5,
        "x-dead-letter-exchange": "dead",
        "x-dead-letter-routing-key": f"{name}.dead",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


#: Every queue of the app, with the arguments that it must have.
QUEUES = {
    "queue_a": task_queue("queue_a"),
    "queue_b": task_queue("queue_b"),
    "queue_a.dead": {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1},
    "queue_b.dead": {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1},
    "results.dead": {
        "x-queue-type": "quorum",
        "x-message-ttl": 86_400_000,
        "x-max-length": 100_000,
        "x-delivery-limit": 2**31 - 1,
    },
}


def test_one_worker_alone_declares_all_of_it_before_it_consumes(workers: Workers) -> None:
    workers.start(WORKER_A)
    caller = Caller(workers)
    queues = caller.queues()
    assert {name: queues.get(name) for name in QUEUES} == QUEUES
    others = {name for name in queues if not name.startswith(("celery_delayed_", "replies."))} - QUEUES.keys()
    assert {name.partition("@")[2].rpartition(".")[2] or name for name in others} <= {"pidbox"}
    assert caller.exchanges() == {"tasks": "topic", "dead": "direct"}

    messages = [record["message"] for record in workers.records("worker-a")]
    consuming = messages.index("Global QoS is disabled. Prefetch count is now static.")
    assert "topology declared" in messages[:consuming]
    assert "delayed delivery" not in workers.log("worker-a")

    # native delay is there for queue_b too, which nobody has consumed yet
    task_id = caller.send("task_b", fail_times=1)
    workers.start(WORKER_B)
    result = caller.final(task_id)["result"]
    assert (result["queue"], result["attempt"]) == ("queue_b", 2)
    caller.close()


def test_a_queue_with_other_arguments_is_named_in_the_log_and_waited_out(workers: Workers) -> None:
    caller = Caller(workers)
    caller.channel.queue_declare("queue_b", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
    process = workers.start(WORKER_A, wait=False)

    def refusals() -> list[dict[str, Any]]:
        told = ("topology refused by the broker", "ERROR")
        return [record for record in workers.records("worker-a") if (record["message"], record["level"]) == told]

    eventually(lambda: len(refusals()) >= 2, "two refusals")
    first, second = refusals()[:2]
    assert "406" in first["reason"]
    assert "inequivalent arg 'x-dead-letter-exchange' for queue 'queue_b'" in first["reason"]
    times = [datetime.strptime(record["time"], "%Y-%m-%d %H:%M:%S,%f") for record in (first, second)]
    assert (times[1] - times[0]).total_seconds() >= REFUSED_WAIT_S
    assert process.poll() is None
    caller.channel.queue_delete("queue_b")
    assert caller.final(caller.send(queue="queue_a"))["status"] == "SUCCESS"
    assert "Frequent restarts" not in workers.log("worker-a")
    caller.close()


# --- publishing ---------------------------------------------------------------------------------------


def test_a_message_that_no_queue_takes_is_an_error_for_its_publisher(workers: Workers) -> None:
    with workers.app.connection_for_write() as connection:
        declare(connection.channel(), list(workers.app.amqp.queues.values()))
    assert workers.app.send_task("task_a").id
    with pytest.raises(ChannelError, match="NO_ROUTE"):
        workers.app.send_task("task_a", exchange="tasks", routing_key="queue_z")


def test_a_misspelt_queue_is_not_invented(workers: Workers) -> None:
    with pytest.raises(QueueNotFound, match="queue_z"):
        workers.app.send_task("task_a", queue="queue_z")
    process = workers.start(WORKER_A, "-Q", "queue_z", wait=False)
    assert process.wait(30) != 0
    assert "queue_z" in workers.log("worker-a")
    caller = Caller(workers)
    assert [name for name in caller.queues() if not name.startswith("replies.")] == []
    caller.close()
