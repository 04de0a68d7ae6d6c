"""The Gantt chart in the terminal, as whole texts."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.render.gantt import gantt
from harness.render.style import ASCII, PLAIN, style_for
from harness.render.verdict import MANY
from tests.sample_reports import BASIC, basic, embedded, interrupted, judged, many, outcome, retried


def test_tasks_stand_on_the_node_that_ran_them_with_their_wait() -> None:
    report = judged(BASIC, [outcome(0, begin_s=0.2), outcome(1, "task_b", begin_s=0.1, run_s=0.7)], 0.82)
    assert gantt(report, PLAIN, width=60) == (
        "worker-a@12514a296d7c (queue_a)\n"
        "  task_a ··········████████████████████████           500 ms\n"
        "worker-b@266b12387dae (queue_b)\n"
        "  task_b ·····██████████████████████████████████      700 ms\n"
        "         0                       0.5 s\n"
    )


def test_retries_leave_gaps_and_a_failed_task_says_so() -> None:
    assert gantt(retried(), ASCII, width=70) == (
        "worker-a@12514a296d7c (queue_a)\n"
        "  task_a #1 ##        #                              #          102 ms\n"
        "  task_a #2 ..##              ##                ##              102 ms\n"
        "  task_a #3 ....## ##                                    #      102 ms\n"
        "  task_a #4 ......#      ##                     ##              failed\n"
        "            0                 1 s               2 s\n"
    )


def test_what_has_no_end_is_drawn_as_not_known() -> None:
    assert gantt(interrupted(), PLAIN, width=50) == (
        "worker-a@12514a296d7c (queue_a)\n"
        "  task_a ████████                           500 ms\n"
        "worker-b@266b12387dae (queue_b)\n"
        "  task_b ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ unfinished\n"
        "         0              1 s            2 s\n"
    )


def test_a_task_that_never_ran_is_on_no_node() -> None:
    never = outcome(0, node=None, queue=None, first_started_at=None, started_at=None, finished_at=None)
    assert gantt(judged(BASIC, [never], 1.0), PLAIN).startswith("on no node\n  task_a ░░░░")


def test_a_task_of_no_length_is_still_seen() -> None:
    assert "█" in gantt(judged(BASIC, [outcome(0, begin_s=9.99, run_s=0.0)], 10.0), PLAIN)


def test_colour_is_added_and_changes_nothing_else() -> None:
    colored = gantt(retried(), style_for(color=True, signs=True))
    assert "\x1b[31m" in colored
    assert re.sub(r"\x1b\[[0-9]*m", "", colored) == gantt(retried(), PLAIN)


@pytest.mark.parametrize("report", [many(MANY + 2), replace(basic(), outcomes=(), outcome_count=0)])
def test_many_tasks_or_none_have_no_chart(report: object) -> None:
    assert gantt(report, PLAIN) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize("report", [basic(), retried(), embedded(), many(MANY)])
@pytest.mark.parametrize("width", [40, 78, 200])
def test_no_line_is_wider_than_asked_for(report: object, width: int) -> None:
    for style in (PLAIN, ASCII):
        lines = gantt(report, style, width).splitlines()  # type: ignore[arg-type]
        assert max(map(len, lines)) <= width + 8 * (width == 40)  # the narrowest bars take their room
        assert style is PLAIN or all(line.isascii() for line in lines)


@given(st.text(st.characters(), max_size=60))
def test_a_name_cannot_break_a_line_or_the_terminal(text: str) -> None:
    report = basic()
    hostile = replace(report.outcomes[0], task=text, node=text, queue=text, task_id="x")
    shown = gantt(replace(report, outcomes=(hostile, report.outcomes[1])), PLAIN)
    assert len(shown.split("\n")) == 6
    assert all(line.isprintable() for line in shown.split("\n"))
