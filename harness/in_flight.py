"""An id in flight: what was heard of it so far, and the outcome that it comes to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from harness.model.ledger import State
from harness.model.outcome import Outcome
from harness.model.scenario import TaskSpec
from harness.reply import Reply


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
    begun: dict[float, str | None] = field(default_factory=dict)  # when each execution did, and on which node
    retried: dict[int, float] = field(default_factory=dict)  # by retries: this attempt asked for another

    def hear(self, reply: Reply) -> str | None:
        """Take a state of the task; return in words which execution was one too many, where it tells of such."""
        seen = reply.evidence
        retries = seen.get("retries", self.retries)
        started_at = _time(seen.get("started_at"))
        again = self._note_start(reply, retries, started_at)
        if reply.state == "RETRY":
            if at := _time(seen.get("at")):
                self.retried[retries] = at
            if retries < max(self.started, default=0):
                return again  # overtaken: the next attempt has begun
        self.last_state = reply.state
        self.redelivered = self.redelivered or bool(seen.get("redelivered"))
        self.retries = retries
        self.node = seen.get("node") or self.node
        self.pid = reply.pid or self.pid
        self.queue = seen.get("queue") or self.queue
        self.queue_evidence = seen.get("queue_evidence") or self.queue_evidence
        self.started_at = started_at or self.started_at
        return again

    def _note_start(self, reply: Reply, retries: int, started_at: float | None) -> str | None:
        """Count an execution that began, told by its STARTED or, where it was short, by the state that ended it.

        An attempt that began at two times was executed twice. Goes by the attempt's number, not by the state before
        it: the next attempt may run in another process, whose states overtake this one's RETRY.
        """
        if reply.state != "STARTED" and (started_at is None or started_at in self.begun):
            return None
        again = None
        if started_at is not None:
            self.begun[started_at] = reply.evidence.get("node")
        if retries not in self.started:
            self.started[retries] = started_at
        elif "retries" in reply.evidence or self.last_state != "RETRY":
            again = f"attempt {retries + 1} began again"
        self.starts += 1
        self.first_started_at = self.first_started_at or started_at
        return again

    def over_at(self, began: float) -> float | None:
        """Return when the execution that began then had ended at the latest; None: that was not told."""
        return min((at for at in (*self.begun, *self.retried.values()) if at > began), default=None)

    def outcome(
        self,
        state: State,
        *,
        task_id: str,
        declared_queue: str,
        reply: Reply | None = None,
        error: str | None = None,
        where: str | None = None,
    ) -> Outcome:
        """Return what it came to.

        Args:
            declared_queue: The queue that the app routes its task to.
            reply: The final state; None where none came.
            error: Why it failed, or why it is not completed.
            where: Where it was found, if it is unfinished.
        """
        return Outcome(
            task_id=task_id,
            index=self.index,
            entry=self.number,
            task=self.spec.task,
            declared_queue=declared_queue,
            state=state,
            published_at=self.published_at,
            intended_at=self.intended_at,
            confirmed_at=self.confirmed_at,
            replied_at=reply.at if reply else None,
            first_started_at=self.first_started_at,
            started_at=self.started_at,
            finished_at=_time(reply.evidence.get("at")) if reply and self.started_at else None,
            node=self.node,
            queue=self.queue,
            queue_evidence=self.queue_evidence,
            # a lost STARTED is told by the retries; a task that was refused before it ran has no start at all
            attempts=max(self.starts, self.retries + 1) if self.started_at else self.starts,
            retries=self.retries,
            waits_s=tuple(
                began - at
                for retries, at in sorted(self.retried.items())
                if (began := self.started.get(retries + 1)) is not None
            ),
            redelivered=self.redelivered,
            result=reply.result if reply and state is State.SUCCEEDED else None,
            error=error,
            where=where,
        )


def _time(value: object) -> float | None:
    """Return a time that a worker reported, if it is one: what a foreign worker writes need not be a number."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
