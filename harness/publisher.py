"""What a run publishes: each task when it is due, as far as the window and the broker let it, and some again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping

from harness.batch import Batch
from harness.in_flight import Entry
from harness.journal import Journal
from harness.ledger import Ledger
from harness.link import Destination, Link
from harness.model.scenario import TaskSpec
from harness.replay import Position
from harness.task_ids import TaskIds
from harness.telling import Telling

#: Messages in flight at most; further ones are published as earlier ones come back.
WINDOW = 8192
#: Messages published at most before the broker has confirmed earlier ones.
UNCONFIRMED = 1024
#: Messages published between two looks at what has arrived.
BURST = 64
#: A message that the broker could not take (basic.nack) is published again so often, first after so long, in seconds,
#: which doubles each time. A queue of a cluster whose leader is gone has another one within that; a queue that is full
#: and refuses (x-overflow: reject-publish) may have room.
NACK_RETRIES = 5
NACK_WAIT_S = 0.1


class Publisher:
    """Publishes from a plan, notes ids on disk before and confirms after, publishes again what the broker lost."""

    def __init__(
        self,
        link: Link,
        ids: TaskIds,
        ledger: Ledger,
        journal: Journal,
        telling: Telling,
        batches: Mapping[int, Batch],
        plan: Iterator[tuple[float, int, TaskSpec]],
        *,
        total: int,
        window: int,
        publish_for_s: float | None,
        now: Callable[[], float],
    ) -> None:
        """Args:
        batches: The messages of each spec, by its `id`.
        plan: When each task is due, as `pacing.schedule` says it.
        total: Tasks to publish in all.
        publish_for_s: What is not published after so long is not published any more; None: all is.
        """
        self._link = link
        self._ids = ids
        self._ledger = ledger
        self._journal = journal
        self._telling = telling
        self._batches = batches
        self._plan = plan
        self._next = next(plan, None)
        self._total = total
        self._window = window
        self._publish_for_s = publish_for_s
        self._now = now
        link.on_confirm = self._confirmed
        link.on_refusal = self._refused
        link.on_nack = self._nacked
        self._journaled = 0  # ids below this are on disk as attempted
        self._maybe_published = 0  # ids below this may have been published by an earlier process
        self._skipped_s = 0.0  # of the plan, by a run that is resumed
        self._pace_from = 0.0  # when the plan begins, ours
        self._nacks: Counter[int] = Counter()  # by id: how often the broker could not take it
        self._again: list[int] = []  # ids to be published again for that
        self._again_at = 0.0
        self.published_at = 0.0  # the last message; 0.0 where none was

    def take_over(self, position: Position) -> None:
        """Go on where another process stood; the ledger is there already.

        What it may have published after its last record is published again.
        """
        self._plan, self._next = position.plan, next(position.plan, None)
        self._journaled = self._maybe_published = position.attempted
        self._skipped_s = self._next[0] if self._next else 0.0

    def begin(self, now: float) -> None:
        self._pace_from = now - self._skipped_s

    @property
    def destinations(self) -> Collection[Destination]:
        return dict.fromkeys(batch.destination for batch in self._batches.values())

    @property
    def left(self) -> bool:
        """Whether there is something left of the plan."""
        return self._next is not None

    @property
    def complete(self) -> bool:
        """Whether every task was published."""
        return self._ledger.attempted == self._total

    @property
    def due_at(self) -> float | None:
        """When the next task is due; None where none is left, or none may be published now."""
        return None if self._next is None or self._full else self._pace_from + self._next[0]

    @property
    def _full(self) -> bool:
        return len(self._ledger.in_flight) >= self._window or self._link.unconfirmed >= UNCONFIRMED

    @property
    def note(self) -> str:
        """What a reader of the report should know; empty where the broker took everything at once."""
        if not self._nacks:
            return ""
        times = f"{self._nacks.total()} times (basic.nack), {len(self._nacks)} messages in all"
        return f"the broker could not take a message {times}; what it refused was published again"

    # --- out --------------------------------------------------------------------------------------

    def note_attempts(self) -> None:
        """Put the next ids on disk, before they are published: what is published is never unknown to a resume."""
        stop = min(self._journaled + UNCONFIRMED, self._total)
        self._journal.attempted(self._journaled, stop)
        self._journal.sync()
        self._journaled = stop

    def end_on_time(self) -> None:
        """Leave out what is not published by now, where publishing is only for a while."""
        if self._publish_for_s is not None and self._now() >= self._pace_from + self._publish_for_s:
            self._next, self._total = None, self._ledger.attempted

    def publish(self) -> int:
        """Publish up to `BURST` messages and return how many."""
        if self._link.blocked:
            return 0
        if self._again:
            return self._publish_nacked()
        entries = self._due()
        if entries:
            self._journal.sent(entries[0].index, self._ledger.attempted, self._now())
            self._journal.flush()
        try:
            with self._link.together():
                for entry in entries:
                    entry.published_at = self.published_at = self._now()
                    self._send(entry)
        finally:  # told while the broker is at work; before anything that it says, which is read in `drain`
            for entry in entries:
                self._telling.sent(entry)
        return len(entries)

    def _due(self) -> list[Entry]:
        """Take the next tasks that are due; they are in flight from here on."""
        first = self._ledger.attempted
        while (
            (index := self._ledger.attempted) - first < BURST
            and self._next is not None
            and self._pace_from + self._next[0] <= self._now()
            and not self._full
        ):
            if index == self._journaled:
                self.note_attempts()
            due_s, number, spec = self._next
            self._next = next(self._plan, None)
            self._ledger.attempt(index, spec, self._now(), number, self._pace_from + due_s)
            if index < self._maybe_published:
                self._ledger.republish(index)
        return [self._ledger.in_flight[index] for index in range(first, self._ledger.attempted)]

    def publish_again(self) -> int:
        """Publish what was never confirmed once more, with the same ids; return how many."""
        self._ledger.vouch(self._now())
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
        """Publish what the broker could not take on new channels, once it has answered to all of the old ones."""
        if self._link.unconfirmed or self._now() < self._again_at:
            return 0
        self._link.renew()
        return self.publish_again()

    def _send(self, entry: Entry) -> None:
        batch = self._batches[id(entry.spec)]
        task_id = self._ids.at(entry.index)
        self._link.publish(task_id, batch.headers_for(task_id), batch.body, batch.destination)

    # --- what the broker says of it -----------------------------------------------------------------

    def _confirmed(self, task_id: str) -> None:
        index, now = self._index(task_id), self._now()
        self._journal.confirmed(index, now)
        entry = self._ledger.confirm(index, now)
        if entry:
            self._telling.confirmed(entry)

    def _refused(self, task_id: str, reason: str) -> None:
        index = self._index(task_id)
        self._journal.refused(index, reason)
        outcome = self._ledger.refuse(index, reason)
        if outcome:
            self._telling.ended(outcome)

    def _nacked(self, task_id: str) -> None:
        index = self._index(task_id)
        self._nacks[index] += 1
        if self._nacks[index] > NACK_RETRIES:
            self._refused(task_id, f"the broker refused it {self._nacks[index]} times (basic.nack)")
            return
        if not self._again:
            self._again_at = self._now() + NACK_WAIT_S * 2 ** (self._nacks[index] - 1)
        self._again.append(index)

    def _index(self, task_id: str) -> int:
        index = self._ids.index(task_id)
        assert index is not None  # the link only gives back what it was given
        return index
