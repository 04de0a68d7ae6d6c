"""What a scenario expects: each expectation holds where it should, and fails, saying what it saw, where not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.checks import Judge
from harness.expected import RetryPolicy, bounds_text, mismatch
from harness.expected_run import Shares
from harness.model.dead_letter import DeadLetter
from harness.model.expectation import Bounds, DeadLetters, Match, RunExpectation, TaskExpectation, Threshold
from harness.model.fault import FaultRecord, Recovery
from harness.model.ledger import LedgerCounts, State
from harness.model.outcome import Outcome
from harness.model.report import Check
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import Node, Roster, Route, WorkerSpec

A = Outcome(
    task_id="id-a",
    index=0,
    task="task_a",
    declared_queue="queue_a",
    state=State.SUCCEEDED,
    published_at=100.0,
    confirmed_at=100.01,
    replied_at=100.52,
    first_started_at=100.01,
    started_at=100.01,
    finished_at=100.51,
    node="worker-a@h",
    queue="queue_a",
    queue_evidence="consumer",
    attempts=1,
    result={"message": "Hello", "n": 3},
)
ROSTER = Roster(nodes=(Node(name="worker-a@h", queues=("queue_a",)),), consumers={"queue_a": 1})
POLICY = RetryPolicy(max_retries=3, backoff_s=1, backoff_max_s=8, jitter=True, delay_s=1)


def scenario(
    expect: TaskExpectation | None = None, run: RunExpectation | None = None, queue: str | None = None
) -> Scenario:
    return Scenario(
        name="s",
        description="",
        workers=(WorkerSpec(service="worker-a", queue="queue_a"),),
        tasks=(TaskSpec(task="task_a", queue=queue, expect=expect or TaskExpectation()),),
        expect=run or RunExpectation(),
    )


def judged(
    asked: Scenario, outcome: Outcome = A, wall_s: float = 0.52, dead: tuple[DeadLetter, ...] = ()
) -> list[Check]:
    judge = Judge(ROSTER, asked, confirms=True, policies={"task_a": POLICY})
    judge.observe(outcome)
    ledger = replace(LedgerCounts(attempted=1, acknowledged=1), **{outcome.state.value: 1})
    return [*judge.checks(ledger, wall_s, dead), *judge.thresholds(ledger)]


def the(name: str, checks: list[Check]) -> tuple[bool, str]:
    (check,) = [check for check in checks if check.name.startswith(name)]
    return check.passed, f"{check.name} = {check.evidence}"


@pytest.mark.parametrize(
    ("expect", "outcome", "expected"),
    [
        (
            {"result": Match(contains={"n": 3})},
            {},
            (True, 'result: contains {"n": 3} = 1 of 1'),
        ),
        (
            {"result": Match(equals=4)},
            {"result": 5},
            (False, "result: equals 4 = task_a id-a is 5, not 4"),
        ),
        (
            {"error": Match(matches="^Value")},
            {"error": "KeyError: x"},
            (False, "error: matches ^Value = task_a id-a \"KeyError: x\" does not match '^Value'"),
        ),
        ({"worker": "worker-a@*"}, {}, (True, "worker: worker-a@* = 1 of 1")),
        (
            {"worker": "worker-b@*"},
            {},
            (False, "worker: worker-b@* = task_a id-a ran on worker-a@h, not on worker-b@*"),
        ),
        ({"attempts": Bounds(low=3, high=3)}, {"attempts": 3}, (True, "attempts: 3 = 1 of 1")),
        ({"attempts": Bounds(low=3, high=3)}, {}, (False, "attempts: 3 = task_a id-a 1, not 3")),
        ({"run_time": Bounds(high=0.4)}, {}, (False, "run time: at most 0.4s = task_a id-a 0.5s, not at most 0.4s")),
        (
            {"run_time": Bounds(high=0.4)},
            {"started_at": None},
            (False, "run time: at most 0.4s = task_a id-a was not measured"),
        ),
        ({"queue_wait": Bounds(high=0.1)}, {}, (True, "queue wait: at most 0.1s = 1 of 1")),
        (
            {"backoff": (Bounds(low=0, high=1), Bounds(low=1, high=2))},
            {"waits_s": (0.5, 2.5)},
            (
                False,
                "backoff: 0s to 1s, 1s to 2s = task_a id-a waited 2.50s before attempt 3, not 1s to 2s",
            ),
        ),
        (
            {"backoff": (Bounds(low=0, high=1),)},
            {"waits_s": ()},
            (False, "backoff: 0s to 1s = task_a id-a waited 0 times, not 1"),
        ),
        (
            {"backoff_policy": True},
            {"waits_s": (1.2, 2.1), "retries": 2},
            (True, "backoff: as the retry policy allows = 1 of 1"),
        ),
        (
            {"backoff_policy": True},
            {"waits_s": (5.0,), "retries": 1},
            (
                False,
                "backoff: as the retry policy allows = task_a id-a waited 5.00s before attempt 2, not 0s to 1.75s",
            ),
        ),
        (
            {"backoff_policy": True},
            {"waits_s": (), "retries": 0},
            (
                False,
                "backoff: as the retry policy allows = task_a id-a was never retried: there is no wait to judge",
            ),
        ),
    ],
)
def test_an_expectation_of_a_task_is_judged(
    expect: dict[str, Any], outcome: dict[str, Any], expected: tuple[bool, str]
) -> None:
    name = expected[1].partition(":")[0]
    assert the(f"{name}:", judged(scenario(TaskExpectation(**expect)), replace(A, **outcome))) == expected


def test_a_task_that_should_fail_and_does_is_as_expected() -> None:
    failed = replace(A, state=State.FAILED, error="TransientError: no")
    checks = judged(scenario(TaskExpectation(state=State.FAILED)), failed)
    assert all(check.passed for check in checks)
    assert the("every task ended", checks) == (
        True,
        "every task ended as expected = 1 of 1: 1 attempted = 1 failed",
    )


def test_a_task_that_should_fail_and_succeeds_is_named() -> None:
    assert the("every task ended", judged(scenario(TaskExpectation(state=State.FAILED)))) == (
        False,
        "every task ended as expected = task_a id-a succeeded, not failed",
    )


def test_an_expected_unfinished_task_is_not_missing() -> None:
    waiting = replace(A, state=State.UNFINISHED, where="running on worker-a@h", finished_at=None)
    assert the("nothing lost", judged(scenario(TaskExpectation(state=State.UNFINISHED)), waiting))[0]
    assert not the("nothing lost", judged(scenario(), waiting))[0]


def test_a_probe_that_was_refused_passes_and_one_that_ran_is_named() -> None:
    probe = scenario(TaskExpectation(state=State.FAILED), queue="queue_b")
    refused = replace(A, state=State.FAILED, attempts=0, started_at=None, queue="queue_b", node="worker-b@h")
    name = "no task executed from a queue that is not its own"
    assert the(name, judged(probe, refused)) == (True, f"{name} = 1 of 1 refused")
    ran = replace(refused, attempts=1)
    assert the(name, judged(probe, ran)) == (
        False,
        f"{name} = task_a id-a was executed on worker-b@h, from queue_b",
    )


LETTER = DeadLetter(
    task_id="id-a", task="task_a", queue="queue_b.dead", reason="rejected", came_from="queue_b", times=1
)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (
            DeadLetters(queue="queue_b.dead", count=Bounds(low=1, high=1), reason="rejected", task="task_a"),
            (True, "dead letters in queue_b.dead: 1 task_a rejected = found 1: 1 task_a rejected"),
        ),
        (
            DeadLetters(queue="queue_b.dead", count=Bounds(low=1, high=1), reason="expired"),
            (False, "dead letters in queue_b.dead: 1 expired = found 0: 1 task_a rejected"),
        ),
        (
            DeadLetters(queue="queue_a.dead", count=Bounds(low=1)),
            (False, "dead letters in queue_a.dead: at least 1 = none of this run"),
        ),
    ],
)
def test_dead_letters_are_counted_by_queue_task_and_reason(wanted: DeadLetters, expected: tuple[bool, str]) -> None:
    checks = judged(scenario(run=RunExpectation(dead_letters=(wanted,))), dead=(LETTER,))
    assert the("dead letters", checks) == expected


def test_the_run_as_a_whole_is_judged() -> None:
    run = RunExpectation(wall_time=Bounds(high=0.5), overlap=Bounds(low=2), ledger={"succeeded": Bounds(low=1, high=1)})
    checks = judged(scenario(run=run))
    assert the("wall time", checks) == (False, "wall time: at most 0.5s = 0.52s")
    assert the("overlap", checks) == (
        False,
        "overlap: at least 2 at a time = 0.96 ran at a time: 0.500s of work in 0.520s",
    )
    assert the("succeeded", checks) == (True, "succeeded: 1 = 1")


@pytest.mark.parametrize(
    ("metric", "aggregate", "rank", "operator", "limit", "passed", "evidence"),
    [
        ("round_trip", "p", 50.0, "<", 0.6, True, "520.0 ms over 1 measured"),
        ("round_trip", "max", None, "<", 0.5, False, "520.0 ms over 1 measured"),
        ("run_time", "avg", None, ">=", 0.5, True, "500.0 ms over 1 measured"),
        ("lag", "p", 99.0, "<", 1.0, False, "nothing was measured"),
        ("failures", "rate", None, "<", 0.01, True, "0 of 1 did not succeed"),
        ("failures", "count", None, ">", 0.0, False, "0 of 1 did not succeed"),
    ],
)
def test_a_threshold_is_judged_on_what_was_measured(
    metric: str, aggregate: str, rank: float | None, operator: str, limit: float, passed: bool, evidence: str
) -> None:
    threshold = Threshold(
        metric=metric, aggregate=aggregate, rank=rank, operator=operator, limit=limit, text="as written"
    )
    checks = judged(scenario(run=RunExpectation(thresholds=(threshold,))))
    assert the(f"{metric} as written", checks) == (passed, f"{metric} as written = {evidence}")


@pytest.mark.parametrize(
    ("match", "value", "why"),
    [
        (Match(equals=None), None, None),
        (Match(equals=None), 0, "is 0, not null"),
        (Match(contains="b"), "abc", None),
        (Match(contains=1), [1, 2], None),
        (Match(contains=1), 5, "5 does not contain 1"),
        (Match(contains={"a": 1}), {"a": 2}, '{"a": 2} does not contain {"a": 1}'),
        (Match(matches="o$"), "Hello", None),
        (Match(matches='"n": 3'), {"n": 3}, None),
        (Match(contains="e", matches="^x"), "Hello", "\"Hello\" does not match '^x'"),
    ],
)
def test_a_match_says_why_it_is_none(match: Match, value: Any, why: str | None) -> None:
    assert mismatch(match, value) == why


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        (Bounds(low=3, high=3), "3s"),
        (Bounds(low=1), "at least 1s"),
        (Bounds(high=2.5), "at most 2.5s"),
        (Bounds(low=1, high=2), "1s to 2s"),
    ],
)
def test_bounds_read_as_words(bounds: Bounds, text: str) -> None:
    assert bounds_text(bounds, "s") == text


@pytest.mark.parametrize(
    ("policy", "retry", "bounds"),
    [
        (POLICY, 0, Bounds(low=0, high=1)),
        (POLICY, 2, Bounds(low=0, high=4)),
        (POLICY, 5, Bounds(low=0, high=8)),
        (replace(POLICY, jitter=False), 1, Bounds(low=2, high=2)),
        (replace(POLICY, backoff_s=0), 1, Bounds(low=1, high=1)),
    ],
)
def test_a_policy_bounds_each_wait_as_celery_draws_it(policy: RetryPolicy, retry: int, bounds: Bounds) -> None:
    assert policy.wait(retry) == bounds


ROUTE = Route(exchange="tasks", routing_key="queue_a", queue="queue_a")


@pytest.mark.parametrize(
    ("routes", "outcome", "expected"),
    [
        ({"task_a": ROUTE}, {}, (True, "1 from queue_a on worker-a@h")),
        ({"task_a": ROUTE}, {"queue": "queue_b"}, (False, "1 from queue_b on worker-a@h")),
        ({"task_c": ROUTE}, {}, (False, "registered, and no delivery of it was observed")),
        ({"task_c": None}, {}, (False, "registered, and routed to no queue")),
    ],
)
def test_a_route_holds_where_each_delivery_was_observed_on_its_queue(
    routes: dict[str, Route | None], outcome: dict[str, Any], expected: tuple[bool, str]
) -> None:
    judge = Judge(ROSTER, scenario(run=RunExpectation(routing=True)), confirms=True, routes=routes)
    judge.observe(replace(A, **outcome))
    checks = judge.checks(LedgerCounts(attempted=1, acknowledged=1, succeeded=1), 0.5)
    ((passed, evidence),) = [(check.passed, check.evidence) for check in checks if check.name.startswith("route of")]
    assert (passed, evidence) == expected


def shares(a_first: int) -> Check:
    """Two kinds of four tasks each; of the first four to end, `a_first` are task_a's."""
    asked = replace(scenario(), tasks=(TaskSpec(task="task_a", count=4), TaskSpec(task="task_b", count=4)))
    seen = Shares(asked)
    order = ["task_a"] * a_first + ["task_b"] * 4 + ["task_a"] * (4 - a_first)
    for task in order:
        seen.observe(replace(A, task=task))
    return seen.check(ROSTER, 1.5)


def test_kinds_that_advance_together_have_fair_shares_and_a_starved_one_has_not() -> None:
    assert shares(2).passed
    starved = shares(1)
    assert not starved.passed
    assert starved.evidence == "halfway through, 25% of task_a, 75% of task_b were done (3.00)"


def test_a_node_that_did_most_of_its_service_s_work_is_not_fair() -> None:
    roster = replace(ROSTER, nodes=(*ROSTER.nodes, Node(name="worker-a@2", queues=("queue_a",))))
    seen = Shares(replace(scenario(), tasks=(TaskSpec(task="task_a", count=4),)))
    for node in ("worker-a@h", "worker-a@h", "worker-a@h", "worker-a@2"):
        seen.observe(replace(A, node=node))
    assert seen.check(roster, 2.0) == Check(
        name="fair shares: at most 2 times", passed=False, evidence="worker-a's nodes ran 3 and 1 (3.00)"
    )


# --- recovery -------------------------------------------------------------------------------------

BACK = Recovery(tasks=4, ended=4, rerun_s=0.9, first_s=1.5, last_s=2.0)


@pytest.mark.parametrize(
    ("recoveries", "passed", "evidence"),
    [
        ([BACK], True, "4 of 4 ended, the first after 1.50s, the last after 2.00s"),
        (
            [BACK, Recovery(tasks=1, ended=1, first_s=2.5, last_s=2.5)],
            False,
            "4 of 4 ended, the first after 1.50s, the last after 2.00s; "
            "1 of 1 ended, the first after 2.50s, the last after 2.50s",
        ),
        ([replace(BACK, ended=3)], False, "3 of 4 ended, the first after 1.50s, the last after 2.00s"),
        ([Recovery(tasks=4)], False, "0 of 4 ended"),
        ([BACK, Recovery(tasks=0)], True, "4 of 4 ended, the first after 1.50s, the last after 2.00s"),
        ([Recovery(tasks=0)], False, "no task was in flight where a fault struck"),
        ([None], False, "not measured: no fault was applied, or by a dispatcher that has ended"),
        ([], False, "no task was in flight where a fault struck"),
    ],
)
def test_recovery_is_judged_by_the_last_task_that_a_fault_hit(
    recoveries: list[Recovery | None], passed: bool, evidence: str
) -> None:
    judge = Judge(ROSTER, scenario(run=RunExpectation(recovery=Bounds(high=2.0))), confirms=True, disturbed=True)
    judge.observe(A)
    faults = [FaultRecord(what="kill", hit="a", at_s=1.0, recovery=recovery) for recovery in recoveries]
    checks = judge.checks(LedgerCounts(attempted=1, acknowledged=1, succeeded=1), 0.5, faults=faults)
    name = "recovery: at most 2s from a fault to the last task it hit"
    assert the("recovery", list(checks)) == (passed, f"{name} = {evidence}")


def test_recovery_is_not_judged_where_nothing_was_said_of_it() -> None:
    assert not [check for check in judged(scenario()) if check.name.startswith("recovery")]
