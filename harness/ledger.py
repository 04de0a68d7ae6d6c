"""The ledger: a pure state machine that takes what happened to each id and ends it in exactly one column.

Its memory is a byte for every id of the run and one entry for every id in flight.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.model import MAX_HELD, Cause, Duplicate, LedgerCounts, Outcome, State, TaskSpec
from harness.reply import Reply

_CONFIRMED, _DUPLICATED, _REFUSED, _REDELIVERED, _REPUBLISHED = 1, 2, 4, 8, 16

#: Celery's final states. REVOKED covers a task that expired before it started.
_FINAL_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED"})


class TaskIds:
    """The task ids of a run: UUIDs (version 8) of the run's 48 random bits and the task's index.

    An id says which run it belongs to and where it stands in it, so neither the ledger nor the journal has
    to hold the ids themselves.
    """

    def __init__(self, run_id: str | None = None) -> None:
        self.run_id = run_id or secrets.token_hex(6)
        self._prefix = f"{self.run_id[:8]}-{self.run_id[8:]}-8000-8000-"

    def at(self, index: int) -> str:
        """Return the id of the task at `index`, counted from 0."""
        return f"{self._prefix}{index:012x}"

    def index(self, task_id: str) -> int | None:
        """Return the index of `task_id`, or None where it is not an id of this run."""
        if not task_id.startswith(self._prefix):
            return None
        try:
            return int(task_id[len(self._prefix) :], 16)
        except ValueError:
            return None


@dataclass(slots=True)
class Entry:
    """An id in flight."""

    index: int
    spec: TaskSpec
    published_at: float
    number: int = 0  # of the spec among the scenario's `tasks`
    intended_at: float | None = None
    confirmed_at: float | None = None
    starts: int = 0  # executions seen to start
    last_state: str = ""  # the last state received, in Celery's words
    redelivered: bool = False
    retries: int = 0
    node: str | None = None
    pid: int | None = None  # of the process that executes it, as its node counts
    queue: str | None = None
    queue_evidence: str | None = None
    first_started_at: float | None = None  # node's clock, as the next two
    started_at: float | None = None
    started: dict[int, float | None] = field(default_factory=dict)  # by retries: this attempt began, first
    begun: set[float] = field(default_factory=set)  # when each execution did
    retried: dict[int, float] = field(default_factory=dict)  # by retries: this attempt asked for another


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

    # --- what happens, in the order in which it can ---------------------------------------------

    def attempt(self, index: int, spec: TaskSpec, at: float, number: int = 0, intended_at: float | None = None) -> None:
        """Note that the id at `index` is about to be published; indexes come in order, without gaps."""
        if index != len(self._flags):
            raise ValueError(f"index {index} attempted, {len(self._flags)} expected")
        self._flags.append(0)
        self.in_flight[index] = Entry(index, spec, at, number, intended_at)

    def confirm(self, index: int, at: float) -> Entry | None:
        """Note that the broker has taken the message; return its entry where this was news and it is in flight.

        A returned message is confirmed too, after it was refused: it was taken by no queue, so it does not count.
        """
        if self._flags[index] & (_CONFIRMED | _REFUSED):
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
        """Take a state of a task; return its outcome where the state is final and the first such."""
        index = self._ids.index(reply.task_id)
        if index is None or index >= len(self._flags):
            self._unexpected += 1
            return None
        seen = reply.evidence
        if seen.get("redelivered"):
            self._flags[index] |= _REDELIVERED
        entry = self.in_flight.get(index)
        if entry is None:
            if reply.state in _FINAL_STATES or reply.state == "STARTED":
                self._mark_duplicated(index, f"{reply.state} after its final state", seen)
            return None
        retries = seen.get("retries", entry.retries)
        started_at = _time(seen.get("started_at"))
        self._note_start(entry, reply, retries, started_at)
        if reply.state == "RETRY":
            if at := _time(seen.get("at")):
                entry.retried[retries] = at
            if retries < max(entry.started, default=0):
                return None  # overtaken: the next attempt has begun
        entry.last_state = reply.state
        entry.redelivered = entry.redelivered or bool(seen.get("redelivered"))
        entry.retries = retries
        entry.node = seen.get("node") or entry.node
        entry.pid = reply.pid or entry.pid
        entry.queue = seen.get("queue") or entry.queue
        entry.queue_evidence = seen.get("queue_evidence") or entry.queue_evidence
        entry.started_at = started_at or entry.started_at
        if reply.state not in _FINAL_STATES:
            return None
        if reply.state == "SUCCESS":
            return self._end(entry, State.SUCCEEDED, reply=reply)
        return self._end(entry, State.FAILED, reply=reply, error=str(reply.result))

    def _note_start(self, entry: Entry, reply: Reply, retries: int, started_at: float | None) -> None:
        """Count an execution that began, told by its STARTED or, where it was short, by the state that ended it.

        An attempt that began at two times was executed twice. Goes by the attempt's number, not by the state before
        it: the next attempt may run in another process, whose states overtake this one's RETRY.
        """
        if reply.state != "STARTED" and (started_at is None or started_at in entry.begun):
            return
        if started_at is not None:
            entry.begun.add(started_at)
        if retries not in entry.started:
            entry.started[retries] = started_at
        elif "retries" in reply.evidence or entry.last_state != "RETRY":
            self._mark_duplicated(entry.index, f"attempt {retries + 1} began again", reply.evidence)
        entry.starts += 1
        entry.first_started_at = entry.first_started_at or started_at

    def bury(self, entry: Entry, words: str) -> Outcome:
        """Close an id whose message is in the dead letters."""
        return self._end(entry, State.DEAD_LETTERED, error=words)

    def close(self, locate: Callable[[Entry], tuple[State, str]]) -> list[Outcome]:
        """End every id still in flight; `locate` says in which column, and where it was found or why not."""
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
        return Outcome(
            task_id=self._ids.at(entry.index),
            index=entry.index,
            entry=entry.number,
            task=entry.spec.task,
            declared_queue=self._declared[entry.spec.task],
            state=state,
            published_at=entry.published_at,
            intended_at=entry.intended_at,
            confirmed_at=entry.confirmed_at,
            replied_at=reply.at if reply else None,
            first_started_at=entry.first_started_at,
            started_at=entry.started_at,
            finished_at=_time(reply.evidence.get("at")) if reply and entry.started_at else None,
            node=entry.node,
            queue=entry.queue,
            queue_evidence=entry.queue_evidence,
            # a lost STARTED is told by the retries; a task that was refused before it ran has no start at all
            attempts=max(entry.starts, entry.retries + 1) if entry.started_at else entry.starts,
            retries=entry.retries,
            waits_s=tuple(
                began - at
                for retries, at in sorted(entry.retried.items())
                if (began := entry.started.get(retries + 1)) is not None
            ),
            redelivered=entry.redelivered,
            result=reply.result if reply and state is State.SUCCEEDED else None,
            error=error,
            where=where,
        )


def _time(value: object) -> float | None:
    """Return a time that a worker reported, if it is one: what a foreign worker writes need not be a number."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
