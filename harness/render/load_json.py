"""The results document of a load: the same for the file and for stdout, and the tasks of it that did not succeed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from harness.errors import ExitCode
from harness.load_report import SCHEMA_VERSION, Latency, LoadReport
from harness.model.ledger import State
from harness.model.load import LoadModel
from harness.render.json_text import json_value, laid_out, rounded
from harness.render.outcome_json import outcome_record
from harness.render.visible import utc_text

_VERDICTS = {
    ExitCode.OK: "passed",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.UNAVAILABLE: "invalid",
}


def load_pieces(report: LoadReport) -> Iterator[str]:
    """Yield the document's text."""
    yield laid_out(load_document(report)) + "\n"


def load_document(report: LoadReport) -> dict[str, Any]:
    """Return the whole document."""
    run, window, generator = report.run, report.window, report.generator
    attempted = run.ledger.attempted
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run.run_id,
        "verdict": _VERDICTS.get(report.exit_code, "failed"),
        "exit_code": int(report.exit_code),
        "exit_meaning": report.exit_code.meaning,
        "interrupted": run.interrupted,
        "invalid": json_value(report.invalid),
        "started_at": run.started_at,
        "started_at_utc": utc_text(run.started_at),
        "broker": json_value(run.broker),
        "embedded": run.embedded,
        "load": _asked(report),
        "ledger": {**json_value(run.ledger), "completed": run.ledger.completed, "balanced": run.ledger.balanced},
        "rates": {
            "window": {"begin_s": rounded(window.begin_s), "end_s": rounded(window.end_s), "cut": window.words},
            "offered_per_s": report.plan.load.rate,
            "achieved_per_s": rounded(report.achieved_per_s),
            "throughput_per_s": rounded(window.throughput_per_s),
            "sent": window.sent,
            "completed": window.completed,
            "busy_s": rounded(window.busy_s),
            "published_s": rounded(report.published_s),
        },
        "latencies_from": "due" if report.plan.load.model is LoadModel.OPEN else "published",
        "latencies": {
            **{name: _latency(latency) for name, latency in report.latencies.items()},
            "lag": _latency(generator.lag),
        },
        "slices": json_value(report.slices),
        "backlog": [
            {
                "queue": json_value(one.queue),
                "most": one.most,
                "mean": rounded(one.mean),
                "last": one.last,
                "looks": [[rounded(at_s), ready] for at_s, ready in one.looks],
            }
            for one in report.backlog
        ],
        "nodes": [{**json_value(share), "share": rounded(share.share)} for share in report.shares],
        "fairness": {service: json_value(ratio) for service, ratio in report.fairness.items()},
        "generator": {
            "cpu_s": rounded(generator.cpu_s),
            "cpu_per_task_s": rounded(generator.cpu_s / attempted) if attempted else None,
            "wall_s": rounded(generator.wall_s),
            "peak_bytes": generator.peak_bytes,
            "in_flight": generator.in_flight,
        },
        "checks": json_value(report.checks),
        "thresholds": json_value(report.thresholds),
        "duplicates": json_value(run.duplicates),
        "notes": json_value(run.notes),
        "not_succeeded": [outcome_record(outcome) for outcome in run.outcomes if outcome.state is not State.SUCCEEDED],
    }


def _asked(report: LoadReport) -> dict[str, Any]:
    plan, load = report.plan, report.plan.load
    return {
        "name": json_value(plan.scenario.name),
        "model": load.model.value,
        "tasks": plan.offered,
        "mix": {spec.task: share for spec, share in zip(plan.scenario.tasks, plan.shares, strict=True)},
        "work_s": plan.work_s,
        "rate_per_s": load.rate,
        "in_flight": load.window,
        "duration_s": load.duration_s,
        "ramp_s": load.ramp_s,
        "warmup_s": load.warmup_s,
        "timeout_s": plan.scenario.timeout_s,
        "max_error_rate": plan.max_error_rate,
        "max_lag_s": plan.max_lag_s,
        "thresholds": [f"{threshold.metric}:{threshold.text}" for threshold in plan.thresholds],
    }


def _latency(latency: Latency | None) -> dict[str, Any] | None:
    if latency is None:
        return None
    figures = {field.name: getattr(latency, field.name) for field in fields(latency) if field.name != "curve"}
    return {
        **{name: value if name == "count" else rounded(value) for name, value in figures.items()},
        "curve": [[rounded(rank), rounded(value_s)] for rank, value_s in latency.curve],
    }
