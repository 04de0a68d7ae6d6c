"""Unfinished runs: counted from their journals, and not finished with other tasks than they were begun with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ExitCode, UsageError
from harness.journal import Journal
from harness.model.expectation import Bounds, RunExpectation
from harness.model.fault import Fault, FaultKind
from harness.model.scenario import Scenario, TaskSpec
from harness.render.runs import runs_document, runs_table
from harness.render.style import PLAIN
from harness.resumable import header, refuse_changed
from harness.task_ids import TaskIds
from harness.unfinished import LeftFault, UnfinishedRun, unfinished_run, unfinished_runs
from tests.sample_reports import BASIC

IDS = TaskIds("0123456789ab")
BROKER = "amqp://tester@localhost:5672/celery-test"
SCENARIO = replace(BASIC, tasks=(TaskSpec(task="task_a", count=8, kwargs={"work_s": 0.5, "deep": (1, None)}),))


def begun(directory: Path, run_id: str = IDS.run_id, at: float = 1000.0, scenario: Scenario = SCENARIO) -> Journal:
    return Journal.create(directory, run_id, header(scenario, BROKER, at))


def state(status: str, index: int) -> str:
    return f'{{"status": "{status}", "task_id": "{IDS.at(index)}"}}'


@pytest.fixture
def run(tmp_path: Path) -> UnfinishedRun:
    journal = begun(tmp_path)
    journal.close(complete=False)
    return unfinished_run(tmp_path, IDS.run_id)


def test_a_run_that_published_nothing_has_only_what_was_asked(tmp_path: Path, run: UnfinishedRun) -> None:
    assert run == UnfinishedRun(
        run_id="0123456789ab",
        path=tmp_path / "0123456789ab.jsonl",
        scenario="basic",
        broker=BROKER,
        began_at=1000.0,
        asked={
            "name": "basic",
            "description": "Basic two-task execution test",
            "workers": [
                {"service": "worker-a", "queue": "queue_a", "replicas": 1},
                {"service": "worker-b", "queue": "queue_b", "replicas": 1},
            ],
            "tasks": [{"task": "task_a", "count": 8, "args": [], "kwargs": {"work_s": 0.5, "deep": [1, None]}}],
            "timeout_s": 30.0,
            "task_count": 8,
        },
        total=8,
        sent=0,
        confirmed=0,
        ended=0,
        in_use=False,
    )


def test_sent_confirmed_and_ended_are_counted_once_an_id(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    journal.attempted(0, 8)
    journal.sent(0, 4, 1.0)
    for index in (0, 1, 3):
        journal.confirmed(index, 1.1)
    journal.got(state("STARTED", 0), 1.2)
    journal.got(state("RETRY", 0), 1.3)
    journal.got(state("SUCCESS", 0), 1.4)
    journal.got(state("SUCCESS", 0), 1.5)  # a duplicate
    journal.sent(4, 6, 1.6)
    journal.got(state("FAILURE", 1), 1.7)
    journal.got(state("REVOKED", 3), 1.8)
    journal.refused(5, "returned")
    journal.flush()
    run = unfinished_run(tmp_path, IDS.run_id)
    assert (run.sent, run.confirmed, run.ended, run.total) == (6, 3, 4, 8)
    assert run.in_use
    journal.close(complete=False)
    assert not unfinished_run(tmp_path, IDS.run_id).in_use


def test_the_oldest_comes_first_and_what_is_no_journal_is_passed_over(tmp_path: Path) -> None:
    for run_id, at in (("cccccccccccc", 3.0), ("aaaaaaaaaaaa", 2.0), ("bbbbbbbbbbbb", 1.0)):
        begun(tmp_path, run_id, at).close(complete=False)
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "other.jsonl").write_text('{"run": "x"}\n')
    (tmp_path / "notes.jsonl").write_text("no JSON\n")
    (tmp_path / "notes.txt").write_text("")
    assert [run.run_id for run in unfinished_runs(tmp_path)] == ["bbbbbbbbbbbb", "aaaaaaaaaaaa", "cccccccccccc"]
    assert list(unfinished_runs(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "the run journal {path} is empty\n  why: its process was killed before it published anything",
        ),
        (
            '{"run": "0123456789ab", "scen',
            "the run journal {path} is empty\n  why: its process was killed before it published anything",
        ),
        (
            '{"run": "0123456789ab"}\n',
            "the run journal {path} cannot be read\n  why: written by another version: KeyError('scenario')",
        ),
        (
            '{"run": "0123456789ab", "scenario": "s", "broker": "", "at": 1, "asked": 5}\n',
            "the run journal {path} cannot be read\n"
            "  why: written by another version: TypeError(\"'int' object is not subscriptable\")",
        ),
        (
            '{"run": "0123456789ab"}\n{"sent": }\n',
            "the run journal {path} cannot be read\n  why: line 2: Expecting value: line 1 column 10 (char 9)",
        ),
    ],
)
def test_what_cannot_be_counted_is_refused_with_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / f"{IDS.run_id}.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        unfinished_run(tmp_path, IDS.run_id)
    assert str(caught.value) == message.format(path=path)


def test_a_run_that_nobody_knows_is_no_unfinished_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        unfinished_run(tmp_path, "ffffffffffff")
    assert caught.value.exit_code is ExitCode.USAGE
    assert str(caught.value).startswith("no unfinished run ffffffffffff\n")


def noted(number: int, *, undone: bool, command: str) -> dict[str, Any]:
    fault = {"number": number, "what": f"pause {number}", "target": f"container {number}", "at": 1.0}
    return {"fault": {**fault, "undone": undone, "command": command}}


def test_what_was_applied_last_and_not_undone_is_left_where_a_command_undoes_it(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    journal.note(noted(1, undone=False, command="docker unpause 1"))
    journal.note(noted(2, undone=False, command="docker unpause 2"))
    journal.note(noted(3, undone=False, command=""))  # it ended with its dispatcher
    journal.note(noted(4, undone=True, command=""))
    journal.note(noted(1, undone=True, command="docker unpause 1"))
    journal.flush()
    run = unfinished_run(tmp_path, IDS.run_id)
    assert run.left == (LeftFault(what="pause 2", target="container 2", command="docker unpause 2"),)
    assert "left applied" not in runs_table([run], PLAIN)  # its dispatcher will undo it
    journal.close(complete=False)
    run = unfinished_run(tmp_path, IDS.run_id)
    assert runs_table([run], PLAIN).endswith(
        "  dispatch.py --resume 0123456789ab\n"
        "0123456789ab left applied: pause 2: container 2; undo it: docker unpause 2\n"
    )
    (told,) = json.loads(runs_document([run]))["runs"]
    assert told["left_applied"] == [{"what": "pause 2", "target": "container 2", "command": "docker unpause 2"}]


# --- the same scenario ----------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{}, {"timeout_s": 5.0}, {"description": "in other words"}, {"tags": ("slow",)}])
def test_a_run_is_finished_where_what_is_judged_is_the_same(run: UnfinishedRun, change: dict[str, Any]) -> None:
    refuse_changed(run, replace(SCENARIO, **change))


@pytest.mark.parametrize(
    ("change", "other"),
    [
        ({"expect": RunExpectation(wall_time=Bounds(high=1.0))}, "expectations"),
        ({"faults": (Fault(kind=FaultKind.KILL, target="worker-a", at_s=1.0),)}, "faults"),
        ({"workers": (replace(SCENARIO.workers[0], replicas=7),)}, "workers"),
    ],
)
def test_a_run_is_not_judged_by_what_was_not_asked_of_it(
    run: UnfinishedRun, change: dict[str, Any], other: str
) -> None:
    with pytest.raises(UsageError, match=f"has other {other} than when the run 0123456789ab began"):
        refuse_changed(run, replace(SCENARIO, **change))


@pytest.mark.parametrize(
    "tasks",
    [
        (replace(SCENARIO.tasks[0], count=7),),
        (replace(SCENARIO.tasks[0], kwargs={"work_s": 0.4, "deep": (1, None)}),),
        (replace(SCENARIO.tasks[0], rate=1.0),),
        (*SCENARIO.tasks, TaskSpec(task="task_b")),
    ],
)
def test_a_run_is_not_finished_with_other_tasks(run: UnfinishedRun, tasks: tuple[TaskSpec, ...]) -> None:
    with pytest.raises(UsageError, match="has other tasks than when the run 0123456789ab began"):
        refuse_changed(run, replace(SCENARIO, tasks=tasks))


def test_the_refusal_shows_both_shortened(run: UnfinishedRun) -> None:
    with pytest.raises(UsageError) as caught:
        refuse_changed(run, replace(SCENARIO, tasks=(TaskSpec(task="task_b", kwargs={"text": "x" * 300}),)))
    then = '[{"task": "task_a", "count": 8, "args": [], "kwargs": {"work_s": 0.5, "deep": [1, null]}}]'
    now = '[{"task": "task_b", "count": 1, "args": [], "kwargs": {"text": "' + "x" * 133 + "..."
    assert str(caught.value) == (
        "the scenario 'basic' has other tasks than when the run 0123456789ab began\n"
        f"  why: then: {then}; now: {now}\n"
        "  try: put the scenario back as it was, then resume"
    )
