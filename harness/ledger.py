"""The ledger: a pure state machine that takes what happened to each id and ends it in exactly one column.

Its memory is a byte for every id of the run and one entry for every id in flight.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.model import LedgerCounts, Outcome, State, TaskSpec

_CONFIRMED, _DUPLICATED, _REFUSED = 1, 2, 4

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
    latest: int = -1  # the highest count of retries among them
    last_state: str = ""  # the last state received, in Celery's words
    redelivered: bool = False
    retries: int = 0
    node: str | None = None
    queue: str | None = None
    queue_evidence: str | None = None
    first_started_at: float | None = None  # node's clock, as the next two
    started_at: float | None = None
    started: dict[int, float] = field(default_factory=dict)  # by retries: this attempt began
    retried: dict[int, float] = field(default_factory=dict)  # by retries: this attempt asked for another


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A state of a task as its worker reported it."""

    task_id: str
    state: str  # Celery's: STARTED, RETRY, SUCCESS, FAILURE, REVOKED
    at: float  # ours: received
    evidence: Mapping[str, Any]  # worker/evidence.py; empty from a worker without our backend
    result: Any = None  # what the task returned; for a failure, the error in words


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
        self._duplicated = 0
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

    def receive(self, reply: Reply) -> Outcome | None:
        """Take a state of a task; return its outcome where the state is final and the first such."""
        index = self._ids.index(reply.task_id)
        if index is None or index >= len(self._flags):
            self._unexpected += 1
            return None
        entry = self.in_flight.get(index)
        if entry is None:
            if reply.state in _FINAL_STATES or reply.state == "STARTED":
                self._mark_duplicated(index)
            return None
        seen = reply.evidence
        retries = seen.get("retries", entry.retries)
        if reply.state == "STARTED":
            # by its number, not by the state before it: the next attempt may run in another process, whose
            # STARTED overtakes this one's RETRY
            if entry.starts and retries <= entry.latest and ("retries" in seen or entry.last_state != "RETRY"):
                self._mark_duplicated(index)
            entry.starts += 1
            entry.latest = max(entry.latest, retries)
            if started_at := _time(seen.get("started_at")):
                entry.started.setdefault(retries, started_at)
                entry.first_started_at = entry.first_started_at or started_at
        elif reply.state == "RETRY":
            if at := _time(seen.get("at")):
                entry.retried[retries] = at
            if retries < entry.latest:
                return None  # overtaken: the next attempt has begun
        entry.last_state = reply.state
        entry.redelivered = entry.redelivered or bool(seen.get("redelivered"))
        entry.retries = retries
        entry.node = seen.get("node") or entry.node
        entry.queue = seen.get("queue") or entry.queue
        entry.queue_evidence = seen.get("queue_evidence") or entry.queue_evidence
        entry.started_at = _time(seen.get("started_at")) or entry.started_at
        if reply.state not in _FINAL_STATES:
            return None
        if reply.state == "SUCCESS":
            return self._end(entry, State.SUCCEEDED, reply=reply)
        return self._end(entry, State.FAILED, reply=reply, error=str(reply.result))

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
            recovered=self._recovered,
            unexpected=self._unexpected,
        )

    def _mark_duplicated(self, index: int) -> None:
        if not self._flags[index] & _DUPLICATED:
            self._flags[index] |= _DUPLICATED
            self._duplicated += 1

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
                entry.started[retries + 1] - at
                for retries, at in sorted(entry.retried.items())
                if retries + 1 in entry.started
            ),
            redelivered=entry.redelivered,
            result=reply.result if reply and state is State.SUCCEEDED else None,
            error=error,
            where=where,
        )


def _time(value: object) -> float | None:
    """Return a time that a worker reported, if it is one: what a foreign worker writes need not be a number."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
