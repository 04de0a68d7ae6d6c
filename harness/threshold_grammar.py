"""Reads thresholds in k6's grammar, from test-config.yml or a flag: `p(95)<500ms`, `rate<0.01`."""

from __future__ import annotations

import re

from harness.errors import UsageError
from harness.model import Threshold
from harness.quantities import NUMBER, duration_s
from harness.spelling import choices, hint
from harness.yaml_scalars import shown

#: Metrics that are a distribution of durations, and those that count.
DURATION_METRICS = ("run_time", "queue_wait", "round_trip", "lag")
COUNT_METRICS = ("failures",)
METRICS = (*DURATION_METRICS, *COUNT_METRICS)
OPERATORS = ("<", "<=", ">", ">=", "==", "!=")
_MEANT = {"=": "==", "===": "==", "!==": "!=", "=<": "<=", "=>": ">=", "<>": "!="}

DURATION_AGGREGATES = ("avg", "med", "min", "max")  # and p(N)
COUNT_AGGREGATES = ("rate", "count")

_EXPRESSION = re.compile(r"([^<>=!]*)([<>=!]+)([^<>=!]*)")
_PERCENTILE = re.compile(rf"p\([ \t]*{NUMBER}[ \t]*\)")
_ALMOST_PERCENTILE = re.compile(rf"[pP]?[ \t]*\(?[ \t]*{NUMBER}[ \t]*\)?")
_NUMBER = re.compile(NUMBER)
_WHOLE = re.compile("[0-9]{1,15}")


def parse_threshold_rule(text: str) -> Threshold:
    """Return the threshold of a rule such as `round_trip:p(95)<500ms`.

    Raises:
        UsageError: It is none.
    """
    metric, colon, expression = text.partition(":")
    if not colon:
        raise UsageError(f"expected METRIC:EXPRESSION such as round_trip:p(95)<500ms, got {shown(text)}")
    return parse_threshold(metric.strip(), expression)


def parse_threshold(metric: str, text: str) -> Threshold:
    """Return the threshold that an expression such as `p(95)<500ms` sets to a metric.

    A limit on durations has a unit: k6 reads a bare number as milliseconds, other tools as seconds.

    Args:
        metric: One of `METRICS`.
        text: p(N), avg, med, min or max of durations, rate or count of failures; an operator; the limit.
            Blanks may stand between them.

    Raises:
        UsageError: It is none.
    """
    if metric not in METRICS:
        raise UsageError(f"unknown metric {shown(metric)}{hint(metric, METRICS)}", fix=choices(METRICS))
    text = text.strip(" \t")
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        example = "rate<0.01" if metric in COUNT_METRICS else "p(95)<500ms"
        raise UsageError(f"expected a threshold such as {example}, got {shown(text)}")
    written, operator, limit = (part.strip(" \t") for part in match.groups())
    if operator not in OPERATORS:
        meant = f"; did you mean {_MEANT[operator]!r}?" if operator in _MEANT else ""
        raise UsageError(f"unknown operator {shown(operator)}{meant}", fix=choices(OPERATORS))
    aggregate, rank = (_of_counts if metric in COUNT_METRICS else _of_durations)(metric, written)
    return Threshold(
        metric=metric,
        aggregate=aggregate,
        rank=rank,
        operator=operator,
        limit=_limit(aggregate, limit, f"{written}{operator}"),
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
    if written in COUNT_AGGREGATES:
        return written, None
    raise UsageError(
        f"{metric} has no {shown(written)}{hint(written, COUNT_AGGREGATES)}", fix=choices(COUNT_AGGREGATES)
    )


def _limit(aggregate: str, written: str, before: str) -> float:
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
