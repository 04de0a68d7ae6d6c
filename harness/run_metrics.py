"""Pure: adds up what a run's outcomes measure, without keeping them."""

from __future__ import annotations

from harness.activity import Busyness
from harness.model.ledger import State
from harness.model.metrics import Metrics, TaskTally
from harness.model.outcome import Outcome
from harness.model.scenario import Scenario
from harness.stats import Histogram


class Meter:
    """Takes one outcome after the other; memory does not grow with the run."""

    def __init__(self, scenario: Scenario) -> None:
        self.distributions = {name: Histogram() for name in ("run_time", "queue_wait", "round_trip", "lag")}
        self.sequential_s = 0.0  # sum of the run times
        self._kinds = {spec.task: _Kind() for spec in scenario.tasks}
        self._busyness: Busyness | None = None
        self._retries = 0
        self._negative_waits = 0

    def begin(self, started_at: float) -> None:
        """Note when the run began, on our clock: activity over time is counted from there."""
        self._busyness = Busyness(started_at)

    def observe(self, outcome: Outcome) -> None:
        self._kinds[outcome.task].observe(outcome)
        if self._busyness:
            self._busyness.observe(outcome)
        for name, value_s in (
            ("run_time", outcome.run_time_s),
            ("queue_wait", outcome.queue_wait_s),
            ("round_trip", outcome.round_trip_s),
            ("lag", outcome.lag_s),
        ):
            if value_s is not None:
                self.distributions[name].record(value_s)
        self.sequential_s += outcome.run_time_s or 0.0
        self._retries += outcome.retries
        self._negative_waits += (outcome.queue_wait_s or 0.0) < 0

    def metrics(self, wall_s: float) -> Metrics:
        activity, slice_s = self._busyness.result() if self._busyness else ((), 0.0)
        return Metrics(
            wall_s=wall_s,
            sequential_s=self.sequential_s,
            retries=self._retries,
            run_time=self.distributions["run_time"].summary(),
            queue_wait=self.distributions["queue_wait"].summary(),
            round_trip=self.distributions["round_trip"].summary(),
            lag=self.distributions["lag"].summary(),
            negative_waits=self._negative_waits,
            distributions={name: distribution.buckets() for name, distribution in self.distributions.items()},
            tallies=tuple(kind.tally(task) for task, kind in self._kinds.items()),
            activity=activity,
            slice_s=slice_s,
        )


class _Kind:
    """What became of the tasks of one name."""

    def __init__(self) -> None:
        self.count = self.succeeded = self.failed = self.retries = 0
        self.nodes: set[str] = set()
        self.run_times = Histogram()

    def observe(self, outcome: Outcome) -> None:
        self.count += 1
        self.succeeded += outcome.state is State.SUCCEEDED
        self.failed += outcome.state is State.FAILED
        self.retries += outcome.retries
        if outcome.node:
            self.nodes.add(outcome.node)
        if outcome.run_time_s is not None:
            self.run_times.record(outcome.run_time_s)

    def tally(self, task: str) -> TaskTally:
        return TaskTally(
            task=task,
            count=self.count,
            succeeded=self.succeeded,
            failed=self.failed,
            retries=self.retries,
            nodes=tuple(sorted(self.nodes)),
            run_time=self.run_times.summary(),
        )
