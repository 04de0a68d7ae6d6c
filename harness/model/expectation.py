"""What a scenario expects: of its tasks one by one, and of the run as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from harness.model.ledger import State


class _Unset(Enum):
    UNSET = "unset"


#: Stands where nothing was asked: None is a value that a task can return.
UNSET = _Unset.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """An inclusive range; None: open on that side."""

    low: float | None = None
    high: float | None = None

    def __contains__(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a result or an error should be. Every condition that is set has to hold."""

    equals: Any = UNSET
    contains: Any = UNSET  # text: a part of it; a list: an element; a mapping: these entries
    matches: str | None = None  # a regular expression, searched in the text


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExpectation:
    """What every outcome of one `tasks` entry should be. None: not judged beyond what always is."""

    state: State = State.SUCCEEDED
    result: Match | None = None
    error: Match | None = None
    queue: str | None = None  # None: the queue that the app routes the task to
    worker: str | None = None  # a glob over the node's name, such as worker-a@*
    attempts: Bounds | None = None
    backoff: tuple[Bounds, ...] | None = None  # seconds; the first wait, the second, ...
    backoff_policy: bool = False  # each wait within what the task's own retry settings allow
    run_time: Bounds | None = None  # seconds, the last attempt
    queue_wait: Bounds | None = None  # seconds, the first attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters:
    """Messages of this run that should be in a dead-letter queue."""

    queue: str
    count: Bounds
    reason: str | None = None  # rejected, expired, delivery_limit, maxlen: from x-death
    task: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A limit in k6's words: metric `round_trip`, expression `p(95)<500ms`."""

    metric: str  # run_time, queue_wait, round_trip, lag, failures; of a load also throughput, backlog
    aggregate: str  # p, avg, med, min, max; rate or count of failures
    rank: float | None  # for p: above 0 and up to 100
    operator: str  # < <= > >= == !=
    limit: float  # seconds; for failures a share or a number, for throughput a number a second, for backlog messages
    text: str  # as written


@dataclass(frozen=True, slots=True, kw_only=True)
class RunExpectation:
    """What a run as a whole should be. None or empty: not judged beyond what always is."""

    wall_time: Bounds | None = None  # seconds
    overlap: Bounds | None = None  # how many ran at a time, on average
    fairness: float | None = None  # the busiest node of a service ran at most so many times what its idlest did
    ledger: Mapping[str, Bounds] = field(default_factory=dict)  # by column
    dead_letters: tuple[DeadLetters, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    routing: bool = False  # every registered task is dispatched, and delivered where the router says
    recovery: Bounds | None = None  # seconds, from a fault to the last task that it hit having ended
