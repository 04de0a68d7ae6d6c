"""Pure: the scaling curve. What each number of replicas came to, against the ideal, and what held it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from harness.errors import ExitCode, HarnessError, UnavailableError, UsageError
from harness.load_plan import whole
from harness.load_report import LEAST_COMPLETED, LoadReport
from harness.model.load import LoadModel, LoadProfile
from harness.yaml_scalars import shown

SCHEMA_VERSION = 1
#: What is played where a sweep is asked for and no load.
SWEEP_LOAD = LoadProfile(in_flight=200, duration_s=15.0, warmup_s=3.0, work_s=0.05)
#: Steps of a sweep at most.
MAX_STEPS = 20
#: From this share of the time on, something is busy, and what waits for it waits for no other reason.
BUSY = 0.9
#: While messages are ready and processes execute for more than this share of the time, it is they who are too few.
MOSTLY = 0.5
#: A node that ran so many times what another one of its service did held messages that the other could have run.
UNEVEN = 1.5
#: The order in which the verdicts of steps count: the first of these that one of them has is the sweep's.
_WORST = (ExitCode.INTERRUPTED, ExitCode.UNAVAILABLE, ExitCode.CHECK_FAILED, ExitCode.THRESHOLD)


class Limit(Enum):
    """What a step's throughput was held back by."""

    GENERATOR = "generator"
    WORKERS = "workers"
    PROCESSORS = "processors"
    PREFETCH = "prefetch"
    BROKER = "broker"
    LOAD = "load"
    UNKNOWN = "unknown"  # too little ended to say that nothing held it back


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A load that was played on so many replicas of each service."""

    replicas: int
    slots: int  # executing processes of all nodes
    machine_busy: float | None  # share of this machine's processor time, 0 to 1; None: the system does not say
    report: LoadReport

    @property
    def throughput_per_s(self) -> float:
        return self.report.window.throughput_per_s

    @property
    def run_s(self) -> float:
        """How long a task ran, on average; 0 where none succeeded."""
        latency = self.report.latencies.get("run_time")
        return latency.mean_s if latency else 0.0

    @property
    def busy(self) -> float:
        """The share of the window in which a process executed a task, whether that ended in it or not."""
        places_s = self.slots * self.report.window.length_s
        return self.report.window.busy_s / places_s if places_s > 0 else 0.0

    @property
    def between_s(self) -> float | None:
        """How long a process was without a task from one to the next, on average."""
        return self.slots * (1 - self.busy) / self.throughput_per_s if self.throughput_per_s > 0 else None

    @property
    def few(self) -> bool:
        """Whether too little ended for a curve.

        Of each process the count is wrong by up to one task, which has begun before the window or ends after it:
        of `LEAST_COMPLETED` that is a tenth.
        """
        return self.report.window.completed < LEAST_COMPLETED * max(self.slots, 1)

    @property
    def invalid(self) -> tuple[str, ...]:
        """Why the figures mean nothing; those that the load knows of first."""
        if self.report.invalid or self.report.run.interrupted or not self.few:
            return self.report.invalid
        ended = f"{self.report.window.completed:,} tasks ended, and a curve takes {LEAST_COMPLETED} of each process"
        return (f"{ended} ({LEAST_COMPLETED * self.slots:,} here): a longer load",)

    @property
    def exit_code(self) -> ExitCode:
        code = self.report.exit_code
        return ExitCode.UNAVAILABLE if self.invalid and code is not ExitCode.INTERRUPTED else code

    @property
    def generator_busy(self) -> float:
        """The share of one processor that this process used; it cannot use more."""
        generator = self.report.generator
        return generator.cpu_s / generator.wall_s if generator.wall_s > 0 else 0.0

    @property
    def ready(self) -> float:
        """Messages that were ready in the queues, on average."""
        return sum(one.mean for one in self.report.backlog)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The steps of a sweep, in the order in which they were played."""

    steps: tuple[Step, ...]
    error: HarnessError | None = None  # why there are no more of them
    interrupted: bool = False  # in a step that is not among them

    @cached_property
    def base(self) -> Step:
        """The step that the others are measured by: of the fewest replicas."""
        return min(self.steps, key=lambda step: step.replicas)

    @cached_property
    def last(self) -> Step:
        """The step of the most replicas."""
        return max(self.steps, key=lambda step: step.replicas)

    def speedup(self, step: Step) -> float | None:
        """Return how many times the throughput of the base it had; None where too little ended in either."""
        return None if step.few or self.base.few else step.throughput_per_s / self.base.throughput_per_s

    def ideal_per_s(self, step: Step) -> float:
        """Return the throughput of the base, times the replicas."""
        return self.base.throughput_per_s * step.replicas / self.base.replicas

    def efficiency(self, step: Step) -> float | None:
        """Return its share of the ideal; above 1 where the base had less than its processes could run.

        None where too little ended in either.
        """
        return None if step.few or self.base.few else step.throughput_per_s / self.ideal_per_s(step)

    @property
    def exit_code(self) -> ExitCode:
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.error is not None:
            return self.error.exit_code
        codes = {step.exit_code for step in self.steps}
        return next((code for code in _WORST if code in codes), ExitCode.OK if codes else ExitCode.CHECK_FAILED)


def refuse_unlike(first: Step, step: Step) -> None:
    """Raises:
    UnavailableError: The replicas of two steps have not the same number of processes each, so that one replica more
        is not what makes the difference.
    """
    expected = first.slots * step.replicas / first.replicas
    if step.slots != expected:
        raise UnavailableError(
            f"the replicas are not alike: {first.slots} processes with {first.replicas}, {step.slots} with "
            f"{step.replicas} instead of {expected:g}",
            why="some containers were started with another WORKER_CONCURRENCY, or a node does not tell what it has",
            fix="make up, which starts those again that differ from .env and this shell",
        )


def limit(step: Step) -> Limit:
    """Return what held a step's throughput back."""
    if step.generator_busy >= BUSY:
        return Limit.GENERATOR
    if step.machine_busy is not None and step.machine_busy >= BUSY:
        return Limit.PROCESSORS
    if step.busy >= (MOSTLY if step.ready >= 1 else BUSY):
        return Limit.WORKERS
    if step.few:
        return Limit.UNKNOWN
    if step.ready >= 1:
        return Limit.BROKER
    if step.report.plan.load.model is not LoadModel.OPEN and max(step.report.fairness.values(), default=1) >= UNEVEN:
        return Limit.PREFETCH
    return Limit.LOAD


# --- what is asked for ----------------------------------------------------------------------------


def replicas(text: str, most: int) -> tuple[int, ...]:
    """Return the steps of `1,2,4`: numbers of replicas of each service, every one of them once.

    Raises:
        UsageError: It is no such list.
    """
    read = tuple(whole(part.strip(), most) for part in text.split(","))
    if len(set(read)) != len(read):
        raise UsageError(f"a number is given twice in {shown(text)}", fix="--sweep 1,2,4")
    if not 2 <= len(read) <= MAX_STEPS:
        raise UsageError(f"a curve has 2 to {MAX_STEPS} points, got {shown(text)}", fix="--sweep 1,2,4")
    return read


def refuse_beyond(steps: Sequence[int], limits: Mapping[str, int]) -> None:
    """Raises:
    UsageError: A service would have more replicas than test-config.yml has as the most.
    """
    for service, most in limits.items():
        if max(steps) > most:
            raise UsageError(
                f"--sweep: {max(steps)} replicas of {service}, and test-config.yml has at most {most}",
                fix=f"fewer, or scaling: {{{service}: {{max: {max(steps)}}}}} there",
            )
