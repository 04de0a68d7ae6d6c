"""What a run gathers: the states of its tasks as they come, on disk before the broker may forget them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from harness.journal import Journal
from harness.ledger import Ledger
from harness.link import Link
from harness.model.dead_letter import DeadLetter
from harness.replay import Position
from harness.reply import Reply
from harness.task_ids import TaskIds
from harness.telling import Telling

#: Replies that wait for their acknowledgement together: each costs a write to disk, here and on the broker. At most so
#: many (half of what the broker sends ahead), and the first of them at most so long, in seconds.
SETTLE_REPLIES = 500
SETTLE_S = 0.05
#: A resumed run first takes the states that wait for it: all have come when there is none for this long, in seconds.
COLLECTED_S = 0.3
#: What comes after a run's end is read until there is nothing more for this long, in seconds.
LATE_S = 0.05


class Gatherer:
    """Takes states from a link into the journal and the ledger, and acknowledges them together."""

    def __init__(
        self, link: Link, ids: TaskIds, ledger: Ledger, journal: Journal, telling: Telling, now: Callable[[], float]
    ) -> None:
        self._link = link
        self._ids = ids
        self._ledger = ledger
        self._journal = journal
        self._telling = telling
        self._now = now
        link.on_reply = self._replied
        self._settle_at = 0.0  # when the replies taken so far are acknowledged
        self._heard = 0  # states received
        self._over = False  # the run has ended: an id in flight gets no final state any more
        self._late: set[str] = set()  # ids whose final state came after that
        self.received_at = 0.0  # the last state
        self.last_at = 0.0  # the last final state

    def take_over(self, position: Position) -> None:
        """Go on where another process stood; the ledger is there already."""
        self.last_at = position.last_at or position.began_at
        for meta in position.recent:
            self._link.known(meta)

    def collect(self, done: Callable[[], bool]) -> None:
        """Take the states that came while nobody was there."""
        self.received_at = self._now()
        while not done() and self._now() < self.received_at + COLLECTED_S:
            self._link.drain(COLLECTED_S)
            self.settle()

    def _replied(self, meta: Mapping[str, Any], body: str) -> None:
        reply = Reply.of(meta, self._now())
        self._journal.got(body, reply.at)
        self._heard += 1
        index = self._ids.index(reply.task_id)
        entry = None if index is None else self._ledger.in_flight.get(index)
        if self._over and reply.final and entry:
            self._late.add(reply.task_id)
            return
        self.received_at = reply.at
        outcome = self._ledger.receive(reply)
        if outcome:
            self.last_at = reply.at
            self._telling.ended(outcome)
        elif reply.state == "RETRY" and entry:
            self._telling.retried(entry, reply.result)

    def bury(self, letter: DeadLetter) -> None:
        """End an id in flight whose message is in the dead letters: no result of it will come."""
        index = self._ids.index(letter.task_id)
        entry = None if index is None else self._ledger.in_flight.get(index)
        if entry:
            self._telling.ended(self._ledger.bury(entry, letter.words))

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
                self.settle()
        return self._late

    def settle(self) -> None:
        """Acknowledge the replies that were handled, once the journal has them on disk."""
        now = self._now()
        self._journal.flush()
        if not self._link.unsettled:
            self._settle_at = now + SETTLE_S
        elif now >= self._settle_at or self._link.unsettled >= SETTLE_REPLIES:
            self._journal.sync()
            self._link.settle()
            self._settle_at = now + SETTLE_S
