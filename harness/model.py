"""The frozen values that every other module passes around: what was asked, what happened, what it means.

Times ending in `_at` are seconds since the epoch, durations end in `_s`. A time says whose clock it is:
*ours* is the dispatcher's, *node's* the worker's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

from harness.errors import ExitCode

SCHEMA_VERSION = 1


class _Unset(Enum):
    UNSET = "unset"


#: Stands where nothing was asked: None is a value that a task can return.
UNSET = _Unset.UNSET


# --- what was asked -------------------------------------------------------------------------------


class State(StrEnum):
    """The ledger's columns: every attempted id ends in exactly one."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNFINISHED = "unfinished"  # no final state by the deadline, but found: `where` says it
    LOST = "lost"  # the broker confirmed it, no final state came, and it was found nowhere
    UNACKNOWLEDGED = "unacknowledged"  # the broker never confirmed it
    DEAD_LETTERED = "dead_lettered"  # found in a dead-letter queue

    @property
    def is_completed(self) -> bool:
        return self in (State.SUCCEEDED, State.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """A worker service as the deployment should have it."""

    service: str  # "worker-a"; a node of it is called worker-a@HOST
    queue: str  # the one queue it consumes
    replicas: int = 1  # at least so many nodes
    concurrency: int | None = None  # executing processes of each node; None: not judged


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """One entry of a scenario's `tasks`: the same request, `count` times."""

    task: str  # registered name
    count: int = 1
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    delay_s: float = 0.0  # published this long after the run began
    rate: float | None = None  # published at this rate, per second; None: at once
    queue: str | None = None  # published to this queue instead of the task's own: a negative probe
    expect: TaskExpectation = TaskExpectation()


class FaultKind(StrEnum):
    """What a fault does. Its target is a service, `broker`, `dispatcher`, or a queue."""

    KILL = "kill"  # SIGKILL: a container, a process group, the broker, this dispatcher
    KILL_MAIN = "kill_main"  # SIGKILL of the worker's main process only
    KILL_CHILD = "kill_child"  # SIGKILL of a pool child that executes a task
    STOP = "stop"  # SIGTERM: a warm shutdown
    PAUSE = "pause"  # nothing in it runs
    SCALE = "scale"  # so many nodes of the service
    DISCONNECT = "disconnect"  # no packet passes, and nobody is told
    RESTART = "restart"  # the broker, gracefully
    FREEZE = "freeze"  # the broker stops answering
    CLOSE_CONNECTIONS = "close_connections"  # the broker closes those of this virtual host
    DELETE_QUEUE = "delete_queue"
    MEMORY_ALARM = "memory_alarm"  # the broker takes no messages
    MALFORMED = "malformed"  # messages that no worker can decode are published to a queue


#: Targets that are no service.
BROKER, DISPATCHER, REPLIES = "broker", "dispatcher", "replies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong during a run, on purpose."""

    kind: FaultKind
    target: str
    at_s: float | None = None  # so long after the run began
    after: float | None = None  # once this share of the tasks has ended, 0 to 1
    on_start: bool = False  # each time a task starts on the target
    times: int = 1  # with on_start: so often at most
    for_s: float | None = None  # undone after so long; None: at the end of the run
    every_node: bool = False  # of the service; otherwise one that executes a task
    count: int = 0  # scale: so many nodes
    grace_s: float | None = None  # stop: SIGKILL after so long; None: the deployment's own

    @property
    def touches_broker(self) -> bool:
        """Whether it reaches beyond what the run made: the broker itself, or a queue that is not the run's own."""
        if self.kind is FaultKind.DELETE_QUEUE:
            return self.target != REPLIES
        return self.target == BROKER

    @property
    def words(self) -> str:
        """What it does, and when: "kill worker-a at 1s"."""
        does = self.kind.value.replace("_", " ")
        target = f"{self.target} to {self.count}" if self.kind is FaultKind.SCALE else self.target
        if self.on_start:
            return f"{does} {target} each time a task starts there, at most {self.times} times"
        when = f"at {self.at_s:g}s" if self.at_s is not None else f"after {self.after or 0:.0%}"
        lasts = f" for {self.for_s:g}s" if self.for_s is not None else ""
        return f"{does} {target} {when}{lasts}"


class LoadModel(StrEnum):
    """What decides when the next task is published."""

    BURST = "burst"  # nothing: all of them at once
    OPEN = "open"  # the clock: so many a second, whatever comes of the earlier ones
    CLOSED = "closed"  # the end of an earlier one: so many are in flight


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How a load is published, and from when on it counts. Durations are from the start of the run."""

    model: LoadModel
    window: int  # tasks in flight at most; in the closed model so many all the time
    rate: float | None = None  # open: tasks a second, of all kinds together, once the ramp is over
    ramp_s: float = 0.0  # open: the rate grows from 0 to its full height
    duration_s: float | None = None  # publishing ends then; None: with the last task
    warmup_s: float = 0.0  # what is due before is in the ledger, and not in the figures

    @property
    def steady_s(self) -> float:
        """When the figures begin: ramp and warm-up are over."""
        return max(self.ramp_s, self.warmup_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProfile:
    """What load_test.py is asked for, by an entry of `load:` in test-config.yml or by its flags. None: not said."""

    description: str | None = None
    tasks: int | None = None  # of each kind, times its share of the mix
    rate: float | None = None  # a second, all kinds together
    in_flight: int | None = None
    duration_s: float | None = None
    ramp_s: float | None = None
    warmup_s: float | None = None
    mix: Mapping[str, int] | None = None  # task -> its share; None: one of each registered task
    work_s: float | None = None  # None: what the tasks do by themselves
    thresholds: tuple[Threshold, ...] | None = None
    max_error_rate: float | None = None  # 0 to 1: so many may fail
    max_lag_s: float | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What one run should do."""

    name: str
    description: str
    workers: tuple[WorkerSpec, ...]
    tasks: tuple[TaskSpec, ...]
    timeout_s: float = 30.0  # first publish to the last final state
    tags: tuple[str, ...] = ()
    expect: RunExpectation = RunExpectation()
    reconnect: bool = False  # the workers' broker connections are cut, and made again, before the run
    faults: tuple[Fault, ...] = ()

    @property
    def task_count(self) -> int:
        return sum(spec.count for spec in self.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`settings:` of test-config.yml. None: not set there."""

    broker_url: str | None = None
    wait_workers_s: float | None = None
    results_dir: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceScaling:
    """How many replicas of a service `scale.py` starts."""

    default: int = 1  # where it is told `default`
    max: int = 10  # more than these only with --yes


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """test-config.yml, whole and valid."""

    path: str
    workers: tuple[WorkerSpec, ...]
    scenarios: tuple[Scenario, ...]
    settings: Settings = field(default_factory=Settings)
    scaling: Mapping[str, ServiceScaling] = field(default_factory=dict)  # by service; the others: as ServiceScaling()
    load: Mapping[str, LoadProfile] = field(default_factory=dict)  # by name


# --- what happened --------------------------------------------------------------------------------


class Moment(StrEnum):
    """What the timeline shows of a task, as it happens."""

    SENT = "SENT"  # handed to the connection
    PENDING = "PENDING"  # confirmed by the broker
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    LOST = "LOST"  # not a final state by the deadline: lost, unfinished or never confirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the timeline."""

    moment: Moment
    at: float  # ours
    task: str
    task_id: str
    detail: str = ""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where the app's router sends a task."""

    exchange: str
    routing_key: str
    queue: str


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


class Cause(StrEnum):
    """Why an id ran, or ended, more than once."""

    REDELIVERED = "redelivered"  # the broker delivered its message again: a worker, or its connection, was lost
    REPUBLISHED = "published again"  # its confirm was lost, so its message was published twice
    REPEATED = "result sent again"  # it ran once; the confirm of its result was lost
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """An id that ran, or ended, more than once."""

    task_id: str
    cause: Cause
    evidence: str  # what showed it: "attempt 1 began again on worker-a@12514a296d7c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A worker node that answered through the broker, and the queues it really consumes."""

    name: str
    queues: tuple[str, ...]

    @property
    def service(self) -> str:
        return self.name.partition("@")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Who consumes what, as the broker counts and the nodes say, just before the run."""

    nodes: tuple[Node, ...] = ()
    consumers: Mapping[str, int] = field(default_factory=dict)  # queue -> consumers, from the broker
    backlog: Mapping[str, int] = field(default_factory=dict)  # queue -> messages ready before the run


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCounts:
    """The ledger's columns. The states add up to `attempted`; the rest are counted across them."""

    attempted: int = 0
    acknowledged: int = 0  # confirmed by the broker
    succeeded: int = 0
    failed: int = 0
    unfinished: int = 0
    lost: int = 0
    unacknowledged: int = 0
    dead_lettered: int = 0
    duplicated: int = 0  # ids with a second final state, or a second start without a retry between
    unexplained: int = 0  # of these, ids of which nothing says why
    recovered: int = 0  # ids completed after a redelivery
    unexpected: int = 0  # replies for ids that this run never sent

    @property
    def completed(self) -> int:
        return self.succeeded + self.failed

    @property
    def balanced(self) -> bool:
        return self.attempted == (
            self.succeeded + self.failed + self.unfinished + self.lost + self.unacknowledged + self.dead_lettered
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How the tasks that a fault hit came back. Seconds from the fault; None: none of them did."""

    tasks: int  # in flight there when it struck, and not ended by then
    ended: int = 0  # of these, have a final state
    rerun_s: float | None = None  # until the last of them that was executed again began to be
    first_s: float | None = None  # until the first of them had ended
    last_s: float | None = None  # until the last of them had


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRecord:
    """One time that a fault was applied, or could not be."""

    what: str  # as asked: "kill worker-a at 1s"
    hit: str  # what it was done to: "container demo-worker-a-1 (worker-a@12514a296d7c)"
    at_s: float  # after the run began
    undone_at_s: float | None = None  # after the run began; None: nothing to undo
    error: str | None = None  # why it could not be applied or undone: the run proves nothing
    recovery: Recovery | None = None


# --- what it means --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One judged statement about the run."""

    name: str  # "every task succeeded"
    passed: bool
    evidence: str  # what was seen, with numbers; for a failure the first offenders by name


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a run produced; every output is rendered from this one value."""

    run_id: str
    scenario: Scenario
    started_at: float  # ours: the first publish
    broker: str  # URL without its password
    embedded: bool
    roster: Roster
    outcomes: tuple[Outcome, ...]  # in order of completion; at most MAX_HELD, some places kept for late failures
    outcome_count: int  # all of them: what is not held here is in the results file
    ledger: LedgerCounts
    metrics: Metrics
    checks: tuple[Check, ...]
    thresholds: tuple[Check, ...] = ()  # limits on figures: crossing one is exit 99, not a failed check
    dead_letters: tuple[DeadLetter, ...] = ()  # of this run, where they were looked for; at most MAX_HELD
    duplicates: tuple[Duplicate, ...] = ()  # in the order in which they were seen; at most MAX_HELD
    interrupted: bool = False
    faults: tuple[FaultRecord, ...] = ()  # in the order in which they struck
    notes: tuple[str, ...] = ()  # what a reader must know: reconnects, missing confirms, clock differences
    schema_version: int = SCHEMA_VERSION

    @property
    def failed_checks(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    @property
    def crossed(self) -> tuple[Check, ...]:
        return tuple(threshold for threshold in self.thresholds if not threshold.passed)

    @property
    def invalid(self) -> tuple[FaultRecord, ...]:
        """Faults that were not what was asked: whatever the run showed, it is not what it was made for."""
        return tuple(fault for fault in self.faults if fault.error)

    @property
    def exit_code(self) -> ExitCode:
        """The one verdict: exit code, last line and JSON all come from here."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.invalid:
            return ExitCode.UNAVAILABLE
        if self.failed_checks or not self.checks:
            return ExitCode.CHECK_FAILED
        return ExitCode.THRESHOLD if self.crossed else ExitCode.OK


#: Outcomes that a Report holds in memory; further ones stream to the results file.
MAX_HELD = 1000
