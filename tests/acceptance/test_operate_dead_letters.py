"""`operate.py dead-letters` on a live broker: what it shows, sends back and removes, and that nothing else changes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from harness.model.topology import WorkerSpec
from tests.acceptance.frames import BASIC_ACK, BASIC_PUBLISH, intercepted
from tests.acceptance.terminal import CTRL_C, OnTerminal
from tests.conftest import ROOT, Workers, eventually
from tests.erlang import erlang
from tests.integration.caller import Caller
from worker.topology import dead_name, declare

WORKER_A, WORKER_B = (WorkerSpec(service=f"worker-{x}", queue=f"queue_{x}") for x in "ab")


class Graveyard(Caller):
    """Makes dead letters without a worker: takes messages and rejects them, as one would."""

    def __init__(self, workers: Workers) -> None:
        super().__init__(workers)
        with workers.app.connection_for_write() as connection:
            declare(connection.channel(), list(workers.app.amqp.queues.values()))

    def dead(self, task: str = "task_a", **how: Any) -> str:
        """Send a task as `Caller.send` does and dead-letter it; returns its id."""
        task_id = self.send(task, **how)
        queue = how.get("queue") or task.replace("task", "queue")
        before = self.ready(dead_name(queue))
        taken = eventually(lambda: self.channel.basic_get(queue), f"the message in {queue}")
        self.channel.basic_reject(taken.delivery_tag, requeue=False)
        self.wait_for(dead_name(queue), before + 1)
        return task_id

    def wait_for(self, queue: str, count: int) -> None:
        eventually(lambda: self.ready(queue) == count, f"{count} messages in {queue}, which has {self.ready(queue)}")

    def take(self, queue: str) -> list[Any]:
        """Take everything out of `queue` and return it."""
        taken = []
        while message := self.channel.basic_get(queue, no_ack=True):
            taken.append(message)
        return taken


@pytest.fixture
def grave(workers: Workers) -> Iterator[Graveyard]:
    made = Graveyard(workers)
    yield made
    made.close()


@pytest.fixture
def letters(user: Any, workers: Workers) -> Callable[..., Any]:
    """Runs `operate.py dead-letters` on the test's virtual host."""
    return lambda *arguments, **more: user("operate.py", "dead-letters", *arguments, BROKER_URL=workers.url, **more)


def ids(messages: list[Any]) -> list[str]:
    return [message.headers["id"] for message in messages]


# --- list -------------------------------------------------------------------------------------------


def test_a_table_says_what_each_letter_is(grave: Graveyard, letters: Any) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    first = grave.dead("task_a")
    second = grave.dead("task_a", queue="queue_b")

    done = letters()

    heads, *rows = [re.split(r"  +", line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert heads == ["TASK", "ID", "QUEUE", "CAME FROM", "REASON", "TIMES", "FIRST (UTC)", "LAST (UTC)", "AGE"]
    assert [row[:6] for row in rows] == [
        ["task_a", first, "queue_a.dead", "queue_a", "rejected", "1"],
        ["task_a", second, "queue_b.dead", "queue_b", "rejected", "1"],
    ]
    for row in rows:
        assert row[6] == row[7]
        assert before <= datetime.fromisoformat(row[6]) <= datetime.now(UTC)
        assert 0 <= int(row[8].removesuffix(" s")) <= (datetime.now(UTC) - before).total_seconds()
    assert letters("list", "--queue", "queue_b").stdout.count("\n") == 2


def test_the_document_says_the_same(grave: Graveyard, letters: Any, workers: Workers) -> None:
    task_id = grave.dead("task_a")
    grave.publish(b"\xff", None, queue="queue_b.dead", content_type="application/x-unknown")

    done = letters("--json")

    told = json.loads(done.stdout)
    first, second = told["dead_letters"]
    assert told["schema_version"] == 1
    assert told["broker"] == workers.url.replace(":guest@", "@")
    assert told["queues"] == [{"queue": "queue_a.dead", "messages": 1}, {"queue": "queue_b.dead", "messages": 1}]
    at = first.pop("first_at")
    assert at == first.pop("last_at")
    assert 0 <= first.pop("age_s") <= 30
    assert first == {
        "task": "task_a",
        "id": task_id,
        "queue": "queue_a.dead",
        "came_from": "queue_a",
        "reason": "rejected",
        "times": 1,
    }
    assert {name for name, value in second.items() if value is not None} == {"queue"}


def test_looking_changes_nothing_however_often(grave: Graveyard, letters: Any) -> None:
    sent = [grave.dead("task_a") for _ in range(3)]
    seen = [letters("--json").stdout for _ in range(6)]

    orders = [[letter["id"] for letter in json.loads(each)["dead_letters"]] for each in seen]
    assert orders == [sent] * 6
    for _ in range(30):  # as often as RabbitMQ 4 would need to drop them, twice over, by the same means
        channel = grave._connection.channel()
        while channel.basic_get("queue_a.dead"):
            pass
        channel.close()
    assert ids(grave.take("queue_a.dead")) == sent


def test_a_limit_is_said(grave: Graveyard, letters: Any) -> None:
    sent = [grave.dead("task_a") for _ in range(3)]

    done = letters("list", "--limit", "2")

    assert [line.split()[1] for line in done.stdout.splitlines()[1:]] == sent[:2]
    assert done.stderr == "queue_a.dead: the first 2 of 3; --limit 3 shows all\n"


def test_a_vhost_in_which_nothing_was_declared_has_none(letters: Any) -> None:
    for action in (["list"], ["redrive", "all", "--yes"], ["purge", "--yes"]):
        done = letters(*action)
        assert (done.returncode, done.stdout) == (0, "no dead letters in queue_a.dead, queue_b.dead\n"), done.stderr


# --- redrive ----------------------------------------------------------------------------------------


def test_a_letter_goes_back_as_it_was(grave: Graveyard, letters: Any) -> None:
    other = grave.dead("task_a")
    body = '[[], {"work_s": 0.0}, {"callbacks": null}]'.encode("utf-16-le")  # decoded and encoded, it would be another
    task_id = grave.dead(
        "task_a",
        body=body,
        headers={"retries": 2, "mine": [1, None, {"x": True}]},
        properties={"priority": 3, "content_encoding": "utf-16"},
    )
    (before,) = [each for each in _peek(grave, "queue_a.dead") if each.headers["id"] == task_id]

    done = letters("redrive", task_id)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"redriven  task_a  {task_id}  queue_a.dead -> queue_a\n"
    (back,) = grave.take("queue_a")
    assert back.body == body
    kept = {name: value for name, value in before.headers.items() if not name.startswith("x-")}
    assert {name: value for name, value in back.headers.items() if name != "x-delivery-count"} == kept
    assert back.headers.get("x-delivery-count", 0) == 0
    assert (kept["retries"], kept["mine"]) == (2, [1, None, {"x": True}])
    assert {k: v for k, v in back.properties.items() if k != "application_headers"} == {
        k: v for k, v in before.properties.items() if k != "application_headers"
    }
    assert back.properties["reply_to"] == grave.reply_queue
    assert ids(grave.take("queue_a.dead")) == [other]


def test_what_would_harm_it_stays_behind(grave: Graveyard, letters: Any) -> None:
    death = {"reason": "expired", "exchange": "dead", "routing-keys": ["queue_a.dead"], "count": 1}
    past = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    task_id = grave.send(
        "task_a",
        queue="queue_a.dead",
        # a cycle without a rejection: RabbitMQ 3.10 drops the message when it would come to queue_a.dead again
        headers={
            "x-death": [{**death, "queue": "queue_a"}, {**death, "queue": "queue_a.dead"}],
            **{f"x-{w}-death-{what}": "queue_a" for w in ("first", "last") for what in ("queue", "reason", "exchange")},
            "x-delivery-count": 7,
            "x-acquired-count": 7,
            "expires": past,
        },
        properties={"expiration": "3600000", "user_id": "guest"},
    )
    grave.wait_for("queue_a.dead", 1)

    assert letters("redrive", task_id).returncode == 0

    taken = eventually(lambda: grave.channel.basic_get("queue_a"), "the redriven message")
    assert not {name for name in taken.headers if name.startswith("x-")} - {"x-delivery-count"}
    assert taken.headers.get("x-delivery-count", 0) == 0
    assert taken.headers["expires"] is None
    assert not {"expiration", "user_id"} & taken.properties.keys()
    grave.channel.basic_reject(taken.delivery_tag, requeue=True)

    def worn_out() -> bool:  # as by a node that is killed again and again: the delivery limit is an automatic death
        if message := grave.channel.basic_get("queue_a"):
            grave.channel.basic_reject(message.delivery_tag, requeue=True)
        return grave.ready("queue_a.dead") == 1

    eventually(worn_out, "the message among the dead letters again")
    (letter,) = _peek(grave, "queue_a.dead")
    assert letter.headers["x-death"][0]["reason"] == "delivery_limit"
    assert letter.headers["x-death"][0]["count"] == 1


def test_copies_that_a_letter_asks_for_are_not_made_again(grave: Graveyard, letters: Any) -> None:
    copies = grave.new_queue()
    death = {"reason": "rejected", "queue": "queue_a", "exchange": "tasks", "routing-keys": ["queue_a"], "count": 1}
    task_id = grave.send("task_a", queue="queue_a.dead", headers={"x-death": [death], "CC": [copies]})
    grave.wait_for(copies, 1)

    assert letters("redrive", task_id).returncode == 0

    grave.wait_for("queue_a", 1)
    assert grave.ready(copies) == 1


def test_a_redriven_task_runs_and_retries_as_a_new_one(grave: Graveyard, letters: Any, workers: Workers) -> None:
    expires = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    task_id = grave.dead("task_a", headers={"expires": expires}, fail_times=2)
    eventually(lambda: datetime.now(UTC).isoformat() > expires, "the task has expired")
    workers.start(WORKER_A)

    assert letters("redrive", task_id).returncode == 0

    assert grave.final(task_id)["result"]["attempt"] == 3
    assert [state for state in grave.states(task_id) if state != "STARTED"] == ["RETRY", "RETRY", "SUCCESS"]
    assert grave.final(task_id)["evidence"]["delivery_count"] == 0


def test_the_guard_holds_and_letters_that_come_back_are_not_sent_again(
    grave: Graveyard, letters: Any, workers: Workers
) -> None:
    astray = {grave.dead("task_b", queue="queue_a") for _ in range(40)}
    workers.start(WORKER_A)

    done = letters("redrive", "all", "--yes")

    assert done.returncode == 0, done.stderr
    assert sorted(line.split()[2] for line in done.stdout.splitlines()) == sorted(astray)
    grave.wait_for("queue_a.dead", 40)
    assert set(ids(_peek(grave, "queue_a.dead"))) == astray
    assert {grave.final(task_id)["result"]["exc_type"] for task_id in astray} == {"WrongQueue"}


def test_nothing_is_lost_while_messages_keep_arriving(grave: Graveyard, letters: Any, workers: Workers) -> None:
    there = [grave.dead("task_a") for _ in range(20)]
    arriving, stop = [], Event()
    other = Graveyard(workers)

    def arrive() -> None:
        while not stop.is_set():
            arriving.append(other.send("task_a", queue="queue_a.dead"))

    thread = Thread(target=arrive)
    thread.start()
    try:
        done = letters("redrive", "all", "--yes", "--queue", "queue_a")
    finally:
        stop.set()
        thread.join()
        other.close()

    # those that arrived before the command asked do not say where they came from
    sent = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("redriven")]
    assert sent == there
    assert ids(grave.take("queue_a")) == there
    assert sorted(ids(grave.take("queue_a.dead"))) == sorted(arriving)


@pytest.mark.parametrize("lost", [BASIC_PUBLISH, BASIC_ACK])
def test_a_redrive_that_is_killed_on_the_way_leaves_two_and_never_none(
    grave: Graveyard, user: Any, workers: Workers, lost: tuple[int, int]
) -> None:
    sent = [grave.dead("task_a") for _ in range(3)]
    with intercepted(lost) as line:
        process = user.start("operate.py", "dead-letters", "redrive", "all", "--yes", BROKER_URL=line.url(workers.url))
        assert line.reached.wait(30)
        if lost == BASIC_ACK:
            grave.wait_for("queue_a", 1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        line.close()
    grave.wait_for("queue_a.dead", 3)

    assert ids(grave.take("queue_a.dead")) == sent
    assert ids(grave.take("queue_a")) == (sent[:1] if lost == BASIC_ACK else [])


def test_a_letter_whose_queue_is_gone_stays_and_the_others_go(grave: Graveyard, letters: Any) -> None:
    gone, kept = grave.dead("task_a"), grave.dead("task_b")
    grave.channel.queue_delete("queue_a")

    done = letters("redrive", "all", "--yes")

    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"left      task_a  {gone}  in queue_a.dead: there is no queue queue_a any more",
        f"redriven  task_b  {kept}  queue_b.dead -> queue_b",
    ]
    assert ids(_peek(grave, "queue_a.dead")) == [gone]
    assert ids(grave.take("queue_b")) == [kept]


def test_an_id_that_is_not_there(grave: Graveyard, letters: Any) -> None:
    grave.dead("task_a")
    for action in (["redrive", "nobody"], ["purge", "nobody", "--yes"]):
        done = letters(*action)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: no dead letter has the id nobody in queue_a.dead, queue_b.dead\n")
    grave.wait_for("queue_a.dead", 1)


def test_letters_without_an_id_are_shown_and_moved_by_their_queue(
    grave: Graveyard, letters: Any, workers: Workers
) -> None:
    workers.start(WORKER_B)
    grave.publish(b"\xfe garbage", None, queue="queue_b")
    grave.publish(b'{"half": ', {"task": "task_b"}, queue="queue_b")
    grave.wait_for("queue_b.dead", 2)

    listed = [line.split()[:5] for line in letters().stdout.splitlines()[1:]]
    assert listed == [
        ["-", "-", "queue_b.dead", "queue_b", "rejected"],
        ["task_b", "-", "queue_b.dead", "queue_b", "rejected"],
    ]
    assert letters("redrive", "all", "--queue", "queue_a", "--yes").stdout == "no dead letters in queue_a.dead\n"
    assert letters("redrive", "all", "--queue", "queue_b.dead", "--yes").stdout.splitlines() == [
        "redriven  -  -  queue_b.dead -> queue_b",
        "redriven  task_b  -  queue_b.dead -> queue_b",
    ]
    grave.wait_for("queue_b.dead", 2)  # the worker refuses them again
    assert letters("purge", "all", "--queue", "queue_b", "--yes").stdout.count("purged") == 2
    assert grave.ready("queue_b.dead") == 0


# --- purge ------------------------------------------------------------------------------------------


def test_a_purge_of_an_id_removes_exactly_that_one(grave: Graveyard, letters: Any) -> None:
    first, second, third = (grave.dead("task_a") for _ in range(3))

    done = letters("purge", second, "--yes")

    assert (done.returncode, done.stdout) == (0, f"purged    task_a  {second}  queue_a.dead\n")
    assert ids(grave.take("queue_a.dead")) == [first, third]
    assert grave.take("queue_a") == []


@pytest.mark.parametrize("action", [["purge"], ["purge", "all"], ["purge", "ID"], ["redrive", "all"]])
def test_without_a_terminal_it_wants_the_flag(grave: Graveyard, letters: Any, action: list[str]) -> None:
    task_id = grave.dead("task_a")

    done = letters(*[task_id if word == "ID" else word for word in action])

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: nobody can be asked whether to ")
    assert "--yes" in done.stderr
    grave.wait_for("queue_a.dead", 1)


@pytest.mark.parametrize(
    ("keys", "code", "left"), [(b"y\n", 0, 0), (b"n\n", 0, 2), (b"\n", 0, 2), (b"\x04", 0, 2), (CTRL_C, 130, 2)]
)
def test_on_a_terminal_it_asks_first(
    grave: Graveyard, user: Any, workers: Workers, keys: bytes, code: int, left: int
) -> None:
    grave.dead("task_a")
    grave.dead("task_b")
    command = [sys.executable, str(Path(user.root) / "operate.py"), "dead-letters", "purge"]
    with OnTerminal(command, user.directory, user.env(BROKER_URL=workers.url)) as terminal:
        terminal.wait_for(lambda text: "from queue_a.dead, queue_b.dead for good? [y/N] " in text)
        assert "Remove 2 dead letters" in terminal.text
        grave.dead("task_a")  # after the question: not part of what was agreed to
        terminal.type(keys)
        assert terminal.end() == code

    grave.wait_for("queue_a.dead", left // 2 + 1)
    assert grave.ready("queue_b.dead") == left // 2


# --- who may --------------------------------------------------------------------------------------


def test_the_dispatchers_permissions_are_enough(
    grave: Graveyard, user: Any, workers: Workers, limited_user: Callable[[str], str]
) -> None:
    kept, gone = grave.dead("task_a"), grave.dead("task_b")
    url = limited_user(workers.url)

    for action in (["list"], ["redrive", kept], ["purge", gone, "--yes"]):
        done = user("operate.py", "dead-letters", *action, BROKER_URL=url)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert ids(grave.take("queue_a")) == [kept]


@pytest.fixture
def limited_user(vhosts: Any) -> Iterator[Callable[[str], str]]:
    """Gives a URL for a user with the permissions that ./setup.sh gives the dispatcher, and no more."""
    name = f"test-{os.getpid()}-dispatcher"
    module = "rabbit_auth_backend_internal"

    def make(url: str) -> str:
        told = subprocess.run(
            ["bash", "-c", "source deploy/setup/broker.sh && read_queues && permissions_of dispatcher"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        grants = ", ".join('<<"' + line.replace("\\", "\\\\") + '">>' for line in told.stdout.splitlines())
        vhost = url.rpartition("/")[2]
        erlang(
            f'{module}:add_user(<<"{name}">>, <<"secret">>, <<"test">>), '
            f'{module}:set_permissions(<<"{name}">>, <<"{vhost}">>, {grants}, <<"test">>).'
        )
        return url.replace("guest:guest", f"{name}:secret")

    yield make
    erlang(f'{module}:delete_user(<<"{name}">>, <<"test">>).')


def _peek(grave: Graveyard, queue: str) -> list[Any]:
    channel = grave._connection.channel()
    channel.auto_decode = False
    seen = []
    while message := channel.basic_get(queue):
        seen.append(message)
    channel.close()
    return seen
