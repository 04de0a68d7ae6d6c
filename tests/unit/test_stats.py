"""Percentiles and the streaming histogram, held against sorted lists."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.metrics import Summary
from harness.stats import BUCKET_RATIO, COARSEST_S, FINEST_S, Histogram, percentile, throughput_per_s

ranks = st.one_of(st.integers(1, 100), st.floats(0.01, 100))
#: What a clock can give: below a microsecond and above eleven days the histogram does not tell values apart.
measurable_s = st.one_of(st.just(0.0), st.floats(FINEST_S, COARSEST_S), st.floats(-COARSEST_S, -FINEST_S))


def filled(values_s):
    histogram = Histogram()
    for value_s in values_s:
        histogram.record(value_s)
    return histogram


@pytest.mark.parametrize(
    ("rank", "expected"), [(5, 15), (30, 20), (40, 20), (50, 35), (95, 50), (100, 50), (0.001, 15)]
)
def test_a_percentile_is_the_nearest_rank(rank, expected):
    assert percentile([35, 20, 15, 50, 40], rank) == expected


def test_a_rank_is_not_pushed_up_by_the_last_bit_of_a_float():
    values = list(range(1, 1001))
    assert percentile(values, 99.9) == 999
    assert percentile(values[:100], 7) == 7
    assert percentile(values[:100], 58) == 58


@pytest.mark.parametrize("rank", [0, -1, 100.1, math.nan])
def test_a_rank_out_of_range_is_refused(rank):
    with pytest.raises(ValueError, match="rank"):
        percentile([1.0], rank)
    with pytest.raises(ValueError, match="rank"):
        filled([1.0]).percentile(rank)


def test_a_percentile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 50)
    with pytest.raises(ValueError, match="at least one"):
        Histogram().percentile(50)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), ranks)
def test_at_least_the_rank_lies_at_or_below_a_percentile_and_less_than_it_strictly_below(values_s, rank):
    found = percentile(values_s, rank)
    assert found in values_s
    needed = rank * len(values_s) / 100
    assert sum(value <= found for value in values_s) >= needed - 1e-6
    assert sum(value < found for value in values_s) < max(needed, 1)


@given(st.lists(measurable_s, min_size=1, max_size=300), ranks)
def test_a_histogram_percentile_is_observed_and_at_most_one_percent_above_the_exact_one(values_s, rank):
    exact = percentile(values_s, rank)
    found = filled(values_s).percentile(rank)
    assert found in values_s
    assert exact <= found <= exact + abs(exact) * (BUCKET_RATIO - 1) * 1.0001


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_count_mean_and_the_extremes_are_exact(values_s):
    summary = filled(values_s).summary()
    assert (summary.count, summary.min_s, summary.max_s) == (len(values_s), min(values_s), max(values_s))
    assert summary.mean_s == pytest.approx(statistics.fmean(values_s), rel=1e-12, abs=1e-9)
    assert summary.min_s <= summary.mean_s <= summary.max_s
    assert summary.min_s <= summary.p50_s <= summary.p95_s <= summary.p99_s <= summary.max_s


def test_negative_zero_and_positive_values_keep_their_order():
    histogram = filled([5.0, -2.0, 0.0, -0.001, 0.001])
    assert [histogram.percentile(rank) for rank in (20, 40, 60, 80, 100)] == [-2.0, -0.001, 0.0, 0.001, 5.0]


def test_one_value_is_every_number_of_its_summary():
    assert filled([0.1, 0.1, 0.1]).summary() == Summary(
        count=3, mean_s=0.1, min_s=0.1, p50_s=0.1, p95_s=0.1, p99_s=0.1, max_s=0.1
    )


def test_nothing_recorded_has_no_summary():
    assert Histogram().summary() is None
    assert Histogram().mean_s is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_duration_is_refused(value):
    with pytest.raises(ValueError, match="finite"):
        Histogram().record(value)


def test_memory_is_bounded_whatever_is_recorded():
    histogram = Histogram()
    for exponent in range(-3000, 3000):
        histogram.record(10 ** (exponent / 10))
        histogram.record(-(10 ** (exponent / 10)))
    for step in range(30_000):
        histogram.record(FINEST_S * 1.001**step)
    assert len(histogram._buckets) < 6000


def test_throughput_is_outcomes_per_second():
    assert throughput_per_s(100, 2.0) == 50.0
    assert throughput_per_s(100, 0.0) is None
