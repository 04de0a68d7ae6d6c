"""Reads a scenario's `expect:` of test-config.yml: what a run as a whole should come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields as fields_of
from dataclasses import replace

from harness.errors import UsageError
from harness.model.expectation import Bounds, DeadLetters, RunExpectation, Threshold
from harness.model.ledger import LedgerCounts
from harness.quantities import MAX_TASKS
from harness.threshold_grammar import METRICS, parse_threshold
from harness.yaml_fields import (
    Keys,
    bounds,
    broker_name,
    choice,
    counts,
    durations,
    fields,
    given,
    number,
    some,
    text,
)
from harness.yaml_nodes import Value

#: Why a message is in a dead-letter queue, as RabbitMQ writes it into x-death.
REASONS = ("rejected", "expired", "delivery_limit", "maxlen")

#: What `routing` can ask for: that every task which the app registers is dispatched and delivered as routed.
ROUTING = ("all",)

RUN_EXPECT = Keys(
    definitions=("run_expect",),
    optional=("wall_time", "overlap", "fairness", "ledger", "dead_letters", "thresholds", "routing", "recovery"),
    some=True,
    elsewhere=dict.fromkeys(
        ("state", "result", "error", "queue", "worker", "attempts", "backoff", "run_time", "queue_wait"),
        "it is judged task by task: put it in the expect of an entry of tasks",
    ),
)
LEDGER = Keys(definitions=("ledger",), optional=tuple(column.name for column in fields_of(LedgerCounts)), some=True)
DEAD_LETTERS = Keys(definitions=("dead_letters",), required=("queue",), optional=("count", "reason", "task"))
THRESHOLDS = Keys(definitions=("thresholds",), optional=METRICS, some=True)


def run_expectation(value: Value) -> RunExpectation:
    entries = fields(value, RUN_EXPECT)
    return RunExpectation(
        wall_time=given(entries, "wall_time", durations, None),
        overlap=given(entries, "overlap", _overlap, None),
        fairness=given(entries, "fairness", lambda entry: number(entry, MAX_TASKS, 1), None),
        ledger=given(entries, "ledger", _ledger, {}),
        dead_letters=given(entries, "dead_letters", _dead_letters, ()),
        thresholds=given(entries, "thresholds", thresholds, ()),
        routing=given(entries, "routing", lambda entry: choice(entry, "routing", ROUTING) == "all", False),
        recovery=given(entries, "recovery", durations, None),
    )


def with_defaults(own: RunExpectation, defaults: RunExpectation) -> RunExpectation:
    """Return `own`, with `defaults` for each key that it leaves out; a key is taken whole."""
    asked = {entry.name: getattr(own, entry.name) for entry in fields_of(own)}
    return replace(defaults, **{key: wanted for key, wanted in asked.items() if wanted})  # unset: None or empty


def _overlap(value: Value) -> Bounds:
    return bounds(value, lambda side: number(side, MAX_TASKS), "{min: 1.5}")


def _ledger(value: Value) -> Mapping[str, Bounds]:
    return {column: counts(entry, MAX_TASKS) for column, entry in fields(value, LEDGER).items()}


def _dead_letters(value: Value) -> tuple[DeadLetters, ...]:
    return tuple(_dead_letter(entry) for entry in some(value, "dead-letter queue"))


def _dead_letter(value: Value) -> DeadLetters:
    entries = fields(value, DEAD_LETTERS)
    return DeadLetters(
        queue=broker_name(entries["queue"], "queue"),
        count=given(entries, "count", lambda entry: counts(entry, MAX_TASKS), Bounds(low=1, high=1)),
        reason=given(entries, "reason", lambda entry: choice(entry, "reason", REASONS), None),
        task=given(entries, "task", lambda entry: broker_name(entry, "task"), None),
    )


def thresholds(value: Value, keys: Keys = THRESHOLDS) -> tuple[Threshold, ...]:
    """Args:
    keys: The metrics that can be limited here.
    """
    return tuple(
        _threshold(metric, expression, keys)
        for metric, entry in fields(value, keys).items()
        for expression in (some(entry, "threshold") if entry.kind == "list" else [entry])
    )


def _threshold(metric: str, value: Value, keys: Keys) -> Threshold:
    try:
        return parse_threshold(metric, text(value, "a threshold, or a list of them"), keys.optional)
    except UsageError as exc:
        raise value.error(exc.what, fix=exc.fix) from None
