"""The doctor's checks of queues, exchanges, bindings and consumers, each where they are not as they should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue

from harness import broker
from tests.acceptance.examined import doctor, levels
from tests.acceptance.stack import Stack, rabbitmqctl
from tests.conftest import WORKER_A, WORKER_B, Command, Workers, eventually, load_app
from tests.integration.caller import Caller
from worker.topology import RESULTS_DEAD, dead_queue, declare

Examine = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def examine(user: Command, broker_url: str) -> Examine:
    return lambda: doctor(user, broker_url)


@pytest.fixture
def channel(broker_url: str) -> Iterator[Any]:
    """A channel on the test's own virtual host, in which nothing is declared."""
    with Connection(broker_url) as connection:
        yield connection.channel()


@pytest.fixture
def declared(channel: Any, broker_url: str) -> Any:
    """The channel, once everything is declared as workers do it."""
    declare(channel, list(load_app(broker_url).amqp.queues.values()))
    return channel


# --- declared -------------------------------------------------------------------------------------


def test_an_empty_virtual_host_lacks_everything(examine: Examine) -> None:
    checks = examine()
    for name in ("queue_a", "queue_b", "queue_a.dead", "results.dead"):
        assert f"{name} does not exist" in checks["queues"]["cause"]
    assert "tasks does not exist" in checks["exchanges"]["cause"]
    assert "queue_a is not bound to tasks by queue_a" in checks["bindings"]["cause"]
    assert {"queues", "exchanges", "bindings", "consumers", "worker worker-a"} <= levels(checks, "failed")
    # what there is nobody to ask about is not called well
    assert {"one queue a node", "unacknowledged", "alive and idle", "pool", "image"} <= levels(checks, "warning")


def test_what_the_workers_declare_is_found_and_looking_changes_nothing(
    examine: Examine, declared: Any, broker_url: str
) -> None:
    def there() -> str:
        vhost = broker_url.rpartition("/")[2]
        return rabbitmqctl("list_queues", "-p", vhost, "name", "arguments") + rabbitmqctl("list_bindings", "-p", vhost)

    before = there()
    checks = examine()
    assert {"queues", "exchanges", "bindings", "dead letters", "reply queues", "control queues"} <= levels(checks, "ok")
    assert there() == before


@pytest.mark.parametrize("queue", [dead_queue("queue_a"), RESULTS_DEAD])
def test_a_dead_letter_queue_of_before_its_delivery_limit_is_found_and_the_fix_mends_it(
    examine: Examine, channel: Any, broker_url: str, queue: Queue
) -> None:
    arguments = {name: value for name, value in queue.queue_arguments.items() if name != "x-delivery-limit"}
    old = Queue(queue.name, queue.exchange, queue.routing_key, queue_arguments=arguments)
    old.bind(channel).declare()
    check = examine()["queues"]
    assert f"{queue.name} exists with other arguments" in check["cause"]
    assert "x-delivery-limit" in check["cause"]
    (command,) = [part for part in check["fix"].split("; ") if part.startswith("rabbitmqctl delete_queue -p ")]
    rabbitmqctl(*command.split()[1:])
    declare(channel, list(load_app(broker_url).amqp.queues.values()))
    assert examine()["queues"]["level"] == "ok"


def test_messages_in_a_queue_that_has_to_be_made_anew_are_saved_first(examine: Examine, channel: Any) -> None:
    queue = dead_queue("queue_a")
    Queue(queue.name, queue.exchange, queue.routing_key, queue_arguments={"x-queue-type": "quorum"}).bind(
        channel
    ).declare()
    channel.basic_publish(channel.prepare_message(b"kept"), routing_key="queue_a.dead")
    eventually(lambda: channel.queue_declare("queue_a.dead", passive=True).message_count, "the message")
    fix = examine()["queues"]["fix"]
    assert "first save its 1 messages (operate.py dead-letters redrive all --queue queue_a.dead)" in fix


def test_an_exchange_of_another_type_is_found(examine: Examine, channel: Any) -> None:
    Exchange("tasks", type="direct", durable=True).bind(channel).declare()
    check = examine()["exchanges"]
    assert check["level"] == "failed"
    assert "tasks is not of the type topic" in check["cause"]


def test_a_binding_that_brings_foreign_tasks_and_one_that_is_missing_are_found(examine: Examine, declared: Any) -> None:
    declared.queue_bind("queue_b", "tasks", "queue_a")
    declared.queue_unbind("queue_a", "tasks", "queue_a")
    check = examine()["bindings"]
    assert check["level"] == "failed"
    assert "queue_b is also bound to tasks by queue_a" in check["cause"]
    assert "queue_a is not bound to tasks by queue_a" in check["cause"]


# --- left -----------------------------------------------------------------------------------------


def test_dead_letters_that_wait_are_counted(examine: Examine, declared: Any) -> None:
    declared.basic_publish(declared.prepare_message(b"dead"), exchange="dead", routing_key="queue_b.dead")
    eventually(lambda: declared.queue_declare("queue_b.dead", passive=True).message_count, "the dead letter")
    check = examine()["dead letters"]
    assert (check["level"], check["cause"], check["fix"]) == ("warning", "1 in queue_b.dead", "operate.py dead-letters")


def test_results_that_nobody_waits_for_are_counted_and_the_fix_removes_them(examine: Examine, declared: Any) -> None:
    assert examine()["dead letters"]["cause"] == "none in queue_a.dead, queue_b.dead, results.dead"
    declared.basic_publish(declared.prepare_message(b"{}"), exchange="dead", routing_key="results.dead")
    eventually(lambda: declared.queue_declare("results.dead", passive=True).message_count, "the result")
    check = examine()["dead letters"]
    assert (check["level"], check["cause"]) == ("warning", "1 in results.dead")
    command, _, _ = check["fix"].partition(", or ")
    rabbitmqctl(*command.split()[1:])
    assert examine()["dead letters"]["level"] == "ok"


def test_queues_of_those_who_are_gone_are_named(examine: Examine, declared: Any) -> None:
    caller = "0e2c8a4e-6bd1-3f0a-9d5b-0123456789ab"
    answers = f"{caller}.reply.celery.pidbox"  # of a caller that asked a moment ago: it expires by itself
    for name in ("dispatch.0123456789ab", caller, "worker-a@gone.celery.pidbox", answers):
        declared.queue_declare(name, durable=True, auto_delete=False)
    checks = examine()
    assert "nobody reads dispatch.0123456789ab" in checks["reply queues"]["cause"]
    assert "operate.py runs" in checks["reply queues"]["fix"]
    assert f"nobody reads {caller}" in checks["reply queues"]["cause"]
    (command,) = [part for part in checks["reply queues"]["fix"].split("; ") if part.endswith(caller)]
    rabbitmqctl(*command.split()[1:])
    assert caller not in examine()["reply queues"]["cause"]
    assert checks["control queues"]["cause"] == "worker-a@gone.celery.pidbox is nobody's"
    assert checks["control queues"]["level"] == checks["reply queues"]["level"] == "warning"


# --- consumed -------------------------------------------------------------------------------------


def test_a_queue_that_nobody_consumes_and_a_node_on_two_queues_are_found(examine: Examine, workers: Workers) -> None:
    workers.start(WORKER_A)
    checks = examine()
    assert checks["consumers"]["level"] == "failed"
    assert checks["consumers"]["cause"].startswith("nobody consumes queue_b")
    assert checks["worker worker-a"]["level"] == "ok"
    assert checks["worker worker-b"]["level"] == "failed"
    (node,) = workers.roster().nodes
    workers.app.control.add_consumer("queue_b", destination=[node.name], reply=True)
    eventually(lambda: workers.roster().consumers["queue_b"], "it consumes queue_b")
    checks = examine()
    assert checks["one queue a node"]["level"] == "failed"
    assert checks["one queue a node"]["cause"] == f"{node.name} consumes queue_a, queue_b"
    assert checks["consumers"]["level"] == "ok"


def test_a_queue_that_has_no_service_is_found_where_nobody_consumes_it(
    fresh_copy: Stack, workers: Workers, tmp_path: Path
) -> None:
    app = fresh_copy.root / "celery_app.py"
    app.write_text(
        app.read_text().replace('"task_b": "queue_b",', '"task_b": "queue_b",\n    "task_c": "queue_c",')
        + '\n\n@app.task(name="task_c")\ndef task_c() -> None: ...\n'
    )
    user = Command(tmp_path, root=fresh_copy.root)
    started = workers.start(WORKER_A, cwd=fresh_copy.root)  # declares queue_c, as every worker does
    check = doctor(user, workers.url)["consumers"]
    assert check["level"] == "failed"
    unserved = "nobody consumes queue_c, in which 0 messages wait of task_c: test-config.yml has no service for it"
    assert unserved in check["cause"]
    assert "a service for queue_c in docker-compose.yml and under workers in test-config.yml" in check["fix"]
    assert started.poll() is None
    workers.start(WORKER_B, cwd=fresh_copy.root)
    workers.start(replace(WORKER_A, queue="queue_c"), "-n", "worker-c@%h", wait=False, cwd=fresh_copy.root)
    eventually(lambda: consumers(workers.url, "queue_c"), "it consumes queue_c")
    check = doctor(user, workers.url)["consumers"]
    assert (check["level"], check["cause"]) == (
        "ok",
        "1 of queue_a, 1 of queue_b, 1 of queue_c (no service of test-config.yml)",
    )


def consumers(url: str, queue: str) -> int:
    with Connection(url) as connection:
        return broker.count(connection, queue)[1]


def test_a_node_that_holds_what_an_idle_one_could_run_is_found(examine: Examine, workers: Workers) -> None:
    workers.start(WORKER_A, "--concurrency=1", "--prefetch-multiplier=4")
    workers.start(WORKER_B)
    caller = Caller(workers)
    for _ in range(4):
        caller.send("task_a", work_s=30)
    eventually(lambda: caller.ready("queue_a") == 0, "the node holds them all")
    workers.start(WORKER_A, "--concurrency=1", "-n", "worker-a2@%h", wait=False)
    eventually(lambda: workers.roster().consumers["queue_a"] == 2, "a second node consumes")
    checks = examine()
    caller.close()
    assert checks["unacknowledged"]["level"] == "warning"
    assert "holds 4 messages of queue_a and runs 1; worker-a2@" in checks["unacknowledged"]["cause"]
    assert "takes 4 messages for 1 processes, and 1 is what the app says" in checks["prefetch"]["cause"]
