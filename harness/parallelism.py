"""Pure judgements of how many tasks ran at a time: on each node, and over the run as a whole."""

from __future__ import annotations

from collections import defaultdict

from harness.intervals import Intervals, union_s
from harness.model.outcome import Outcome
from harness.model.report import Check
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import Roster
from harness.run_metrics import Meter
from harness.tally import Tally

#: Overlap is judged where running in parallel could have saved at least this much, in seconds.
TELLING_S = 0.1
#: Of runs that are mostly shorter, in seconds, each is over before the next has begun, in parallel or not.
TELLING_RUN_S = 0.02


class Parallelism:
    """Notes when the last attempts ran, by node: 16 bytes a task."""

    def __init__(self, roster: Roster, scenario: Scenario, meter: Meter, *, load: bool) -> None:
        """Args:
        meter: What the same outcomes measure.
        load: Its tasks come as a load has them: how many run at a time is for its pace to say.
        """
        self._roster = roster
        self._scenario = scenario
        self._meter = meter
        self._load = load
        self._intervals: defaultdict[str, Intervals] = defaultdict(Intervals)
        self._paced: set[str] = set()  # nodes that got tasks at a rate

    def observe(self, outcome: Outcome, spec: TaskSpec) -> None:
        """Take one outcome of `spec` into account."""
        if outcome.started_at is not None and outcome.finished_at is not None:
            self._intervals[outcome.node or ""].append((outcome.started_at, outcome.finished_at))
        if spec.rate is not None and spec.queue is None and outcome.node:
            self._paced.add(outcome.node)

    def checks(self) -> list[Check]:
        overlap = self._overlap()
        return [*self._concurrency(), *([overlap] if overlap else [])]

    def note(self) -> str | None:
        """Return why overlap was not judged; None where it was."""
        if self._overlap() is not None or self._interrupted_flow:
            return None
        return "overlap in time not judged: running in parallel could have saved next to nothing"

    def _concurrency(self) -> list[Check]:
        """Judge for each service that says its concurrency whether its nodes ran so many at a time, and no more.

        A node that had too little to do (few tasks, short ones, or one after the other at a rate) is only judged on
        running no more.
        """
        run = self._meter.distributions["run_time"].summary()
        short = run is None or run.p50_s < TELLING_RUN_S
        checks = []
        for worker in self._scenario.workers:
            if worker.concurrency is None:
                continue
            tally, peaks = Tally(), []
            for node in self._roster.nodes:
                if node.service == worker.service:
                    intervals = self._intervals[node.name]
                    peak = intervals.peak()
                    idle = self._load or short or node.name in self._paced or len(intervals) < 2 * worker.concurrency
                    enough = idle or peak == worker.concurrency
                    peaks.append(f"{node.name}: {peak} at a time")
                    tally.note(enough and peak <= worker.concurrency, f"{node.name} ran {peak} at a time")
            name = f"{worker.service} runs {worker.concurrency} at a time on each node"
            checks.append(tally.check(name, ", ".join(peaks), unseen="no task was seen to run"))
        return checks

    @property
    def _interrupted_flow(self) -> bool:
        """Whether there are reasons why tasks run one after the other: a load's pace, a rate, or a fault."""
        paced = self._load or all(spec.rate is not None for spec in self._scenario.tasks)
        return paced or bool(self._scenario.faults)

    def _overlap(self) -> Check | None:
        if self._interrupted_flow:
            return None
        run, work_s = self._meter.distributions["run_time"].summary(), self._meter.sequential_s
        if run is None or run.count < 2 or work_s - run.max_s < TELLING_S or run.p50_s < TELLING_RUN_S:
            return None
        busy_s = union_s(self._intervals.values())
        factor = work_s / busy_s if busy_s > 0 else 0.0
        return Check(
            name="the runs overlapped in time",
            passed=busy_s < 0.9 * work_s,
            evidence=f"{work_s:.3f}s of work within {busy_s:.3f}s ({factor:.2f} at a time)",
        )
