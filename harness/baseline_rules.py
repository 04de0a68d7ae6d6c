"""How much slower than a baseline a run may be, as a flag says it: `round_trip.p(95):10%`, `wall:500ms`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import UsageError
from harness.quantities import NUMBER, duration_s
from harness.spelling import choices, hint
from harness.stats import fewest
from harness.yaml_scalars import shown

METRICS = ("run_time", "queue_wait", "round_trip", "wall")
#: What a rule can ask of a distribution, and the key that the results document has for it.
AGGREGATES: Mapping[str, str] = {
    "avg": "mean_s",
    "med": "p50_s",
    "min": "min_s",
    "max": "max_s",
    "p(50)": "p50_s",
    "p(95)": "p95_s",
    "p(99)": "p99_s",
}

_PERCENTILE = re.compile(r"p\((\d+)\)")
_PERCENT = re.compile(rf"{NUMBER}%")
_ALMOST_PERCENTILE = re.compile(r"[pP]?[ \t]*\(?[ \t]*([0-9]+)[ \t]*\)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How much slower than the baseline a figure may be."""

    metric: str  # run_time, queue_wait, round_trip or wall
    aggregate: str | None  # None for wall, which is one figure
    share: float | None  # 0.1: by a tenth of the baseline's figure
    more_s: float | None  # by so many seconds; either this or `share` is None
    text: str  # as written

    @property
    def figure(self) -> str:
        return self.metric if self.aggregate is None else f"{self.metric}.{self.aggregate}"

    @property
    def takes(self) -> int:
        """How many values the figure takes: a percentile of fewer would be the largest of them."""
        rank = _PERCENTILE.fullmatch(self.aggregate or "")
        return fewest(float(rank[1])) if rank else 1

    @property
    def allowed(self) -> str:
        return self.text.rpartition(":")[2]


def parse_rule(text: str) -> Rule:
    """Return the rule of `round_trip.p(95):10%` or `wall:500ms`: how much slower a figure may be.

    Raises:
        UsageError: It is none.
    """
    figure, colon, allowed = (part.strip(" \t") for part in text.partition(":"))
    if not colon or not allowed:
        raise UsageError(f"expected FIGURE:MORE such as round_trip.p(95):10% or wall:500ms, got {shown(text)}")
    metric, dot, aggregate = figure.partition(".")
    if metric not in METRICS:
        raise UsageError(f"unknown metric {shown(metric)}{hint(metric, METRICS)}", fix=choices(METRICS))
    share, more_s = _allowed(f"{figure}:", allowed)
    if metric == "wall":
        if dot:
            raise UsageError(f"wall is one figure, without {shown(aggregate)}", fix=f"write wall:{allowed}")
        return Rule(metric=metric, aggregate=None, share=share, more_s=more_s, text=f"{figure}:{allowed}")
    if aggregate not in AGGREGATES:
        almost = _ALMOST_PERCENTILE.fullmatch(aggregate)
        meant = hint(f"p({almost[1]})" if almost else aggregate, AGGREGATES)
        raise UsageError(f"{metric} has no {shown(aggregate)}{meant}", fix=choices(AGGREGATES))
    return Rule(metric=metric, aggregate=aggregate, share=share, more_s=more_s, text=f"{figure}:{allowed}")


def _allowed(before: str, text: str) -> tuple[float | None, float | None]:
    """Return the share, or the seconds."""
    if match := _PERCENT.fullmatch(text):
        return float(match[1]) / 100, None
    try:
        return None, duration_s(text, zero=True)
    except UsageError as exc:
        bare = re.fullmatch(NUMBER, text) is not None
        raise UsageError(
            f"expected a percentage such as 10% or a duration such as 50ms, got {shown(text)}",
            fix=f"write {before}{text}% or {before}{text}ms" if bare else "",
        ) from exc
