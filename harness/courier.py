"""Publishes a run's tasks and gathers their states: one connection, one loop, no thread per task."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from celery import Celery

from harness.amqp_link import AmqpLink
from harness.batch import Batch
from harness.in_flight import Entry
from harness.journal import Journal
from harness.ledger import Ledger
from harness.link import Link
from harness.model.dead_letter import DeadLetter
from harness.model.event import Event, Moment
from harness.model.ledger import State
from harness.model.outcome import Outcome
from harness.model.scenario import TaskSpec
from harness.pacing import schedule
from harness.replay import Position
from harness.reply import Reply
from harness.task_ids import TaskIds
from harness.virtual_link import VirtualLink

#: Messages in flight at most; further ones are published as earlier ones come back.
WINDOW = 8192
#: Messages published at most before the broker has confirmed earlier ones.
UNCONFIRMED = 1024
#: Messages published between two looks at what has arrived.
BURST = 64
#: How long a look waits when there is nothing to publish, in seconds: also how soon an interrupt is seen.
LOOK_S = 0.1
#: Replies that wait for their acknowledgement together: each costs a write to disk, here and on the broker. At most so
#: many (half of what the broker sends ahead), and the first of them at most so long, in seconds.
SETTLE_REPLIES = 500
SETTLE_S = 0.05
#: A message that the broker could not take (basic.nack) is published again so often, first after so long, in seconds,
#: which doubles each time. A queue of a cluster whose leader is gone has another one within that; a queue that is full
#: and refuses (x-overflow: reject-publish) may have room.
NACK_RETRIES = 5
NACK_WAIT_S = 0.1
#: A resumed run first takes the states that wait for it: all have come when there is none for this long, in seconds.
COLLECTED_S = 0.3
#: What comes after a run's end is read until there is nothing more for this long, in seconds.
LATE_S = 0.05
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
        self._app = app
        self._ids = ids
        self._ledger = ledger
        self._journal = journal
        self._tasks = tasks
        self._total = sum(spec.count for spec in tasks)
        self._timeout_s = timeout_s
        self._on_event = on_event
        self._on_outcome = on_outcome
        self._on_tick = on_tick
        self._on_interrupt = on_interrupt
        self._window = window
        self.now = now or clock()
        expires_s = timeout_s + EXPIRY_MARGIN_S
        self._batches = {id(spec): Batch.build(app, spec, ids.run_id, expires_s) for spec in tasks}
        self._schedule = plan or schedule(tasks)
        self._next = next(self._schedule, None)
        self._publish_for_s = publish_for_s
        link = VirtualLink if embedded else AmqpLink
        self._link: Link = link(app, reply_queue(ids.run_id), REPLY_TTL_S, expires_s, url)
        self._link.on_confirm = self._confirmed
        self._link.on_refusal = self._refused
        self._link.on_nack = self._nacked
        self._link.on_reply = self._replied
        self._link.on_block = lambda reason: self.notes.append(f"the broker blocked publishing: {reason}")
        self._journaled = 0  # ids below this are on disk as attempted
        self._resumed = False
        self._received_at = self._published_at = 0.0  # the last state, the last message
        self._nacks: Counter[int] = Counter()  # by id: how often the broker could not take it
        self._again: list[int] = []  # ids to be published again for that
        self._again_at = 0.0
        self._maybe_published = 0  # ids below this may have been published by an earlier process
        self._pace_from = 0.0  # when the schedule begins, ours
        self._interrupted_at: float | None = None
        self._settle_at = 0.0  # when the replies taken so far are acknowledged
        self._over = False  # the run has ended: an id in flight gets no final state any more
        self._heard = 0  # states received
        self._late: set[str] = set()  # ids whose final state came after that
        self._left: set[str] = set()  # ids that ended without one
        self._leaving = False
        self.waiting = False  # for a broker that may be gone, with every count in order
        self.started_at = 0.0
        self.last_at = 0.0  # the last final state was received
        self.notes: list[str] = []

    # --- the run ----------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Connect, declare the reply queue and put the first ids on disk: none of it is the run's time.

        Raises:
            OSError, amqp errors: as `Link.open`.
        """
        try:
            self._link.open(dict.fromkeys(batch.destination for batch in self._batches.values()))
            if not self._resumed:
                self._note_attempts()
        except BaseException:
            self._journal.close(complete=not self._resumed)  # nothing published is nothing to resume
            raise

    def take_over(self, position: Position) -> None:
        """Go on where another process stood; the ledger is there already. Before `prepare`.

        What it may have published after its last record is published again.
        """
        self._resumed = True
        self._schedule, self._next = position.plan, next(position.plan, None)
        self._journaled = self._maybe_published = position.attempted
        self.started_at, self.last_at = position.began_at, position.last_at
        for meta in position.recent:
            self._link.known(meta)

    def run(self) -> None:
        """Publish and gather until every id has a final state, the deadline passes or the run is interrupted."""
        now = self.now()
        deadline = now + self._timeout_s
        self._pace_from = now - (self._next[0] if self._resumed and self._next else 0.0)
        if not self.started_at:
            self.started_at = self.last_at = now
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
                published = self._publish()
                self._link.drain(0 if published else self._idle_s(deadline))
                self._settle()
            except self._link.outages as exc:
                self._reconnect(exc, deadline)
            self._on_tick()

    def _idle_s(self, deadline: float) -> float:
        """Return how long there is nothing to do but to listen."""
        now = self.now()
        due = deadline if self._next is None or self._full else min(deadline, self._pace_from + self._next[0])
        return min(LOOK_S, max(due - now, 0.001))

    def _collect(self, deadline: float) -> None:
        """Take the states that came while nobody was there, then publish again what was never confirmed."""
        self._received_at = self.now()
        while not self._done(deadline) and self.now() < self._received_at + COLLECTED_S:
            self._link.drain(COLLECTED_S)
            self._settle()
        again = self._publish_again()
        self.notes.append(f"resumed; {again} unconfirmed messages were published again")

    @property
    def _full(self) -> bool:
        return len(self._ledger.in_flight) >= self._window or self._link.unconfirmed >= UNCONFIRMED

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
    def publishing(self) -> bool:
        """Whether there is something left to publish."""
        return self._next is not None and not self.interrupted

    @property
    def published_at(self) -> float:
        """When the last message was published; 0.0 where none was."""
        return self._published_at

    @property
    def interrupted(self) -> bool:
        return self._interrupted_at is not None

    def _not_started(self) -> list[str]:
        """Return the ids in flight whose first attempt has not been seen to start."""
        return [self._ids.at(entry.index) for entry in self._ledger.in_flight.values() if not entry.starts]

    def close(self) -> None:
        """Close the connection; delete the reply queue only when nothing can come to it any more."""
        if self._leaving:
            self._link.abandon()
        else:
            self._journal.sync()
            self._link.close(delete_replies=not self.replies_kept)
        self._journal.close(complete=not self.replies_kept)

    @property
    def replies_kept(self) -> bool:
        """Whether a state may still come: then the reply queue stays for it, and the journal for a resume."""
        counts = self._ledger.counts
        ended = counts.completed + counts.unacknowledged + counts.dead_lettered
        to_come = counts.attempted < self._total and self._journal.resumable
        unfinished = counts.attempted > 0 and (to_come or ended < counts.attempted)
        return unfinished and self._link.confirms  # the embedded broker ends with its run

    def _done(self, deadline: float) -> bool:
        now = self.now()
        if self._leaving:
            return True
        if self._interrupted_at is not None:
            return not self._ledger.in_flight or now >= self._interrupted_at + INTERRUPT_GRACE_S
        return now >= deadline or (self._ledger.attempted == self._total and not self._ledger.in_flight)

    # --- out --------------------------------------------------------------------------------------

    def _publish(self) -> int:
        """Publish up to `BURST` messages and return how many."""
        if self._publish_for_s is not None and self.now() >= self._pace_from + self._publish_for_s:
            self._next, self._total = None, self._ledger.attempted
        if self._interrupted_at is not None or self._link.blocked:
            return 0
        if self._again:
            return self._publish_nacked()
        first = self._ledger.attempted
        while (
            self._ledger.attempted - first < BURST
            and self._next is not None
            and self._pace_from + self._next[0] <= self.now()
            and not self._full
        ):
            if self._ledger.attempted == self._journaled:
                self._note_attempts()
            index = self._ledger.attempted
            due_s, number, spec = self._next
            self._next = next(self._schedule, None)
            self._ledger.attempt(index, spec, self.now(), number, self._pace_from + due_s)
            if index < self._maybe_published:
                self._ledger.republish(index)
        entries = [self._ledger.in_flight[index] for index in range(first, self._ledger.attempted)]
        if entries:
            self._journal.sent(first, self._ledger.attempted, self.now())
            self._journal.flush()
        try:
            with self._link.together():
                for entry in entries:
                    entry.published_at = self._published_at = self.now()
                    self._send(entry)
        finally:  # told while the broker is at work; before anything that it says, which is read in `drain`
            for entry in entries:
                self._tell(Moment.SENT, entry, "Dispatching task...", entry.published_at)
        return len(entries)

    def _publish_again(self) -> int:
        """Publish what was never confirmed once more, with the same ids; return how many."""
        self._ledger.vouch(self.now())
        again = self._ledger.unconfirmed
        if again:
            self._journal.note({"again": [entry.index for entry in again]})
            self._journal.flush()
        self._again.clear()
        for entry in again:
            self._ledger.republish(entry.index)
            self._send(entry)
        return len(again)

    def _publish_nacked(self) -> int:
        """Publish what the broker could not take on a new channel, once it has answered to all of the old one."""
        if self._link.unconfirmed or self.now() < self._again_at:
            return 0
        self._link.renew()
        return self._publish_again()

    def _send(self, entry: Entry) -> None:
        batch = self._batches[id(entry.spec)]
        task_id = self._ids.at(entry.index)
        self._link.publish(task_id, batch.headers_for(task_id), batch.body, batch.destination)

    def _note_attempts(self) -> None:
        """Put the next ids on disk, before they are published: what is published is never unknown to a resume."""
        stop = min(self._journaled + UNCONFIRMED, self._total)
        self._journal.attempted(self._journaled, stop)
        self._journal.sync()
        self._journaled = stop

    def _confirmed(self, task_id: str) -> None:
        index, now = self._index(task_id), self.now()
        self._journal.confirmed(index, now)
        if task_id in self._left:
            return
        entry = self._ledger.confirm(index, now)
        if entry:
            self._tell(Moment.PENDING, entry, f"Task ID: {task_id}")

    def _refused(self, task_id: str, reason: str) -> None:
        index = self._index(task_id)
        self._journal.refused(index, reason)
        outcome = self._ledger.refuse(index, reason)
        if outcome:
            self._end(outcome)

    def _nacked(self, task_id: str) -> None:
        index = self._index(task_id)
        self._nacks[index] += 1
        if self._nacks[index] > NACK_RETRIES:
            self._refused(task_id, f"the broker refused it {self._nacks[index]} times (basic.nack)")
            return
        if not self._again:
            self._again_at = self.now() + NACK_WAIT_S * 2 ** (self._nacks[index] - 1)
        self._again.append(index)

    def _index(self, task_id: str) -> int:
        index = self._ids.index(task_id)
        assert index is not None  # the link only gives back what it was given
        return index

    # --- in ---------------------------------------------------------------------------------------

    def _replied(self, meta: Mapping[str, Any], body: str) -> None:
        reply = Reply.of(meta, self.now())
        self._journal.got(body, reply.at)
        self._heard += 1
        if reply.task_id in self._left:
            return
        if self._over and reply.final and self._ids.index(reply.task_id) in self._ledger.in_flight:
            self._late.add(reply.task_id)
            return
        self._received_at = reply.at
        outcome = self._ledger.receive(reply)
        if outcome:
            self.last_at = reply.at
            self._end(outcome)
        elif reply.state == "RETRY":
            index = self._ids.index(reply.task_id)
            entry = self._ledger.in_flight.get(index) if index is not None else None
            if entry:
                self._tell(Moment.RETRY, entry, f"Attempt {entry.retries + 1} failed: {reply.result}")

    def _end(self, outcome: Outcome) -> None:
        if outcome.state is State.SUCCEEDED:
            took = f"Completed in {outcome.run_time_s:.3f}s" if outcome.run_time_s is not None else "Completed"
            self._on_event(self._event(Moment.SUCCESS, outcome.task, outcome.task_id, took))
        elif outcome.state is State.FAILED:
            self._on_event(self._event(Moment.FAILED, outcome.task, outcome.task_id, outcome.error or ""))
        else:
            self._on_event(
                self._event(Moment.LOST, outcome.task, outcome.task_id, outcome.where or outcome.error or "")
            )
        self._on_outcome(outcome)

    @property
    def idle_s(self) -> float:
        """Seconds since the last state was received, or the last message published."""
        return self.now() - max(self._received_at, self._published_at, self.started_at)

    def claim(self, meta: Mapping[str, Any], body: str) -> bool:
        """Take a state that was found elsewhere than in the run's own queue; return whether it was news."""
        return self._link.claim(meta, body)

    def bury(self, letter: DeadLetter) -> None:
        """End an id in flight whose message is in the dead letters: no result of it will come."""
        index = self._ids.index(letter.task_id)
        entry = None if index is None else self._ledger.in_flight.get(index)
        if entry:
            self._end(self._ledger.bury(entry, letter.words))

    def late(self) -> Collection[str]:
        """Read what has come since the run ended; return the ids of which it is the end.

        These stay unfinished: it came too late. It is in the journal, where a resume finds it.
        """
        self._over = True
        heard = -1
        with suppress(*self._link.outages):
            while heard != self._heard:
                heard = self._heard
                self._link.drain(LATE_S)
                self._settle()
        return self._late

    def finish(self, locate: Callable[[str], tuple[State, str]]) -> None:
        """End what has no final state: unconfirmed ids as such, the others where `locate` finds them."""
        if self._link.confirms:
            self._ledger.vouch(self.now())
        if self._nacks:
            times = f"{self._nacks.total()} times (basic.nack), {len(self._nacks)} messages in all"
            self.notes.append(f"the broker could not take a message {times}; what it refused was published again")

        def column(entry: Entry) -> tuple[State, str]:
            if entry.confirmed_at is None and not entry.last_state and self._link.confirms:
                return State.UNACKNOWLEDGED, "the broker never confirmed it"
            return locate(self._ids.at(entry.index))

        self._left = {self._ids.at(index) for index in self._ledger.in_flight}
        for outcome in self._ledger.close(column):
            self._end(outcome)

    def _settle(self) -> None:
        """Acknowledge the replies that were handled, once the journal has them on disk."""
        now = self.now()
        self._journal.flush()
        if not self._link.unsettled:
            self._settle_at = now + SETTLE_S
        elif now >= self._settle_at or self._link.unsettled >= SETTLE_REPLIES:
            self._journal.sync()
            self._link.settle()
            self._settle_at = now + SETTLE_S

    # --- trouble ----------------------------------------------------------------------------------

    def _reconnect(self, exc: BaseException, deadline: float) -> None:
        """Connect again within the deadline and publish again what was never confirmed, with the same ids."""
        self.notes.append(f"the connection to the broker was lost ({type(exc).__name__}: {exc})")
        backoff_s = 0.1
        while not self._done(deadline):
            try:
                with self.wait():
                    self._link.reopen()
                again = self._publish_again()
            except self._link.outages:
                self._on_tick()
                with self.wait():
                    time.sleep(min(backoff_s, max(deadline - self.now(), 0)))
                backoff_s = min(backoff_s * 2, 2.0)
            else:
                self.notes.append(f"reconnected; {again} unconfirmed messages were published again")
                return

    # --- telling ----------------------------------------------------------------------------------

    def _tell(self, moment: Moment, entry: Entry, detail: str, at: float | None = None) -> None:
        self._on_event(self._event(moment, entry.spec.task, self._ids.at(entry.index), detail, at))

    def _event(self, moment: Moment, task: str, task_id: str, detail: str, at: float | None = None) -> Event:
        return Event(moment=moment, at=at or self.now(), task=task, task_id=task_id, detail=detail)
