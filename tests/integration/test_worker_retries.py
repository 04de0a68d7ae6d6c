"""The retry policy as it really is, and what comes of a task whose process dies or that takes too long."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.conftest import Workers, eventually
from tests.integration.caller import Caller, both_slots_work

#: How much later than told an attempt may start on a busy machine, in seconds.
LATE_S = 2.0


@pytest.fixture
def caller(deployment: Workers) -> Iterator[Caller]:
    made = Caller(deployment)
    yield made
    eventually(lambda: both_slots_work(made), "two tasks at a time, whatever came before")
    made.close()


def attempts(caller: Caller, task_id: str) -> list[int]:
    """Return the attempts that were seen to start, each told by the state that ended it."""
    return [meta["evidence"]["attempt"] for meta in ends(caller, task_id) if meta["evidence"]["started_at"]]


def ends(caller: Caller, task_id: str) -> list[dict[str, Any]]:
    return [meta for meta in caller.metas(task_id) if meta["status"] != "STARTED"]


def waits(caller: Caller, task_id: str) -> list[float]:
    """Return the time from each RETRY to the next attempt's start, in seconds."""
    return [
        later["evidence"]["started_at"] - earlier["evidence"]["at"]
        for earlier, later in pairwise(ends(caller, task_id))
    ]


def test_a_transient_error_is_retried_on_the_same_queue_until_it_is_over(caller: Caller) -> None:
    task_id = caller.send("task_a", fail_times=2)
    result = caller.final(task_id)["result"]
    assert (result["attempt"], result["retries"], result["queue"]) == (3, 2, "queue_a")
    assert [meta["status"] for meta in ends(caller, task_id)] == ["RETRY", "RETRY", "SUCCESS"]
    seen: list[Any] = [meta["evidence"] for meta in caller.metas(task_id)]
    assert {(at["queue"], at["queue_evidence"], at["redelivered"]) for at in seen} == {("queue_a", "consumer", False)}


def test_after_three_retries_with_growing_waits_a_transient_error_is_final(caller: Caller) -> None:
    # several at once, since each wait is drawn by lot; the two nodes take theirs side by side
    ids = [caller.send(task, fail_times=9) for task in ("task_a", "task_b") for _ in range(4)]
    for task_id in ids:
        meta = caller.final(task_id, within_s=30)
        assert (meta["status"], meta["result"]["exc_type"]) == ("FAILURE", "TransientError")
        assert attempts(caller, task_id) == [1, 2, 3, 4]
        for waited, backoff in zip(waits(caller, task_id), (1, 2, 4), strict=True):
            assert 0.9 <= waited <= backoff + LATE_S
    drawn = {tuple(round(waited) for waited in waits(caller, task_id)[1:]) for task_id in ids}
    assert len(drawn) > 1, "drawn by lot: all of eight alike happens less than once in ten thousand"
    letters = caller.dead_letters("queue_a", 4) + caller.dead_letters("queue_b", 4)
    assert sorted(letter.headers["id"] for letter in letters) == sorted(ids)


def test_any_other_error_is_final_at_once(caller: Caller) -> None:
    task_id = caller.send("task_a", work_s="much")
    assert caller.final(task_id)["result"]["exc_type"] == "TypeError"
    (letter,) = caller.dead_letters("queue_a", 1)
    assert letter.headers["id"] == task_id
    assert caller.states(task_id) == ["FAILURE"]


def test_a_task_whose_process_was_killed_is_retried(caller: Caller) -> None:
    task_id = caller.send("task_a", work_s=1, headers={"run_id": "run-7"})
    first = caller.until(task_id, "STARTED")
    os.kill(first["result"]["pid"], signal.SIGKILL)
    result = caller.final(task_id)["result"]
    assert caller.states(task_id) == ["STARTED", "RETRY", "STARTED", "SUCCESS"]
    assert (result["attempt"], result["queue"], result["redelivered"]) == (2, "queue_a", False)
    caller.dead_letters("queue_a", 0)


def test_a_task_beyond_its_time_limit_is_ended_told_once_and_kept(caller: Caller, deployment: Workers) -> None:
    ids = [caller.send("task_a", work_s=30, headers={"timelimit": [0.5, None], "run_id": "run-7"}) for _ in range(3)]
    for task_id in ids:
        meta = caller.final(task_id)
        assert (meta["status"], meta["result"]["exc_type"]) == ("FAILURE", "TimeLimitExceeded")
        assert meta["evidence"]["queue"] == "queue_a"
    letters = caller.dead_letters("queue_a", 3)
    assert sorted(letter.headers["id"] for letter in letters) == sorted(ids)
    assert [caller.states(task_id) for task_id in ids] == [["STARTED", "FAILURE"]] * 3
    (line,) = [record for record in deployment.records("worker-a") if f"exceeded for task_a[{ids[0]}]" in str(record)]
    assert (line["task_id"], line["task"], line["queue"], line["run_id"]) == (ids[0], "task_a", "queue_a", "run-7")


def test_without_another_a_task_has_the_time_limit_of_the_deployment(deployment: Workers) -> None:
    # below the containers' stop_grace_period, so that a stop never kills one
    assert deployment.app.conf.task_time_limit == 60
