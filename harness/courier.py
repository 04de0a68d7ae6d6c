"""Publishes a run's tasks and gathers their states: one connection, one loop, no thread per task."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from celery import Celery

from harness.amqp_link import AmqpLink
from harness.batch import Batch
from harness.gatherer import Gatherer
from harness.in_flight import Entry
from harness.journal import Journal
from harness.ledger import Ledger
from harness.link import Link
from harness.model.dead_letter import DeadLetter
from harness.model.event import Event
from harness.model.ledger import State
from harness.model.outcome import Outcome
from harness.model.scenario import TaskSpec
from harness.pacing import schedule
from harness.publisher import WINDOW, Publisher
from harness.replay import Position
from harness.task_ids import TaskIds
from harness.telling import Telling
from harness.virtual_link import VirtualLink

#: How long a look waits when there is nothing to publish, in seconds: also how soon an interrupt is seen.
LOOK_S = 0.1
#: After an interrupt, how long what has started may still finish, in seconds.
INTERRUPT_GRACE_S = 2.0
#: A message that nobody has consumed this long after the run's deadline is dead-lettered, in seconds.
EXPIRY_MARGIN_S = 60.0
#: How long the reply queue outlives its last consumer, in seconds.
REPLY_TTL_S = 3600.0


def clock() -> Callable[[], float]:
    """Return a clock of epoch seconds that never goes back."""
    offset = time.time() - time.perf_counter()
    return lambda: time.perf_counter() + offset


def reply_queue(run_id: str) -> str:
    return f"dispatch.{run_id}"


class Courier:
    """One run on the wire: publishes from `tasks`, feeds the ledger, tells `on_event` and `on_outcome`."""

    def __init__(
        self,
        app: Celery,
        ids: TaskIds,
        ledger: Ledger,
        journal: Journal,
        tasks: tuple[TaskSpec, ...],
        *,
        timeout_s: float,
        embedded: bool,
        on_event: Callable[[Event], None],
        on_outcome: Callable[[Outcome], None],
        on_tick: Callable[[], None] = lambda: None,
        on_interrupt: Callable[[list[str]], None] = lambda ids: None,
        url: str | None = None,
        window: int = WINDOW,
        plan: Iterator[tuple[float, int, TaskSpec]] | None = None,
        publish_for_s: float | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        """Args:
        url: Of the broker, where it is not the app's own.
        plan: When each task is due, as `pacing.schedule` says it; None: as that does.
        publish_for_s: What is not published after so long is not published any more; None: all is.
        """
        self._ids = ids
        self._ledger = ledger
        self._journal = journal
        self._timeout_s = timeout_s
        self._on_tick = on_tick
        self._on_interrupt = on_interrupt
        self.now = now or clock()
        self.notes: list[str] = []
        expires_s = timeout_s + EXPIRY_MARGIN_S
        link = VirtualLink if embedded else AmqpLink
        self._link: Link = link(app, reply_queue(ids.run_id), REPLY_TTL_S, expires_s, url)
        self._link.on_block = lambda reason: self.notes.append(f"the broker blocked publishing: {reason}")
        self._telling = Telling(ids, self.now, on_event=on_event, on_outcome=on_outcome)
        self._out = Publisher(
            self._link,
            ids,
            ledger,
            journal,
            self._telling,
            {id(spec): Batch.build(app, spec, ids.run_id, expires_s) for spec in tasks},
            plan or schedule(tasks),
            total=sum(spec.count for spec in tasks),
            window=window,
            publish_for_s=publish_for_s,
            now=self.now,
        )
        self._in = Gatherer(self._link, ids, ledger, journal, self._telling, self.now)
        self._resumed = False
        self._interrupted_at: float | None = None
        self._leaving = False
        self.waiting = False  # for a broker that may be gone, with every count in order
        self.started_at = 0.0

    # --- the run ----------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Connect, declare the reply queue and put the first ids on disk: none of it is the run's time.

        Raises:
            OSError, amqp errors: as `Link.open`.
        """
        try:
            self._link.open(self._out.destinations)
            if not self._resumed:
                self._out.note_attempts()
        except BaseException:
            self._journal.close(complete=not self._resumed)  # nothing published is nothing to resume
            raise

    def take_over(self, position: Position) -> None:
        """Go on where another process stood; the ledger is there already. Before `prepare`."""
        self._resumed = True
        self.started_at = position.began_at
        self._out.take_over(position)
        self._in.take_over(position)

    def run(self) -> None:
        """Publish and gather until every id has a final state, the deadline passes or the run is interrupted."""
        now = self.now()
        deadline = now + self._timeout_s
        self._out.begin(now)
        if not self.started_at:
            self.started_at = self._in.last_at = now
            self._journal.note({"began": now})
        collected = not self._resumed
        revoked = False
        while not self._done(deadline):
            if self.interrupted and not revoked:
                revoked = True
                self._on_interrupt(self._not_started())
            try:
                if not collected:
                    self._collect(deadline)
                    collected = True
                self._out.end_on_time()
                published = 0 if self.interrupted else self._out.publish()
                self._link.drain(0 if published else self._idle_s(deadline))
                self._in.settle()
            except self._link.outages as exc:
                self._reconnect(exc, deadline)
            self._on_tick()

    def _idle_s(self, deadline: float) -> float:
        """Return how long there is nothing to do but to listen."""
        due_at = self._out.due_at
        until = deadline if due_at is None else min(deadline, due_at)
        return min(LOOK_S, max(until - self.now(), 0.001))

    def _collect(self, deadline: float) -> None:
        """Take the states that came while nobody was there, then publish again what was never confirmed."""
        self._in.collect(lambda: self._done(deadline))
        again = self._out.publish_again()
        self.notes.append(f"resumed; {again} unconfirmed messages were published again")

    def _done(self, deadline: float) -> bool:
        now = self.now()
        if self._leaving:
            return True
        if self._interrupted_at is not None:
            return not self._ledger.in_flight or now >= self._interrupted_at + INTERRUPT_GRACE_S
        return now >= deadline or (self._out.complete and not self._ledger.in_flight)

    def _reconnect(self, exc: BaseException, deadline: float) -> None:
        """Connect again within the deadline and publish again what was never confirmed, with the same ids."""
        self.notes.append(f"the connection to the broker was lost ({type(exc).__name__}: {exc})")
        backoff_s = 0.1
        while not self._done(deadline):
            try:
                with self.wait():
                    self._link.reopen()
                again = self._out.publish_again()
            except self._link.outages:
                self._on_tick()
                with self.wait():
                    time.sleep(min(backoff_s, max(deadline - self.now(), 0)))
                backoff_s = min(backoff_s * 2, 2.0)
            else:
                self.notes.append(f"reconnected; {again} unconfirmed messages were published again")
                return

    # --- who interrupts it --------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Stop publishing; the run ends when what has started is done, or after `INTERRUPT_GRACE_S`."""
        if self._interrupted_at is None:
            self._interrupted_at = self.now()

    def leave(self) -> None:
        """End the run now, between two messages: what is counted stays in order."""
        self._leaving = True

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Mark what may take long: who wants to leave need not wait for it, and may raise."""
        self.waiting = True
        try:
            yield
        finally:
            self.waiting = False

    @property
    def interrupted(self) -> bool:
        return self._interrupted_at is not None

    def _not_started(self) -> list[str]:
        """Return the ids in flight whose first attempt has not been seen to start."""
        return [self._ids.at(entry.index) for entry in self._ledger.in_flight.values() if not entry.starts]

    # --- where it stands ----------------------------------------------------------------------------

    @property
    def publishing(self) -> bool:
        """Whether there is something left to publish."""
        return self._out.left and not self.interrupted

    @property
    def published_at(self) -> float:
        """When the last message was published; 0.0 where none was."""
        return self._out.published_at

    @property
    def last_at(self) -> float:
        """When the last final state was received; where none was, when the run began."""
        return self._in.last_at

    @property
    def idle_s(self) -> float:
        """Seconds since the last state was received, or the last message published."""
        return self.now() - max(self._in.received_at, self._out.published_at, self.started_at)

    @property
    def replies_kept(self) -> bool:
        """Whether a state may still come: then the reply queue stays for it, and the journal for a resume."""
        counts = self._ledger.counts
        ended = counts.completed + counts.unacknowledged + counts.dead_lettered
        to_come = not self._out.complete and self._journal.resumable
        unfinished = counts.attempted > 0 and (to_come or ended < counts.attempted)
        return unfinished and self._link.confirms  # the embedded broker ends with its run

    # --- what is found elsewhere, and the end --------------------------------------------------------

    def claim(self, meta: Mapping[str, Any], body: str) -> bool:
        """Take a state that was found elsewhere than in the run's own queue; return whether it was news."""
        return self._link.claim(meta, body)

    def bury(self, letter: DeadLetter) -> None:
        """End an id in flight whose message is in the dead letters: no result of it will come."""
        self._in.bury(letter)

    def late(self) -> Collection[str]:
        """Read what has come since the run ended; return the ids of which it is the end, which came too late."""
        return self._in.late()

    def finish(self, locate: Callable[[str], tuple[State, str]]) -> None:
        """End what has no final state: unconfirmed ids as such, the others where `locate` finds them."""
        if self._link.confirms:
            self._ledger.vouch(self.now())
        if self._out.note:
            self.notes.append(self._out.note)

        def column(entry: Entry) -> tuple[State, str]:
            if entry.confirmed_at is None and not entry.last_state and self._link.confirms:
                return State.UNACKNOWLEDGED, "the broker never confirmed it"
            return locate(self._ids.at(entry.index))

        for outcome in self._ledger.close(column):
            self._telling.ended(outcome)

    def close(self) -> None:
        """Close the connection; delete the reply queue only when nothing can come to it any more."""
        if self._leaving:
            self._link.abandon()
        else:
            self._journal.sync()
            self._link.close(delete_replies=not self.replies_kept)
        self._journal.close(complete=not self.replies_kept)
