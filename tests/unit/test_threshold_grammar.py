"""k6's threshold grammar, as a flag or test-config.yml gives it."""

from __future__ import annotations

import pytest

from harness.errors import ExitCode, UsageError
from harness.model.expectation import Threshold
from harness.threshold_grammar import (
    DURATION_METRICS,
    LOAD_METRICS,
    METRICS,
    OPERATORS,
    parse_threshold,
    parse_threshold_rule,
)


def refusal(metric: str, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_threshold(metric, text)
    assert caught.value.exit_code is ExitCode.USAGE
    return str(caught.value)


@pytest.mark.parametrize("metric", DURATION_METRICS)
@pytest.mark.parametrize(
    ("text", "aggregate", "rank", "limit"),
    [
        ("avg<1s", "avg", None, 1.0),
        ("med<1ms", "med", None, 0.001),
        ("min<0s", "min", None, 0.0),
        ("max<1m30s", "max", None, 90.0),
        ("p(95)<500ms", "p", 95.0, 0.5),
        ("p(99.9)<24h", "p", 99.9, 86400.0),
        ("p(100)<1s", "p", 100.0, 1.0),
        ("p( 0.1\t)  <\t1.5s", "p", 0.1, 1.5),
    ],
)
def test_a_limit_on_durations_is_read_in_seconds(
    metric: str, text: str, aggregate: str, rank: float | None, limit: float
) -> None:
    assert parse_threshold(metric, text) == Threshold(
        metric=metric, aggregate=aggregate, rank=rank, operator="<", limit=limit, text=text
    )


@pytest.mark.parametrize(
    ("text", "aggregate", "limit"), [("rate<0.01", "rate", 0.01), ("rate < 1", "rate", 1.0), ("count<5", "count", 5.0)]
)
def test_a_limit_on_failures_is_a_share_or_a_number(text: str, aggregate: str, limit: float) -> None:
    assert parse_threshold("failures", text) == Threshold(
        metric="failures", aggregate=aggregate, rank=None, operator="<", limit=limit, text=text
    )


@pytest.mark.parametrize(
    ("metric", "text", "aggregate", "limit"),
    [
        ("throughput", "rate>50/s", "rate", 50.0),
        ("throughput", "rate >= 3/m", "rate", 0.05),
        ("backlog", "max<1000", "max", 1000.0),
        ("backlog", "avg<2.5", "avg", 2.5),
    ],
)
def test_a_load_has_further_metrics(metric: str, text: str, aggregate: str, limit: float) -> None:
    found = parse_threshold(metric, text, LOAD_METRICS)
    assert (found.aggregate, found.limit, found.text) == (aggregate, limit, text)
    with pytest.raises(UsageError, match=f"unknown metric '{metric}'"):
        parse_threshold(metric, text)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("throughput:50/s", "expected a threshold such as rate>50/s, got '50/s'"),
        ("throughput:rate>50", "expected a rate such as 50/s, 3/m or 100/h, got '50'\n  try: write 50/s"),
        ("throughput:avg>50/s", "throughput has no 'avg'\n  try: use one of: rate"),
        ("backlog:100", "expected a threshold such as max<1000, got '100'"),
        ("backlog:p(95)<5", "backlog has no 'p(95)'\n  try: use one of: avg, max"),
        ("backlog:max<5s", "expected a number of messages, got '5s'"),
        (
            "throughputs:rate>5/s",
            "unknown metric 'throughputs'; did you mean 'throughput'?\n"
            "  try: use one of: backlog, failures, lag, queue_wait, round_trip, run_time, throughput",
        ),
    ],
)
def test_what_is_no_limit_of_a_load_is_a_usage_error(rule: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_threshold_rule(rule, LOAD_METRICS)
    assert str(caught.value) == message


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_is_read_with_and_without_blanks(operator: str) -> None:
    assert parse_threshold("lag", f"max{operator}1s").operator == operator
    spaced = parse_threshold("lag", f"  max {operator} 1s ")
    assert (spaced.operator, spaced.text) == (operator, f"max {operator} 1s")


@pytest.mark.parametrize("metric", METRICS)
def test_a_rule_names_its_metric_before_a_colon(metric: str) -> None:
    text = "rate<0.5" if metric == "failures" else "p(95)<500ms"
    assert parse_threshold_rule(f" {metric} : {text}") == parse_threshold(metric, text)


DURATION = "expected a duration such as 500ms, 30s, 1m30s or 1h, got"
AGGREGATES = "\n  try: use one of: avg, max, med, min, p(N)"
OPS = "\n  try: use one of: !=, <, <=, ==, >, >="


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a threshold such as p(95)<500ms, got ''"),
        ("fast", "expected a threshold such as p(95)<500ms, got 'fast'"),
        ("avg<1s<2s", "expected a threshold such as p(95)<500ms, got 'avg<1s<2s'"),
        ("avg=1s", f"unknown operator '='; did you mean '=='?{OPS}"),
        ("avg===1s", f"unknown operator '==='; did you mean '=='?{OPS}"),
        ("avg=<1s", f"unknown operator '=<'; did you mean '<='?{OPS}"),
        ("avg><1s", f"unknown operator '><'{OPS}"),
        ("average<1s", f"lag has no 'average'; did you mean 'avg'?{AGGREGATES}"),
        ("AVG<1s", f"lag has no 'AVG'{AGGREGATES}"),
        ("p95<1s", f"lag has no 'p95'; did you mean 'p(95)'?{AGGREGATES}"),
        ("P(95)<1s", f"lag has no 'P(95)'; did you mean 'p(95)'?{AGGREGATES}"),
        ("rate<0.1", f"lag has no 'rate'{AGGREGATES}"),
        ("<1s", f"lag has no ''{AGGREGATES}"),
        ("p()<1s", f"lag has no 'p()'{AGGREGATES}"),
        ("p(0)<1s", "expected a percentile above 0 and of at most 100, got 'p(0)'"),
        ("p(100.1)<1s", "expected a percentile above 0 and of at most 100, got 'p(100.1)'"),
        ("p(95)<500", f"{DURATION} '500'\n  try: write p(95)<500ms"),
        ("avg<", f"{DURATION} ''"),
        ("avg<-1s", f"{DURATION} '-1s'"),
        ("avg<25h", "expected a duration of at most 24h, got '25h'"),
        ("avg\n<1s", f"lag has no 'avg\\n'; did you mean 'avg'?{AGGREGATES}"),
    ],
)
def test_what_is_no_limit_on_durations_is_a_usage_error(text: str, message: str) -> None:
    assert refusal("lag", text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none", "expected a threshold such as rate<0.01, got 'none'"),
        ("avg<1s", "failures has no 'avg'\n  try: use one of: count, rate"),
        ("rates<0.1", "failures has no 'rates'; did you mean 'rate'?\n  try: use one of: count, rate"),
        ("rate<1%", "expected a share from 0 to 1, got '1%'\n  try: write rate<0.01 for 1%"),
        ("rate<5", "expected a share from 0 to 1, got '5'\n  try: write rate<0.01 for 1%"),
        ("rate<500ms", "expected a share from 0 to 1, got '500ms'\n  try: write rate<0.01 for 1%"),
        ("count<1.5", "expected a whole number, got '1.5'"),
        ("count<9999999999999999", "expected a whole number, got '9999999999999999'"),
    ],
)
def test_what_is_no_limit_on_failures_is_a_usage_error(text: str, message: str) -> None:
    assert refusal("failures", text) == message


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("p(95)<500ms", "expected METRIC:EXPRESSION such as round_trip:p(95)<500ms, got 'p(95)<500ms'"),
        (
            "roundtrip:p(95)<500ms",
            "unknown metric 'roundtrip'; did you mean 'round_trip'?\n"
            "  try: use one of: failures, lag, queue_wait, round_trip, run_time",
        ),
        ("round_trip:", "expected a threshold such as p(95)<500ms, got ''"),
    ],
)
def test_what_is_no_rule_is_a_usage_error(rule: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_threshold_rule(rule)
    assert str(caught.value) == message
