"""The ledger: a pure state machine that takes what happened to each id and ends it in exactly one column.

Its memory is a byte for every id of the run and one entry for every id in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.in_flight import Entry
from harness.model.ledger import Cause, Duplicate, LedgerCounts, State
from harness.model.outcome import Outcome
from harness.model.report import MAX_HELD
from harness.model.scenario import TaskSpec
from harness.reply import Reply
from harness.task_ids import TaskIds

_CONFIRMED, _DUPLICATED, _REFUSED, _REDELIVERED, _REPUBLISHED = 1, 2, 4, 8, 16

#: Celery's final states. REVOKED covers a task that expired before it started.


class Ledger:
    """Accounts for every id of one run."""

    def __init__(self, ids: TaskIds, declared_queues: Mapping[str, str]) -> None:
        """Args:
        declared_queues: The queue that the app routes each task to, by task name.
        """
        self._ids = ids
        self._declared = declared_queues
        self._flags = bytearray()
        self.in_flight: dict[int, Entry] = {}
        self.acknowledged = 0
        self._duplicated = self._unexplained = 0
        self.duplicates: list[Duplicate] = []  # the first of them
        self._recovered = 0
        self._unexpected = 0
        self._ended = dict.fromkeys(State, 0)
        self._left: frozenset[int] = frozenset()  # ids that were closed without a final state

    # --- what happens, in the order in which it can ---------------------------------------------

    def attempt(self, index: int, spec: TaskSpec, at: float, number: int = 0, intended_at: float | None = None) -> None:
        """Note that the id at `index` is about to be published; indexes come in order, without gaps."""
        if index != len(self._flags):
            raise ValueError(f"index {index} attempted, {len(self._flags)} expected")
        self._flags.append(0)
        self.in_flight[index] = Entry(index, spec, at, number, intended_at)

    def confirm(self, index: int, at: float) -> Entry | None:
        """Note that the broker has taken the message; return its entry where this was news and it is in flight.

        A returned message is confirmed too, after it was refused: it was taken by no queue, so it does not count. Nor
        does what comes after `close`.
        """
        if index in self._left or self._flags[index] & (_CONFIRMED | _REFUSED):
            return None
        self._flags[index] |= _CONFIRMED
        self.acknowledged += 1
        entry = self.in_flight.get(index)
        if entry:
            entry.confirmed_at = at
        return entry

    def refuse(self, index: int, reason: str) -> Outcome | None:
        """Close an id whose message the broker returned or refused."""
        entry = self.in_flight.get(index)
        if entry is None or entry.confirmed_at is not None:
            return None
        self._flags[index] |= _REFUSED
        return self._end(entry, State.UNACKNOWLEDGED, error=reason)

    def vouch(self, at: float) -> None:
        """Count as confirmed what was heard of: a worker had it, so the broker had; its confirm was lost."""
        for index, flags in enumerate(self._flags):
            entry = self.in_flight.get(index)
            if not flags & (_CONFIRMED | _REFUSED) and (entry is None or entry.last_state):
                self.confirm(index, at)

    def republish(self, index: int) -> None:
        """Note that the message was published again, or may have been: two of it can arrive."""
        self._flags[index] |= _REPUBLISHED

    def receive(self, reply: Reply) -> Outcome | None:
        """Take a state of a task; return its outcome where the state is final and the first such.

        What comes after `close` to an id that ended there changes nothing: it is in no second column, and no duplicate.
        """
        index = self._ids.index(reply.task_id)
        if index in self._left:
            return None
        if index is None or index >= len(self._flags):
            self._unexpected += 1
            return None
        seen = reply.evidence
        if seen.get("redelivered"):
            self._flags[index] |= _REDELIVERED
        entry = self.in_flight.get(index)
        if entry is None:
            if reply.final or reply.state == "STARTED":
                self._mark_duplicated(index, f"{reply.state} after its final state", seen)
            return None
        if again := entry.hear(reply):
            self._mark_duplicated(index, again, seen)
        if not reply.final:
            return None
        if reply.state == "SUCCESS":
            return self._end(entry, State.SUCCEEDED, reply=reply)
        return self._end(entry, State.FAILED, reply=reply, error=str(reply.result))

    def bury(self, entry: Entry, words: str) -> Outcome:
        """Close an id whose message is in the dead letters."""
        return self._end(entry, State.DEAD_LETTERED, error=words)

    def close(self, locate: Callable[[Entry], tuple[State, str]]) -> list[Outcome]:
        """End every id still in flight; `locate` says in which column, and where it was found or why not."""
        self._left = frozenset(self.in_flight)
        outcomes = []
        for entry in list(self.in_flight.values()):
            state, words = locate(entry)
            if state is State.UNFINISHED:
                outcomes.append(self._end(entry, state, where=words, error="no final state by the deadline"))
            else:
                outcomes.append(self._end(entry, state, error=words))
        return outcomes

    # --- what came of it --------------------------------------------------------------------------

    @property
    def attempted(self) -> int:
        return len(self._flags)

    @property
    def unconfirmed(self) -> list[Entry]:
        """Entries in flight whose message may never have reached the broker, in publishing order."""
        return [entry for entry in self.in_flight.values() if entry.confirmed_at is None and not entry.last_state]

    @property
    def counts(self) -> LedgerCounts:
        return LedgerCounts(
            attempted=self.attempted,
            acknowledged=self.acknowledged,
            **{state.value: count for state, count in self._ended.items()},
            duplicated=self._duplicated,
            unexplained=self._unexplained,
            recovered=self._recovered,
            unexpected=self._unexpected,
        )

    def _mark_duplicated(self, index: int, what: str, seen: Mapping[str, Any]) -> None:
        if self._flags[index] & _DUPLICATED:
            return
        cause = self._cause(index, seen)
        self._flags[index] |= _DUPLICATED
        self._duplicated += 1
        self._unexplained += cause is Cause.UNEXPLAINED
        if len(self.duplicates) < MAX_HELD:
            where = f"{what} on {seen.get('node') or 'a node that is not known'}"
            self.duplicates.append(Duplicate(task_id=self._ids.at(index), cause=cause, evidence=where))

    def _cause(self, index: int, seen: Mapping[str, Any]) -> Cause:
        if self._flags[index] & _REDELIVERED:
            return Cause.REDELIVERED
        if self._flags[index] & _REPUBLISHED:
            return Cause.REPUBLISHED
        return Cause.REPEATED if seen.get("repeated") else Cause.UNEXPLAINED

    def _end(
        self,
        entry: Entry,
        state: State,
        *,
        reply: Reply | None = None,
        error: str | None = None,
        where: str | None = None,
    ) -> Outcome:
        del self.in_flight[entry.index]
        self._ended[state] += 1
        self._recovered += state.is_completed and entry.redelivered
        return entry.outcome(
            state,
            task_id=self._ids.at(entry.index),
            declared_queue=self._declared[entry.spec.task],
            reply=reply,
            error=error,
            where=where,
        )
