"""Pure: when which task is due."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from harness.model.scenario import TaskSpec


def schedule(tasks: Sequence[TaskSpec]) -> Iterator[tuple[float, int, TaskSpec]]:
    """Yield for each task when it is due, in seconds after the run began, its entry's number and the entry.

    Entries that are due at the same time take turns, so a fan-out serves all queues from the start.
    """
    entries = [_entry(number, spec) for number, spec in enumerate(tasks)]
    for due_s, _, number in heapq.merge(*entries):
        yield due_s, number, tasks[number]


def _entry(number: int, spec: TaskSpec) -> Iterator[tuple[float, int, int]]:
    for turn in range(spec.count):
        yield spec.delay_s + (turn / spec.rate if spec.rate else 0.0), turn, number
