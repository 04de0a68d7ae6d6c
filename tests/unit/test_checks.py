"""Judgements: each check holds on the good run, and fails, naming the culprit, on the one thing that breaks it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.checks import Judge
from harness.errors import ExitCode
from harness.model.expectation import TaskExpectation
from harness.model.fault import Fault, FaultKind, FaultRecord, Recovery
from harness.model.ledger import LedgerCounts, State
from harness.model.outcome import Outcome
from harness.model.report import Check
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import Node, Roster, WorkerSpec
from tests.sample_reports import basic

A = Outcome(
    task_id="id-a",
    index=0,
    task="task_a",
    declared_queue="queue_a",
    state=State.SUCCEEDED,
    published_at=100.0,
    confirmed_at=100.01,
    replied_at=100.52,
    started_at=100.01,
    finished_at=100.51,
    node="worker-a@h",
    queue="queue_a",
    queue_evidence="consumer",
    attempts=1,
)
B = replace(
    A, task_id="id-b", index=1, entry=1, task="task_b", declared_queue="queue_b", node="worker-b@h", queue="queue_b",
    finished_at=100.71, replied_at=100.72,
)  # fmt: skip
ROSTER = Roster(
    nodes=(Node(name="worker-a@h", queues=("queue_a",)), Node(name="worker-b@h", queues=("queue_b",))),
    consumers={"queue_a": 1, "queue_b": 1},
)
SCENARIO = Scenario(
    name="basic",
    description="",
    workers=(WorkerSpec(service="worker-a", queue="queue_a"), WorkerSpec(service="worker-b", queue="queue_b")),
    tasks=(TaskSpec(task="task_a"), TaskSpec(task="task_b")),
)
LEDGER = LedgerCounts(attempted=2, acknowledged=2, succeeded=2)


def judged(
    outcomes: tuple[Outcome, ...] = (A, B), ledger: LedgerCounts = LEDGER, roster: Roster = ROSTER, wall_s: float = 0.72
) -> dict[str, Check]:
    judge = Judge(roster, SCENARIO, confirms=True)
    for outcome in outcomes:
        judge.observe(outcome)
    return {check.name: check for check in judge.checks(ledger, wall_s)}


def failed(**what: Any) -> dict[str, str]:
    return {name: check.evidence for name, check in judged(**what).items() if not check.passed}


def test_a_good_run_passes_every_check_with_its_evidence() -> None:
    assert {name: (check.passed, check.evidence) for name, check in judged().items()} == {
        "every task confirmed by the broker": (True, "2 of 2 confirmed"),
        "every task succeeded": (True, "2 of 2 succeeded"),
        "every task on its declared queue": (
            True,
            "1 from queue_a on worker-a@h, 1 from queue_b on worker-b@h (by consumer)",
        ),
        "every task on a worker of that queue alone": (True, "2 of 2, on worker-a@h, worker-b@h"),
        "every node consumes exactly its queue": (True, "worker-a@h: queue_a, worker-b@h: queue_b"),
        "the runs overlapped in time": (True, "1.200s of work within 0.700s (1.71 at a time)"),
        "nothing lost": (True, "0 lost, 0 unfinished, 0 never confirmed"),
        "nothing duplicated": (True, "0 ids ran or ended more than once"),
        "nothing unexpected": (True, "0 replies for ids never sent"),
        "every id accounted for": (True, "2 attempted = 2 succeeded"),
    }


def test_an_unconfirmed_message_is_named_by_its_count() -> None:
    assert failed(ledger=replace(LEDGER, acknowledged=1)) == {"every task confirmed by the broker": "1 of 2 confirmed"}


def test_a_failed_task_is_named_with_its_error() -> None:
    broken = replace(B, state=State.FAILED, error="ValueError: no")
    assert failed(outcomes=(A, broken), ledger=replace(LEDGER, succeeded=1, failed=1)) == {
        "every task succeeded": "task_b id-b failed: ValueError: no"
    }


def test_a_task_from_another_queue_is_named_with_both_queues() -> None:
    assert failed(outcomes=(A, replace(B, queue="queue_a"))) == {
        "every task on its declared queue": "task_b id-b arrived on queue_a, declared for queue_b"
    }


def test_a_completed_task_without_queue_evidence_does_not_pass_as_on_its_queue() -> None:
    assert "every task on its declared queue" in failed(outcomes=(A, replace(B, queue=None)))


@pytest.mark.parametrize(
    ("roster", "task", "deployment"),
    [
        pytest.param(
            replace(ROSTER, nodes=(ROSTER.nodes[0], Node(name="worker-b@h", queues=("queue_a", "queue_b")))),
            "task_b id-b ran on worker-b@h, which consumes queue_a, queue_b",
            "worker-b@h consumes 2 queues: queue_a, queue_b; queue_a has 1 consumers, 2 nodes named themselves",
            id="a node on two queues",
        ),
        pytest.param(
            replace(ROSTER, nodes=ROSTER.nodes[:1]),
            "task_b id-b ran on worker-b@h, which answered neither before the run nor after it",
            "queue_b has 1 consumers, 0 nodes named themselves",
            id="a node that did not answer",
        ),
    ],
)
def test_a_node_that_is_not_of_the_queue_alone_is_named(roster: Roster, task: str, deployment: str) -> None:
    assert failed(roster=roster) == {
        "every task on a worker of that queue alone": task,
        "every node consumes exactly its queue": deployment,
    }


def test_a_foreign_node_is_named_also_where_it_ran_nothing() -> None:
    stranger = Node(name="stranger@h", queues=("queue_a",))
    roster = replace(ROSTER, nodes=(*ROSTER.nodes, stranger), consumers={"queue_a": 2, "queue_b": 1})
    assert failed(roster=roster) == {
        "every node consumes exactly its queue": "stranger@h consumes queue_a, which is not declared"
    }


def test_a_task_that_a_foreign_node_ran_is_named() -> None:
    stranger = Node(name="stranger@h", queues=("queue_b",))
    roster = replace(ROSTER, nodes=(*ROSTER.nodes, stranger), consumers={"queue_a": 1, "queue_b": 2})
    assert failed(outcomes=(A, replace(B, node="stranger@h")), roster=roster) == {
        "every task on a worker of that queue alone": "task_b id-b ran on stranger@h, but queue_b belongs to worker-b",
        "every node consumes exactly its queue": "stranger@h consumes queue_b, which is not declared",
    }


def test_runs_one_after_the_other_do_not_overlap() -> None:
    later = replace(B, started_at=100.51, finished_at=101.21)
    assert failed(outcomes=(A, later)) == {
        "the runs overlapped in time": "1.200s of work within 1.200s (1.00 at a time)"
    }


def test_a_wait_in_which_nothing_ran_is_not_held_against_the_overlap() -> None:
    late = [replace(o, started_at=(o.started_at or 0) + 5, finished_at=(o.finished_at or 0) + 5) for o in (A, B)]
    assert not failed(outcomes=(late[0], late[1]), wall_s=5.72)


def test_overlap_is_not_judged_where_it_cannot_be_told_and_that_is_said() -> None:
    judge = Judge(ROSTER, SCENARIO, confirms=True)
    judge.observe(A)
    assert "the runs overlapped in time" not in {check.name for check in judge.checks(LEDGER, 0.5)}
    assert judge.overlap_note() == "overlap in time not judged: running in parallel could have saved next to nothing"


@pytest.mark.parametrize("state", [State.LOST, State.UNFINISHED, State.UNACKNOWLEDGED, State.DEAD_LETTERED])
def test_an_id_that_did_not_come_back_fails_nothing_lost(state: State) -> None:
    gone = replace(B, state=state, error="why")
    ledger = replace(LEDGER, succeeded=1, **{state.value: 1})
    assert failed(outcomes=(A, gone), ledger=ledger)["nothing lost"] == f"task_b id-b {state.value}: why"


def test_duplicates_and_unexpected_replies_fail_their_checks() -> None:
    assert failed(ledger=replace(LEDGER, duplicated=1, unexpected=2)) == {
        "nothing duplicated": "1 ids ran or ended more than once",
        "nothing unexpected": "2 replies for ids never sent",
    }


def test_a_ledger_that_does_not_add_up_fails() -> None:
    assert failed(ledger=replace(LEDGER, succeeded=1)) == {"every id accounted for": "2 attempted = 1 succeeded"}


def test_a_run_in_which_nothing_was_seen_to_run_passes_neither_queue_nor_worker_check() -> None:
    gone = [replace(o, state=State.LOST, node=None, queue=None, started_at=None, error="found nowhere") for o in (A, B)]
    names = failed(outcomes=tuple(gone), ledger=LedgerCounts(attempted=2, acknowledged=2, lost=2))
    assert names["every task on its declared queue"] == "no task was seen to run"
    assert names["every task on a worker of that queue alone"] == "no task was seen to run"


def test_many_offenders_are_counted_and_three_named() -> None:
    wrong = tuple(replace(A, task_id=f"id-{n}", queue="queue_b") for n in range(5))
    assert failed(outcomes=wrong, ledger=LedgerCounts(attempted=5, acknowledged=5, succeeded=5))[
        "every task on its declared queue"
    ] == (
        "task_a id-0 arrived on queue_b, declared for queue_a; task_a id-1 arrived on queue_b, declared for queue_a; "
        "task_a id-2 arrived on queue_b, declared for queue_a; and 2 more"
    )


def test_a_broker_that_confirms_nothing_is_not_judged_on_confirms() -> None:
    judge = Judge(ROSTER, SCENARIO, confirms=False)
    judge.observe(A)
    assert "every task confirmed by the broker" not in {check.name for check in judge.checks(LEDGER, 0.5)}


def concurrency(asked: int, ran: int, run_time_s: float = 0.5, rate: float | None = None) -> bool:
    """Return whether a node that ran six tasks, `ran` at a time, passes as one of `asked` processes."""
    worker = WorkerSpec(service="worker-a", queue="queue_a", concurrency=asked)
    scenario = replace(SCENARIO, workers=(worker, SCENARIO.workers[1]), tasks=(TaskSpec(task="task_a", rate=rate),))
    judge = Judge(ROSTER, scenario, confirms=True)
    for number in range(6):
        start = 100.0 + number // ran * run_time_s
        judge.observe(replace(A, task_id=f"id-{number}", started_at=start, finished_at=start + run_time_s))
    checks = judge.checks(LedgerCounts(attempted=6, acknowledged=6, succeeded=6), 3.0)
    (check,) = [check for check in checks if check.name == f"worker-a runs {asked} at a time on each node"]
    assert f"{ran} at a time" in check.evidence
    return check.passed


def test_a_node_that_runs_more_or_fewer_at_a_time_than_it_says_fails() -> None:
    assert concurrency(asked=2, ran=2)
    assert not concurrency(asked=2, ran=1)
    assert not concurrency(asked=2, ran=3)


def test_a_node_that_had_too_little_to_do_is_judged_only_on_running_no_more() -> None:
    assert concurrency(asked=2, ran=1, rate=1.0)
    assert concurrency(asked=2, ran=1, run_time_s=1 / 64)
    assert not concurrency(asked=2, ran=3, rate=1.0)
    assert not concurrency(asked=2, ran=3, run_time_s=1 / 64)


def test_overlap_of_runs_too_short_to_tell_is_not_judged() -> None:
    short = [replace(A, task_id=f"id-{n}", finished_at=(A.started_at or 0) + 0.015) for n in range(20)]
    assert "the runs overlapped in time" not in judged(outcomes=tuple(short))


def test_an_outcome_without_evidence_names_the_result_backend() -> None:
    blind = replace(B, node=None, queue=None, queue_evidence=None)
    assert "result_backend" in failed(outcomes=(A, blind))["every task on its declared queue"]


# --- disturbed: by faults, or by the death of the dispatcher that began the run ---------------------

HOMES = "every task on a worker of that queue alone"


def disturbed(
    outcomes: tuple[Outcome, ...] = (A, B),
    ledger: LedgerCounts = LEDGER,
    after: Roster | None = None,
    scenario: Scenario = SCENARIO,
    faults: bool = True,
) -> dict[str, Check]:
    """Args:
    after: Who answered after the run; None: nobody asked.
    """
    judge = Judge(ROSTER, scenario, confirms=True, disturbed=faults)
    for outcome in outcomes:
        judge.observe(outcome)
    if after is not None:
        judge.arrived(after, last=True)
    return {check.name: check for check in judge.checks(ledger, 0.72)}


@pytest.mark.parametrize(
    ("duplicated", "unexplained", "passed", "evidence"),
    [
        (0, 0, True, "0 ids ran or ended more than once"),
        (2, 0, True, "2 ids ran or ended more than once, 0 of them unexplained"),
        (2, 1, False, "2 ids ran or ended more than once, 1 of them unexplained"),
    ],
)
def test_a_duplicate_is_no_failure_of_a_disturbed_run_where_it_is_explained(
    duplicated: int, unexplained: int, passed: bool, evidence: str
) -> None:
    checks = disturbed(ledger=replace(LEDGER, duplicated=duplicated, unexplained=unexplained))
    check = checks["every duplicate explained"]
    assert (check.passed, check.evidence) == (passed, evidence)
    assert "nothing duplicated" not in checks


@pytest.mark.parametrize(
    ("node", "evidence"),
    [
        (Node(name="worker-b@new", queues=("queue_b",)), None),
        (None, "answered neither before the run nor after it"),
        (Node(name="worker-b@new", queues=("queue_a", "queue_b")), "consumes queue_a, queue_b"),
        (Node(name="worker-b@new", queues=("queue_a",)), "consumes queue_a"),
    ],
)
@pytest.mark.parametrize("faults", [True, False])
def test_a_node_that_came_during_the_run_is_judged_by_what_it_consumes_after_it(
    node: Node | None, evidence: str | None, faults: bool
) -> None:
    after = Roster(nodes=(node,) if node else ())
    check = disturbed((A, replace(B, node="worker-b@new")), after=after, faults=faults)[HOMES]
    assert check.passed is (evidence is None)
    assert check.evidence == (
        f"task_b id-b ran on worker-b@new, which {evidence}"
        if evidence
        else "2 of 2, on worker-a@h, worker-b@h, worker-b@new"
    )


def test_a_node_that_came_and_went_during_the_run_is_known_by_what_it_said_meanwhile() -> None:
    new = replace(B, node="worker-b@new")
    judge = Judge(ROSTER, SCENARIO, confirms=True)
    judge.observe(new)
    judge.arrived(Roster(nodes=(Node(name="worker-b@new", queues=()),)))  # it is starting, or stopping
    assert judge.newcomers
    judge.arrived(Roster(nodes=(Node(name="worker-b@new", queues=("queue_b",)),)))
    judge.observe(new)
    assert not judge.newcomers
    judge.arrived(Roster(), last=True)
    (homes,) = [check for check in judge.checks(LEDGER, 0.72) if check.name == HOMES]
    assert homes.passed


def test_it_is_asked_after_new_nodes_only_where_there_are_some() -> None:
    judge = Judge(ROSTER, SCENARIO, confirms=True)
    judge.observe(A)
    assert not judge.newcomers
    judge.observe(replace(B, node="worker-b@new"))
    assert judge.newcomers


def test_a_node_of_another_service_that_came_during_the_run_is_not_at_home() -> None:
    stranger = Roster(nodes=(Node(name="stranger@new", queues=("queue_b",)),))
    assert not disturbed((A, replace(B, node="stranger@new")), after=stranger)[HOMES].passed


def test_tasks_of_a_node_that_nobody_asked_after_are_named_each_once() -> None:
    strays = tuple(replace(A, task_id=f"id-{number}", node="worker-a@new") for number in range(4))
    why = "ran on worker-a@new, which answered neither before the run nor after it"
    check = disturbed(strays, replace(LEDGER, attempted=4))[HOMES]
    assert (check.passed, check.evidence) == (
        False,
        f"task_a id-0 {why}; task_a id-1 {why}; task_a id-2 {why}; and 1 more",
    )


def test_a_node_that_was_there_before_a_disturbed_run_is_judged_by_that() -> None:
    check = disturbed((A, replace(B, node="worker-a@h")), after=Roster())[HOMES]
    assert check.evidence == "task_b id-b ran on worker-a@h, which consumes queue_a"


def test_overlap_is_not_judged_where_a_fault_may_keep_tasks_from_it() -> None:
    faulty = replace(SCENARIO, faults=(Fault(kind=FaultKind.KILL, target="worker-a", at_s=1.0),))
    assert "the runs overlapped in time" not in disturbed(scenario=faulty)
    assert "the runs overlapped in time" in disturbed()


def test_a_message_that_should_be_returned_is_not_missed_among_the_confirmed() -> None:
    unroutable = replace(SCENARIO.tasks[1], expect=TaskExpectation(state=State.UNACKNOWLEDGED))
    scenario = replace(SCENARIO, tasks=(SCENARIO.tasks[0], unroutable))
    returned = replace(B, state=State.UNACKNOWLEDGED, node=None, error="returned")
    ledger = LedgerCounts(attempted=2, acknowledged=1, succeeded=1, unacknowledged=1)
    confirmed = "every task confirmed by the broker"
    assert disturbed((A, returned), ledger, scenario=scenario)[confirmed].passed
    assert not disturbed((A, returned), ledger)[confirmed].passed


# --- the verdict ----------------------------------------------------------------------------------

HELD = Check(name="held", passed=True, evidence="")
BROKEN = Check(name="broken", passed=False, evidence="")
APPLIED = FaultRecord(what="kill worker-a at 1s", hit="container a", at_s=1.0, recovery=Recovery(tasks=0))
NOT_APPLIED = replace(APPLIED, error="no node of worker-a runs here", recovery=None)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, ExitCode.OK),
        ({"faults": (APPLIED,)}, ExitCode.OK),
        ({"faults": (APPLIED, NOT_APPLIED)}, ExitCode.UNAVAILABLE),
        ({"faults": (replace(APPLIED, error="not undone: no space left"),)}, ExitCode.UNAVAILABLE),
        ({"faults": (NOT_APPLIED,), "checks": (BROKEN,)}, ExitCode.UNAVAILABLE),
        ({"faults": (NOT_APPLIED,), "thresholds": (BROKEN,)}, ExitCode.UNAVAILABLE),
        ({"faults": (NOT_APPLIED,), "interrupted": True}, ExitCode.INTERRUPTED),
        ({"faults": (APPLIED,), "checks": (BROKEN,)}, ExitCode.CHECK_FAILED),
        ({"faults": (APPLIED,), "thresholds": (BROKEN,)}, ExitCode.THRESHOLD),
        ({"checks": ()}, ExitCode.CHECK_FAILED),
        ({"checks": (HELD, BROKEN), "thresholds": (BROKEN,)}, ExitCode.CHECK_FAILED),
    ],
)
def test_a_run_whose_fault_was_not_what_was_asked_proves_nothing(change: dict[str, Any], code: ExitCode) -> None:
    report = replace(basic(), **{"checks": (HELD,), **change})
    assert report.exit_code is code
    assert report.invalid == tuple(fault for fault in report.faults if fault.error)
