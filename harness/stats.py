"""Percentiles, a streaming histogram of bounded size, and throughput: pure arithmetic on durations."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.model.metrics import Bucket, Summary

#: How much wider each histogram bucket is than the one before: the error bound of its percentiles.
BUCKET_RATIO = 1.01
#: Durations of at most this many seconds share one bucket: nothing here is timed more finely.
FINEST_S = 1e-6
#: Durations of at least this many seconds (11 days) share one bucket.
COARSEST_S = 1e6

_LOG_RATIO = math.log(BUCKET_RATIO)


def percentile(durations_s: Sequence[float], rank: float) -> float:
    """Return the nearest-rank percentile of `durations_s`.

    The answer is always one of the observed durations, never an interpolation,
    so a reported p99 can be found in the results file.

    Args:
        durations_s: Observations in seconds, in any order; at least one.
        rank: Which percentile, above 0 and up to 100 (95 for p95, not 0.95).

    Raises:
        ValueError: `durations_s` is empty, or `rank` is out of range.
    """
    if not durations_s:
        raise ValueError("no durations: a percentile needs at least one")
    return sorted(durations_s)[_position(rank, len(durations_s)) - 1]


def fewest(rank: float) -> int:
    """Return how many values a percentile takes.

    Above the median so many that one of them lies above it, or it would be the largest under another name: p90 takes
    10, p95 20, p99 100, p99.9 1,000. The median, what is below it, and p100, which is the largest, take one.

    Args:
        rank: Which percentile, above 0 and up to 100.
    """
    return math.ceil(round(100 / (100 - rank), 6)) if 50 < rank < 100 else 1  # rounded: 100 - 99.9 is no tenth


def throughput_per_s(outcomes: int, window_s: float) -> float | None:
    """Return outcomes per second over the measured window; None where the window has no length."""
    return outcomes / window_s if window_s > 0 else None


class Histogram:
    """A distribution of durations in bounded memory, however many are recorded.

    Each value falls into a bucket 1 % wide; a bucket keeps its count and its largest observed value.
    So a percentile is an observed value, within 1 % of the exact nearest-rank one and never below it. There
    are under 6,000 buckets. Count, minimum and maximum are exact, the mean but for rounding. Negative values
    (two hosts' clocks) and zero are kept in their place.
    """

    __slots__ = ("_buckets", "_carry_s", "_sum_s", "count", "max_s", "min_s")

    def __init__(self) -> None:
        self.count = 0
        self.min_s = math.inf
        self.max_s = -math.inf
        self._sum_s = 0.0
        self._carry_s = 0.0  # what rounding took from the sum (Neumaier)
        self._buckets: dict[int, tuple[int, float]] = {}  # key -> count, largest value

    def record(self, value_s: float) -> None:
        """Count one duration.

        Raises:
            ValueError: `value_s` is NaN or infinite.
        """
        if not math.isfinite(value_s):
            raise ValueError(f"expected a finite duration in seconds, got {value_s!r}")
        self.count += 1
        self.min_s = min(self.min_s, value_s)
        self.max_s = max(self.max_s, value_s)
        self._add(value_s)
        key = _bucket_key(value_s)
        count, largest_s = self._buckets.get(key, (0, value_s))
        self._buckets[key] = (count + 1, max(largest_s, value_s))

    def percentile(self, rank: float) -> float:
        """Return the nearest-rank percentile, or an observed value less than 1 % above it.

        Args:
            rank: Which percentile, above 0 and up to 100 (95 for p95, not 0.95).

        Raises:
            ValueError: Nothing was recorded, or `rank` is out of range.
        """
        if not self.count:
            raise ValueError("no durations: a percentile needs at least one")
        missing = _position(rank, self.count)
        for key in sorted(self._buckets):
            count, largest_s = self._buckets[key]
            missing -= count
            if missing <= 0:
                return largest_s
        return self.max_s

    @property
    def mean_s(self) -> float | None:
        """The mean; None where nothing was recorded."""
        if not self.count:
            return None
        mean_s = (self._sum_s + self._carry_s) / self.count
        return min(max(mean_s, self.min_s), self.max_s)  # rounding must not push it outside

    def summary(self) -> Summary | None:
        """Return the distribution as a value; None where nothing was recorded."""
        mean_s = self.mean_s
        if mean_s is None:
            return None
        return Summary(
            count=self.count,
            mean_s=mean_s,
            min_s=self.min_s,
            p50_s=self.percentile(50),
            p95_s=self.percentile(95),
            p99_s=self.percentile(99),
            max_s=self.max_s,
        )

    def buckets(self, most: int = 40) -> tuple[Bucket, ...]:
        """Return the distribution as at most `most` bars of equal width, from the smallest value to the largest.

        A value is counted where its bucket's largest one falls: at most 1 % beside its place.
        """
        if not self.count:
            return ()
        width_s = (self.max_s - self.min_s) / most
        if not width_s:
            return (Bucket(low_s=self.min_s, high_s=self.max_s, count=self.count),)
        counts = [0] * most
        for count, largest_s in self._buckets.values():
            counts[min(int((largest_s - self.min_s) / width_s), most - 1)] += count
        return tuple(
            Bucket(low_s=self.min_s + number * width_s, high_s=self.min_s + (number + 1) * width_s, count=count)
            for number, count in enumerate(counts)
        )

    def _add(self, value_s: float) -> None:
        total_s = self._sum_s + value_s
        larger_s, smaller_s = (self._sum_s, value_s) if abs(self._sum_s) >= abs(value_s) else (value_s, self._sum_s)
        self._carry_s += (larger_s - total_s) + smaller_s
        self._sum_s = total_s


def _position(rank: float, count: int) -> int:
    """Return the 1-based place of a percentile among `count` sorted values."""
    if not 0 < rank <= 100:
        raise ValueError(f"expected a rank above 0 and up to 100, got {rank!r}")
    # rounded first: 99.9 % of 1,000 must be the 999th value, not the 1,000th for want of a bit
    return max(1, math.ceil(round(rank * count / 100, 9)))


def _bucket_key(value_s: float) -> int:
    """Return the bucket of a value: keys sort as values do, below 0 for negative ones, 0 for zero."""
    if value_s == 0:
        return 0
    size_s = min(max(abs(value_s), FINEST_S), COARSEST_S)
    key = 1 + math.ceil(math.log(size_s / FINEST_S) / _LOG_RATIO)
    return key if value_s > 0 else -key
