"""The results document: a report as JSON, the same for the file, for stdout and for a later comparison."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from harness.errors import ExitCode
from harness.model.fault import FaultRecord, Recovery
from harness.model.metrics import Bucket, Summary, TaskTally
from harness.model.report import Report
from harness.render.asked import asked
from harness.render.json_text import json_value, laid_out, rounded
from harness.render.outcome_json import outcome_line, outcome_record
from harness.render.visible import utc_text
from harness.stats import throughput_per_s

#: By what a run can end with.
_VERDICTS = {
    ExitCode.OK: "passed",
    ExitCode.CHECK_FAILED: "failed",
    ExitCode.THRESHOLD: "crossed",
    ExitCode.UNAVAILABLE: "invalid",
    ExitCode.INTERRUPTED: "interrupted",
}


def document(report: Report) -> dict[str, Any]:
    """Return the whole document. Outcomes are those that the report holds: `pieces` adds the streamed ones."""
    return {**_head(report), "outcomes": [outcome_record(outcome) for outcome in report.outcomes]}


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
            "wall_s": rounded(metrics.wall_s),
            "sequential_s": rounded(metrics.sequential_s),
            "throughput_per_s": rounded(throughput_per_s(report.ledger.completed, metrics.wall_s)),
            "retries": metrics.retries,
            "run_time": _summary(metrics.run_time),
            "queue_wait": _summary(metrics.queue_wait),
            "round_trip": _summary(metrics.round_trip),
            "lag": _summary(metrics.lag),
            "negative_waits": metrics.negative_waits,
            "distributions": {name: [_bucket(one) for one in bars if one.count] for name, bars in distributions},
            "tallies": [_tally(tally) for tally in metrics.tallies],
            "activity": json_value(metrics.activity),
            "slice_s": rounded(metrics.slice_s),
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
            record[field.name] = rounded(item) if field.name.endswith("_s") else json_value(item)
    return record


def _bucket(bucket: Bucket) -> dict[str, Any]:
    return {"low_s": rounded(bucket.low_s), "high_s": rounded(bucket.high_s), "count": bucket.count}


def _tally(tally: TaskTally) -> dict[str, Any]:
    return {**json_value(tally), "run_time": _summary(tally.run_time)}
