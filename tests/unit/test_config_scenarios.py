"""What a scenario can say of its workers, tags, tasks and times, and the whole message for every mistake in it."""

from __future__ import annotations

import pytest
from config_files import EVERY_KEY, WORKER_A, WORKER_B, config, load, loaded_scenario, refusal, with_scenario, with_task

from harness.model.config import Settings
from harness.model.expectation import Bounds, DeadLetters, Match, RunExpectation, TaskExpectation, Threshold
from harness.model.fault import Fault, FaultKind
from harness.model.ledger import State
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import WorkerSpec

pytestmark = pytest.mark.usefixtures("empty_directory")

NAMES = "try: use letters, digits, '_', '.' and '-', at most 100 of them"


def exactly(count: int) -> Bounds:
    return Bounds(low=count, high=count)


def threshold(
    metric: str, aggregate: str, operator: str, limit: float, text: str, rank: float | None = None
) -> Threshold:
    return Threshold(metric=metric, aggregate=aggregate, rank=rank, operator=operator, limit=limit, text=text)


def test_every_key_is_read() -> None:
    loaded = load(EVERY_KEY)
    assert loaded.settings == Settings(broker_url="amqp://u:p@h:5672/v", wait_workers_s=20.0, results_dir="out")
    worker_a = WorkerSpec(service="worker-a", queue="queue_a", replicas=2, concurrency=4)
    assert loaded.workers == (worker_a, WORKER_B)
    short, full = loaded.scenarios
    assert short == Scenario(
        name="short",
        description="Five lines",
        workers=(worker_a, WORKER_B),
        tasks=(TaskSpec(task="task_a"),),
        timeout_s=60.0,
        expect=RunExpectation(wall_time=Bounds(high=30.0), ledger={"duplicated": exactly(0)}, fairness=2),
    )
    assert full == Scenario(
        name="full",
        description="All that can be said",
        tags=("slow", "nightly"),
        workers=(WORKER_B, WorkerSpec(service="worker-a", queue="queue_a", replicas=3, concurrency=8)),
        timeout_s=20.0,
        reconnect=True,
        faults=(
            Fault(kind=FaultKind.KILL, target="worker-a", at_s=1.0, for_s=2.0, every_node=True),
            Fault(kind=FaultKind.KILL_MAIN, target="worker-a", after=0.5),
            Fault(kind=FaultKind.KILL_CHILD, target="worker-b", on_start=True, times=3),
            Fault(kind=FaultKind.STOP, target="worker-a", at_s=0.0, grace_s=5.0),
            Fault(kind=FaultKind.PAUSE, target="worker-b", at_s=2.0, for_s=1.0),
            Fault(kind=FaultKind.SCALE, target="worker-a", at_s=3.0, count=1),
            Fault(kind=FaultKind.DISCONNECT, target="dispatcher", at_s=4.0, for_s=1.0),
            Fault(kind=FaultKind.RESTART, target="broker", at_s=5.0, for_s=0.5),
            Fault(kind=FaultKind.FREEZE, target="broker", at_s=6.0, for_s=1.0),
            Fault(kind=FaultKind.CLOSE_CONNECTIONS, target="broker", at_s=7.0),
            Fault(kind=FaultKind.MEMORY_ALARM, target="broker", at_s=8.0, for_s=1.0),
            Fault(kind=FaultKind.DELETE_QUEUE, target="replies", at_s=9.0),
            Fault(kind=FaultKind.MALFORMED, target="queue_a", at_s=10.0),
        ),
        tasks=(
            TaskSpec(
                task="task_a",
                count=40,
                args=(1, {"deep": [None, True, -0.5]}),
                kwargs={"work_s": 0.1},
                delay_s=0.5,
                rate=50.0,
                expect=TaskExpectation(
                    result=Match(equals={"n": None}, contains={"n": None}, matches="^Hello|[0-9]+$"),
                    queue="queue_a",
                    worker="worker-a@*",
                    attempts=Bounds(low=1, high=3),
                    backoff=(Bounds(low=0.0, high=1.0), Bounds(high=1.5)),
                    run_time=Bounds(low=0.1, high=2.0),
                    queue_wait=Bounds(high=5.0),
                ),
            ),
            TaskSpec(
                task="task_b",
                expect=TaskExpectation(
                    state=State.FAILED,
                    error=Match(equals="e", contains="e", matches="e"),
                    attempts=exactly(3),
                    backoff_policy=True,
                ),
            ),
            TaskSpec(
                task="task_a",
                queue="queue_b",
                rate=0.05,
                expect=TaskExpectation(state=State.DEAD_LETTERED, attempts=exactly(0)),
            ),
        ),
        expect=RunExpectation(
            wall_time=Bounds(low=1.0, high=20.0),
            overlap=Bounds(low=1.5, high=12),
            fairness=2,  # of defaults
            ledger={
                "attempted": exactly(42),
                "acknowledged": exactly(42),
                "succeeded": Bounds(low=40),
                "failed": exactly(1),
                "unfinished": exactly(0),
                "lost": exactly(0),
                "unacknowledged": exactly(0),
                "dead_lettered": exactly(1),
                "duplicated": Bounds(high=1),
                "unexplained": exactly(0),
                "recovered": exactly(0),
                "unexpected": exactly(0),
            },
            dead_letters=(
                DeadLetters(queue="queue_b.dead", count=Bounds(low=1, high=2), reason="rejected", task="task_a"),
                DeadLetters(queue="queue_a.dead", count=exactly(0)),
                DeadLetters(queue="queue_a.dead", count=exactly(1)),
            ),
            thresholds=(
                threshold("run_time", "avg", "<", 1.0, "avg<1s"),
                threshold("queue_wait", "med", "<=", 1.0, "med <= 1s"),
                threshold("queue_wait", "min", ">=", 0.0, "min>=0s"),
                threshold("round_trip", "p", "<", 0.5, "p(95)<500ms", 95.0),
                threshold("round_trip", "p", "!=", 90.0, "p( 99.9 ) != 1m30s", 99.9),
                threshold("round_trip", "max", "==", 2.0, "max==2s"),
                threshold("lag", "max", "<", 0.1, "max<100ms"),
                threshold("failures", "rate", "<", 0.01, "rate<0.01"),
                threshold("failures", "count", "<", 5.0, "count<5"),
            ),
            routing=True,
            recovery=Bounds(high=10.0),
        ),
    )


# --- workers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("put", "workers"),
    [
        ("workers: [worker-b]", (WORKER_B,)),
        ("workers: {worker-b: {}}", (WORKER_B,)),
        (
            "workers: {worker-b: {replicas: 2}, worker-a: {}}",
            (
                WorkerSpec(service="worker-b", queue="queue_b", replicas=2),
                WorkerSpec(service="worker-a", queue="queue_a", concurrency=2),
            ),
        ),
        (
            "workers: {worker-a: {concurrency: 1}}",
            (WorkerSpec(service="worker-a", queue="queue_a", concurrency=1),),
        ),
    ],
)
def test_a_scenario_names_its_workers_and_may_size_them(put: str, workers: tuple[WorkerSpec, ...]) -> None:
    assert loaded_scenario(with_scenario(put)).workers == workers


@pytest.mark.parametrize(
    ("put", "message"),
    [
        ("workers: worker-a", "14: s.workers: expected a list, got 'worker-a'"),
        ("workers: {}", "14: s.workers: expected at least one worker"),
        (
            "workers: {worker-c: {}}",
            "15: s.workers: no worker 'worker-c' in workers; did you mean 'worker-b'?\n"
            "  try: use one of: worker-a, worker-b",
        ),
        (
            "workers: {worker-a: {queue: queue_b}}",
            "26: s.workers.worker-a: unknown key 'queue'\n  try: use one of: concurrency, replicas",
        ),
        (
            "workers: {worker-a: {concurrency: 0}}",
            "39: s.workers.worker-a.concurrency: expected a whole number of at least 1, got 0",
        ),
        (
            "workers: {worker-a: {concurrency: 1001}}",
            "39: s.workers.worker-a.concurrency: expected a whole number of at most 1000, got 1001",
        ),
        ("tags: slow", "11: s.tags: expected a list, got 'slow'"),
        ("tags: []", "11: s.tags: expected at least one tag"),
        ("tags: [a b]", f"12: s.tags[0]: expected the name of a tag, got 'a b'\n  {NAMES}"),
        ("tags: [1]", "12: s.tags[0]: expected text, got 1\n  try: write it in quotes"),
        ("tags: [a, a]", "15: s.tags[1]: the tag 'a' is given twice"),
        (
            "reconnect: yes",
            "16: s.reconnect: expected true or false, got yes, which YAML 1.1 reads as true\n"
            '  try: write true, or "yes" in quotes for text',
        ),
        ("reconnect: 'true'", "16: s.reconnect: expected true or false, got 'true'"),
        ("reconnect: 1", "16: s.reconnect: expected true or false, got 1"),
        ("thresholds: {}", "5: s: the key 'thresholds' does not belong here\n  try: put it under expect"),
        (
            "expected: {}",
            "5: s: unknown key 'expected'; did you mean 'expect'?\n"
            "  try: use one of: description, expect, faults, reconnect, tags, tasks, timeout, workers",
        ),
    ],
)
def test_a_wrong_entry_of_a_scenario_is_refused_where_it_is(put: str, message: str) -> None:
    column, _, rest = message.partition(": ")
    assert refusal(with_scenario(put)) == f"t.yml:5:{column}: scenarios.{rest}"


# --- tasks ----------------------------------------------------------------------------------------

TASK_KEYS = "try: use one of: args, count, delay, expect, kwargs, queue, rate, task"
RATE = "expected a rate such as 50/s, 3/m or 100/h, got"


@pytest.mark.parametrize(
    ("put", "rate"),
    [("rate: 50/s", 50.0), ("rate: 3/m", 0.05), ("rate: 360/h", 0.1), ("rate: 0.5/s", 0.5), ("rate: 100000/s", 1e5)],
)
def test_a_rate_is_read_as_so_many_a_second(put: str, rate: float) -> None:
    assert loaded_scenario(with_task(put)).tasks[0].rate == pytest.approx(rate)


@pytest.mark.parametrize(
    ("put", "message"),
    [
        ("rate: 50", f"15: .rate: {RATE} 50\n  try: write 50/s"),
        ("rate: '50'", f"15: .rate: {RATE} '50'\n  try: write 50/s"),
        ("rate: 50/d", f"15: .rate: {RATE} '50/d'"),
        ("rate: [50/s]", f"15: .rate: {RATE} a list"),
        ("rate: 0/s", "15: .rate: expected a rate above 0 and of at most 100000/s, got '0/s'"),
        ("rate: 100001/s", "15: .rate: expected a rate above 0 and of at most 100000/s, got '100001/s'"),
        ("delay: 5", "16: .delay: expected a duration such as 500ms, 30s, 1m30s or 1h, got 5\n  try: write 5s"),
        ("delay: 25h", "16: .delay: expected a duration of at most 24h, got '25h'"),
        (
            "queue: a b",
            "16: .queue: expected the name of a queue, got 'a b'\n"
            "  try: use letters, digits, '_', '.' and '-' (':' and '/' too), at most 200 of them",
        ),
        ("dealy: 5s", f"9: : unknown key 'dealy'; did you mean 'delay'?\n  {TASK_KEYS}"),
        ("state: failed", "9: : the key 'state' does not belong here\n  try: put it under expect"),
        (
            "delay: 30s",
            "9: : the last is published 30s into the run, which ends after 30s\n"
            "  try: raise timeout of the scenario, or publish sooner",
        ),
        (
            "{<<: {rate: 1/s, count: 31}, task: t}\n      - &x",
            "9: : the last is published 30s into the run, which ends after 30s\n"
            "  try: raise timeout of the scenario, or publish sooner",
        ),
    ],
)
def test_a_wrong_entry_of_a_task_is_refused_where_it_is(put: str, message: str) -> None:
    column, path, rest = message.split(": ", 2)
    assert refusal(with_task(put)) == f"t.yml:7:{column}: scenarios.s.tasks[0]{path}: {rest}"


def test_a_scenario_publishes_at_most_a_million_tasks() -> None:
    tasks = "{description: B, tasks: [{task: t, count: 999999}, {task: t, count: %d}]}"
    assert loaded_scenario(config(scenario=tasks % 1)).task_count == 1_000_000
    assert refusal(config(scenario=tasks % 2)) == (
        "t.yml:4:44: scenarios.basic.tasks: 1000001 tasks in all, and a scenario has at most 1000000"
    )


# --- defaults -------------------------------------------------------------------------------------


def test_defaults_stand_in_key_by_key_and_a_scenario_s_own_key_is_taken_whole() -> None:
    own = "{description: B, tasks: [{task: t}], expect: {ledger: {failed: 1}}}"
    defaults = "defaults: {timeout: 5s, expect: {ledger: {lost: 0, duplicated: 0}, fairness: 3}}\n"
    scenario = loaded_scenario(config(scenario=own) + defaults)
    assert scenario.timeout_s == 5.0
    assert scenario.expect == RunExpectation(ledger={"failed": exactly(1)}, fairness=3)
    assert scenario.workers == (WORKER_A, WORKER_B)


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        (
            "{timeout: 30}",
            "21: defaults.timeout: expected a duration such as 500ms, 30s, 1m30s or 1h, got 30\n  try: write 30s",
        ),
        (
            "{expect: {}}",
            "20: defaults.expect: expected at least one key\n"
            "  try: use one of: dead_letters, fairness, ledger, overlap, recovery, routing, thresholds, wall_time",
        ),
        (
            "{timeuot: 1s}",
            "12: defaults: unknown key 'timeuot'; did you mean 'timeout'?\n  try: use one of: expect, timeout",
        ),
        ("{fairness: 2}", "12: defaults: the key 'fairness' does not belong here\n  try: put it under expect"),
        ("[]", "11: defaults: expected a mapping, got a list"),
    ],
)
def test_wrong_defaults_are_refused_even_where_no_scenario_uses_them(defaults: str, message: str) -> None:
    own = "{description: B, timeout: 1s, tasks: [{task: t}]}"
    assert refusal(config(scenario=own) + f"defaults: {defaults}\n") == f"t.yml:5:{message}"
