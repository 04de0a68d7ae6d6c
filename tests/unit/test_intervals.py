"""Unions and peaks of intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.intervals import Intervals, union_s


def intervals(*pairs: tuple[float, float]) -> Intervals:
    made = Intervals()
    for pair in pairs:
        made.append(pair)
    return made


def test_a_gap_between_two_intervals_does_not_count() -> None:
    assert union_s([intervals((0, 1), (5, 6)), intervals((0.5, 1.5))]) == pytest.approx(2.5)


def test_one_that_begins_as_another_ends_is_not_at_the_same_time() -> None:
    assert intervals((0, 1), (1, 2)).peak() == 1
    assert intervals((0, 1.1), (1, 2), (1.05, 3)).peak() == 3
    assert intervals().peak() == 0


pairs = st.tuples(st.integers(0, 50), st.integers(0, 20)).map(lambda pair: (float(pair[0]), float(pair[0] + pair[1])))


@given(st.lists(pairs, max_size=30))
def test_union_and_peak_agree_with_counting_second_by_second(spans: list[tuple[float, float]]) -> None:
    open_at = [sum(begun <= second < ended for begun, ended in spans) for second in range(80)]
    made = intervals(*spans)
    assert union_s([made]) == sum(count > 0 for count in open_at)
    assert made.peak() == max(open_at, default=0)
