"""Baselines: what a rule says, what cannot be compared, and what a comparison comes to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.baseline import Baseline, compare, load_baseline
from harness.baseline_rules import Rule, parse_rule
from harness.comparable import refuse_other
from harness.errors import ExitCode, UsageError
from harness.model.report import Report
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import Roster, WorkerSpec
from harness.render.results_json import document, pieces
from tests.sample_reports import BASIC, WORKER_KILL, basic, disturbed, embedded, retried

# --- rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("round_trip.p(95):10%", ("round_trip", "p(95)", 0.1, None)),
        ("queue_wait.avg:50ms", ("queue_wait", "avg", None, 0.05)),
        ("run_time.max:0%", ("run_time", "max", 0.0, None)),
        ("run_time.med:0s", ("run_time", "med", None, 0.0)),
        (" run_time.min : 12.5% ", ("run_time", "min", 0.125, None)),
        ("wall:1m30s", ("wall", None, None, 90.0)),
    ],
)
def test_a_rule_says_what_may_be_how_much_slower(text: str, rule: tuple[Any, ...]) -> None:
    found = parse_rule(text)
    assert (found.metric, found.aggregate, found.share, found.more_s) == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "round_trip.p(95)",
            "expected FIGURE:MORE such as round_trip.p(95):10% or wall:500ms, got 'round_trip.p(95)'",
        ),
        (
            "roundtrip.p(95):10%",
            "unknown metric 'roundtrip'; did you mean 'round_trip'?\n"
            "  try: use one of: queue_wait, round_trip, run_time, wall",
        ),
        (
            "round_trip.p95:10%",
            "round_trip has no 'p95'; did you mean 'p(95)'?\n"
            "  try: use one of: avg, max, med, min, p(50), p(95), p(99)",
        ),
        (
            "round_trip.maxx:10%",
            "round_trip has no 'maxx'; did you mean 'max'?\n  try: use one of: avg, max, med, min, p(50), p(95), p(99)",
        ),
        (
            "round_trip:10%",
            "round_trip has no ''\n  try: use one of: avg, max, med, min, p(50), p(95), p(99)",
        ),
        ("wall.p(95):10%", "wall is one figure, without 'p(95)'\n  try: write wall:10%"),
        (
            "wall:10",
            "expected a percentage such as 10% or a duration such as 50ms, got '10'\n"
            "  try: write wall:10% or wall:10ms",
        ),
        ("wall:-5%", "expected a percentage such as 10% or a duration such as 50ms, got '-5%'"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_nearest_one(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_rule(text)
    assert str(refused.value) == message


@given(st.text() | st.from_regex(r"(run_time|wall|x)\.?(p\(|avg)?[0-9]*\)?:[0-9]*(%|ms|)", fullmatch=True))
def test_any_text_is_a_rule_or_a_usage_error(text: str) -> None:
    try:
        rule = parse_rule(text)
    except UsageError:
        return
    assert (rule.share is None) != (rule.more_s is None)


# --- files ----------------------------------------------------------------------------------------


def saved(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "old.json"
    path.write_text(text)
    return path


def baseline(tmp_path: Path, report: Report) -> Baseline:
    return load_baseline(saved(tmp_path, "".join(pieces(report))))


def test_a_results_document_is_a_baseline(tmp_path: Path) -> None:
    found = baseline(tmp_path, basic())
    assert (found.run_id, found.exit_code, found.embedded) == ("f37eb6fddfb5", 0, False)
    assert found.figure_s(parse_rule("wall:1%")) == 0.714
    assert found.figure_s(parse_rule("round_trip.p(95):1%")) == 0.714
    assert found.figure_s(parse_rule("run_time.avg:1%")) == 0.6
    assert found.nodes == {"worker-a": 1, "worker-b": 1}


@pytest.mark.parametrize(
    "layout", [{"indent": 2}, {"indent": 2, "sort_keys": True}, {"indent": None}, {"separators": (",", ":")}]
)
def test_so_it_is_in_another_layout(tmp_path: Path, layout: dict[str, Any]) -> None:
    path = saved(tmp_path, json.dumps(document(basic()), **layout))
    assert load_baseline(path) == baseline(tmp_path, basic())


def test_outcomes_are_not_read_since_they_may_be_very_many(tmp_path: Path) -> None:
    whole = "".join(pieces(basic()))
    head = whole[: whole.index('"outcomes"')] + '"outcomes": [\n    not looked at'
    assert load_baseline(saved(tmp_path, head)).run_id == "f37eb6fddfb5"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("{", "it is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[1]", "it is no JSON object"),
        ("{}", "it has no 'schema_version'"),
        ('{"schema_version": 1, "run_id": "r"}', "it has no 'exit_code' of the right kind"),
        ("[" * 100_000, None),
    ],
)
def test_a_file_that_is_none_is_refused_by_name_and_reason(tmp_path: Path, text: str, why: str | None) -> None:
    path = saved(tmp_path, text)
    with pytest.raises(UsageError) as refused:
        load_baseline(path)
    assert refused.value.what == f"{path}: not a results document of dispatch.py"
    assert why is None or refused.value.why == why


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read\n  why: No such file or directory"):
        load_baseline(tmp_path / "gone.json")
    with pytest.raises(UsageError, match="cannot be read\n  why: Is a directory"):
        load_baseline(tmp_path)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not a results document"):
        load_baseline(tmp_path / "bytes")


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, json.dumps({**document(basic()), "schema_version": 2}))
    with pytest.raises(UsageError) as refused:
        load_baseline(path)
    assert refused.value.what == f"{path}: a results document of schema version 2, not 1"


# --- what cannot be compared ----------------------------------------------------------------------


def with_task(**more: Any) -> Scenario:
    return replace(BASIC, tasks=(replace(BASIC.tasks[0], **more), BASIC.tasks[1]))


@pytest.mark.parametrize(
    ("scenario", "why"),
    [
        (replace(BASIC, name="other"), "it is of scenario 'basic'"),
        (replace(BASIC, tasks=BASIC.tasks[:1]), "it has 2 tasks, this one 1"),
        (replace(BASIC, workers=BASIC.workers[:1]), "it has 2 workers, this one 1"),
        (with_task(count=5), "tasks[0].count was 1, is 5"),
        (with_task(task="task_c"), "tasks[0].task was task_a, is task_c"),
        (with_task(kwargs={"work_s": 0.6}), "tasks[0].kwargs was {'work_s': 0.5}, is {'work_s': 0.6}"),
        (with_task(args=(1,)), "tasks[0].args was [], is [1]"),
        (with_task(rate=50.0), "tasks[0].rate_per_s was None, is 50.0"),
        (with_task(delay_s=1.0), "tasks[0].delay_s was 0.0, is 1.0"),
        (with_task(queue="queue_b"), "tasks[0].queue was None, is queue_b"),
        (
            replace(BASIC, workers=(replace(BASIC.workers[0], replicas=3), BASIC.workers[1])),
            "workers[0].replicas was 1, is 3",
        ),
        (
            replace(BASIC, workers=(BASIC.workers[0], replace(BASIC.workers[1], concurrency=8))),
            "workers[1].concurrency was None, is 8",
        ),
        (replace(BASIC, reconnect=True), "only one of them cuts the workers' connections first"),
        (replace(BASIC, faults=WORKER_KILL.faults), "other faults strike during it"),
    ],
)
def test_another_scenario_or_load_is_refused_with_the_difference(tmp_path: Path, scenario: Scenario, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        refuse_other(scenario, baseline(tmp_path, basic()))
    assert refused.value.why == why
    assert refused.value.exit_code == ExitCode.USAGE


def test_what_changes_no_load_is_no_difference(tmp_path: Path) -> None:
    changed = replace(BASIC, description="other words", timeout_s=5.0, tags=("slow",))
    refuse_other(changed, baseline(tmp_path, basic()), [parse_rule("wall:10%")])


def test_a_run_of_the_same_faults_can_be_compared(tmp_path: Path) -> None:
    refuse_other(WORKER_KILL, baseline(tmp_path, disturbed()))


def test_values_that_json_cannot_hold_are_compared_as_they_were_written(tmp_path: Path) -> None:
    odd = Scenario(
        name="odd",
        description="",
        workers=(WorkerSpec(service="worker-a", queue="queue_a"),),
        tasks=(TaskSpec(task="task_a", args=(float("nan"), (1, 2)), kwargs={"k": {1: "x"}}),),
    )
    refuse_other(odd, baseline(tmp_path, replace(basic(), scenario=odd)))


def test_a_baseline_that_did_not_pass_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        refuse_other(retried().scenario, baseline(tmp_path, retried()))
    assert refused.value.what.endswith("the baseline run itself did not pass")
    assert refused.value.why == "exit code 1: a check did not hold (a task failed, was lost, ran in the wrong place)"


def test_an_embedded_baseline_says_nothing_about_a_real_broker(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it ran on the embedded broker, this one runs on a real broker"):
        refuse_other(BASIC, baseline(tmp_path, embedded()))
    refuse_other(BASIC, baseline(tmp_path, embedded()), embedded=True)


def test_a_figure_that_the_baseline_did_not_measure_is_refused_before_anything_is_published(tmp_path: Path) -> None:
    report = basic()
    nothing = replace(report, metrics=replace(report.metrics, queue_wait=None))
    with pytest.raises(UsageError, match=r"the baseline has no queue_wait\.avg"):
        refuse_other(BASIC, baseline(tmp_path, nothing), [parse_rule("wall:1%"), parse_rule("queue_wait.avg:1%")])


@pytest.mark.parametrize("scenario", [{}, {"name": "basic"}, {"name": "basic", "tasks": [1, 2], "workers": "x"}])
def test_a_baseline_of_a_strange_shape_is_a_difference_and_no_traceback(
    tmp_path: Path, scenario: dict[str, Any]
) -> None:
    found = load_baseline(saved(tmp_path, json.dumps({**document(basic()), "scenario": scenario})))
    with pytest.raises(UsageError, match="not comparable"):
        refuse_other(BASIC, found)


# --- the comparison -------------------------------------------------------------------------------


def compared(tmp_path: Path, report: Report, rule: str | Rule) -> tuple[bool, str, str]:
    (check,) = compare(report, baseline(tmp_path, basic()), [parse_rule(rule) if isinstance(rule, str) else rule])
    return check.passed, check.name, check.evidence


def slower(wall_s: float) -> Report:
    report = basic()
    return replace(report, metrics=replace(report.metrics, wall_s=wall_s))


def test_a_percentile_of_too_few_values_is_no_measure(tmp_path: Path) -> None:
    report = basic()
    (check,) = compare(report, baseline(tmp_path, report), [parse_rule("round_trip.p(95):10%")])
    assert (check.passed, report.metrics.round_trip.count) == (False, 2)
    assert check.evidence.endswith("over 2 measured: too few, p(95) takes 20")


def test_the_same_run_is_never_slower_than_itself(tmp_path: Path) -> None:
    rules = ["run_time.avg", "queue_wait.med", "round_trip.p(50)", "round_trip.min", "run_time.max", "wall"]
    checks = compare(basic(), baseline(tmp_path, basic()), [parse_rule(f"{rule}:0%") for rule in rules])
    assert all(check.passed for check in checks)
    assert len(checks) == len(rules)


def test_a_figure_may_be_so_much_slower_and_no_more(tmp_path: Path) -> None:
    assert compared(tmp_path, slower(0.7854), "wall:10%") == (
        True,
        "wall at most 10% over the baseline",
        "785 ms, was 714 ms (+10.0%), over 2 measured",
    )
    assert compared(tmp_path, slower(0.79), "wall:10%") == (
        False,
        "wall at most 10% over the baseline",
        "790 ms, was 714 ms (+10.6%), over 2 measured",
    )
    assert compared(tmp_path, slower(0.764), "wall:50ms")[0]
    assert not compared(tmp_path, slower(0.765), "wall:50ms")[0]
    assert compared(tmp_path, slower(0.1), "wall:0%") == (
        True,
        "wall at most 0% over the baseline",
        "100 ms, was 714 ms (-86.0%), over 2 measured",
    )


def test_what_this_run_did_not_measure_does_not_hold(tmp_path: Path) -> None:
    report = basic()
    nothing = replace(report, metrics=replace(report.metrics, run_time=None))
    assert compared(tmp_path, nothing, "run_time.max:10%") == (
        False,
        "run_time.max at most 10% over the baseline",
        "nothing was measured in this run",
    )


def test_another_number_of_nodes_is_said(tmp_path: Path) -> None:
    report = replace(basic(), roster=Roster(nodes=basic().roster.nodes[:1]))
    assert compared(tmp_path, report, "wall:10%")[2].endswith(
        "; nodes then and now: worker-a 1 and 1, worker-b 1 and 0"
    )


def test_a_crossed_rule_among_the_thresholds_is_exit_99(tmp_path: Path) -> None:
    report = slower(2.0)
    checks = compare(report, baseline(tmp_path, basic()), [parse_rule("wall:10%")])
    assert replace(report, thresholds=checks).exit_code == ExitCode.THRESHOLD
