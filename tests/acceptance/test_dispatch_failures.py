"""Exit 1: the run ended, and a check did not hold; what happened is in the output, the file and on the broker."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kombu import Connection

from harness.model.topology import WorkerSpec
from tests.acceptance.rabbit import OF_THE_WORKERS, messages, queues
from tests.conftest import WORKER_A, WORKER_B, eventually
from tests.erlang import erlang


def failed(user: Any, *arguments: str, **environment: str) -> tuple[Any, dict[str, Any]]:
    """Run the command, which must end with 1 and its results; return both."""
    done = user.dispatch(*arguments, **environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "completed successfully" not in done.stdout
    assert done.stderr == ""
    (results,) = user.results()
    assert (results["exit_code"], results["verdict"]) == (1, "failed")
    return done, results


def failures(results: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["evidence"] for check in results["checks"] if not check["passed"]}


# --- tasks ----------------------------------------------------------------------------------------

GOOD_AND_BAD = [{"task": "task_a", "kwargs": {"work_s": 0}}, {"task": "task_b", "kwargs": {"work_s": "no number"}}]
TYPE_ERROR = "TypeError: 'str' object cannot be interpreted as an integer"


@pytest.mark.parametrize("format_name", ["rich", "basic", "plain"])
def test_a_task_that_fails_for_good(deployment: Any, user: Any, format_name: str) -> None:
    config = user.config({"bad": GOOD_AND_BAD})

    done, results = failed(user, "bad", "--config", config, "--format", format_name, BROKER_URL=deployment.url)

    assert list(failures(results)) == ["every task succeeded"]
    task_id = next(o["task_id"] for o in results["outcomes"] if o["task"] == "task_b")
    assert f"task_b {task_id} failed: {TYPE_ERROR}" in failures(results)["every task succeeded"]
    assert done.stdout.endswith(
        f"❌ Dispatch failed: 1 of {len(results['checks'])} checks did not hold\n"
        f"   • every task succeeded: {failures(results)['every task succeeded']}\n"
    )
    if format_name == "rich":
        assert re.search(rf"\] FAILED   task_b     {re.escape(TYPE_ERROR)}\n", done.stdout)
        assert f"❌ TASK_B\n   Error: {TYPE_ERROR}\n   State: failed\n   Worker: worker-b\n" in done.stdout
        assert "Successful Tasks: 1\nFailed Tasks: 1\n" in done.stdout
        assert "Success Rate: 50.0%\n" in done.stdout
    else:
        assert "Result from task_a: Hello from Task A\n" in done.stdout
        assert f"No result from task_b: failed: {TYPE_ERROR}\n" in done.stdout
    assert set(queues(deployment.url)) == OF_THE_WORKERS  # everything ended: no reply queue is kept
    assert user.journals() == []


def test_json_of_a_failed_run_is_the_document(deployment: Any, user: Any) -> None:
    config = user.config({"bad": GOOD_AND_BAD})

    done, results = failed(user, "bad", "--config", config, "--format", "json", BROKER_URL=deployment.url)

    assert json.loads(done.stdout) == results


def test_a_task_that_never_ends_is_found_where_it_is(workers: Any, user: Any) -> None:
    workers.start(WORKER_A, "--concurrency=1", wait=False)
    workers.start(WORKER_B, wait=False)
    eventually(lambda: len(workers.roster().nodes) == 2, "both workers consume")
    config = user.config({"long": [{"task": "task_a", "count": 4, "kwargs": {"work_s": 40}}]})
    begun = time.monotonic()

    done, results = failed(user, "long", "--config", config, "--timeout", "1500ms", BROKER_URL=workers.url)

    assert time.monotonic() - begun < 15
    assert {outcome["state"] for outcome in results["outcomes"]} == {"unfinished"}
    wheres = sorted(outcome["where"].partition("@")[0] for outcome in results["outcomes"])
    assert wheres == ["queued in queue_a"] * 3 + ["running on worker-a"]
    assert "unfinished" in failures(results)["nothing lost"]
    assert len(re.findall(r"\] LOST     task_a     (?:running|queued) ", done.stdout)) == 4
    assert "Unfinished Tasks: 4\n" in done.stdout

    reply_queue = f"dispatch.{results['run_id']}"
    assert (
        f"Note: late results go to {reply_queue}, which expires by itself an hour after its last use\n" in done.stdout
    )
    assert queues(workers.url)[reply_queue] == {"x-queue-type": "quorum", "x-expires": 3_600_000}
    assert user.journals() == [results["run_id"]]
    journal = (user.root / ".runs" / f"{results['run_id']}.jsonl").read_text()
    assert json.loads(journal.splitlines()[0])["run"] == results["run_id"]
    assert "guest:guest" not in journal + done.stdout + json.dumps(results)


# --- the deployment -------------------------------------------------------------------------------


def test_a_node_that_consumes_both_queues_is_named(workers: Any, user: Any) -> None:
    workers.start(WORKER_A, "-Q", "queue_a,queue_b", wait=False)
    workers.start(WORKER_B, wait=False)
    eventually(lambda: sum(workers.roster().consumers.values()) == 3, "three consumers")

    done, results = failed(user, BROKER_URL=workers.url)

    found = failures(results)
    assert re.fullmatch(
        r"worker-a@\S+ consumes 2 queues: queue_a, queue_b", found["every node consumes exactly its queue"]
    )
    assert re.match(
        r"task_a \S+ ran on worker-a@\S+, which consumes queue_a, queue_b",
        found["every task on a worker of that queue alone"],
    )
    assert results["ledger"]["succeeded"] == 2
    assert "FAIL  every node consumes exactly its queue: worker-a@" in done.stdout


def test_a_foreign_node_is_named(workers: Any, user: Any) -> None:
    workers.start(WORKER_A, wait=False)
    workers.start(WORKER_B, wait=False)
    workers.start(WorkerSpec(service="stranger", queue="queue_a"), wait=False)
    eventually(lambda: len(workers.roster().nodes) == 3, "three nodes")

    done, results = failed(user, BROKER_URL=workers.url)

    evidence = failures(results)["every node consumes exactly its queue"]
    assert re.fullmatch(r"stranger@\S+ consumes queue_a, which is not declared", evidence)
    assert "Active workers: 3\n   • stranger@" in done.stdout


def test_a_consumer_that_does_not_answer_is_counted(workers: Any, user: Any) -> None:
    workers.start(WORKER_A, wait=False)
    workers.start(WORKER_B, wait=False)
    eventually(lambda: len(workers.roster().nodes) == 2, "both workers consume")
    with Connection(workers.url) as connection, connection.channel() as channel:
        channel.basic_qos(0, 1, False)
        channel.basic_consume("queue_b")  # takes a message and never answers

        _, results = failed(user, "--wait-workers", "500ms", "--timeout", "3s", BROKER_URL=workers.url)

    assert (
        "queue_b has 2 consumers, 1 nodes named themselves"
        in failures(results)["every node consumes exactly its queue"]
    )


@contextmanager
def another_user(url: str, writes: str, topics: str) -> Iterator[str]:
    """Give the URL for a user who may do everything but publish: only to these exchanges, only with these keys."""
    name, vhost = f"test-publisher-{os.getpid()}", url.rpartition("/")[2]
    granted = f'<<"{name}">>, <<"{vhost}">>'
    erlang(
        f'rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"SECRET">>, <<"test">>), '
        f'rabbit_auth_backend_internal:set_permissions({granted}, <<".*">>, <<"{writes}">>, <<".*">>, <<"test">>), '
        f'rabbit_auth_backend_internal:set_topic_permissions({granted}, <<"tasks">>, <<"{topics}">>, <<".*">>, '
        f'<<"test">>).'
    )
    try:
        yield url.replace("guest:guest", f"{name}:SECRET")
    finally:
        erlang(f'rabbit_auth_backend_internal:delete_user(<<"{name}">>, <<"test">>).')


def test_a_broker_that_refuses_the_messages_is_not_asked_again(deployment: Any, user: Any) -> None:
    with another_user(deployment.url, writes="^(?!tasks$).*", topics=".*") as url:
        done, results = failed(user, BROKER_URL=url)

    reason = "Basic.publish: (403) ACCESS_REFUSED - access to exchange 'tasks'"
    assert all(outcome["error"].startswith(reason) for outcome in results["outcomes"])
    assert results["ledger"]["unacknowledged"] == 2
    assert failures(results)["every task confirmed by the broker"] == "0 of 2 confirmed"
    assert results["metrics"]["wall_s"] < 10  # of 30: what is refused once is not waited for
    assert done.stdout.count("Note:") <= 1
    assert "SECRET" not in done.stdout + json.dumps(results)
    assert messages(deployment.url).keys() <= {"queue_b.dead"}  # of the tests before


def of_both(user: Any, url: str) -> dict[str, Any]:
    """Publish fifty of each kind, not all of which the broker takes; return the results."""
    tasks = [{"task": name, "count": 50, "kwargs": {"work_s": 0}} for name in ("task_a", "task_b")]
    scenarios = {"halved": {"description": "Two queues", "tasks": tasks}}
    workers = {"worker-a": {"queue": "queue_a"}, "worker-b": {"queue": "queue_b"}}
    config = {"version": 1, "workers": workers, "scenarios": scenarios}
    (user.directory / "halved.yml").write_text(json.dumps(config))
    _, results = failed(user, "halved", "--config", "halved.yml", BROKER_URL=url)
    return results


def test_what_the_broker_refuses_to_one_queue_takes_nothing_from_another(deployment: Any, user: Any) -> None:
    """The broker closes the channel for it: what else was on the way there would be called refused as well."""
    with another_user(deployment.url, writes=".*", topics="^queue_a$") as url:
        results = of_both(user, url)

    ended = {(outcome["task"], outcome["state"]) for outcome in results["outcomes"]}
    assert ended == {("task_a", "succeeded"), ("task_b", "unacknowledged")}
    assert (results["ledger"]["succeeded"], results["ledger"]["duplicated"]) == (50, 0)
    errors = {outcome["error"] for outcome in results["outcomes"] if outcome["error"]}
    assert all("access to topic 'queue_b'" in error for error in errors), errors


def test_what_it_refuses_to_each_of_two_queues_is_told_of_each(deployment: Any, user: Any) -> None:
    """It closes both channels at once, and py-amqp would raise one of the errors out of the other's handling."""
    with another_user(deployment.url, writes=".*", topics="^neither$") as url:
        results = of_both(user, url)

    assert results["ledger"]["unacknowledged"] == 100
    assert results["metrics"]["wall_s"] < 10  # of 30: nothing is waited for
    assert not any("connection to the broker was lost" in note for note in results["notes"])
    for task, queue in (("task_a", "queue_a"), ("task_b", "queue_b")):
        of_task = [outcome for outcome in results["outcomes"] if outcome["task"] == task]
        assert all(f"access to topic '{queue}'" in outcome["error"] for outcome in of_task)
        assert [outcome["index"] for outcome in of_task] == sorted(outcome["index"] for outcome in of_task)
