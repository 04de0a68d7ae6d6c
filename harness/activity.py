"""How busy each node was over a run, in a bounded number of slices however long it takes."""

from __future__ import annotations

from collections import Counter, defaultdict

from harness.model.metrics import Activity
from harness.model.outcome import Outcome

#: Slices of a run at most; they grow with it.
SLICES = 120
#: The shortest slice, in seconds.
FINEST_S = 0.01


class Busyness:
    """Adds up the time that tasks ran on each node, slice by slice.

    Takes the node's clock for the run's: where the two differ by more than the run is long, nothing is shown.
    """

    def __init__(self, started_at: float) -> None:
        self._started_at = started_at
        self._slice_s = FINEST_S
        self._busy_s: dict[str, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
        self._tasks: Counter[str] = Counter()
        self._queues: dict[str, str] = {}

    def observe(self, outcome: Outcome) -> None:
        if outcome.node is None:
            return
        self._tasks[outcome.node] += 1
        self._queues[outcome.node] = outcome.queue or ""
        if outcome.started_at is None or outcome.finished_at is None:
            return
        begin_s = max(outcome.started_at - self._started_at, 0.0)
        end_s = max(outcome.finished_at - self._started_at, begin_s)
        while end_s >= self._slice_s * SLICES:
            self._coarsen()
        busy_s = self._busy_s[outcome.node]
        for number in range(int(begin_s / self._slice_s), int(end_s / self._slice_s) + 1):
            low_s, high_s = number * self._slice_s, (number + 1) * self._slice_s
            busy_s[number] += max(min(end_s, high_s) - max(begin_s, low_s), 0.0)

    def result(self) -> tuple[tuple[Activity, ...], float]:
        """Return each node's activity, and the length of a slice in seconds."""
        last = max((max(busy_s) for busy_s in self._busy_s.values() if busy_s), default=-1)
        return tuple(
            Activity(
                node=node,
                queue=self._queues[node],
                tasks=self._tasks[node],
                busy=tuple(round(self._busy_s[node][number] / self._slice_s, 3) for number in range(last + 1)),
            )
            for node in sorted(self._tasks)
        ), self._slice_s

    def _coarsen(self) -> None:
        """Make each two slices one."""
        self._slice_s *= 2
        for node, busy_s in self._busy_s.items():
            merged: defaultdict[int, float] = defaultdict(float)
            for number, seconds in busy_s.items():
                merged[number // 2] += seconds
            self._busy_s[node] = merged
