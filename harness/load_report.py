"""The frozen values that a load run comes to: rates, latencies, what it shows over time, and its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import ExitCode
from harness.load_plan import LoadPlan
from harness.model.load import LoadModel
from harness.model.report import Check, Report, not_held, verdict
from harness.stats import Histogram, fewest

SCHEMA_VERSION = 1
#: Final states in a window that a rate takes, at least: as few are within a third of what they would come to in the
#: long run, if they come at random (1 / sqrt(10)). hyperfine and criterion.rs take no fewer runs either.
LEAST_COMPLETED = 10
#: Points of a percentile curve for each tenfold of 1 / (1 - p).
_POINTS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A distribution of durations, in seconds. Percentiles are nearest-rank; None where too few were measured."""

    count: int
    mean_s: float
    min_s: float
    p50_s: float
    p90_s: float | None
    p95_s: float | None
    p99_s: float | None
    max_s: float
    curve: tuple[tuple[float, float], ...]  # rank, from 0 towards 100, and the duration that so many did not exceed


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of the run that the rates are of, in seconds after its start."""

    begin_s: float
    end_s: float
    words: str  # how it was cut
    sent: int  # tasks published in it
    completed: int  # final states received in it
    busy_s: float  # processes executed tasks in it, all together; last attempts, on the nodes' clocks

    @property
    def length_s(self) -> float:
        return self.end_s - self.begin_s

    @property
    def sent_per_s(self) -> float:
        return self.sent / self.length_s if self.length_s > 0 else 0.0

    @property
    def throughput_per_s(self) -> float:
        return self.completed / self.length_s if self.length_s > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """What happened in each part of the run, all of the same length, from its start to its end."""

    slice_s: float
    sent: tuple[int, ...]
    succeeded: tuple[int, ...]
    failed: tuple[int, ...]  # final states other than success


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Messages ready in a queue, looked at again and again: what no consumer had been given yet."""

    queue: str
    looks: tuple[tuple[float, int], ...]  # seconds after the start, messages

    @property
    def most(self) -> int:
        return max((ready for _, ready in self.looks), default=0)

    @property
    def mean(self) -> float:
        return sum(ready for _, ready in self.looks) / (len(self.looks) or 1)

    @property
    def last(self) -> int:
        return self.looks[-1][1] if self.looks else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeShare:
    """What a node ran of the measured tasks."""

    node: str
    service: str
    queue: str
    tasks: int
    share: float  # of its service's tasks, 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """What this process needed, and how late it was."""

    cpu_s: float  # processor time from the start to the last result, its threads included
    wall_s: float
    publishing_cpu_s: float  # processor time until the last task was published
    peak_bytes: int | None  # resident memory at most since the process began; None where the system does not say
    in_flight: int  # tasks at most
    lag: Latency | None  # due to published, of the measured tasks; None where no time is set


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """Everything that a load run produced; every output is rendered from this one value."""

    plan: LoadPlan
    run: Report  # the ledger and the checks of a run like any other
    published_s: float  # the last task was published, in seconds after the start
    window: Window
    latencies: Mapping[str, Latency | None]  # queue_wait, run_time, round_trip
    slices: Slices
    backlog: tuple[Backlog, ...]
    shares: tuple[NodeShare, ...]  # also of nodes that ran nothing
    generator: Generator
    checks: tuple[Check, ...]
    thresholds: tuple[Check, ...]
    invalid: tuple[str, ...]  # why the figures mean nothing

    @property
    def failed_checks(self) -> tuple[Check, ...]:
        return not_held(self.checks)

    @property
    def crossed(self) -> tuple[Check, ...]:
        return not_held(self.thresholds)

    @property
    def exit_code(self) -> ExitCode:
        return verdict(
            interrupted=self.run.interrupted,
            invalid=bool(self.invalid),
            checks=self.checks,
            thresholds=self.thresholds,
        )

    @property
    def achieved_per_s(self) -> float:
        """Tasks published a second: of a burst all the while that it took, otherwise in the steady window."""
        if self.plan.load.model is LoadModel.BURST:
            return self.run.ledger.attempted / self.published_s if self.published_s > 0 else 0.0
        return self.window.sent_per_s

    @property
    def fairness(self) -> Mapping[str, float]:
        """By service of several nodes: how many times as much its busiest node ran as its idlest."""
        tasks: dict[str, list[int]] = {}
        for share in self.shares:
            tasks.setdefault(share.service, []).append(share.tasks)
        return {
            service: max(counts) / min(counts) if min(counts) else float("inf")
            for service, counts in tasks.items()
            if len(counts) > 1 and max(counts)
        }


def latency(histogram: Histogram) -> Latency | None:
    """Return a distribution as a value; None where nothing was recorded."""
    mean_s = histogram.mean_s
    if mean_s is None:
        return None
    percentiles = {
        rank: histogram.percentile(rank) if histogram.count >= fewest(rank) else None for rank in (90, 95, 99)
    }
    return Latency(
        count=histogram.count,
        mean_s=mean_s,
        min_s=histogram.min_s,
        p50_s=histogram.percentile(50),
        p90_s=percentiles[90],
        p95_s=percentiles[95],
        p99_s=percentiles[99],
        max_s=histogram.max_s,
        curve=_curve(histogram),
    )


def _curve(histogram: Histogram) -> tuple[tuple[float, float], ...]:
    """Return percentiles at even steps of log(1 / (1 - p)), up to where one value is left."""
    ranks = []
    number = 0
    while (rest := 10 ** (-number / _POINTS)) * histogram.count >= 1:
        ranks.append(100 * (1 - rest))
        number += 1
    return tuple((rank, histogram.percentile(rank) if rank else histogram.min_s) for rank in ranks)
