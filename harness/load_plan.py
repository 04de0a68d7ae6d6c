"""Pure: what load_test.py is asked for, as a plan that is whole, or an error that says what does not go together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from harness.errors import UsageError
from harness.load_pacing import due_within, turns
from harness.model.expectation import Threshold
from harness.model.load import Load, LoadModel, LoadProfile
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import WorkerSpec
from harness.spelling import choices, hint
from harness.threshold_grammar import parse_threshold
from harness.yaml_scalars import shown

#: Tasks of a load: the ledger keeps some 17 bytes of each.
MAX_LOAD_TASKS = 10_000_000
#: Of each task in a mix.
MAX_SHARE = 1_000
#: Tasks in flight at most where the model does not say it.
BURST_WINDOW = 8_192
OPEN_WINDOW = 50_000
#: What a task in flight takes in this process, in bytes: its ledger entry, and what waits to be read of it.
IN_FLIGHT_BYTES = 1_500
#: A generator that is later than this, in seconds, at its 99th percentile measures itself.
MAX_LAG_S = 0.005
#: How long what was due at a rate may still be published after the duration, in seconds: what is later was never sent.
CATCH_UP_S = 1.0
#: How long a load without a duration may take, in seconds, and tasks after the end of publishing.
TIMEOUT_S = 600.0
DRAIN_S = 60.0
#: What is published where nothing is asked for.
SMALL_BURST = LoadProfile(tasks=5, work_s=0.05, description="a small burst")

_WHOLE = re.compile("[0-9]{1,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """A load as it is going to be published and judged."""

    scenario: Scenario
    load: Load
    shares: tuple[int, ...]  # of each entry of the scenario's tasks
    offered: int | None  # tasks to be published; None: as many as the duration has room for
    work_s: float | None
    thresholds: tuple[Threshold, ...]
    max_error_rate: float | None
    max_lag_s: float | None  # None: the model has no time at which a task is due

    @property
    def publish_for_s(self) -> float | None:
        """When publishing ends for good, in seconds after the start; None: with the last task."""
        if self.load.duration_s is None:
            return None
        return self.load.duration_s + (CATCH_UP_S if self.load.model is LoadModel.OPEN else 0.0)

    @property
    def most_bytes(self) -> int:
        """What the tasks in flight can take of this process's memory."""
        return min(self.load.window, self.offered or self.load.window) * IN_FLIGHT_BYTES


def overridden(profile: LoadProfile, flags: LoadProfile) -> LoadProfile:
    """Return `profile`, with everything that `flags` say."""
    said = {field.name: value for field in fields(flags) if (value := getattr(flags, field.name)) is not None}
    return replace(profile, **said)


def refuse_contradictions(asked: LoadProfile) -> None:
    """Refuse what is no load, or two.

    Raises:
        UsageError: It says too little, or what does not go together.
    """
    model = _model(asked)
    if model is LoadModel.OPEN:
        if asked.duration_s is None:
            raise UsageError("a rate needs a duration", fix="--duration 1m")
        if asked.tasks is not None:
            raise UsageError("a rate and a duration say how many tasks there are", fix="leave tasks out")
    elif model is LoadModel.CLOSED:
        if (asked.tasks is None) == (asked.duration_s is None):
            raise UsageError("in flight: until when? One of tasks and duration", fix="--duration 1m, or --tasks 1000")
    elif asked.duration_s is not None or asked.warmup_s is not None:
        raise UsageError(
            "a burst is published at once, and ends with its tasks",
            why="it has neither a duration nor a warm-up",
            fix="--in-flight 10, or --rate 50/s",
        )
    if asked.ramp_s is not None and model is not LoadModel.OPEN:
        raise UsageError("a ramp is of a rate", fix="--rate 50/s, or leave the ramp out")
    if asked.max_lag_s is not None and model is not LoadModel.OPEN:
        raise UsageError("only at a rate is a task due at a time, and can lag", fix="leave the maximum out")
    if model is not LoadModel.OPEN and any(limit.metric == "lag" for limit in asked.thresholds or ()):
        raise UsageError("only at a rate is a task due at a time, and can lag", fix="leave the threshold on lag out")
    steady_s = max(asked.ramp_s or 0.0, asked.warmup_s or 0.0)
    if asked.duration_s is not None and steady_s >= asked.duration_s:
        raise UsageError(
            f"nothing is left to be measured: the load lasts {asked.duration_s:g}s, ramp and warm-up {steady_s:g}s",
            fix="a longer duration",
        )
    if asked.timeout_s is not None and asked.timeout_s <= (asked.duration_s or 0.0):
        raise UsageError(
            f"it is over after {asked.timeout_s:g}s, before the load of {asked.duration_s:g}s has been published",
            fix="a longer timeout, or none: tasks then have a minute after the last publish",
        )


def _model(asked: LoadProfile) -> LoadModel:
    if asked.rate is not None and asked.in_flight is not None:
        raise UsageError(
            "a rate and a number in flight are two models",
            why="either the clock says when the next task is published, or the end of an earlier one",
            fix="leave one of them out",
        )
    if asked.rate is not None:
        return LoadModel.OPEN
    if asked.in_flight is not None:
        return LoadModel.CLOSED
    if asked.tasks is not None:
        return LoadModel.BURST
    raise UsageError(
        "it says no load", fix="--tasks 20 (a burst), --rate 50/s --duration 1m, or --in-flight 10 --duration 1m"
    )


def plan(name: str, asked: LoadProfile, workers: Sequence[WorkerSpec], queues: Mapping[str, str]) -> LoadPlan:
    """Return the plan of a load.

    Args:
        name: Of the profile, or of what the flags make.
        workers: Those that the deployment should have.
        queues: By name of each registered task: where the app routes it.

    Raises:
        UsageError: It is no load, or not one of this app and its workers.
    """
    refuse_contradictions(asked)
    mix = _mix(asked, workers, queues)
    load, offered = _load(asked, sum(mix.values()))
    if offered is not None and offered > MAX_LOAD_TASKS:
        raise UsageError(f"{offered:,} tasks, and a load has at most {MAX_LOAD_TASKS:,}", fix="fewer, or a shorter one")
    kwargs = {} if asked.work_s is None else {"work_s": asked.work_s}
    counts = _counts(list(mix.values()), MAX_LOAD_TASKS if offered is None else offered)
    tasks = [TaskSpec(task=task, count=count, kwargs=kwargs) for task, count in zip(mix, counts, strict=True) if count]
    thresholds = asked.thresholds or ()
    if asked.max_error_rate is not None:
        thresholds = (*thresholds, parse_threshold("failures", f"rate<={asked.max_error_rate:.10g}"))
    return LoadPlan(
        scenario=Scenario(
            name=name,
            description=asked.description or "",
            workers=tuple(worker for worker in workers if worker.queue in {queues[spec.task] for spec in tasks}),
            tasks=tuple(tasks),
            timeout_s=asked.timeout_s or (TIMEOUT_S if load.duration_s is None else load.duration_s + DRAIN_S),
        ),
        load=load,
        shares=tuple(mix[spec.task] for spec in tasks),
        offered=offered,
        work_s=asked.work_s,
        thresholds=thresholds,
        max_error_rate=asked.max_error_rate,
        max_lag_s=(asked.max_lag_s or MAX_LAG_S) if load.model is LoadModel.OPEN else None,
    )


def _mix(asked: LoadProfile, workers: Sequence[WorkerSpec], queues: Mapping[str, str]) -> Mapping[str, int]:
    """Return the share of each kind of task."""
    owned = {worker.queue for worker in workers}
    if asked.mix is None:
        mix = {task: 1 for task, queue in queues.items() if queue in owned}
        if not mix:
            raise UsageError("no worker of test-config.yml consumes the queue of a task", why=_routes(queues))
        return mix
    for task in asked.mix:
        if task not in queues:
            raise UsageError(f"mix: the app has no task {task!r}{hint(task, queues)}", fix=choices(queues))
        if queues[task] not in owned:
            raise UsageError(f"mix: no worker of test-config.yml consumes {queues[task]}, where {task} goes")
    return asked.mix


def _routes(queues: Mapping[str, str]) -> str:
    return ", ".join(f"{task} goes to {queue}" for task, queue in queues.items()) or "the app has no tasks"


def _load(asked: LoadProfile, total_share: int) -> tuple[Load, int | None]:
    """Return the load, and how many tasks it has; None where only its duration ends it."""
    model = _model(asked)
    warmup_s = asked.warmup_s or 0.0
    if model is LoadModel.OPEN:
        assert asked.rate is not None
        assert asked.duration_s is not None
        ramp_s = asked.ramp_s or 0.0
        load = Load(
            model=model,
            window=OPEN_WINDOW,
            rate=asked.rate,
            ramp_s=ramp_s,
            duration_s=asked.duration_s,
            warmup_s=warmup_s,
        )
        return load, due_within(asked.duration_s, asked.rate, ramp_s)
    window = asked.in_flight or BURST_WINDOW
    load = Load(model=model, window=window, duration_s=asked.duration_s, warmup_s=warmup_s)
    return load, None if asked.tasks is None else asked.tasks * total_share


def _counts(shares: Sequence[int], total: int) -> list[int]:
    """Return how many of `total` tasks fall on each share, when they take turns."""
    rounds, rest = divmod(total, sum(shares))
    of_the_rest = Counter(turns(shares)[:rest])
    return [rounds * share + of_the_rest[number] for number, share in enumerate(shares)]


# --- flags ----------------------------------------------------------------------------------------


def whole(text: str, maximum: int | None = None) -> int:
    """Return a whole number of at least 1.

    Raises:
        UsageError: It is none, or above `maximum`.
    """
    if not _WHOLE.fullmatch(text) or int(text) < 1:
        raise UsageError(f"expected a whole number of at least 1, got {shown(text)}")
    if maximum is not None and int(text) > maximum:
        raise UsageError(f"expected a whole number of at most {maximum}, got {shown(text)}")
    return int(text)


def mix(text: str) -> Mapping[str, int]:
    """Return the shares of `task_a=3,task_b=1`; a task alone has a share of 1.

    Raises:
        UsageError: It is none.
    """
    shares: dict[str, int] = {}
    for part in text.split(","):
        task, equals, number = (piece.strip() for piece in part.partition("="))
        if not task:
            raise UsageError(f"expected shares such as task_a=3,other=1, got {shown(text)}")
        if task in shares:
            raise UsageError(f"{shown(task)} has two shares in {shown(text)}")
        shares[task] = whole(number, MAX_SHARE) if equals else 1
    return shares
