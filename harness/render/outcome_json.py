"""One outcome as JSON: a record of a document, or a line of it."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import Any

from harness.model.outcome import Outcome
from harness.render.json_text import encode, json_value, rounded
from harness.render.visible import utc_text

_FIELDS = tuple(field.name for field in fields(Outcome))
_VALUES = attrgetter(*_FIELDS)


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """Return one outcome with its derived durations; every value can be held by JSON."""
    record = {name: json_value(value) for name, value in zip(_FIELDS, _VALUES(outcome), strict=True)}
    record["worker"] = json_value(outcome.worker)
    record["run_time_s"] = rounded(outcome.run_time_s)
    record["queue_wait_s"] = rounded(outcome.queue_wait_s)
    record["round_trip_s"] = rounded(outcome.round_trip_s)
    record["lag_s"] = rounded(outcome.lag_s)
    record["finished_at_utc"] = None if outcome.finished_at is None else utc_text(outcome.finished_at)
    return record


def outcome_line(outcome: Outcome) -> str:
    """Return one outcome as a line of JSON, without the line end."""
    return encode(outcome_record(outcome))
