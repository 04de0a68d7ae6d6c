"""The list of unfinished runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from harness.render.columns import columns
from harness.render.style import Style
from harness.render.visible import utc_text, visible
from harness.unfinished import UnfinishedRun

_HEADS = ("RUN", "SCENARIO", "BEGAN", "#TASKS", "#SENT", "#CONFIRMED", "#ENDED", "NEXT")


def runs_table(runs: Sequence[UnfinishedRun], style: Style) -> str:
    """Return a line for each run, under a head, what to do about it in the last column; then what they left applied."""
    return columns(_HEADS, map(_row, runs), style) + "".join(map(_left, runs))


def runs_document(runs: Sequence[UnfinishedRun]) -> str:
    """Return the same as JSON, with the broker of each."""
    return json.dumps({"runs": [_record(run) for run in runs]}, indent=2) + "\n"


def _row(run: UnfinishedRun) -> tuple[str, ...]:
    following = "is still going on" if run.in_use else f"dispatch.py --resume {run.run_id}"
    return (
        run.run_id,
        visible(run.scenario),
        utc_text(run.began_at),
        f"{run.total:,}",
        f"{run.sent:,}",
        f"{run.confirmed:,}",
        f"{run.ended:,}",
        following,
    )


def _left(run: UnfinishedRun) -> str:
    """Return a line for each fault that may still be applied, with the command that undoes it."""
    if run.in_use:
        return ""
    said = [(visible(fault.what), visible(fault.target), visible(fault.command)) for fault in run.left]
    return "".join(f"{run.run_id} left applied: {what}: {hit}; undo it: {command}\n" for what, hit, command in said)


def _record(run: UnfinishedRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "scenario": run.scenario,
        "broker": run.broker,
        "began_at": run.began_at,
        "began_at_utc": utc_text(run.began_at),
        "tasks": run.total,
        "sent": run.sent,
        "confirmed": run.confirmed,
        "ended": run.ended,
        "still_going_on": run.in_use,
        "left_applied": [{"what": fault.what, "target": fault.target, "command": fault.command} for fault in run.left],
    }
