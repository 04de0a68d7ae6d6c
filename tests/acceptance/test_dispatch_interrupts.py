"""Exit 130: Ctrl-C once winds up, twice leaves at once; either way with the results of what was published."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from typing import Any

import pytest

from tests.acceptance.proxy import proxied
from tests.acceptance.rabbit import OF_THE_WORKERS, messages, queues
from tests.conftest import eventually


def read_until(stream: Any, words: str) -> str:
    """Read lines up to the first with `words`; a process that ends without it has not said it."""
    seen = ""
    for line in stream:
        seen += line
        if words in line:
            return seen
    pytest.fail(f"never said {words!r}: {seen}")


def end(process: subprocess.Popen[str], within_s: float = 30) -> tuple[str, str]:
    """Wait for the end; return the rest of its output."""
    out, err = process.communicate(timeout=within_s)
    assert "Traceback" not in err
    return out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_once_revokes_what_has_not_started_and_writes_the_rest(
    deployment: Any, user: Any, number: signal.Signals
) -> None:
    config = user.config({"long": [{"task": "task_a", "count": 12, "kwargs": {"work_s": 1}}]})  # two at a time
    process = user.start("dispatch.py", "long", "--config", config, BROKER_URL=deployment.url)
    read_until(process.stdout, "SUCCESS")
    process.send_signal(number)

    out, err = end(process)

    assert process.returncode == 130
    revoked = re.fullmatch(r"interrupted: revoking (\d+) tasks that have not started; Ctrl-C again leaves now\n", err)
    assert revoked, err
    assert int(revoked[1]) >= 8
    assert re.search(r"❌ Dispatch interrupted: \d+ of 12 tasks succeeded, \d+ did not\n", out)
    (results,) = user.results()
    assert (results["exit_code"], results["verdict"], results["interrupted"]) == (130, "interrupted", True)
    assert results["outcome_count"] == 12
    assert results["ledger"]["balanced"]
    assert 1 <= results["ledger"]["succeeded"] <= 4

    # what was revoked is taken from the queue and not executed
    never_ran = {outcome["task_id"] for outcome in results["outcomes"] if not outcome["attempts"]}
    eventually(lambda: "queue_a" not in messages(deployment.url), "the queue is empty")
    eventually(lambda: never_ran <= ids(deployment, r"Discarding revoked task: task_a\[(.+?)\]"), "all are discarded")
    assert len(never_ran) >= 8
    assert not never_ran & ids(deployment, r"Task task_a\[(.+?)\] succeeded")


def ids(deployment: Any, pattern: str) -> set[str]:
    """Return the task ids that worker-a's log names in this way."""
    return {found[1] for record in deployment.records("worker-a") if (found := re.match(pattern, record["message"]))}


def test_twice_leaves_at_once(deployment: Any, user: Any) -> None:
    config = user.config({"long": [{"task": "task_b", "count": 4, "kwargs": {"work_s": 4}}]})
    process = user.start("dispatch.py", "long", "--config", config, "--format", "json", BROKER_URL=deployment.url)
    eventually(lambda: deployment.records("worker-b")[-1]["message"].endswith("received"), "a task is received")
    process.send_signal(signal.SIGINT)
    read_until(process.stderr, "Ctrl-C again leaves now")
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()

    out, err = end(process)

    assert time.monotonic() - asked < 1
    assert process.returncode == 130
    assert err == "interrupted\n"
    document = json.loads(out)
    assert [document] == user.results()
    assert document["ledger"]["unfinished"] == 4
    assert {outcome["where"] for outcome in document["outcomes"]} == {"interrupted: not looked for"}
    assert user.journals() == [document["run_id"]]
    assert f"dispatch.{document['run_id']}" in queues(deployment.url)


@pytest.mark.parametrize("asking", [3, 4], ids=["while revoking", "while looking for the tasks"])
def test_the_second_one_waits_for_no_answer_and_loses_no_results(deployment: Any, user: Any, asking: int) -> None:
    config = user.config({"long": [{"task": "task_a", "count": 4, "kwargs": {"work_s": 5}}]})
    with proxied() as proxy:
        proxy.deaf = range(asking, 100)  # the first is the health check's, the second is the tasks'
        process = user.start("dispatch.py", "long", "--config", config, BROKER_URL=proxy.url(deployment.url))
        for _ in range(4):
            read_until(process.stdout, "PENDING")
        process.send_signal(signal.SIGINT)
        eventually(lambda: proxy.accepted == asking, "it connects to ask")
        proxy.deaf_at = 0  # nor is a goodbye on the tasks' connection answered
        process.send_signal(signal.SIGINT)
        asked = time.monotonic()

        end(process)

    assert time.monotonic() - asked < 2
    assert process.returncode == 130
    (results,) = user.results()
    assert results["ledger"]["unfinished"] == 4
    assert results["ledger"]["balanced"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_while_workers_are_waited_for_nothing_is_left(broker_url: str, user: Any, number: signal.Signals) -> None:
    process = user.start("dispatch.py", "--wait-workers", "60s", BROKER_URL=broker_url)
    assert process.stderr.readline().startswith("waiting for worker-a")
    process.send_signal(number)

    _, err = end(process, within_s=5)

    assert process.returncode == 130
    assert err == "interrupted; nothing was published\n"
    assert list(user.directory.iterdir()) == []
    assert user.journals() == []
    assert queues(broker_url) == {}


def test_just_before_the_first_task_nothing_is_left(deployment: Any, user: Any) -> None:
    before = set(queues(deployment.url))
    with proxied() as proxy:
        process = user.start("dispatch.py", BROKER_URL=proxy.url(deployment.url), PYTHONUNBUFFERED="1")
        proxy.deaf = range(2, 100)  # the connection for the tasks gets no answer
        read_until(process.stdout, "DISPATCHING")
        eventually(lambda: proxy.accepted == 2, "it connects for the tasks")
        process.send_signal(signal.SIGINT)
        out, err = end(process, within_s=2)

    assert process.returncode == 130
    assert "SENT" not in out
    assert err == "interrupted; nothing was published\n"
    assert list(user.directory.iterdir()) == []
    assert user.journals() == []
    assert set(queues(deployment.url)) == before
    assert before >= OF_THE_WORKERS
