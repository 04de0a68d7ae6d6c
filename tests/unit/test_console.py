"""The console formats, compared as whole texts with the contract that users rely on."""

import re
import time
from dataclasses import replace

import pytest

from harness.model.event import Event, Moment
from harness.model.fault import FaultRecord, Recovery
from harness.model.ledger import Cause, Duplicate, LedgerCounts, State
from harness.model.metrics import Metrics, Summary
from harness.model.outcome import Outcome
from harness.model.report import Check, Report
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import Node, Roster, WorkerSpec
from harness.render import console
from harness.render.console import ASCII, PLAIN, style_for

AT = 1758137334.0  # 2025-09-17T19:28:54Z
A_ID = "eb715904-13d1-40bd-9f23-0afcbabcf44f"
B_ID = "ef4f59b0-a488-420c-a2b9-711ae4ba3e58"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

SCENARIO = Scenario(
    name="basic",
    description="Basic two-task execution test",
    workers=(WorkerSpec(service="worker-a", queue="queue_a"), WorkerSpec(service="worker-b", queue="queue_b")),
    tasks=(TaskSpec(task="task_a", kwargs={"work_s": 0.5}), TaskSpec(task="task_b", kwargs={"work_s": 0.7})),
)
ROSTER = Roster(
    nodes=(
        Node(name="worker-b@266b12387dae", queues=("queue_b",)),
        Node(name="worker-a@12514a296d7c", queues=("queue_a",)),
    )
)
TASK_A = Outcome(
    task_id=A_ID,
    index=0,
    task="task_a",
    declared_queue="queue_a",
    state=State.SUCCEEDED,
    published_at=AT + 2.041,
    confirmed_at=AT + 2.068,
    replied_at=AT + 2.635,
    started_at=AT + 2.123181,
    finished_at=AT + 2.629181,
    node="worker-a@12514a296d7c",
    queue="queue_a",
    queue_evidence="consumer",
    attempts=1,
    result={"message": "Hello from Task A", "work_s": 0.5},
)
TASK_B = replace(
    TASK_A,
    task_id=B_ID,
    index=1,
    task="task_b",
    declared_queue="queue_b",
    queue="queue_b",
    node="worker-b@266b12387dae",
    replied_at=AT + 2.831,
    finished_at=AT + 2.825181,
    result={"message": "Hello from Task B"},
)
CHECKS = (
    Check(name="every task succeeded", passed=True, evidence="2 of 2"),
    Check(name="nothing was lost", passed=True, evidence="0 lost of 2 confirmed"),
)
PASSED = Report(
    run_id="r1",
    scenario=SCENARIO,
    started_at=AT + 2.041,
    broker="pyamqp://guest@localhost//",
    embedded=False,
    roster=ROSTER,
    outcomes=(TASK_A, TASK_B),
    outcome_count=2,
    ledger=LedgerCounts(attempted=2, acknowledged=2, succeeded=2),
    metrics=Metrics(
        wall_s=0.791,
        sequential_s=1.208,
        run_time=Summary(count=2, mean_s=0.604, min_s=0.506, p50_s=0.506, p95_s=0.702, p99_s=0.702, max_s=0.702),
    ),
    checks=CHECKS,
)
LOST_B = Outcome(
    task_id=B_ID,
    index=1,
    task="task_b",
    declared_queue="queue_b",
    state=State.UNFINISHED,
    published_at=AT + 2.041,
    error="no final state within 30s",
    where="ready in queue_b",
)
FAILED = replace(
    PASSED,
    outcomes=(TASK_A, LOST_B),
    ledger=LedgerCounts(attempted=2, acknowledged=2, succeeded=1, unfinished=1),
    metrics=Metrics(wall_s=30.002, sequential_s=0.506, run_time=None),
    checks=(
        Check(name="nothing was lost", passed=True, evidence="0 lost of 2 confirmed"),
        Check(name="every task succeeded", passed=False, evidence="1 of 2; task_b ef4f59b0 unfinished"),
    ),
)

KILLED = FaultRecord(
    what="kill worker-a at 1s for 1.5s",
    hit="container demo-worker-a-1 (worker-a@12514a296d7c)",
    at_s=1.0021,
    undone_at_s=2.5043,
    recovery=Recovery(tasks=4, ended=4, rerun_s=0.9, first_s=1.5, last_s=2.0),
)
NOT_APPLIED = FaultRecord(
    what="pause worker-b after 75%", hit="worker-b", at_s=13.5, error="no node of worker-b runs here"
)
NOT_UNDONE = replace(KILLED, undone_at_s=None, error="not undone: container a could not be started; no space left")
TWICE = Duplicate(task_id=A_ID, cause=Cause.REDELIVERED, evidence="attempt 1 began again on worker-a@12514a296d7c")

EVENTS = (
    Event(moment=Moment.SENT, at=AT + 2.0412, task="task_a", task_id=A_ID, detail="Dispatching task..."),
    Event(moment=Moment.SENT, at=AT + 2.0412, task="task_b", task_id=B_ID, detail="Dispatching task..."),
    Event(moment=Moment.PENDING, at=AT + 2.0682, task="task_a", task_id=A_ID, detail=f"Task ID: {A_ID}"),
    Event(moment=Moment.PENDING, at=AT + 2.0682, task="task_b", task_id=B_ID, detail=f"Task ID: {B_ID}"),
    Event(moment=Moment.STARTED, at=AT + 2.1, task="task_a", task_id=A_ID, detail="on worker-a"),
    Event(moment=Moment.SUCCESS, at=AT + 2.6352, task="task_a", task_id=A_ID, detail="Completed in 0.506s"),
    Event(moment=Moment.SUCCESS, at=AT + 2.8312, task="task_b", task_id=B_ID, detail="Completed in 0.702s"),
)

RICH = """\
============================================================
🚀 DISTRIBUTED TASK SYSTEM DISPATCHER
============================================================
Timestamp: 2025-09-17 21:28:54
Broker: pyamqp://guest@localhost//
============================================================

✅ Broker connection successful
Active workers: 2
   • worker-a@12514a296d7c
   • worker-b@266b12387dae

🎯 DISPATCHING TASKS CONCURRENTLY...
────────────────────────────────────────────────────────────
[21:28:56.041] SENT     task_a     Dispatching task...
[21:28:56.041] SENT     task_b     Dispatching task...
[21:28:56.068] PENDING  task_a     Task ID: eb715904-13d1-40bd-9f23-0afcbabcf44f
[21:28:56.068] PENDING  task_b     Task ID: ef4f59b0-a488-420c-a2b9-711ae4ba3e58
[21:28:56.635] SUCCESS  task_a     Completed in 0.506s
[21:28:56.831] SUCCESS  task_b     Completed in 0.702s

============================================================
📊 EXECUTION RESULTS
============================================================
Total Execution Time: 0.791s
Successful Tasks: 2
Failed Tasks: 0

────────────────────────────────────────────────────────────
DETAILED RESULTS
────────────────────────────────────────────────────────────

✅ TASK_A
   Message: Hello from Task A
   Worker: worker-a
   Queue: queue_a
   Task ID: eb715904-13d1-40bd-9f23-0afcbabcf44f
   Execution Time: 0.506s
   Timestamp: 2025-09-17T19:28:56.629181+00:00

✅ TASK_B
   Message: Hello from Task B
   Worker: worker-b
   Queue: queue_b
   Task ID: ef4f59b0-a488-420c-a2b9-711ae4ba3e58
   Execution Time: 0.702s
   Timestamp: 2025-09-17T19:28:56.825181+00:00

────────────────────────────────────────────────────────────
PERFORMANCE METRICS
────────────────────────────────────────────────────────────
Average Task Time: 0.604s
Fastest Task: 0.506s
Slowest Task: 0.702s
Success Rate: 100.0%

────────────────────────────────────────────────────────────
TIMELINE
────────────────────────────────────────────────────────────
worker-a@12514a296d7c (queue_a)
  task_a ····██████████████████████████               506 ms
worker-b@266b12387dae (queue_b)
  task_b ····████████████████████████████████████     702 ms
         0         0.2 s     0.4 s     0.6 s

────────────────────────────────────────────────────────────
CHECKS
────────────────────────────────────────────────────────────
PASS  every task succeeded: 2 of 2
PASS  nothing was lost: 0 lost of 2 confirmed
Ledger: 2 attempted = 2 succeeded; 2 acknowledged

============================================================
📄 Results saved to: dispatch_results_20250917_212856.json
🎉 Dispatch completed successfully!
"""


@pytest.fixture(autouse=True)
def _central_europe(monkeypatch):
    """Local time is that of the contract's sample, on any machine."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def rich(report, style=PLAIN, events=EVENTS, path="dispatch_results_20250917_212856.json"):
    return "".join(
        (
            console.rich_banner(AT, report.broker, style, embedded=report.embedded),
            console.rich_connected(report.roster, style),
            console.rich_dispatching(style),
            *(console.rich_event(event, style) for event in events),
            console.rich_report(report, path, style),
        )
    )


def hundred(failing=()):
    """A report of 100 tasks, 50 each, those in `failing` failed."""
    outcomes = []
    for index in range(100):
        one = TASK_A if index % 2 == 0 else TASK_B
        failed = index in failing
        outcomes.append(
            replace(
                one,
                task_id=f"id-{index}",
                index=index,
                started_at=100.0,
                finished_at=100.0 + (index + 1) / 100,
                retries=1 if failed else 0,
                state=State.FAILED if failed else State.SUCCEEDED,
                error=f"ValueError: {index}" if failed else None,
            )
        )
    succeeded = 100 - len(failing)
    return replace(
        PASSED,
        scenario=replace(SCENARIO, tasks=(TaskSpec(task="task_a", count=50), TaskSpec(task="task_b", count=50))),
        outcomes=tuple(outcomes),
        outcome_count=100,
        ledger=LedgerCounts(attempted=100, acknowledged=100, succeeded=succeeded, failed=len(failing), recovered=3),
        metrics=Metrics(
            wall_s=2.5,
            sequential_s=50.5,
            retries=len(failing),
            run_time=Summary(count=100, mean_s=0.505, min_s=0.01, p50_s=0.5, p95_s=0.95, p99_s=0.99, max_s=1.0),
            queue_wait=Summary(count=100, mean_s=0.2, min_s=-0.1, p50_s=0.2, p95_s=0.3, p99_s=0.4, max_s=0.5),
            negative_waits=2,
        ),
        checks=(Check(name="every task succeeded", passed=not failing, evidence=f"{succeeded} of 100"),),
    )


def test_the_rich_output_is_the_contract_to_the_character():
    assert rich(PASSED) == RICH


def test_colour_adds_escape_sequences_and_nothing_else():
    colored = rich(PASSED, style_for(color=True, signs=True))
    assert colored != RICH
    assert re.sub(r"\x1b\[\d+m", "", colored) == RICH


def test_every_colour_is_reset_on_its_own_line():
    for report in (PASSED, FAILED, hundred(failing={3}), replace(PASSED, faults=(KILLED, NOT_APPLIED))):
        for line in rich(report, style_for(color=True, signs=True)).splitlines():
            assert line.count("\x1b[0m") * 2 == line.count("\x1b[")


def test_a_failed_run_lists_the_failed_task_first_and_says_which_checks_did_not_hold():
    assert (
        console.rich_report(FAILED, "out.json", PLAIN)
        == """\

============================================================
📊 EXECUTION RESULTS
============================================================
Total Execution Time: 30.002s
Successful Tasks: 1
Failed Tasks: 0
Unfinished Tasks: 1

────────────────────────────────────────────────────────────
DETAILED RESULTS
────────────────────────────────────────────────────────────

❌ TASK_B
   Error: no final state within 30s
   State: unfinished
   Where: ready in queue_b
   Queue: not seen (declared: queue_b)
   Task ID: ef4f59b0-a488-420c-a2b9-711ae4ba3e58

✅ TASK_A
   Message: Hello from Task A
   Worker: worker-a
   Queue: queue_a
   Task ID: eb715904-13d1-40bd-9f23-0afcbabcf44f
   Execution Time: 0.506s
   Timestamp: 2025-09-17T19:28:56.629181+00:00

────────────────────────────────────────────────────────────
PERFORMANCE METRICS
────────────────────────────────────────────────────────────
Success Rate: 50.0%

────────────────────────────────────────────────────────────
TIMELINE
────────────────────────────────────────────────────────────
worker-a@12514a296d7c (queue_a)
  task_a █                                            506 ms
on no node
  task_b ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ unfinished
         0            10 s          20 s         30 s

────────────────────────────────────────────────────────────
CHECKS
────────────────────────────────────────────────────────────
FAIL  every task succeeded: 1 of 2; task_b ef4f59b0 unfinished
PASS  nothing was lost: 0 lost of 2 confirmed
Ledger: 2 attempted = 1 succeeded + 1 unfinished; 2 acknowledged

============================================================
📄 Results saved to: out.json
❌ Dispatch failed: 1 of 2 checks did not hold
   • every task succeeded: 1 of 2; task_b ef4f59b0 unfinished
"""
    )


def test_a_task_on_the_wrong_queue_shows_both_queues_and_what_came_between():
    strayed = replace(TASK_A, queue="queue_b", retries=2, redelivered=True)
    text = console.rich_report(replace(PASSED, outcomes=(strayed,)), None, PLAIN)
    assert "   Queue: queue_b (declared: queue_a)\n" in text
    assert "   Execution Time: 0.506s\n   Retries: 2\n   Redelivered: yes\n   Timestamp:" in text


def test_the_embedded_broker_is_said_in_the_banner_and_its_queue_evidence_among_the_checks():
    outcomes = tuple(replace(outcome, queue_evidence="routing key") for outcome in PASSED.outcomes)
    text = rich(replace(PASSED, embedded=True, outcomes=outcomes, notes=("no confirms in embedded mode",)))
    assert (
        "Broker: pyamqp://guest@localhost//\n"
        "embedded broker: a demonstration, it says nothing about your deployment\n"
        "============================================================\n"
    ) in text
    assert "Queue evidence: routing key\nNote: no confirms in embedded mode\n" in text


@pytest.mark.parametrize("report", [PASSED, FAILED])
def test_an_interrupted_run_says_how_many_tasks_were_completed_and_how_many_not(report):
    interrupted = replace(
        report, interrupted=True, ledger=LedgerCounts(attempted=2, acknowledged=2, succeeded=1, unfinished=1)
    )
    last = console.rich_report(interrupted, "out.json", PLAIN).rpartition("=\n")[2]
    assert last.startswith(
        "📄 Results saved to: out.json\n❌ Dispatch interrupted: 1 of 2 tasks succeeded, 1 did not\n"
    )
    assert "successfully" not in last
    assert ("   • every task succeeded: 1 of 2" in last) is (report is FAILED)
    assert "❌ Dispatch interrupted: 1 of 2 tasks succeeded, 1 did not\n" in console.plain_report(interrupted, PLAIN)


def test_a_run_without_checks_is_never_called_a_success():
    text = console.rich_report(replace(PASSED, checks=()), None, PLAIN)
    assert text.endswith(
        f"Nothing was judged.\nLedger: 2 attempted = 2 succeeded; 2 acknowledged\n\n{'=' * 60}\n"
        "❌ Dispatch failed: nothing was judged\n"
    )


def test_a_ledger_that_does_not_add_up_says_so():
    ledger = LedgerCounts(attempted=3, acknowledged=2, succeeded=1, dead_lettered=1, duplicated=1)
    assert console.ledger_text(ledger) == (
        "3 attempted does not add up to 1 succeeded + 1 dead-lettered; 2 acknowledged, 1 duplicated"
    )


def test_duplicates_that_nothing_explains_are_counted_beside_all_of_them():
    ledger = LedgerCounts(attempted=9, acknowledged=9, succeeded=9, duplicated=3, unexplained=1, recovered=2)
    assert console.ledger_text(ledger) == (
        "9 attempted = 9 succeeded; 9 acknowledged, 3 duplicated (1 unexplained), 2 recovered"
    )


# --- faults ---------------------------------------------------------------------------------------


def test_each_fault_is_a_line_and_each_duplicate_has_its_cause():
    report = replace(
        PASSED,
        ledger=replace(PASSED.ledger, duplicated=1, recovered=1),
        faults=(KILLED, replace(KILLED, at_s=2.6, undone_at_s=None, recovery=Recovery(tasks=0))),
        duplicates=(TWICE,),
    )
    text = console.rich_report(report, "out.json", PLAIN)
    assert (
        text[text.index("FAULTS\n") :]
        == """\
FAULTS
────────────────────────────────────────────────────────────
  1.002s  kill worker-a at 1s for 1.5s: container demo-worker-a-1 (worker-a@12514a296d7c), undone at 2.504s; \
4 of 4 tasks back, running again after 0.90s, first ended after 1.50s, last after 2.00s
  2.600s  kill worker-a at 1s for 1.5s: container demo-worker-a-1 (worker-a@12514a296d7c); \
no task was in flight there

────────────────────────────────────────────────────────────
CHECKS
────────────────────────────────────────────────────────────
PASS  every task succeeded: 2 of 2
PASS  nothing was lost: 0 lost of 2 confirmed
Ledger: 2 attempted = 2 succeeded; 2 acknowledged, 1 duplicated, 1 recovered
Duplicate: eb715904-13d1-40bd-9f23-0afcbabcf44f: redelivered: attempt 1 began again on worker-a@12514a296d7c

============================================================
📄 Results saved to: out.json
🎉 Dispatch completed successfully!
"""
    )


@pytest.mark.parametrize(
    ("recovery", "words"),
    [
        (
            Recovery(tasks=4, ended=3, first_s=1.504, last_s=20.0),
            "3 of 4 tasks back, first ended after 1.50s, last after 20.00s",
        ),
        (Recovery(tasks=1234), "0 of 1,234 tasks back"),
        (Recovery(tasks=0), "no task was in flight there"),
    ],
)
def test_what_did_not_come_back_has_no_time(recovery, words):
    text = console.rich_report(replace(PASSED, faults=(replace(KILLED, recovery=recovery),)), None, PLAIN)
    assert f", undone at 2.504s; {words}\n" in text


def test_a_run_whose_fault_was_not_applied_proves_nothing_in_every_format():
    report = replace(PASSED, faults=(KILLED, NOT_APPLIED))
    last = """\
❌ Dispatch proves nothing: 1 of 2 faults could not be applied
   • pause worker-b after 75%: no node of worker-b runs here
"""
    text = console.rich_report(report, "out.json", PLAIN)
    assert text.endswith(f"\n{'=' * 60}\n📄 Results saved to: out.json\n{last}")
    assert "\n 13.500s  pause worker-b after 75%: worker-b; NOT APPLIED: no node of worker-b runs here\n" in text
    assert console.basic_report(report, PLAIN).endswith(f"Total retries: 0\n{last}")
    assert console.plain_report(report, PLAIN) == (
        f"Result from task_a: Hello from Task A\nResult from task_b: Hello from Task B\n{last}"
    )


def test_what_also_did_not_hold_stands_after_the_faults():
    assert console.plain_report(replace(FAILED, faults=(NOT_APPLIED,)), PLAIN).endswith("""\
❌ Dispatch proves nothing: 1 of 1 fault could not be applied
   • pause worker-b after 75%: no node of worker-b runs here
   • every task succeeded: 1 of 2; task_b ef4f59b0 unfinished
""")


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ((NOT_UNDONE, KILLED), "1 of 2 faults could not be undone"),
        ((NOT_UNDONE, NOT_APPLIED), "2 of 2 faults could not be applied or undone"),
    ],
)
def test_a_fault_that_was_not_undone_is_told_with_what_it_did(faults, words):
    text = console.rich_report(replace(PASSED, faults=faults), None, PLAIN)
    assert f"❌ Dispatch proves nothing: {words}\n   • kill worker-a at 1s for 1.5s: not undone: container a" in text
    assert (
        "first ended after 1.50s, last after 2.00s; not undone: container a could not be started; no space left\n"
    ) in text


def test_an_interrupted_run_is_interrupted_first_and_names_what_was_not_applied():
    text = console.plain_report(replace(PASSED, faults=(NOT_APPLIED,), interrupted=True), PLAIN)
    assert text.endswith("""\
❌ Dispatch interrupted: 2 of 2 tasks succeeded, 0 did not
   • pause worker-b after 75%: no node of worker-b runs here
""")


def test_of_very_many_faults_and_duplicates_the_first_are_shown():
    report = replace(
        PASSED,
        ledger=replace(PASSED.ledger, duplicated=5000),
        faults=(NOT_APPLIED,) * 50,
        duplicates=(TWICE,) * 1000,
    )
    text = console.rich_report(report, None, PLAIN)
    assert text.count("NOT APPLIED") == 20
    assert "\n... and 30 more\n" in text
    assert text.count("Duplicate: ") == 10
    assert "\n... and 4,990 more duplicates\n" in text
    assert text.endswith("   • pause worker-b after 75%: no node of worker-b runs here\n   • and 30 more faults\n")
    assert text.count("   • pause worker-b") == 20


# --- many -----------------------------------------------------------------------------------------


def test_a_hundred_tasks_are_summarised_in_a_table():
    text = console.rich_report(hundred(failing=set(range(0, 24, 2))), "out.json", PLAIN)
    details = text[text.index("DETAILED") : text.index("CHECKS")]
    assert details.count("❌ TASK_A") == 10
    assert details.index("Error: ValueError: 0") < details.index("Error: ValueError: 18")
    assert "Error: ValueError: 20" not in details
    assert details.endswith("""
... and 2 more that did not succeed

Task         Count      OK  Failed       p50       p95
task_a          50      38      12    0.490s    0.950s
task_b          50      50       0    0.500s    0.960s

Nodes: 2
   • worker-a@12514a296d7c: 50 tasks
   • worker-b@266b12387dae: 50 tasks

────────────────────────────────────────────────────────────
PERFORMANCE METRICS
────────────────────────────────────────────────────────────
Average Task Time: 0.505s
Fastest Task: 0.010s
Slowest Task: 1.000s
Success Rate: 88.0%
Total Retries: 12
Run Time: p50 0.500s, p95 0.950s, p99 0.990s (100 measured)
Queue Wait: p50 0.200s, p95 0.300s, p99 0.400s (100 measured)
Negative Queue Waits: 2 (the clocks of two hosts differ)

────────────────────────────────────────────────────────────
""")
    assert "Ledger: 100 attempted = 88 succeeded + 12 failed; 100 acknowledged, 3 recovered\n" in text


def test_more_outcomes_than_are_held_are_said_to_be_in_the_file():
    report = hundred()
    report = replace(report, outcome_count=5000, ledger=LedgerCounts(attempted=5000, succeeded=4999, failed=1))
    text = console.rich_report(report, "out.json", PLAIN)
    assert "\n... and 1 more that did not succeed\n" in text
    assert "\nThe first 100 of 5,000 outcomes; the results file has all.\n" in text
    assert "\nSuccess Rate: 99.9%\n" in text  # 100.0% is all of them
    assert console.plain_report(report, PLAIN).startswith(
        "Results from task_a: 50 of 50 succeeded (among the first 100 of 5,000 outcomes)\n"
    )


def test_twenty_tasks_are_listed_and_twenty_one_are_summarised():
    def of(count):
        outcomes = tuple(replace(TASK_A, index=index, task_id=f"id-{index}") for index in range(count))
        return replace(PASSED, outcomes=outcomes, outcome_count=count)

    assert console.rich_report(of(20), None, PLAIN).count("✅ TASK_A") == 20
    assert console.rich_report(of(21), None, PLAIN).count("✅ TASK_A") == 0
    assert console.plain_report(of(20), PLAIN).count("Result from") == 20
    assert console.plain_report(of(21), PLAIN).count("Results from") == 2


def test_the_ascii_style_has_nothing_outside_ascii():
    for report in (PASSED, FAILED, hundred(failing={1}), replace(PASSED, faults=(NOT_APPLIED,), duplicates=(TWICE,))):
        assert rich(report, ASCII).isascii()
        assert console.basic_report(report, ASCII).isascii()
    text = rich(PASSED, ASCII)
    assert "[*] DISTRIBUTED TASK SYSTEM DISPATCHER\n" in text
    assert "[ok] Broker connection successful\nActive workers: 2\n   * worker-a@12514a296d7c\n" in text
    assert f"[*] DISPATCHING TASKS CONCURRENTLY...\n{'-' * 60}\n" in text
    assert text.endswith("[ok] Dispatch completed successfully!\n")
    assert "[x] Dispatch failed: 1 of 2 checks did not hold\n   * every" in rich(FAILED, ASCII)


def basic(report, style=PLAIN):
    sent = "".join(console.basic_sent(event) for event in EVENTS)
    waiting = console.basic_waiting(report.scenario)
    return console.basic_intro(report.scenario) + sent + waiting + console.basic_report(report, style)


def test_the_basic_output_is_the_contract_to_the_character():
    report = replace(
        PASSED,
        outcomes=(TASK_B, TASK_A),  # in order of completion
        metrics=replace(PASSED.metrics, wall_s=0.34, sequential_s=0.307),
    )
    assert (
        basic(report)
        == """\
Loaded config: Basic two-task execution test
Expected workers: 2
Dispatching tasks...
Task A sent with ID: eb715904-13d1-40bd-9f23-0afcbabcf44f
Task B sent with ID: ef4f59b0-a488-420c-a2b9-711ae4ba3e58
Waiting for results...
Result from task_a: Hello from Task A
Task A execution time: 0.506s
Task A retries: 0
Result from task_b: Hello from Task B
Task B execution time: 0.702s
Task B retries: 0
Total dispatcher time: 0.340s (concurrent execution)
Sequential time would be: 0.307s
Total retries: 0
"""
    )


def test_a_failed_basic_run_ends_with_the_checks_that_did_not_hold():
    assert console.basic_report(FAILED, PLAIN).endswith("""\
No result from task_b: unfinished: no final state within 30s (ready in queue_b)
Task B retries: 0
Total dispatcher time: 30.002s (concurrent execution)
Sequential time would be: 0.506s
Total retries: 0
❌ Dispatch failed: 1 of 2 checks did not hold
   • every task succeeded: 1 of 2; task_b ef4f59b0 unfinished
""")


def test_many_tasks_are_a_line_a_name_in_basic():
    report = hundred(failing={0})
    assert console.basic_waiting(report.scenario) == "100 tasks sent\nWaiting for results...\n"
    assert (
        console.basic_report(report, PLAIN)
        == """\
Results from task_a: 49 of 50 succeeded
Task A execution time: p50 0.490s, p95 0.950s (50 measured)
Task A retries: 1
Results from task_b: 50 of 50 succeeded
Task B execution time: p50 0.500s, p95 0.960s (50 measured)
Task B retries: 0
Total dispatcher time: 2.500s (concurrent execution)
Sequential time would be: 50.500s
Total retries: 1
❌ Dispatch failed: 1 of 1 checks did not hold
   • every task succeeded: 99 of 100
"""
    )


def test_what_an_interrupted_run_never_sent_still_counts_against_it():
    report = hundred()
    report = replace(report, outcomes=report.outcomes[:40], outcome_count=40, interrupted=True)
    assert console.plain_report(report, PLAIN).startswith("Results from task_a: 20 of 50 succeeded\n")


def test_the_plain_output_is_the_contract_to_the_character():
    assert (
        console.plain_intro(SCENARIO) + console.plain_report(PASSED, PLAIN)
        == """\
Loaded config: Basic two-task execution test
Expected workers: 2
Dispatching tasks...
Result from task_a: Hello from Task A
Result from task_b: Hello from Task B
"""
    )


def test_a_failed_plain_run_ends_with_the_checks_that_did_not_hold():
    assert (
        console.plain_report(FAILED, PLAIN)
        == """\
Result from task_a: Hello from Task A
No result from task_b: unfinished: no final state within 30s (ready in queue_b)
❌ Dispatch failed: 1 of 2 checks did not hold
   • every task succeeded: 1 of 2; task_b ef4f59b0 unfinished
"""
    )


HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\r\nc\u202ed\x9b31m\ud800\x00"


def test_a_task_cannot_write_escape_sequences_or_lines_into_the_terminal():
    wild = replace(TASK_A, task=HOSTILE, task_id=HOSTILE, node=f"{HOSTILE}@{HOSTILE}", queue=HOSTILE)
    wild = replace(wild, declared_queue=HOSTILE, queue_evidence=HOSTILE, result={"message": HOSTILE})
    fallen = replace(wild, state=State.FAILED, error=HOSTILE, where=HOSTILE)
    nodes = (Node(name=HOSTILE, queues=(HOSTILE,)),)
    report = replace(
        PASSED,
        outcomes=(wild, fallen),
        broker=HOSTILE,
        roster=Roster(nodes=nodes),
        checks=(Check(name=HOSTILE, passed=False, evidence=HOSTILE),),
        faults=(replace(KILLED, what=HOSTILE, hit=HOSTILE, error=HOSTILE),),
        duplicates=(Duplicate(task_id=HOSTILE, cause=Cause.REPEATED, evidence=HOSTILE),),
        notes=(HOSTILE,),
        scenario=replace(SCENARIO, description=HOSTILE),
    )
    events = [Event(moment=Moment.RETRY, at=AT, task=HOSTILE, task_id=HOSTILE, detail=HOSTILE)]
    many = replace(report, outcomes=(wild, fallen) * 20, outcome_count=40)
    for one in (report, many):
        sent = console.basic_sent(replace(events[0], moment=Moment.SENT))
        for text in (rich(one, events=events, path=HOSTILE), basic(one), sent, console.plain_report(one, PLAIN)):
            assert not CONTROL.search(text)
            assert text.encode("utf-8")
            assert "\n\x1b" not in text
            assert "\nc" not in text
    assert "   Message: a\\x1b[2J\\x1b]0;owned\\x07b\\r\\nc\\u202ed\\x9b31m\\ud800\\x00\n" in rich(report)


def test_a_long_value_is_cut_and_says_how_long_it_was():
    text = console.plain_report(replace(PASSED, outcomes=(replace(TASK_A, result="x" * 5000),)), PLAIN)
    assert text == f"Result from task_a: {'x' * 200}... (5,000 characters)\n"
    text = console.rich_report(replace(PASSED, outcomes=(replace(TASK_A, result="x" * 5000),)), None, PLAIN)
    assert f"   Message: {'x' * 200}... (5,000 characters)\n" in text


@pytest.mark.parametrize(
    ("result", "shown"),
    [(None, "None"), (7, "7"), ({"sum": 3}, "{'sum': 3}"), ({"message": None}, "None"), (["a"], "['a']"), ("", "")],
)
def test_a_result_without_a_message_is_shown_as_it_is(result, shown):
    text = console.plain_report(replace(PASSED, outcomes=(replace(TASK_A, result=result),)), PLAIN)
    assert text == f"Result from task_a: {shown}\n"


def test_an_outcome_of_which_nothing_is_known_is_shown_in_every_format():
    for state in State:
        bare = Outcome(task_id="id", index=0, task="task_a", declared_queue="q", state=state, published_at=AT)
        for count in (1, 40):
            report = replace(PASSED, outcomes=(bare,) * count, outcome_count=count, metrics=Metrics())
            assert "TASK_A" in console.rich_report(report, None, PLAIN) or count == 40
            assert "task_a" in console.basic_report(report, PLAIN)
            assert "task_a" in console.plain_report(report, PLAIN)


def test_a_run_that_published_nothing_is_shown_too():
    report = replace(PASSED, outcomes=(), outcome_count=0, ledger=LedgerCounts(), metrics=Metrics(), checks=())
    text = console.rich_report(report, None, PLAIN)
    assert "No outcomes.\n" in text
    assert "PERFORMANCE" not in text
    assert "Results saved" not in text
    assert "Ledger: 0 attempted = 0; 0 acknowledged\n" in text


def test_a_time_that_no_calendar_holds_does_not_stop_the_report():
    for at in (float("nan"), 1e300, -1e300):
        outcome = replace(TASK_A, finished_at=at)
        assert "Timestamp: " in console.rich_report(replace(PASSED, outcomes=(outcome,)), None, PLAIN)


@pytest.mark.parametrize(("task", "shown"), [("task_a", "Task A"), ("shop.tasks.send_mail", "Send Mail"), ("x", "X")])
def test_a_task_is_named_in_words(task, shown):
    event = Event(moment=Moment.SENT, at=AT, task=task, task_id="id")
    assert console.basic_sent(event) == f"{shown} sent with ID: id\n"


def test_progress_is_one_line_that_fits():
    assert console.progress_text(25, 100, 0, 3.14159, PLAIN, 60) == f"[{'█' * 7}{'░' * 23}]  25/100   25%  3.1s"
    assert console.progress_text(100, 100, 2, 3, ASCII, 60) == f"[{'#' * 27}]  100/100  100%  2 failed  3.0s"
    for width in range(1, 100):
        for done, total in ((0, 0), (5, 0), (1, 3), (3, 3), (9, 3), (99_999, 100_000)):
            assert len(console.progress_text(done, total, 1, 1.0, PLAIN, width)) <= width
