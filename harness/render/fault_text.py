"""Faults, and the duplicates that they cause, in words: the same in every report."""

from __future__ import annotations

from harness.model.fault import FaultRecord, Recovery
from harness.model.ledger import Duplicate
from harness.model.report import Report
from harness.render.visible import visible

#: Characters of what a fault was done to, and of why it was not, that are shown.
_LIMIT = 500


def fault_text(fault: FaultRecord) -> str:
    """Return what was done, to what, until when, and how what it hit came back; or why it could not be done."""
    said = f"{visible(fault.what)}: {visible(fault.hit, _LIMIT)}"
    if fault.undone_at_s is not None:
        said += f", undone at {fault.undone_at_s:.3f}s"
    return "; ".join(filter(None, [said, recovery_text(fault.recovery), trouble_text(fault)]))


def trouble_text(fault: FaultRecord) -> str:
    """Return why a fault was not what was asked; empty where it was."""
    why = visible(fault.error or "", _LIMIT)
    return f"NOT APPLIED: {why}" if why and fault.recovery is None else why


def recovery_text(recovery: Recovery | None) -> str:
    """Return how the tasks that a fault hit came back; empty where there was no fault."""
    if recovery is None:
        return ""
    if not recovery.tasks:
        return "no task was in flight there"
    times = (
        ("running again after", recovery.rerun_s),
        ("first ended after", recovery.first_s),
        ("last after", recovery.last_s),
    )
    back = f"{recovery.ended:,} of {recovery.tasks:,} tasks back"
    return ", ".join([back, *(f"{words} {after_s:.2f}s" for words, after_s in times if after_s is not None)])


def invalid_text(report: Report) -> str:
    """Return how many of a run's faults were not what was asked, and in which way."""
    not_applied = sum(fault.recovery is None for fault in report.invalid)
    ways = [way for way, there in (("applied", not_applied), ("undone", len(report.invalid) - not_applied)) if there]
    count = len(report.faults)
    return f"{len(report.invalid):,} of {count:,} fault{'' if count == 1 else 's'} could not be {' or '.join(ways)}"


def duplicate_text(duplicate: Duplicate) -> str:
    """Return which id ran or ended more than once, why, and what showed it."""
    return f"{visible(duplicate.task_id)}: {duplicate.cause.value}: {visible(duplicate.evidence, _LIMIT)}"
