"""What was asked of a run, as JSON: the scenario without what was left at its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from harness.model.expectation import Bounds, Threshold
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import WorkerSpec
from harness.render.json_text import json_value

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
