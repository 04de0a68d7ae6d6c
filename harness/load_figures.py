"""Pure: adds up what a load's tasks come to, one by one, in memory that does not grow with their number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from harness.intervals import Intervals
from harness.load_plan import LoadPlan
from harness.load_report import LEAST_COMPLETED, NodeShare, Slices, Window
from harness.model.ledger import State
from harness.model.load import LoadModel
from harness.model.outcome import Outcome
from harness.model.topology import Roster
from harness.stats import Histogram

#: Slices of a run at most; they grow with it. The shortest, in seconds.
SLICES = 80
FINEST_S = 0.25

METRICS = ("queue_wait", "run_time", "round_trip", "lag")
_COUNTED = ("sent", "succeeded", "failed")


class Figures:
    """Watches the outcomes of a load.

    In the open model a task's time counts from when it was due, not from when it was published: a generator, or a
    broker, that stands still must not hide how long the tasks waited meanwhile.
    """

    def __init__(self, plan: LoadPlan) -> None:
        self._load = plan.load
        self._open = plan.load.model is LoadModel.OPEN
        self._began_at = 0.0
        self._slice_s = FINEST_S
        self._slices: dict[str, Counter[int]] = {kind: Counter() for kind in _COUNTED}
        self._nodes: Counter[str] = Counter()
        self._sent = self._completed = 0  # in the steady window
        self.all_completed = 0
        self._busy_s = self._all_busy_s = 0.0  # what ended while tasks were published: in the window, and in all
        self._later = Intervals()  # executions that ended later, in seconds after the start: the window ends meanwhile
        self.distributions: Mapping[str, Histogram] = {metric: Histogram() for metric in METRICS}

    def begin(self, at: float) -> None:
        """Note when the run began, on our clock."""
        self._began_at = at

    def observe(self, outcome: Outcome, *, publishing: bool) -> None:
        """Take one outcome into account.

        Args:
            publishing: Whether tasks are still being published: the steady window is not over.
        """
        published_s = outcome.published_at - self._began_at
        due_at = outcome.intended_at if self._open and outcome.intended_at is not None else outcome.published_at
        late_s = outcome.published_at - due_at
        measured = due_at - self._began_at >= self._load.steady_s
        self._count("sent", published_s)
        self._sent += self._in_window(published_s, publishing=True)
        self._execute(outcome, publishing)
        if self._open and measured:
            self.distributions["lag"].record(late_s)
        if outcome.replied_at is None or not outcome.state.is_completed:
            return
        succeeded = outcome.state is State.SUCCEEDED
        replied_s = outcome.replied_at - self._began_at
        self.all_completed += 1
        self._completed += self._in_window(replied_s, publishing)
        self._count("succeeded" if succeeded else "failed", replied_s)
        if measured and outcome.node:
            self._nodes[outcome.node] += 1
        if measured and succeeded:
            self._time(outcome, late_s)

    def _time(self, outcome: Outcome, late_s: float) -> None:
        """Take the times of a task that succeeded: one that fails at once would make the others look quick."""
        for metric, value_s in (
            ("queue_wait", outcome.queue_wait_s),
            ("run_time", outcome.run_time_s),
            ("round_trip", outcome.round_trip_s),
        ):
            if value_s is not None:
                self.distributions[metric].record(value_s if metric == "run_time" else late_s + value_s)

    def _execute(self, outcome: Outcome, publishing: bool) -> None:
        """Take how long a process executed it. One that is unfinished went on until the end, whenever that is."""
        if outcome.started_at is None:
            return
        begun_s = outcome.started_at - self._began_at
        if outcome.finished_at is None:
            ended_s = math.inf if outcome.state is State.UNFINISHED else begun_s
        else:
            ended_s = outcome.finished_at - self._began_at
        if not publishing:
            self._later.append((begun_s, ended_s))
            return
        load = self._load
        self._all_busy_s += ended_s - begun_s
        self._busy_s += _within(begun_s, ended_s, load.steady_s, load.duration_s or math.inf)

    def _in_window(self, at_s: float, publishing: bool) -> bool:
        end_s = self._load.duration_s
        return self._load.steady_s <= at_s and (publishing if end_s is None else at_s < end_s)

    def _count(self, kind: str, at_s: float) -> None:
        while at_s >= self._slice_s * SLICES:
            self._slice_s *= 2
            for known, counts in self._slices.items():
                merged: Counter[int] = Counter()
                for number, count in counts.items():
                    merged[number // 2] += count
                self._slices[known] = merged
        self._slices[kind][max(int(at_s / self._slice_s), 0)] += 1

    # --- what came of it --------------------------------------------------------------------------

    def window(self, published_s: float, ended_s: float, *, cut_short: bool) -> Window:
        """Return the steady window; the whole run where what was to be done ended before there was one.

        Args:
            published_s: The last task was published, in seconds after the start.
            ended_s: The last final state was received.
            cut_short: The run was interrupted: it has what there was until then.
        """
        load = self._load
        begin_s = load.steady_s
        end_s = published_s if load.duration_s is None or cut_short else load.duration_s
        few = load.duration_s is None and self._completed < LEAST_COMPLETED
        if load.model is LoadModel.BURST or few or end_s <= begin_s:
            return Window(
                begin_s=0.0,
                end_s=ended_s,
                words="no steady part, so all of it, from the first publish to the last result",
                sent=sum(self._slices["sent"].values()),
                completed=self.all_completed,
                busy_s=self._all_busy_s + sum(_within(*one, 0.0, ended_s) for one in self._later),
            )
        begin = "the end of warm-up and ramp" if begin_s else "the first publish"
        return Window(
            begin_s=begin_s,
            end_s=end_s,
            words=f"from {begin} to the end of publishing",
            sent=self._sent,
            completed=self._completed,
            busy_s=self._busy_s + sum(_within(*one, begin_s, end_s) for one in self._later),
        )

    def slices(self) -> Slices:
        length = 1 + max((number for counts in self._slices.values() for number in counts), default=-1)
        rows = {kind: tuple(counts[number] for number in range(length)) for kind, counts in self._slices.items()}
        return Slices(slice_s=self._slice_s, **rows)

    def shares(self, roster: Roster) -> tuple[NodeShare, ...]:
        """Return what each node ran: those that answered before the run, and those that came later."""
        queues = {node.name: ", ".join(node.queues) for node in roster.nodes}
        names = sorted({*queues, *self._nodes})
        of_service: Counter[str] = Counter()
        for name in names:
            of_service[_service(name)] += self._nodes[name]
        return tuple(
            NodeShare(
                node=name,
                service=_service(name),
                queue=queues.get(name, ""),
                tasks=self._nodes[name],
                share=self._nodes[name] / (of_service[_service(name)] or 1),
            )
            for name in names
        )


def _within(begun_s: float, ended_s: float, begin_s: float, end_s: float) -> float:
    """Return how much of an execution lies within a window."""
    return max(min(ended_s, end_s) - max(begun_s, begin_s), 0.0)


def _service(node: str) -> str:
    return node.partition("@")[0]
