"""What load_test.py makes of flags and profiles: a whole plan, or an error that says what does not go together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.errors import ExitCode, UsageError
from harness.load_plan import (
    BURST_WINDOW,
    IN_FLIGHT_BYTES,
    MAX_LAG_S,
    OPEN_WINDOW,
    SMALL_BURST,
    LoadPlan,
    mix,
    overridden,
    plan,
    whole,
)
from harness.load_run import refuse_too_many_in_flight
from harness.model.load import Load, LoadModel, LoadProfile
from harness.model.scenario import TaskSpec
from harness.model.topology import WorkerSpec
from harness.threshold_grammar import LOAD_METRICS, parse_threshold

WORKERS = (WorkerSpec(service="worker-a", queue="queue_a"), WorkerSpec(service="worker-b", queue="queue_b"))
QUEUES = {"task_a": "queue_a", "task_b": "queue_b", "task_c": "queue_c"}


def planned(**asked: Any) -> LoadPlan:
    return plan("load", LoadProfile(**asked), WORKERS, QUEUES)


def refusal(**asked: Any) -> str:
    with pytest.raises(UsageError) as caught:
        planned(**asked)
    assert caught.value.exit_code is ExitCode.USAGE
    return str(caught.value)


def test_a_burst_is_so_many_of_each_kind_that_a_worker_consumes() -> None:
    made = planned(tasks=20, work_s=0.05)
    assert made.load == Load(model=LoadModel.BURST, window=BURST_WINDOW)
    assert made.scenario.tasks == (
        TaskSpec(task="task_a", count=20, kwargs={"work_s": 0.05}),
        TaskSpec(task="task_b", count=20, kwargs={"work_s": 0.05}),
    )
    assert (made.offered, made.publish_for_s, made.max_lag_s, made.scenario.timeout_s) == (40, None, None, 600)
    assert made.scenario.workers == WORKERS


def test_without_work_the_tasks_do_what_they_do_by_themselves() -> None:
    assert planned(tasks=1).scenario.tasks[0].kwargs == {}
    assert planned(tasks=1, work_s=0.0).scenario.tasks[0].kwargs == {"work_s": 0.0}


def test_a_rate_for_a_while_is_an_open_model_and_says_how_many_tasks_there_are() -> None:
    made = planned(rate=50.0, duration_s=60.0, ramp_s=10.0, warmup_s=5.0, mix={"task_a": 3, "task_b": 1})
    assert made.load == Load(
        model=LoadModel.OPEN, window=OPEN_WINDOW, rate=50.0, ramp_s=10.0, duration_s=60.0, warmup_s=5.0
    )
    assert made.load.steady_s == 10.0
    assert (made.offered, [spec.count for spec in made.scenario.tasks]) == (2750, [2063, 687])
    assert made.shares == (3, 1)
    assert (made.publish_for_s, made.max_lag_s, made.scenario.timeout_s) == (61.0, MAX_LAG_S, 120.0)
    assert planned(rate=50.0, duration_s=60.0, max_lag_s=0.1, timeout_s=90.0).max_lag_s == 0.1


def test_so_many_in_flight_is_a_closed_model_for_a_while_or_for_so_many_tasks() -> None:
    for_a_while = planned(in_flight=10, duration_s=60.0, warmup_s=5.0)
    assert for_a_while.load == Load(model=LoadModel.CLOSED, window=10, duration_s=60.0, warmup_s=5.0)
    assert (for_a_while.offered, for_a_while.publish_for_s) == (None, 60.0)
    so_many = planned(in_flight=10, tasks=100, mix={"task_b": 2})
    assert so_many.load == Load(model=LoadModel.CLOSED, window=10)
    assert (so_many.offered, so_many.scenario.tasks) == (200, (TaskSpec(task="task_b", count=200),))
    assert so_many.scenario.workers == WORKERS[1:]


def test_a_kind_that_has_no_turn_is_no_part_of_the_plan() -> None:
    made = planned(rate=1.0, duration_s=1.0, mix={"task_a": 1, "task_b": 5})
    assert made.scenario.tasks == (TaskSpec(task="task_b", count=1),)
    assert made.shares == (5,)
    assert made.scenario.workers == WORKERS[1:]


def test_a_maximum_of_failures_is_a_threshold() -> None:
    limit = parse_threshold("round_trip", "p(95)<500ms")
    made = planned(tasks=1, thresholds=(limit,), max_error_rate=0.01)
    assert made.thresholds == (limit, parse_threshold("failures", "rate<=0.01"))
    assert planned(tasks=1, max_error_rate=0.0).thresholds == (parse_threshold("failures", "rate<=0"),)
    assert planned(tasks=1).thresholds == ()


RATE = {"rate": 50.0, "duration_s": 60.0}
LAG = (parse_threshold("lag", "max<5ms", LOAD_METRICS),)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"duration_s": 60.0},
            "it says no load\n  try: --tasks 20 (a burst), --rate 50/s --duration 1m, or --in-flight 10 --duration 1m",
        ),
        ({"rate": 50.0}, "a rate needs a duration\n  try: --duration 1m"),
        ({**RATE, "tasks": 5}, "a rate and a duration say how many tasks there are\n  try: leave tasks out"),
        (
            {**RATE, "in_flight": 5},
            "a rate and a number in flight are two models\n"
            "  why: either the clock says when the next task is published, or the end of an earlier one\n"
            "  try: leave one of them out",
        ),
        (
            {"in_flight": 5},
            "in flight: until when? One of tasks and duration\n  try: --duration 1m, or --tasks 1000",
        ),
        (
            {"in_flight": 5, "tasks": 5, "duration_s": 60.0},
            "in flight: until when? One of tasks and duration\n  try: --duration 1m, or --tasks 1000",
        ),
        (
            {"tasks": 5, "duration_s": 60.0},
            "a burst is published at once, and ends with its tasks\n"
            "  why: it has neither a duration nor a warm-up\n  try: --in-flight 10, or --rate 50/s",
        ),
        (
            {"tasks": 5, "warmup_s": 1.0},
            "a burst is published at once, and ends with its tasks\n"
            "  why: it has neither a duration nor a warm-up\n  try: --in-flight 10, or --rate 50/s",
        ),
        (
            {"in_flight": 5, "duration_s": 60.0, "ramp_s": 5.0},
            "a ramp is of a rate\n  try: --rate 50/s, or leave the ramp out",
        ),
        (
            {"tasks": 5, "max_lag_s": 0.1},
            "only at a rate is a task due at a time, and can lag\n  try: leave the maximum out",
        ),
        (
            {"tasks": 5, "thresholds": LAG},
            "only at a rate is a task due at a time, and can lag\n  try: leave the threshold on lag out",
        ),
        (
            {**RATE, "ramp_s": 20.0, "warmup_s": 60.0},
            "nothing is left to be measured: the load lasts 60s, ramp and warm-up 60s\n  try: a longer duration",
        ),
        (
            {**RATE, "timeout_s": 60.0},
            "it is over after 60s, before the load of 60s has been published\n"
            "  try: a longer timeout, or none: tasks then have a minute after the last publish",
        ),
        (
            {"rate": 1000.0, "duration_s": 86400.0},
            "86,400,000 tasks, and a load has at most 10,000,000\n  try: fewer, or a shorter one",
        ),
        (
            {"tasks": 5, "mix": {"task_d": 1}},
            "mix: the app has no task 'task_d'; did you mean 'task_c'?\n  try: use one of: task_a, task_b, task_c",
        ),
        (
            {"tasks": 5, "mix": {"task_c": 1}},
            "mix: no worker of test-config.yml consumes queue_c, where task_c goes",
        ),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(asked: dict[str, Any], message: str) -> None:
    assert refusal(**asked) == message


def test_an_app_without_tasks_has_no_load() -> None:
    with pytest.raises(UsageError) as caught:
        plan("load", LoadProfile(tasks=1), WORKERS, {})
    assert str(caught.value) == (
        "no worker of test-config.yml consumes the queue of a task\n  why: the app has no tasks"
    )


def test_flags_come_before_the_profile() -> None:
    profile = LoadProfile(rate=20.0, duration_s=30.0, mix={"task_a": 1}, description="steady")
    assert overridden(profile, LoadProfile(rate=5.0, work_s=0.0)) == replace(profile, rate=5.0, work_s=0.0)
    assert overridden(profile, LoadProfile()) == profile


def test_where_nothing_is_asked_for_there_is_a_small_burst() -> None:
    made = plan("small-burst", SMALL_BURST, WORKERS, QUEUES)
    assert made.offered == 10


@pytest.mark.parametrize(
    ("text", "shares"),
    [("task_a=3,task_b=1", {"task_a": 3, "task_b": 1}), (" a = 2 , b", {"a": 2, "b": 1}), ("a", {"a": 1})],
)
def test_a_mix_is_read_in_its_order(text: str, shares: dict[str, int]) -> None:
    assert list(mix(text).items()) == list(shares.items())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected shares such as task_a=3,other=1, got ''"),
        ("a=1,", "expected shares such as task_a=3,other=1, got 'a=1,'"),
        ("=1", "expected shares such as task_a=3,other=1, got '=1'"),
        ("a=1,a=2", "'a' has two shares in 'a=1,a=2'"),
        ("a=0", "expected a whole number of at least 1, got '0'"),
        ("a=", "expected a whole number of at least 1, got ''"),
        ("a=1001", "expected a whole number of at most 1000, got '1001'"),
        ("a=b=1", "expected a whole number of at least 1, got 'b=1'"),
    ],
)
def test_what_is_no_mix_is_a_usage_error(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        mix(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "ten", "", "1e3", "٣"])
def test_what_is_no_number_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="expected a whole number of at least 1, got "):
        whole(text)


def test_more_in_flight_than_memory_allows_is_a_usage_error() -> None:
    fits = planned(in_flight=1000, duration_s=1.0)
    refuse_too_many_in_flight(fits, 2 * 1000 * IN_FLIGHT_BYTES)
    refuse_too_many_in_flight(fits, None)
    with pytest.raises(UsageError) as caught:
        refuse_too_many_in_flight(planned(in_flight=100_000_000, duration_s=1.0), 3_000_000_000)
    assert str(caught.value) == (
        "100,000,000 tasks in flight are more than memory allows\n"
        "  why: each takes about 1.5 kB here, and 3,000 MB are left\n"
        "  try: --in-flight 1000000, at most"
    )


def test_no_more_are_in_flight_than_there_are() -> None:
    assert planned(in_flight=100_000_000, tasks=5).most_bytes == 10 * IN_FLIGHT_BYTES
