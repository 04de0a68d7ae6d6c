"""When which task is due."""

from __future__ import annotations

from harness.model.scenario import TaskSpec
from harness.pacing import schedule


def due(*tasks: TaskSpec) -> list[tuple[float, str]]:
    return [(due_s, spec.task) for due_s, _, spec in schedule(tasks)]


def test_tasks_that_are_due_at_once_take_turns() -> None:
    a, b = TaskSpec(task="a", count=3), TaskSpec(task="b")
    assert due(a, b) == [(0.0, "a"), (0.0, "b"), (0.0, "a"), (0.0, "a")]


def test_a_delay_puts_an_entry_behind_the_others() -> None:
    assert due(TaskSpec(task="late", delay_s=2.0), TaskSpec(task="a", count=2)) == [
        (0.0, "a"),
        (0.0, "a"),
        (2.0, "late"),
    ]


def test_a_rate_spreads_an_entry_from_its_delay_on() -> None:
    assert due(TaskSpec(task="a", count=3, rate=2.0, delay_s=1.0)) == [(1.0, "a"), (1.5, "a"), (2.0, "a")]


def test_each_task_knows_its_entry_also_where_two_entries_are_alike() -> None:
    tasks = (TaskSpec(task="a"), TaskSpec(task="a"))
    assert [number for _, number, _ in schedule(tasks)] == [0, 1]


def test_nothing_is_built_before_it_is_due() -> None:
    assert next(schedule((TaskSpec(task="a", count=10**9),)))[0] == 0.0
