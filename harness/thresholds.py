"""Pure: what a threshold's expression comes to, over the distributions of a run."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence

from harness.model.expectation import Threshold
from harness.model.ledger import LedgerCounts
from harness.model.report import Check
from harness.stats import Histogram, fewest

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def judge(
    thresholds: Sequence[Threshold],
    distributions: Mapping[str, Histogram],
    ledger: LedgerCounts,
    figures: Mapping[tuple[str, str], tuple[float, str]] | None = None,
) -> tuple[Check, ...]:
    """Return a check for each threshold. One on what was never measured, or too seldom to be judged, does not hold.

    Args:
        distributions: By metric name: run_time, queue_wait, round_trip, lag; in seconds.
        figures: Further ones, by metric and aggregate, each with its evidence.
    """
    return tuple(_judge(threshold, distributions, ledger, figures or {}) for threshold in thresholds)


def _judge(
    threshold: Threshold,
    distributions: Mapping[str, Histogram],
    ledger: LedgerCounts,
    figures: Mapping[tuple[str, str], tuple[float, str]],
) -> Check:
    name = f"{threshold.metric} {threshold.text}"
    if figure := figures.get((threshold.metric, threshold.aggregate)):
        value, evidence = figure
    elif threshold.metric == "failures":
        failures = ledger.attempted - ledger.succeeded
        value = float(failures)
        if threshold.aggregate == "rate":
            value = failures / ledger.attempted if ledger.attempted else 0.0
        evidence = f"{failures} of {ledger.attempted} did not succeed"
    else:
        distribution = distributions.get(threshold.metric)
        if distribution is None or not distribution.count:
            return Check(name=name, passed=False, evidence="nothing was measured")
        if distribution.count < (needed := fewest(threshold.rank or 100)):
            most = f"{distribution.max_s * 1000:.1f} ms at most over {distribution.count} measured"
            evidence = f"{most}: too few, p({threshold.rank:g}) takes {needed:,}"
            return Check(name=name, passed=False, evidence=evidence)
        value = aggregate(distribution, threshold.aggregate, threshold.rank)
        evidence = f"{value * 1000:.1f} ms over {distribution.count} measured"
    return Check(name=name, passed=OPERATORS[threshold.operator](value, threshold.limit), evidence=evidence)


def aggregate(distribution: Histogram, name: str, rank: float | None = None) -> float:
    """Return avg, med, min, max, or the percentile `rank` (p) of a distribution that is not empty, in seconds."""
    if name == "p" and rank is not None:
        return distribution.percentile(rank)
    if name == "med":
        return distribution.percentile(50)
    summary = distribution.summary()
    assert summary is not None
    return {"avg": summary.mean_s, "min": summary.min_s, "max": summary.max_s}[name]
