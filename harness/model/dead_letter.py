"""A message of a run that was found in a dead-letter queue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message of this run found in a dead-letter queue."""

    task_id: str
    task: str
    queue: str  # the dead-letter queue
    reason: str  # rejected, expired, delivery_limit, maxlen: from x-death
    came_from: str  # the queue that it was dead-lettered from
    times: int  # how often that happened to it

    @property
    def words(self) -> str:
        return f"in {self.queue}: {self.reason} from {self.came_from}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedLetter:
    """A dead letter, and when it became one: by the broker's clock, in whole seconds since the epoch."""

    letter: DeadLetter
    first_at: float | None  # the queue that it came from first dead-lettered it; None where nothing says so
    last_at: float | None  # the same for the latest reason: of each reason RabbitMQ keeps the first time
