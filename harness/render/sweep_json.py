"""The results document of a sweep: the curve, what it says, and the whole document of each step's load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.load_plan import LoadPlan
from harness.render.json_text import json_value, laid_out, rounded
from harness.render.load_json import load_document
from harness.render.sweep_words import finding, sweep_headline, why
from harness.render.visible import utc_text
from harness.sweep import SCHEMA_VERSION, Step, Sweep, limit


def sweep_pieces(sweep: Sweep, plan: LoadPlan, started_at: float, broker: str) -> Iterator[str]:
    """Yield the document's text."""
    yield laid_out(sweep_document(sweep, plan, started_at, broker)) + "\n"


def sweep_document(sweep: Sweep, plan: LoadPlan, started_at: float, broker: str) -> dict[str, Any]:
    """Return the whole document. `broker` is a URL that has lost its password already."""
    error = sweep.error
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "sweep",
        "verdict": sweep_headline(sweep).word.lower(),
        "exit_code": int(sweep.exit_code),
        "exit_meaning": sweep.exit_code.meaning,
        "started_at": started_at,
        "started_at_utc": utc_text(started_at),
        "broker": json_value(broker),
        "services": [json_value(worker.service) for worker in plan.scenario.workers],
        "finding": finding(sweep),
        "curve": [_point(sweep, step) for step in sweep.steps],
        "error": None if error is None else json_value({"what": error.what, "why": error.why, "fix": error.fix}),
        "steps": [load_document(step.report) for step in sweep.steps],
    }


def _point(sweep: Sweep, step: Step) -> dict[str, Any]:
    wait = step.report.latencies.get("queue_wait")
    return {
        "replicas": step.replicas,
        "processes": step.slots,
        "throughput_per_s": rounded(step.throughput_per_s),
        "ideal_per_s": rounded(None if sweep.base.few else sweep.ideal_per_s(step)),
        "speedup": rounded(sweep.speedup(step)),
        "efficiency": rounded(sweep.efficiency(step)),
        "queue_wait_mean_s": rounded(wait.mean_s if wait else None),
        "run_time_mean_s": rounded(step.run_s),
        "between_tasks_mean_s": rounded(step.between_s),
        "processes_busy": rounded(step.busy),
        "machine_busy": rounded(step.machine_busy),
        "generator_busy": rounded(step.generator_busy),
        "ready_mean": rounded(step.ready),
        "invalid": json_value(step.invalid),
        "limit": limit(step).value,
        "why": why(step),
    }
