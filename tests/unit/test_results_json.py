"""The results document: one shape, always valid JSON, whatever a task returned."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from harness.model.dead_letter import DeadLetter
from harness.model.expectation import Bounds, DeadLetters, Match, RunExpectation, TaskExpectation, Threshold
from harness.model.fault import Fault, FaultKind, FaultRecord, Recovery
from harness.model.ledger import Cause, Duplicate, LedgerCounts, State
from harness.model.metrics import Activity, Bucket, Metrics, Summary, TaskTally
from harness.model.outcome import Outcome
from harness.model.report import Check, Report
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import Node, Roster, WorkerSpec
from harness.render.asked import asked
from harness.render.json_text import json_value
from harness.render.outcome_json import outcome_line, outcome_record
from harness.render.results_json import document, pieces

OUTCOME = Outcome(
    task_id="id-1",
    index=0,
    task="task_a",
    declared_queue="queue_a",
    state=State.SUCCEEDED,
    published_at=1758137336.0,
    intended_at=1758137335.875,
    confirmed_at=1758137336.01,
    replied_at=1758137336.75,
    started_at=1758137336.125,
    finished_at=1758137336.625,
    node="worker-a@12514a296d7c",
    queue="queue_a",
    queue_evidence="consumer",
    attempts=1,
    result={"message": "Hello from Task A"},
)
SUMMARY = Summary(count=1, mean_s=0.5, min_s=0.5, p50_s=0.5, p95_s=0.5, p99_s=0.5, max_s=0.5)
REPORT = Report(
    run_id="r1",
    scenario=Scenario(
        name="basic",
        description="Basic test",
        workers=(WorkerSpec(service="worker-a", queue="queue_a"),),
        tasks=(TaskSpec(task="task_a", kwargs={"work_s": 0.5}),),
    ),
    started_at=1758137336.0,
    broker="amqp://guest@localhost//",
    embedded=False,
    roster=Roster(
        nodes=(Node(name="worker-a@12514a296d7c", queues=("queue_a",)),),
        consumers={"queue_a": 1},
        backlog={"queue_a": 0},
    ),
    outcomes=(OUTCOME,),
    outcome_count=1,
    ledger=LedgerCounts(attempted=1, acknowledged=1, succeeded=1),
    metrics=Metrics(
        wall_s=0.75,
        sequential_s=0.5,
        run_time=SUMMARY,
        distributions={
            "run_time": (
                Bucket(low_s=0.5, high_s=0.5, count=1),
                Bucket(low_s=0.5, high_s=0.6, count=0),
            )
        },
        tallies=(
            TaskTally(
                task="task_a",
                count=1,
                succeeded=1,
                failed=0,
                retries=0,
                nodes=("worker-a@12514a296d7c",),
                run_time=SUMMARY,
            ),
        ),
        activity=(Activity(node="worker-a@12514a296d7c", queue="queue_a", tasks=1, busy=(0.5, 1.0)),),
        slice_s=0.32,
    ),
    thresholds=(Check(name="wall<1s", passed=True, evidence="0.75 s"),),
    dead_letters=(
        DeadLetter(
            task_id="id-2", task="task_a", queue="queue_a.dead", reason="rejected", came_from="queue_a", times=1
        ),
    ),
    checks=(Check(name="every task succeeded", passed=True, evidence="1 of 1"),),
    duplicates=(
        Duplicate(task_id="id-3", cause=Cause.REDELIVERED, evidence="attempt 1 began again on worker-a@12514a296d7c"),
    ),
    faults=(
        FaultRecord(
            what="kill worker-a at 1s",
            hit="container a",
            at_s=1.00023451,
            undone_at_s=2.0,
            recovery=Recovery(tasks=2, ended=1, first_s=0.12345678, last_s=0.5),
        ),
        FaultRecord(what="stop worker-a at 9s", hit="worker-a", at_s=3.0),
    ),
    notes=("a note",),
)

RECORD = {
    "task_id": "id-1",
    "index": 0,
    "entry": 0,
    "task": "task_a",
    "declared_queue": "queue_a",
    "state": "succeeded",
    "published_at": 1758137336.0,
    "intended_at": 1758137335.875,
    "confirmed_at": 1758137336.01,
    "replied_at": 1758137336.75,
    "first_started_at": None,
    "started_at": 1758137336.125,
    "finished_at": 1758137336.625,
    "node": "worker-a@12514a296d7c",
    "queue": "queue_a",
    "queue_evidence": "consumer",
    "attempts": 1,
    "retries": 0,
    "waits_s": [],
    "redelivered": False,
    "result": {"message": "Hello from Task A"},
    "error": None,
    "where": None,
    "worker": "worker-a",
    "run_time_s": 0.5,
    "queue_wait_s": 0.125,
    "round_trip_s": 0.75,
    "lag_s": 0.125,
    "finished_at_utc": "2025-09-17T19:28:56.625000+00:00",
}

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())  # lone surrogates included
    | st.binary()
    | st.complex_numbers()
    | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner) | st.tuples(inner),
)


def strict(text):
    """Parse as JSON proper: Python's own extensions are errors."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text.encode("utf-8"), parse_constant=refuse)


def test_the_document_says_everything_once_with_units_in_its_keys():
    summary = {"count": 1, "mean_s": 0.5, "min_s": 0.5, "p50_s": 0.5, "p95_s": 0.5, "p99_s": 0.5, "max_s": 0.5}
    assert document(REPORT) == {
        "schema_version": 1,
        "run_id": "r1",
        "verdict": "passed",
        "exit_code": 0,
        "exit_meaning": "every check held",
        "interrupted": False,
        "started_at": 1758137336.0,
        "started_at_utc": "2025-09-17T19:28:56.000000+00:00",
        "broker": "amqp://guest@localhost//",
        "embedded": False,
        "scenario": {
            "name": "basic",
            "description": "Basic test",
            "workers": [{"service": "worker-a", "queue": "queue_a", "replicas": 1}],
            "tasks": [{"task": "task_a", "count": 1, "args": [], "kwargs": {"work_s": 0.5}}],
            "timeout_s": 30.0,
            "task_count": 1,
        },
        "ledger": {
            "attempted": 1,
            "acknowledged": 1,
            "succeeded": 1,
            "failed": 0,
            "unfinished": 0,
            "lost": 0,
            "unacknowledged": 0,
            "dead_lettered": 0,
            "duplicated": 0,
            "unexplained": 0,
            "recovered": 0,
            "unexpected": 0,
            "completed": 1,
            "balanced": True,
        },
        "checks": [{"name": "every task succeeded", "passed": True, "evidence": "1 of 1"}],
        "thresholds": [{"name": "wall<1s", "passed": True, "evidence": "0.75 s"}],
        "dead_letters": [
            {
                "task_id": "id-2",
                "task": "task_a",
                "queue": "queue_a.dead",
                "reason": "rejected",
                "came_from": "queue_a",
                "times": 1,
            }
        ],
        "duplicates": [
            {"task_id": "id-3", "cause": "redelivered", "evidence": "attempt 1 began again on worker-a@12514a296d7c"}
        ],
        "faults": [
            {
                "what": "kill worker-a at 1s",
                "hit": "container a",
                "at_s": 1.000235,
                "undone_at_s": 2.0,
                "error": None,
                "recovery": {"tasks": 2, "ended": 1, "rerun_s": None, "first_s": 0.123457, "last_s": 0.5},
            },
            {
                "what": "stop worker-a at 9s",
                "hit": "worker-a",
                "at_s": 3.0,
                "undone_at_s": None,
                "error": None,
                "recovery": None,
            },
        ],
        "metrics": {
            "wall_s": 0.75,
            "sequential_s": 0.5,
            "throughput_per_s": 1.333333,
            "retries": 0,
            "run_time": summary,
            "queue_wait": None,
            "round_trip": None,
            "lag": None,
            "negative_waits": 0,
            "distributions": {"run_time": [{"low_s": 0.5, "high_s": 0.5, "count": 1}]},
            "tallies": [
                {
                    "task": "task_a",
                    "count": 1,
                    "succeeded": 1,
                    "failed": 0,
                    "retries": 0,
                    "nodes": ["worker-a@12514a296d7c"],
                    "run_time": summary,
                }
            ],
            "activity": [{"node": "worker-a@12514a296d7c", "queue": "queue_a", "tasks": 1, "busy": [0.5, 1.0]}],
            "slice_s": 0.32,
        },
        "roster": {
            "nodes": [{"name": "worker-a@12514a296d7c", "service": "worker-a", "queues": ["queue_a"]}],
            "consumers": {"queue_a": 1},
            "backlog": {"queue_a": 0},
        },
        "notes": ["a note"],
        "outcome_count": 1,
        "outcomes": [RECORD],
    }


def test_the_verdict_follows_the_exit_code():
    broken = Check(name="x", passed=False, evidence="y")
    failed = replace(REPORT, checks=(broken,))
    invalid = replace(failed, faults=(replace(REPORT.faults[0], error="no node of worker-a runs here"),))
    for report, verdict, code in (
        (REPORT, "passed", 0),
        (failed, "failed", 1),
        (replace(REPORT, checks=()), "failed", 1),
        (replace(REPORT, thresholds=(broken,)), "crossed", 99),
        (invalid, "invalid", 69),
        (replace(invalid, interrupted=True), "interrupted", 130),
    ):
        assert (document(report)["verdict"], document(report)["exit_code"]) == (verdict, code)


def test_an_outcome_of_which_nothing_is_known_has_nulls():
    bare = Outcome(task_id="i", index=3, task="t", declared_queue="q", state=State.LOST, published_at=1.0)
    record = outcome_record(bare)
    assert record["state"] == "lost"
    for key in ("worker", "run_time_s", "queue_wait_s", "round_trip_s", "finished_at_utc", "node", "result"):
        assert record[key] is None


def test_the_text_and_the_document_say_the_same():
    report = replace(REPORT, outcomes=(OUTCOME, replace(OUTCOME, index=1)), outcome_count=2)
    assert strict("".join(pieces(report))) == document(report)


def test_streamed_outcomes_follow_those_that_the_report_holds():
    streamed = [outcome_line(replace(OUTCOME, index=index)) + "\n" for index in (1, 2)]
    for outcomes in ((OUTCOME,), ()):
        found = strict("".join(pieces(replace(REPORT, outcomes=outcomes), streamed)))
        assert [record["index"] for record in found["outcomes"]] == [outcome.index for outcome in outcomes] + [1, 2]


def test_a_document_without_outcomes_is_valid_too():
    assert strict("".join(pieces(replace(REPORT, outcomes=()))))["outcomes"] == []


def test_each_outcome_is_one_line_of_the_text():
    report = replace(REPORT, outcomes=(replace(OUTCOME, result="two\nlines"),))
    lines = "".join(pieces(report)).splitlines()
    assert sum('"task_id": "id-1"' in line for line in lines) == 1


def test_a_reported_percentile_can_be_found_among_the_outcomes():
    run_time_s = OUTCOME.finished_at + 0.1234567 - OUTCOME.started_at
    outcome = replace(OUTCOME, finished_at=OUTCOME.finished_at + 0.1234567)
    summary = replace(REPORT.metrics.run_time, p99_s=outcome.run_time_s)
    found = document(replace(REPORT, outcomes=(outcome,), metrics=replace(REPORT.metrics, run_time=summary)))
    assert found["metrics"]["run_time"]["p99_s"] == found["outcomes"][0]["run_time_s"]
    assert math.isclose(found["outcomes"][0]["run_time_s"], run_time_s, abs_tol=1e-6)


@given(anything)
def test_whatever_a_task_returns_the_text_is_strict_json_in_utf_8(value):
    outcome = replace(OUTCOME, result=value, error=str(value), node=str(value))
    report = replace(
        REPORT,
        outcomes=(outcome,),
        roster=Roster(nodes=(Node(name=str(value), queues=(str(value),)),), consumers={str(value): 1}),
        scenario=replace(REPORT.scenario, tasks=(TaskSpec(task="t", args=(value,), kwargs={"k": value}),)),
        notes=(str(value),),
    )
    strict("".join(pieces(report)))


def test_plain_json_values_come_through_unchanged():
    value = {"a": [1, 2.5, None, True, "ü 🚀"], "b": {"c": {}}}
    assert json_value(value) == value


def test_what_json_cannot_hold_is_shown_as_its_repr():
    moment = datetime(2025, 9, 17, tzinfo=UTC)
    value = {1: math.nan, "inf": [math.inf, -math.inf], "bytes": b"x", "at": moment, "set": {1}, "\ud800": "\ud800"}
    assert json_value(value) == {
        "1": "nan",
        "inf": ["inf", "-inf"],
        "bytes": "b'x'",
        "at": repr(moment),
        "set": "{1}",
        "\\ud800": "\\ud800",
    }


def test_a_bottomless_value_is_cut_off():
    value = []
    value.append(value)
    strict(json.dumps(json_value(value)))


def test_times_that_are_no_numbers_become_text_and_never_nan():
    outcome = replace(OUTCOME, finished_at=math.nan, started_at=math.inf)
    found = strict(outcome_line(outcome))
    assert (found["finished_at"], found["run_time_s"], found["finished_at_utc"]) == ("nan", "nan", "nan")


def test_what_was_asked_says_its_units_and_leaves_defaults_out():
    scenario = replace(
        REPORT.scenario,
        tasks=(
            TaskSpec(
                task="task_a",
                count=3,
                rate=50.0,
                expect=TaskExpectation(
                    state=State.FAILED,
                    result=Match(equals=None, contains={"a": 1}),
                    run_time=Bounds(high=2.0),
                    backoff=(Bounds(low=0.5, high=1.5), Bounds()),
                ),
            ),
        ),
        expect=RunExpectation(
            wall_time=Bounds(high=5.0),
            ledger={"failed": Bounds(low=3, high=3)},
            dead_letters=(DeadLetters(queue="queue_a.dead", count=Bounds(low=1)),),
            thresholds=(
                Threshold(metric="round_trip", aggregate="p", rank=95.0, operator="<", limit=0.5, text="p(95)<500ms"),
            ),
            recovery=Bounds(high=10.0),
        ),
        faults=(
            Fault(kind=FaultKind.KILL, target="worker-a", at_s=0.0, for_s=1.0, every_node=True),
            Fault(kind=FaultKind.FREEZE, target="broker", after=0.0),
            Fault(kind=FaultKind.KILL_CHILD, target="worker-b", on_start=True, times=3),
        ),
    )
    assert asked(scenario) == {
        "name": "basic",
        "description": "Basic test",
        "workers": [{"service": "worker-a", "queue": "queue_a", "replicas": 1}],
        "tasks": [
            {
                "task": "task_a",
                "count": 3,
                "args": [],
                "kwargs": {},
                "rate_per_s": 50.0,
                "expect": {
                    "state": "failed",
                    "result": {"equals": None, "contains": {"a": 1}},
                    "backoff_s": [{"low": 0.5, "high": 1.5}, {}],
                    "run_time_s": {"high": 2.0},
                },
            }
        ],
        "timeout_s": 30.0,
        "expect": {
            "wall_time_s": {"high": 5.0},
            "ledger": {"failed": {"low": 3, "high": 3}},
            "dead_letters": [{"queue": "queue_a.dead", "count": {"low": 1}}],
            "thresholds": [{"metric": "round_trip", "text": "p(95)<500ms"}],
            "recovery_s": {"high": 10.0},
        },
        "faults": [
            {"kind": "kill", "target": "worker-a", "at_s": 0.0, "for_s": 1.0, "every_node": True},
            {"kind": "freeze", "target": "broker", "after": 0.0},
            {"kind": "kill_child", "target": "worker-b", "on_start": True, "times": 3},
        ],
        "task_count": 3,
    }


def test_the_text_is_laid_out_for_readers_who_scroll():
    lines = "".join(pieces(REPORT)).splitlines()
    assert (
        '    {"name": "every task succeeded", "passed": true, "evidence": "1 of 1"}' not in lines
    )  # it fits one level up
    assert '  "checks": [{"name": "every task succeeded", "passed": true, "evidence": "1 of 1"}],' in lines
    assert len(lines) < 110
