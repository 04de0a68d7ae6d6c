"""What a run measured: how durations are distributed, what became of each kind of task, how busy nodes were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A distribution of durations, in seconds. Percentiles are nearest-rank: observed values."""

    count: int
    mean_s: float
    min_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    max_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One bar of a distribution."""

    low_s: float  # durations of at least this
    high_s: float  # and below this
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTally:
    """What became of all tasks of one name, also of those that a report does not hold."""

    task: str
    count: int
    succeeded: int
    failed: int
    retries: int
    nodes: tuple[str, ...]  # that ran them, sorted
    run_time: Summary | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """How busy a node was over the run."""

    node: str
    queue: str
    tasks: int  # outcomes that ran there
    busy: tuple[float, ...]  # mean number of tasks running there, in each slice of the run


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Durations of the run. A summary is None where nothing was measured."""

    wall_s: float = 0.0  # first publish to last final state received, on our clock
    sequential_s: float = 0.0  # sum of the run times: what one process would have needed
    retries: int = 0  # over all tasks
    run_time: Summary | None = None
    queue_wait: Summary | None = None
    round_trip: Summary | None = None
    lag: Summary | None = None
    negative_waits: int = 0  # queue waits below zero: the clocks of the two hosts differ
    distributions: Mapping[str, tuple[Bucket, ...]] = field(default_factory=dict)  # run_time, queue_wait, ...
    tallies: tuple[TaskTally, ...] = ()  # by task name, in the scenario's order
    activity: tuple[Activity, ...] = ()  # by node name
    slice_s: float = 0.0  # how long each slice of `activity` is, from the first publish on
