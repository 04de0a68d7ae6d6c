"""The faults of a resumed run: what its dispatcher had done of them before it ended, and what it never came to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.model.fault import DISPATCHER, Fault, FaultKind, FaultRecord


def earlier_faults(
    faults: Sequence[Fault], noted: Iterable[Mapping[str, Any]], began_at: float
) -> tuple[FaultRecord, ...]:
    """Return what became of each fault. One that was never applied makes the run prove nothing; so does one that may
    still be applied, since nobody undid it.

    Args:
        noted: The journal's records of faults, in order: of one fault, the last counts.
        began_at: When the run began, as the journal has it.
    """
    last = {record["number"]: record for record in noted}.values()
    records = [
        FaultRecord(
            what=record["what"],
            hit=record["target"],
            at_s=record["at"] - began_at,
            error=None if record["undone"] else _left(record),
        )
        for record in last
    ]
    done = {record.what for record in records}
    never = [
        fault
        for fault in faults
        if fault.words not in done and (fault.kind, fault.target) != (FaultKind.KILL, DISPATCHER)  # which it is
    ]
    return (
        *records,
        *(
            FaultRecord(
                what=fault.words,
                hit=fault.target,
                at_s=fault.at_s or 0.0,
                error="the dispatcher that was to apply it had ended before",
            )
            for fault in never
        ),
    )


def _left(record: Mapping[str, Any]) -> str:
    command = f"; undo it: {record['command']}" if record.get("command") else ""
    return f"the dispatcher that applied it ended before it was undone{command}"
