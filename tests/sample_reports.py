"""Runs for the tests of the reports, judged by the real judge: a good one, a large one, and one of each trouble."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from harness.checks import Judge
from harness.expected import RetryPolicy
from harness.model.dead_letter import DeadLetter
from harness.model.expectation import Bounds, RunExpectation, TaskExpectation
from harness.model.fault import Fault, FaultKind, FaultRecord, Recovery
from harness.model.ledger import Cause, Duplicate, LedgerCounts, State
from harness.model.outcome import Outcome
from harness.model.report import MAX_HELD, Check, Report
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import Node, Roster, WorkerSpec

#: 2025-09-17T19:28:56Z
AT = 1758137336.0
WORKERS = (WorkerSpec(service="worker-a", queue="queue_a"), WorkerSpec(service="worker-b", queue="queue_b"))
ROSTER = Roster(
    nodes=(
        Node(name="worker-a@12514a296d7c", queues=("queue_a",)),
        Node(name="worker-b@266b12387dae", queues=("queue_b",)),
    ),
    consumers={"queue_a": 1, "queue_b": 1},
    backlog={"queue_a": 0, "queue_b": 0},
)
BASIC = Scenario(
    name="basic",
    description="Basic two-task execution test",
    workers=WORKERS,
    tasks=(TaskSpec(task="task_a", kwargs={"work_s": 0.5}), TaskSpec(task="task_b", kwargs={"work_s": 0.7})),
)
RETRY = Scenario(
    name="retry",
    description="Fails twice, then succeeds: attempts, same queue, each backoff within the policy's bounds",
    workers=WORKERS,
    tasks=(
        TaskSpec(
            task="task_a",
            count=4,
            kwargs={"work_s": 0.1, "fail_times": 2},
            expect=TaskExpectation(backoff_policy=True),
        ),
    ),
)
WORKER_KILL = Scenario(
    name="worker-kill",
    description="A worker is killed while it executes tasks, and comes back",
    workers=WORKERS,
    tasks=(TaskSpec(task="task_a", count=8, kwargs={"work_s": 0.5}),),
    faults=(
        Fault(kind=FaultKind.KILL, target="worker-a", at_s=1.0, for_s=1.5),
        Fault(kind=FaultKind.PAUSE, target="worker-b", after=0.75),
    ),
    expect=RunExpectation(recovery=Bounds(high=5.0)),
)
POLICY = RetryPolicy(max_retries=3, backoff_s=1, backoff_max_s=60, jitter=True, delay_s=180)


def outcome(index: int, task: str = "task_a", begin_s: float = 0.012, run_s: float = 0.5, **more: object) -> Outcome:
    """Return a task that was published at once, started at `begin_s` and ran for `run_s`."""
    letter = task[-1]
    node = ROSTER.nodes[letter == "b"].name
    made = Outcome(
        task_id=f"f37eb6fd-dfb5-8000-8000-{index:012x}",
        index=index,
        task=task,
        declared_queue=f"queue_{letter}",
        state=State.SUCCEEDED,
        published_at=AT,
        confirmed_at=AT + 0.004,
        replied_at=AT + begin_s + run_s + 0.002,
        first_started_at=AT + begin_s,
        started_at=AT + begin_s,
        finished_at=AT + begin_s + run_s,
        node=node,
        queue=f"queue_{letter}",
        queue_evidence="consumer",
        attempts=1,
        result={"message": f"Hello from Task {letter.upper()}"},
    )
    return replace(made, **more)  # type: ignore[arg-type]


def judged(
    scenario: Scenario,
    outcomes: Iterable[Outcome],
    wall_s: float,
    *,
    faults: tuple[FaultRecord, ...] = (),
    duplicates: tuple[Duplicate, ...] = (),
    **more: object,
) -> Report:
    """Return the report of a run that came to `outcomes`."""
    judge = Judge(ROSTER, scenario, confirms=True, policies={"task_a": POLICY}, disturbed=bool(scenario.faults))
    judge.begin(AT)
    held: list[Outcome] = []
    states = dict.fromkeys(State, 0)
    count = acknowledged = recovered = 0
    for each in outcomes:
        judge.observe(each)
        states[each.state] += 1
        count += 1
        acknowledged += each.state is not State.UNACKNOWLEDGED
        recovered += each.state.is_completed and each.redelivered
        if len(held) < MAX_HELD:
            held.append(each)
    ledger = LedgerCounts(
        attempted=count,
        acknowledged=acknowledged,
        **{state.value: n for state, n in states.items()},
        duplicated=len(duplicates),
        unexplained=sum(duplicate.cause is Cause.UNEXPLAINED for duplicate in duplicates),
        recovered=recovered,
    )
    report = Report(
        run_id="f37eb6fddfb5",
        scenario=scenario,
        started_at=AT,
        broker="amqp://tester@localhost:5672/celery-test",
        embedded=False,
        roster=ROSTER,
        outcomes=tuple(held),
        outcome_count=count,
        ledger=ledger,
        metrics=judge.metrics(wall_s),
        checks=judge.checks(ledger, wall_s, faults=faults),
        thresholds=judge.thresholds(ledger),
        faults=faults,
        duplicates=duplicates,
    )
    return replace(report, **more)  # type: ignore[arg-type]


def basic() -> Report:
    return judged(BASIC, [outcome(0), outcome(1, "task_b", run_s=0.7)], 0.714)


def embedded() -> Report:
    return replace(basic(), embedded=True, broker="filesystem:///tmp/embedded-broker-x", notes=("a note",))


def interrupted() -> Report:
    left = replace(
        outcome(1, "task_b"),
        state=State.UNFINISHED,
        replied_at=None,
        finished_at=None,
        result=None,
        error="no final state by the deadline",
        where="running on worker-b@266b12387dae",
    )
    return judged(BASIC, [outcome(0), left], 2.0, interrupted=True)


def retried() -> Report:
    """Four tasks that failed twice each; the last failed for good."""

    def tried(index: int, first_wait_s: float, second_wait_s: float) -> Outcome:
        start_s = 0.01 + 0.1 * index
        last_s = start_s + 2 * 0.102 + first_wait_s + second_wait_s
        return outcome(
            index,
            begin_s=last_s,
            run_s=0.102,
            first_started_at=AT + start_s,
            attempts=3,
            retries=2,
            waits_s=(first_wait_s, second_wait_s),
        )

    failed = replace(
        tried(3, 0.3, 1.2), state=State.FAILED, error="TransientError: attempt 3 failed as asked", result=None
    )
    return judged(RETRY, [tried(0, 0.42, 1.61), tried(1, 0.8, 0.9), tried(2, 0.1, 1.95), failed], 2.6)


def staircase(count: int, concurrency: int = 2) -> Iterator[Outcome]:
    """Yield tasks of both kinds that queue up behind each other."""
    for index in range(count):
        task = "task_b" if index % 2 else "task_a"
        place, run_s = index // 2, 0.05 + (index * 7919 % 37) / 1000
        begin_s = 0.01 + (place // concurrency) * 0.09 + (index * 104729 % 11) / 1000
        yield outcome(index, task, begin_s=begin_s, run_s=run_s, replied_at=AT + begin_s + run_s + 0.002)


def many(count: int, wall_s: float | None = None, trouble: Sequence[Outcome] = ()) -> Report:
    scenario = replace(
        BASIC,
        name="mixed-load",
        description="Hundreds of tasks of both kinds, fair shares",
        tasks=(TaskSpec(task="task_a", count=count // 2), TaskSpec(task="task_b", count=count - count // 2)),
    )
    by_index = {each.index: each for each in trouble}
    outcomes = [by_index.get(each.index, each) for each in staircase(count)]
    last_s = max((each.replied_at or AT) - AT for each in outcomes)
    outcomes.sort(key=lambda each: each.replied_at or AT)
    return judged(scenario, outcomes, wall_s or last_s)


def troubled() -> Report:
    """Everything that can go wrong, among 60 tasks."""
    never = {"first_started_at": None, "started_at": None, "finished_at": None, "replied_at": None, "node": None}
    unseen = {**never, "queue": None, "queue_evidence": None, "attempts": 0, "result": None}
    trouble = (
        outcome(4, begin_s=0.2, run_s=0.05, state=State.FAILED, error="ValueError: amount < 0", result=None),
        outcome(7, "task_b", **unseen, state=State.LOST, error="confirmed, and found nowhere"),
        outcome(10, **unseen, state=State.UNFINISHED, error="no final state by the deadline", where="ready in queue_a"),
        outcome(12, **unseen, state=State.DEAD_LETTERED, error="dead-lettered: rejected", where="queue_a.dead"),
        outcome(15, "task_b", **unseen, state=State.UNACKNOWLEDGED, error="the broker never confirmed it"),
        outcome(20, begin_s=0.9, run_s=0.1, node="worker-b@266b12387dae", queue="queue_b"),
        outcome(
            23, "task_b", begin_s=1.1, run_s=0.08, first_started_at=AT + 0.5, attempts=2, redelivered=True,
        ),
    )  # fmt: skip
    report = many(60, wall_s=3.0, trouble=trouble)
    return replace(
        report,
        ledger=replace(report.ledger, unexpected=1),
        thresholds=(
            Check(name="round_trip p(95)<500ms", passed=False, evidence="1,402.1 ms over 55 measured"),
            Check(name="failures rate<0.2", passed=True, evidence="5 of 60 did not succeed"),
        ),
        dead_letters=(
            DeadLetter(
                task_id="f37eb6fd-dfb5-8000-8000-00000000000c",
                task="task_a",
                queue="queue_a.dead",
                reason="rejected",
                came_from="queue_a",
                times=1,
            ),
        ),
        notes=("the connection was lost after 1.2 s and made again 0.3 s later; 4 messages were published again",),
    )


def disturbed() -> Report:
    """A node that executed two tasks was killed; both were executed again once it was back."""
    starts_s = (0.01, 0.01, 0.52, 0.52, 3.12, 3.12, 3.64, 3.64)
    outcomes = [outcome(index, begin_s=begin_s) for index, begin_s in enumerate(starts_s)]
    again = {"begin_s": 2.6, "first_started_at": AT + 0.52, "attempts": 2, "redelivered": True}
    outcomes[2:4] = [outcome(index, **again) for index in (2, 3)]  # type: ignore[arg-type]
    return judged(
        WORKER_KILL,
        outcomes,
        4.142,
        faults=(
            FaultRecord(
                what="kill worker-a at 1s for 1.5s",
                hit="container demo-worker-a-1 (worker-a@12514a296d7c)",
                at_s=1.0021,
                undone_at_s=2.5043,
                recovery=Recovery(tasks=2, ended=2, rerun_s=1.5979, first_s=2.0999, last_s=2.1004),
            ),
            FaultRecord(
                what="pause worker-b after 75%",
                hit="container demo-worker-b-1 (worker-b@266b12387dae)",
                at_s=3.6235,
                undone_at_s=4.143,
                recovery=Recovery(tasks=0),
            ),
        ),
        duplicates=tuple(
            Duplicate(
                task_id=outcomes[index].task_id,
                cause=Cause.REDELIVERED,
                evidence="attempt 1 began again on worker-a@12514a296d7c",
            )
            for index in (2, 3)
        ),
    )


def invalid() -> Report:
    """As `disturbed`, but the second fault could not be applied."""
    report = disturbed()
    kill, pause = report.faults
    why = "container demo-worker-b-1 could not be paused; it is not running"
    return replace(report, faults=(kill, replace(pause, undone_at_s=None, error=why, recovery=None)))


def crossed() -> Report:
    return replace(
        basic(), thresholds=(Check(name="run_time p(95)<600ms", passed=False, evidence="700.0 ms over 2 measured"),)
    )
