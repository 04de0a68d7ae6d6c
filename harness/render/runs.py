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
    """Return a line for each run, under a head; what to do about it in the last column."""
    return columns(_HEADS, map(_row, runs), style)


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
    }
