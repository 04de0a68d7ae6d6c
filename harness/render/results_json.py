"""The results document: a report as JSON, the same for the file, for stdout and for a later comparison."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from operator import attrgetter
from typing import Any

from harness.errors import ExitCode
from harness.model import (
    Bounds,
    Bucket,
    FaultRecord,
    Outcome,
    Recovery,
    Report,
    Scenario,
    Summary,
    TaskSpec,
    TaskTally,
    Threshold,
    WorkerSpec,
)
from harness.render.visible import utc_text
from harness.stats import throughput_per_s

#: Containers inside containers that a value may have before the rest is repr'd: below json's own limit.
_DEEPEST = 64
#: Decimals of a duration: microseconds, finer than any clock here.
_DECIMALS = 6

_repr = reprlib.Repr()  # bounded, and not upset by an object whose own repr raises
_repr.maxother = _repr.maxstring = 1000

#: By what a run can end with.
_VERDICTS = {
    ExitCode.OK: "passed",
    ExitCode.CHECK_FAILED: "failed",
    ExitCode.THRESHOLD: "crossed",
    ExitCode.UNAVAILABLE: "invalid",
    ExitCode.INTERRUPTED: "interrupted",
}
_OUTCOME_FIELDS = tuple(field.name for field in fields(Outcome))
_OUTCOME_VALUES = attrgetter(*_OUTCOME_FIELDS)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def document(report: Report) -> dict[str, Any]:
    """Return the whole document. Outcomes are those that the report holds: `pieces` adds the streamed ones."""
    return {**_head(report), "outcomes": [outcome_record(outcome) for outcome in report.outcomes]}


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """Return one outcome with its derived durations; every value can be held by JSON."""
    record = {name: json_value(value) for name, value in zip(_OUTCOME_FIELDS, _OUTCOME_VALUES(outcome), strict=True)}
    record["worker"] = json_value(outcome.worker)
    record["run_time_s"] = _duration(outcome.run_time_s)
    record["queue_wait_s"] = _duration(outcome.queue_wait_s)
    record["round_trip_s"] = _duration(outcome.round_trip_s)
    record["lag_s"] = _duration(outcome.lag_s)
    record["finished_at_utc"] = None if outcome.finished_at is None else utc_text(outcome.finished_at)
    return record


def outcome_line(outcome: Outcome) -> str:
    """Return one outcome as a line of JSON, without the line end."""
    return _encode(outcome_record(outcome))


def pieces(report: Report, streamed: Iterable[str] = ()) -> Iterator[str]:
    """Yield the document's text, in constant memory: one outcome a line, `streamed` ones after those held.

    Args:
        report: What to write.
        streamed: Lines that `outcome_line` made of the outcomes that the report does not hold.
    """
    yield laid_out(_head(report)).removesuffix("\n}") + ',\n  "outcomes": ['
    separator = "\n    "
    for outcome in report.outcomes:
        yield separator + outcome_line(outcome)
        separator = ",\n    "
    for line in streamed:
        yield separator + line.rstrip("\n")
        separator = ",\n    "
    yield "\n  ]\n}\n" if separator.startswith(",") else "]\n}\n"


#: Columns of a line of the text, where it holds more than one value.
_WIDTH = 120
#: Of what was asked, said also where it is the default.
_ALWAYS_SAID: Mapping[type, tuple[str, ...]] = {
    WorkerSpec: ("replicas",),
    TaskSpec: ("count", "args", "kwargs"),
    Scenario: ("timeout_s",),
}
#: Keys of what was asked that say their unit in the document only.
_WITH_UNIT = {
    "wall_time": "wall_time_s",
    "recovery": "recovery_s",
    "run_time": "run_time_s",
    "queue_wait": "queue_wait_s",
    "backoff": "backoff_s",
    "rate": "rate_per_s",
}


def json_value(value: object, depth: int = 0) -> Any:
    """Return `value` as JSON can hold it; what JSON cannot hold (NaN, objects, bytes) is repr'd."""
    if value is None or type(value) is bool or type(value) is int:  # the exact types first: nearly all are of one
        return value
    if type(value) is str and value.isascii():
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, Enum):
        return json_value(value.value, depth)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        # a lone surrogate has no UTF-8
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            return {str(json_value(str(key))): json_value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [json_value(item, depth + 1) for item in value]
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: json_value(getattr(value, field.name), depth + 1) for field in fields(value)}
    return json_value(_repr.repr(value))


def _head(report: Report) -> dict[str, Any]:
    """Return everything but the outcomes."""
    metrics = report.metrics
    distributions = metrics.distributions.items()
    return {
        "schema_version": report.schema_version,
        "run_id": json_value(report.run_id),
        "verdict": _VERDICTS[report.exit_code],
        "exit_code": int(report.exit_code),
        "exit_meaning": report.exit_code.meaning,
        "interrupted": report.interrupted,
        "started_at": json_value(report.started_at),
        "started_at_utc": utc_text(report.started_at),
        "broker": json_value(report.broker),
        "embedded": report.embedded,
        "scenario": asked(report.scenario),
        "ledger": {
            **json_value(report.ledger),
            "completed": report.ledger.completed,
            "balanced": report.ledger.balanced,
        },
        "checks": json_value(report.checks),
        "thresholds": json_value(report.thresholds),
        "dead_letters": json_value(report.dead_letters),
        "duplicates": json_value(report.duplicates),
        "faults": [_measured(fault) for fault in report.faults],
        "metrics": {
            "wall_s": _duration(metrics.wall_s),
            "sequential_s": _duration(metrics.sequential_s),
            "throughput_per_s": _duration(throughput_per_s(report.ledger.completed, metrics.wall_s)),
            "retries": metrics.retries,
            "run_time": _summary(metrics.run_time),
            "queue_wait": _summary(metrics.queue_wait),
            "round_trip": _summary(metrics.round_trip),
            "lag": _summary(metrics.lag),
            "negative_waits": metrics.negative_waits,
            "distributions": {name: [_bucket(one) for one in bars if one.count] for name, bars in distributions},
            "tallies": [_tally(tally) for tally in metrics.tallies],
            "activity": json_value(metrics.activity),
            "slice_s": _duration(metrics.slice_s),
        },
        "roster": {
            "nodes": [
                {
                    "name": json_value(node.name),
                    "service": json_value(node.service),
                    "queues": json_value(node.queues),
                }
                for node in report.roster.nodes
            ],
            "consumers": json_value(report.roster.consumers),
            "backlog": json_value(report.roster.backlog),
        },
        "notes": json_value(report.notes),
        "outcome_count": report.outcome_count,
    }


def asked(scenario: Scenario) -> dict[str, Any]:
    """Return what was asked; settings that were left at their defaults are left out."""
    return {**_asked(scenario), "task_count": scenario.task_count}


def _asked(value: object) -> Any:
    if isinstance(value, tuple):
        return [_asked(item) for item in value]
    if isinstance(value, Threshold):
        return {"metric": value.metric, "text": value.text}  # as written, which says the unit
    if isinstance(value, Mapping) and any(isinstance(item, Bounds) for item in value.values()):
        return {key: _asked(item) for key, item in value.items()}
    if not is_dataclass(value) or isinstance(value, type):
        return json_value(value)
    always = _ALWAYS_SAID.get(type(value), ())
    return {
        _WITH_UNIT.get(field.name, field.name): _asked(getattr(value, field.name))
        for field in fields(value)
        if field.name in always or getattr(value, field.name) != _default(field)
    }


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _summary(summary: Summary | None) -> dict[str, Any] | None:
    return None if summary is None else _measured(summary)


def _measured(value: Summary | FaultRecord | Recovery) -> dict[str, Any]:
    """Return a value whose fields that end in _s are durations."""
    record = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if isinstance(item, Recovery):
            record[field.name] = _measured(item)
        else:
            record[field.name] = _duration(item) if field.name.endswith("_s") else json_value(item)
    return record


def _bucket(bucket: Bucket) -> dict[str, Any]:
    return {"low_s": _duration(bucket.low_s), "high_s": _duration(bucket.high_s), "count": bucket.count}


def _tally(tally: TaskTally) -> dict[str, Any]:
    return {**json_value(tally), "run_time": _summary(tally.run_time)}


def laid_out(value: Any, indent: str = "") -> str:
    """Return `value` as text that is read from top to bottom: what fits into a line, or is one row, has one."""
    line = _encode(value)
    inner = indent + "  "
    if not isinstance(value, (dict, list)) or (indent and len(inner) + len(line) <= _WIDTH):
        return line
    if isinstance(value, list):
        if not any(isinstance(item, (dict, list)) for item in value):
            return line
        items = [laid_out(item, inner) for item in value]
    else:
        items = [f"{_encode(key)}: {laid_out(item, inner)}" for key, item in value.items()]
    opening, closing = "[]" if isinstance(value, list) else "{}"
    return f"{opening}\n{inner}" + f",\n{inner}".join(items) + f"\n{indent}{closing}"


def _duration(value: float | None) -> Any:
    """Return a duration to the microsecond: an outcome's and a percentile's alike, so that they can be matched."""
    return None if value is None else json_value(round(value, _DECIMALS))
