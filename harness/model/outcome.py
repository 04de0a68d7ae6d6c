"""What one attempted task id came to, with its times and its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.model.ledger import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one attempted task id came to. None: not known, because it did not happen or was not seen."""

    task_id: str
    index: int  # 0-based, in publishing order
    entry: int = 0  # which of the scenario's `tasks` asked for it
    task: str
    declared_queue: str  # where the app routes this task
    state: State
    published_at: float  # ours
    intended_at: float | None = None  # ours: when the scenario's delay and rate would have it published
    confirmed_at: float | None = None  # ours; None in embedded mode, which has no confirms
    replied_at: float | None = None  # ours: the final state was received
    first_started_at: float | None = None  # node's: the first attempt began
    started_at: float | None = None  # node's: the last attempt began
    finished_at: float | None = None  # node's: the last attempt ended
    node: str | None = None  # worker-a@12514a296d7c
    queue: str | None = None  # whose consumer received the last attempt
    queue_evidence: str | None = None  # "consumer", or "routing key" where that is all there is
    attempts: int = 0  # executions seen to start, redelivered ones included
    retries: int = 0  # as the request of the last attempt counts them
    waits_s: tuple[float, ...] = ()  # node's: from the end of an attempt that asked for a retry to the next start
    redelivered: bool = False  # the broker had delivered the last attempt's message before
    result: Any = None  # what the task returned
    error: str | None = None  # why it failed, or why it is not completed
    where: str | None = None  # for UNFINISHED: where it was found

    @property
    def worker(self) -> str | None:
        """The service: the part of the node's name before the @."""
        return self.node.partition("@")[0] if self.node else None

    @property
    def run_time_s(self) -> float | None:
        """Started to finished, on the node's clock."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at

    @property
    def queue_wait_s(self) -> float | None:
        """Published to the first start: two clocks, so it can be negative where they differ."""
        started_at = self.first_started_at or self.started_at
        return None if started_at is None else started_at - self.published_at

    @property
    def lag_s(self) -> float | None:
        """Intended to published: what the dispatcher itself was late."""
        return None if self.intended_at is None else self.published_at - self.intended_at

    @property
    def round_trip_s(self) -> float | None:
        """Published to final state received, on our clock."""
        return None if self.replied_at is None else self.replied_at - self.published_at
