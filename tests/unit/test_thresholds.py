"""What a threshold comes to, over what was measured: and that one that cannot be judged does not hold."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.ledger import LedgerCounts
from harness.model.report import Check
from harness.stats import Histogram, fewest, percentile
from harness.threshold_grammar import parse_threshold
from harness.thresholds import judge


def judged(rule: str, values_s: Sequence[float]) -> Check:
    histogram = Histogram()
    for value_s in values_s:
        histogram.record(value_s)
    (check,) = judge([parse_threshold("round_trip", rule)], {"round_trip": histogram}, LedgerCounts())
    return check


@pytest.mark.parametrize(
    ("rule", "takes"),
    [("p(75)<10s", 4), ("p(90)<10s", 10), ("p(95)<10s", 20), ("p(99)<10s", 100), ("p(99.9)<10s", 1000)],
)
def test_a_percentile_of_too_few_does_not_hold_whatever_its_limit(rule: str, takes: int) -> None:
    assert judged(rule, [0.7162] * takes).passed
    few = judged(rule, [0.7162] * (takes - 1))
    most = f"716.2 ms at most over {takes - 1} measured"
    assert (few.passed, few.evidence) == (False, f"{most}: too few, {rule.partition('<')[0]} takes {takes:,}")
    assert not judged(rule.replace("<", ">="), [0.7162] * (takes - 1)).passed


@pytest.mark.parametrize("rule", ["p(100)<1s", "p(50)<1s", "p(1)<1s", "med<1s", "avg<1s", "min<1s", "max<1s"])
def test_what_speaks_of_no_tail_holds_of_one(rule: str) -> None:
    assert judged(rule, [0.5]) == Check(name=f"round_trip {rule}", passed=True, evidence="500.0 ms over 1 measured")


def test_what_was_never_measured_does_not_hold() -> None:
    assert judged("p(50)<1s", []) == Check(name="round_trip p(50)<1s", passed=False, evidence="nothing was measured")


@given(st.integers(min_value=501, max_value=999))
def test_of_so_many_one_lies_above_the_percentile_and_of_one_less_none(tenths: int) -> None:
    rank = tenths / 10
    takes = fewest(rank)
    assert percentile(range(takes), rank) < takes - 1
    assert percentile(range(takes - 1), rank) == takes - 2
