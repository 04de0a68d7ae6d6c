"""Tells a run's listeners what becomes of each id, as it happens."""

from __future__ import annotations

from collections.abc import Callable

from harness.in_flight import Entry
from harness.model.event import Event, Moment
from harness.model.ledger import State
from harness.model.outcome import Outcome
from harness.task_ids import TaskIds


class Telling:
    """Gives `on_event` each moment of an id's life, and `on_outcome` what it came to."""

    def __init__(
        self,
        ids: TaskIds,
        now: Callable[[], float],
        *,
        on_event: Callable[[Event], None],
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        self._ids = ids
        self._now = now
        self._on_event = on_event
        self._on_outcome = on_outcome

    def sent(self, entry: Entry) -> None:
        self._tell(Moment.SENT, entry, "Dispatching task...", entry.published_at)

    def confirmed(self, entry: Entry) -> None:
        self._tell(Moment.PENDING, entry, f"Task ID: {self._ids.at(entry.index)}")

    def retried(self, entry: Entry, why: object) -> None:
        self._tell(Moment.RETRY, entry, f"Attempt {entry.retries + 1} failed: {why}")

    def ended(self, outcome: Outcome) -> None:
        match outcome.state:
            case State.SUCCEEDED:
                took = f"Completed in {outcome.run_time_s:.3f}s" if outcome.run_time_s is not None else "Completed"
                moment, detail = Moment.SUCCESS, took
            case State.FAILED:
                moment, detail = Moment.FAILED, outcome.error or ""
            case _:
                moment, detail = Moment.LOST, outcome.where or outcome.error or ""
        self._on_event(Event(moment=moment, at=self._now(), task=outcome.task, task_id=outcome.task_id, detail=detail))
        self._on_outcome(outcome)

    def _tell(self, moment: Moment, entry: Entry, detail: str, at: float | None = None) -> None:
        task_id = self._ids.at(entry.index)
        self._on_event(Event(moment=moment, at=at or self._now(), task=entry.spec.task, task_id=task_id, detail=detail))
