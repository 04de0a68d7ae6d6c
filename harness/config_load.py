"""Reads `load:` of test-config.yml: what load_test.py publishes, by name."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import UsageError
from harness.expect_run import thresholds
from harness.load_plan import MAX_LOAD_TASKS, MAX_SHARE, refuse_contradictions
from harness.model.load import LoadProfile
from harness.threshold_grammar import LOAD_METRICS
from harness.yaml_fields import Keys, duration, fields, given, line, named, rate, share, whole_number
from harness.yaml_nodes import Value

LOAD_PROFILE = Keys(
    definitions=("load_profile",),
    optional=(
        *("description", "tasks", "rate", "in_flight", "duration", "ramp", "warmup", "mix", "work"),
        *("thresholds", "max_error_rate", "max_lag", "timeout"),
    ),
    some=True,
)
LOAD_THRESHOLDS = Keys(definitions=("load_thresholds",), optional=LOAD_METRICS, some=True)


def load_profiles(value: Value) -> dict[str, LoadProfile]:
    return {name: _profile(entry) for name, entry in named(value, "profile").items()}


def _profile(value: Value) -> LoadProfile:
    entries = fields(value, LOAD_PROFILE)
    profile = LoadProfile(
        description=given(entries, "description", line, None),
        tasks=given(entries, "tasks", lambda entry: whole_number(entry, MAX_LOAD_TASKS), None),
        rate=given(entries, "rate", rate, None),
        in_flight=given(entries, "in_flight", lambda entry: whole_number(entry, MAX_LOAD_TASKS), None),
        duration_s=given(entries, "duration", duration, None),
        ramp_s=given(entries, "ramp", duration, None),
        warmup_s=given(entries, "warmup", duration, None),
        mix=given(entries, "mix", _mix, None),
        work_s=given(entries, "work", lambda entry: duration(entry, zero=True), None),
        thresholds=given(entries, "thresholds", lambda entry: thresholds(entry, LOAD_THRESHOLDS), None),
        max_error_rate=given(entries, "max_error_rate", share, None),
        max_lag_s=given(entries, "max_lag", duration, None),
        timeout_s=given(entries, "timeout", duration, None),
    )
    try:
        refuse_contradictions(profile)
    except UsageError as exc:
        raise value.error(exc.what, fix=exc.fix) from None
    return profile


def _mix(value: Value) -> Mapping[str, int]:
    """Return shares by task; that there are such tasks is the app's to say."""
    entries = value.mapping()
    if not entries:
        raise value.error("expected at least one task and its share", fix="write {task_a: 3, other: 1}")
    return {task: whole_number(entry, MAX_SHARE) for task, entry in entries.items()}
