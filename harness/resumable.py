"""What makes a run one that another process can finish: what it was asked to do is noted, and is asked again."""

from __future__ import annotations

import json
from typing import Any

from harness.errors import UsageError
from harness.model.scenario import Scenario
from harness.render.asked import asked
from harness.unfinished import UnfinishedRun


def header(scenario: Scenario, broker: str, at: float) -> dict[str, Any]:
    """Return what the first line of a run's journal says beside its id.

    Args:
        at: Seconds since the epoch.
    """
    return {"scenario": scenario.name, "asked": asked(scenario), "broker": broker, "at": at}


#: What may differ when a run is finished: how long that may take, and words.
_FREE = {"timeout_s", "description", "tags"}


def refuse_changed(run: UnfinishedRun, scenario: Scenario) -> None:
    """Refuse to finish a run with other tasks, faults or expectations than it was begun with.

    What was published could not be judged, or would be by what was not asked of it.

    Raises:
        UsageError: The scenario has changed since.
    """
    then, now = run.asked, json.loads(json.dumps(asked(scenario)))  # as the journal has it
    for part in sorted((then.keys() | now.keys()) - _FREE, key=lambda part: (part != "tasks", part)):
        if then.get(part) != now.get(part):
            words = _WORDS.get(part, part)
            raise UsageError(
                f"the scenario {scenario.name!r} has other {words} than when the run {run.run_id} began",
                why=f"then: {_brief(then.get(part))}; now: {_brief(now.get(part))}",
                fix="put the scenario back as it was, then resume",
            )


#: Parts of a scenario, in words.
_WORDS = {"expect": "expectations", "task_count": "tasks"}


def _brief(part: object) -> str:
    text = json.dumps(part)
    return text if len(text) < 200 else text[:197] + "..."
