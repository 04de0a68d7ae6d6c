"""When each task of a load is due, and of which kind it is: properties that hold for every rate, ramp and mix."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load_pacing import due_at, due_within, schedule, turns
from harness.model.load import Load, LoadModel
from harness.model.scenario import TaskSpec

RATES = st.floats(min_value=0.01, max_value=100_000)
RAMPS = st.floats(min_value=0, max_value=600) | st.just(0.0)
SHARES = st.lists(st.integers(min_value=1, max_value=20), min_size=1, max_size=6)


def open_load(rate: float, ramp_s: float = 0.0) -> Load:
    return Load(model=LoadModel.OPEN, window=1, rate=rate, ramp_s=ramp_s)


@given(RATES, RAMPS, st.integers(min_value=0, max_value=100_000))
def test_tasks_are_due_one_after_the_other_and_never_before_the_start(
    rate: float, ramp_s: float, position: int
) -> None:
    assert due_at(0, rate, ramp_s) == pytest.approx(0)
    assert 0 <= due_at(position, rate, ramp_s) < due_at(position + 1, rate, ramp_s)


@given(RATES, RAMPS, st.integers(min_value=0, max_value=100_000))
def test_after_the_ramp_the_distance_is_that_of_the_rate(rate: float, ramp_s: float, beyond: int) -> None:
    position = int(rate * ramp_s / 2) + 1 + beyond
    assert due_at(position + 1, rate, ramp_s) - due_at(position, rate, ramp_s) == pytest.approx(1 / rate, rel=1e-4)


@given(RATES, st.floats(min_value=0.1, max_value=600), st.floats(min_value=0, max_value=1))
def test_in_the_ramp_the_rate_grows_in_a_straight_line(rate: float, ramp_s: float, part: float) -> None:
    position = int(part * rate * ramp_s / 2)
    due_s = due_at(position, rate, ramp_s)
    assert due_s <= ramp_s * (1 + 1e-9)
    assert rate * due_s**2 / (2 * ramp_s) == pytest.approx(position, abs=1e-3, rel=1e-9)


@given(
    st.floats(min_value=0.01, max_value=5_000),
    st.floats(min_value=0, max_value=20),
    st.floats(min_value=0.1, max_value=20),
)
def test_so_many_are_due_within_a_duration(rate: float, ramp_s: float, further_s: float) -> None:
    duration_s = ramp_s + further_s
    count = due_within(duration_s, rate, ramp_s)
    assert due_at(count, rate, ramp_s) >= duration_s - 1e-5
    assert count == 0 or due_at(count - 1, rate, ramp_s) < duration_s + 1e-5


@given(SHARES)
def test_in_a_round_each_kind_has_its_share_of_turns(shares: list[int]) -> None:
    assert Counter(turns(shares)) == dict(enumerate(shares))


@given(SHARES)
def test_turns_are_spread_so_that_no_kind_is_ever_far_ahead_or_behind(shares: list[int]) -> None:
    done: Counter[int] = Counter()
    for position, number in enumerate(turns(shares), start=1):
        done[number] += 1
        for kind, share in enumerate(shares):
            assert abs(done[kind] - position * share / sum(shares)) < len(shares)


def test_turns_of_a_mix() -> None:
    assert turns([3, 1]) == (0, 0, 1, 0)
    assert turns([1, 1]) == (0, 1)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 30)), min_size=1, max_size=4), RATES)
def test_every_task_is_in_the_schedule_once(kinds: list[tuple[int, int]], rate: float) -> None:
    tasks = [TaskSpec(task=f"task_{number}", count=count) for number, (_, count) in enumerate(kinds)]
    made = list(schedule(tasks, [share for share, _ in kinds], open_load(rate)))
    assert Counter(number for _, number, _ in made) == {number: spec.count for number, spec in enumerate(tasks)}
    assert all(spec is tasks[number] for _, number, spec in made)
    assert [due_s for due_s, _, _ in made] == [due_at(position, rate, 0) for position in range(len(made))]


def test_without_a_rate_all_are_due_at_once() -> None:
    burst = Load(model=LoadModel.BURST, window=1)
    tasks = [TaskSpec(task="a", count=3), TaskSpec(task="b", count=1)]
    made = [(due_s, spec.task) for due_s, _, spec in schedule(tasks, [1, 1], burst)]
    assert made == [(0.0, "a"), (0.0, "b"), (0.0, "a"), (0.0, "a")]


def test_nothing_is_built_before_it_is_due() -> None:
    endless = [TaskSpec(task="a", count=10**9), TaskSpec(task="b", count=10**9)]
    assert [spec.task for _, _, spec in itertools.islice(schedule(endless, [2, 1], open_load(1)), 4)] == list("abaa")
