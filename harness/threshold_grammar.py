"""Reads thresholds in k6's grammar, from test-config.yml or a flag: `p(95)<500ms`, `rate<0.01`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.errors import UsageError
from harness.model.expectation import Threshold
from harness.quantities import NUMBER, duration_s, rate_per_s
from harness.spelling import choices, hint
from harness.yaml_scalars import shown

#: Metrics that are a distribution of durations.
DURATION_METRICS = ("run_time", "queue_wait", "round_trip", "lag")
#: What a run is measured by, and what a load is: tasks completed a second, messages ready in all its queues together.
METRICS = (*DURATION_METRICS, "failures")
LOAD_METRICS = (*METRICS, "throughput", "backlog")
OPERATORS = ("<", "<=", ">", ">=", "==", "!=")
_MEANT = {"=": "==", "===": "==", "!==": "!=", "=<": "<=", "=>": ">=", "<>": "!="}

DURATION_AGGREGATES = ("avg", "med", "min", "max")  # and p(N)
#: What the metrics that count have, and an example of each.
_COUNTED = {"failures": ("rate", "count"), "throughput": ("rate",), "backlog": ("avg", "max")}
_EXAMPLES = {"failures": "rate<0.01", "throughput": "rate>50/s", "backlog": "max<1000"}

_EXPRESSION = re.compile(r"([^<>=!]*)([<>=!]+)([^<>=!]*)")
_PERCENTILE = re.compile(rf"p\([ \t]*{NUMBER}[ \t]*\)")
_ALMOST_PERCENTILE = re.compile(rf"[pP]?[ \t]*\(?[ \t]*{NUMBER}[ \t]*\)?")
_NUMBER = re.compile(NUMBER)
_WHOLE = re.compile("[0-9]{1,15}")


def parse_threshold_rule(text: str, metrics: Sequence[str] = METRICS) -> Threshold:
    """Return the threshold of a rule such as `round_trip:p(95)<500ms`.

    Args:
        metrics: Those that are known here.

    Raises:
        UsageError: It is none.
    """
    metric, colon, expression = text.partition(":")
    if not colon:
        raise UsageError(f"expected METRIC:EXPRESSION such as round_trip:p(95)<500ms, got {shown(text)}")
    return parse_threshold(metric.strip(), expression, metrics)


def parse_threshold(metric: str, text: str, metrics: Sequence[str] = METRICS) -> Threshold:
    """Return the threshold that an expression such as `p(95)<500ms` sets to a metric.

    A limit on durations has a unit: k6 reads a bare number as milliseconds, other tools as seconds.

    Args:
        metric: One of `metrics`.
        text: p(N), avg, med, min or max of durations, rate or count of failures, rate of throughput, avg or max of
            backlog; an operator; the limit. Blanks may stand between them.
        metrics: Those that are known here.

    Raises:
        UsageError: It is none.
    """
    if metric not in metrics:
        raise UsageError(f"unknown metric {shown(metric)}{hint(metric, metrics)}", fix=choices(metrics))
    text = text.strip(" \t")
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        example = _EXAMPLES.get(metric, "p(95)<500ms")
        raise UsageError(f"expected a threshold such as {example}, got {shown(text)}")
    written, operator, limit = (part.strip(" \t") for part in match.groups())
    if operator not in OPERATORS:
        meant = f"; did you mean {_MEANT[operator]!r}?" if operator in _MEANT else ""
        raise UsageError(f"unknown operator {shown(operator)}{meant}", fix=choices(OPERATORS))
    aggregate, rank = (_of_counts if metric in _COUNTED else _of_durations)(metric, written)
    return Threshold(
        metric=metric,
        aggregate=aggregate,
        rank=rank,
        operator=operator,
        limit=_limit(metric, aggregate, limit, f"{written}{operator}"),
        text=text,
    )


def _of_durations(metric: str, written: str) -> tuple[str, float | None]:
    if written in DURATION_AGGREGATES:
        return written, None
    if match := _PERCENTILE.fullmatch(written):
        rank = float(match[1])
        if not 0 < rank <= 100:
            raise UsageError(f"expected a percentile above 0 and of at most 100, got {shown(written)}")
        return "p", rank
    almost = _ALMOST_PERCENTILE.fullmatch(written)
    meant = f"; did you mean 'p({almost[1]})'?" if almost else hint(written, DURATION_AGGREGATES)
    raise UsageError(f"{metric} has no {shown(written)}{meant}", fix=choices((*DURATION_AGGREGATES, "p(N)")))


def _of_counts(metric: str, written: str) -> tuple[str, None]:
    known = _COUNTED[metric]
    if written in known:
        return written, None
    raise UsageError(f"{metric} has no {shown(written)}{hint(written, known)}", fix=choices(known))


def _limit(metric: str, aggregate: str, written: str, before: str) -> float:
    if metric == "throughput":
        return rate_per_s(written)
    if metric == "backlog":
        if not _NUMBER.fullmatch(written):
            raise UsageError(f"expected a number of messages, got {shown(written)}")
        return float(written)
    if aggregate == "rate":
        if not _NUMBER.fullmatch(written) or float(written) > 1:
            raise UsageError(f"expected a share from 0 to 1, got {shown(written)}", fix=f"write {before}0.01 for 1%")
        return float(written)
    if aggregate == "count":
        if not _WHOLE.fullmatch(written):
            raise UsageError(f"expected a whole number, got {shown(written)}")
        return float(written)
    try:
        return duration_s(written, zero=True)
    except UsageError as exc:
        fix = f"write {before}{written}ms" if _NUMBER.fullmatch(written) else exc.fix
        raise UsageError(exc.what, fix=fix) from None
