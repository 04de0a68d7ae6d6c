"""What makes a run one that another process can finish: what it was asked to do is noted, and is asked again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.errors import UsageError
from harness.model import Scenario
from harness.render.results_json import asked
from harness.unfinished import UnfinishedRun


def header(scenario: Scenario, broker: str, at: float) -> dict[str, Any]:
    """Return what the first line of a run's journal says beside its id.

    Args:
        at: Seconds since the epoch.
    """
    return {"scenario": scenario.name, "asked": asked(scenario), "broker": broker, "at": at}


def refuse_changed(run: UnfinishedRun, scenario: Scenario) -> None:
    """Refuse to finish a run with other tasks than it was begun with: what was published could not be judged.

    Raises:
        UsageError: The scenario has changed since.
    """
    now = asked(scenario)
    if now["tasks"] != run.asked["tasks"]:
        raise UsageError(
            f"the scenario {scenario.name!r} has other tasks than when the run {run.run_id} began",
            why=f"then: {_brief(run.asked['tasks'])}; now: {_brief(now['tasks'])}",
            fix="put the scenario back as it was, then resume",
        )


def _brief(tasks: list[Mapping[str, Any]]) -> str:
    text = json.dumps(tasks)
    return text if len(text) < 200 else text[:197] + "..."
