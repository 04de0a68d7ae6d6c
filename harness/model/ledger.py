"""The ledger's columns, how many ids ended in each, and the ids that ran or ended more than once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The ledger's columns: every attempted id ends in exactly one."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNFINISHED = "unfinished"  # no final state by the deadline, but found: `where` says it
    LOST = "lost"  # the broker confirmed it, no final state came, and it was found nowhere
    UNACKNOWLEDGED = "unacknowledged"  # the broker never confirmed it
    DEAD_LETTERED = "dead_lettered"  # found in a dead-letter queue

    @property
    def is_completed(self) -> bool:
        return self in (State.SUCCEEDED, State.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCounts:
    """The ledger's columns. The states add up to `attempted`; the rest are counted across them."""

    attempted: int = 0
    acknowledged: int = 0  # confirmed by the broker
    succeeded: int = 0
    failed: int = 0
    unfinished: int = 0
    lost: int = 0
    unacknowledged: int = 0
    dead_lettered: int = 0
    duplicated: int = 0  # ids with a second final state, or a second start without a retry between
    unexplained: int = 0  # of these, ids of which nothing says why
    recovered: int = 0  # ids completed after a redelivery
    unexpected: int = 0  # replies for ids that this run never sent

    @property
    def completed(self) -> int:
        return self.succeeded + self.failed

    @property
    def balanced(self) -> bool:
        return self.attempted == (
            self.succeeded + self.failed + self.unfinished + self.lost + self.unacknowledged + self.dead_lettered
        )


class Cause(StrEnum):
    """Why an id ran, or ended, more than once."""

    REDELIVERED = "redelivered"  # the broker delivered its message again: a worker, or its connection, was lost
    REPUBLISHED = "published again"  # its confirm was lost, so its message was published twice
    REPEATED = "result sent again"  # it ran once; the confirm of its result was lost
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """An id that ran, or ended, more than once."""

    task_id: str
    cause: Cause
    evidence: str  # what showed it: "attempt 1 began again on worker-a@12514a296d7c"
