"""Durations and time axes as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.render.figures import duration_text, marks, share_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 ms"),
        (0.00421, "4.21 ms"),
        (0.009996, "10.0 ms"),
        (0.0124, "12.4 ms"),
        (0.09996, "100 ms"),
        (0.506, "506 ms"),
        (0.9996, "1.00 s"),
        (1.2, "1.20 s"),
        (9.996, "10.0 s"),
        (99.9, "99.9 s"),
        (99.96, "1 min 40 s"),
        (125.0, "2 min 05 s"),
        (5400.0, "1 h 30 min"),
        (90 * 3600.0, "90 h 00 min"),
        (-0.0124, "-12.4 ms"),
        (math.nan, "nan"),
    ],
)
def test_a_duration_has_three_digits_or_so_and_its_unit(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "0%"), (0, 5, "0%"), (5, 5, "100%"), (9_999, 10_000, "99.9%"), (1, 10_000, "0.1%"), (1, 3, "33.3%")],
)
def test_a_share_is_all_or_none_only_when_it_is(part: int, whole: int, text: str) -> None:
    assert share_text(part, whole) == text


@pytest.mark.parametrize(
    ("length_s", "texts"),
    [
        (0.714, ["0", "0.2 s", "0.4 s", "0.6 s"]),
        (0.0314, ["0", "10 ms", "20 ms", "30 ms"]),
        (0.5, ["0", "100 ms", "200 ms", "300 ms", "400 ms", "500 ms"]),
        (3.0, ["0", "1 s", "2 s", "3 s"]),
        (225.0, ["0", "50 s", "100 s", "150 s", "200 s"]),
        (600.0, ["0", "2 min", "4 min", "6 min", "8 min", "10 min"]),
        (5 * 3600.0, ["0", "1 h", "2 h", "3 h", "4 h", "5 h"]),
        (0.0, []),
    ],
)
def test_an_axis_is_marked_at_round_times(length_s: float, texts: list[str]) -> None:
    assert [text for _, text in marks(length_s)] == texts


@given(st.floats(min_value=1e-6, max_value=1e7), st.integers(2, 12))
def test_marks_are_few_within_the_axis_and_say_different_things(length_s: float, most: int) -> None:
    found = marks(length_s, most)
    assert 1 <= len(found) <= most
    assert all(0 <= at_s <= length_s * (1 + 1e-6) for at_s, _ in found)
    assert len({text for _, text in found}) == len(found)
