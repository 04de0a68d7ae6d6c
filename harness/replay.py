"""Brings a ledger to where an ended process left it, from the run's journal."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.ledger import Ledger
from harness.model.outcome import Outcome
from harness.model.scenario import TaskSpec
from harness.pacing import schedule
from harness.reply import Reply

#: States that a broker may deliver again, because their acknowledgement was not sent.
RECENT = 1000


@dataclass(slots=True)
class Position:
    """Where the ended process stood."""

    plan: Iterator[tuple[float, int, TaskSpec]]  # what it never published
    began_at: float = 0.0  # ours
    last_at: float = 0.0  # ours: the last state was received
    attempted: int = 0  # ids below this may have been published
    faults: list[Mapping[str, Any]] = field(default_factory=list)  # applied, and undone
    recent: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=RECENT))


def replay(
    records: Iterable[Mapping[str, Any]],
    ledger: Ledger,
    tasks: tuple[TaskSpec, ...],
    *,
    on_begin: Callable[[float], None],
    on_outcome: Callable[[Outcome], None],
) -> Position:
    """Feed an empty ledger what the journal holds; return where it ends.

    Args:
        tasks: What was asked, as it was when the run began.
    """
    position = Position(schedule(tasks))
    maybe_published = 0  # ids below this may have been published by a process before the one whose records these are

    def end(outcome: Outcome | None) -> None:
        if outcome is not None:
            on_outcome(outcome)

    for record in records:
        match record:
            case {"began": at}:
                position.began_at = at
                on_begin(at)
            case {"attempted": [_, stop]}:
                position.attempted = stop
            case {"sent": [start, stop], "at": at}:
                for index in range(start, stop):
                    due_s, number, spec = next(position.plan)
                    ledger.attempt(index, spec, at, number, position.began_at + due_s)
                    if index < maybe_published:
                        ledger.republish(index)
            case {"confirmed": [start, stop], "at": at}:
                for index in range(start, stop):
                    ledger.confirm(index, at)
            case {"refused": index, "reason": reason}:
                end(ledger.refuse(index, reason))
            case {"again": indexes}:
                for index in indexes:
                    ledger.republish(index)
            case {"got": meta, "at": at}:
                position.recent.append(meta)
                position.last_at = at
                end(ledger.receive(Reply.of(meta, at)))
            case {"fault": noted}:
                position.faults.append(noted)
            case {"resumed": _}:
                maybe_published = position.attempted
    return position
