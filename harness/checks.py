"""Pure judgements: what a run's outcomes, ledger and roster mean.

Outcomes are seen one by one and not kept: memory does not grow with the run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from harness import thresholds
from harness.activity import Busyness
from harness.expected import ExpectedTasks, RetryPolicy
from harness.expected_run import Routes, Shares, run_checks
from harness.intervals import Intervals, union_s
from harness.model.dead_letter import DeadLetter
from harness.model.fault import FaultRecord
from harness.model.ledger import LedgerCounts, State
from harness.model.metrics import Metrics, TaskTally
from harness.model.outcome import Outcome
from harness.model.report import Check
from harness.model.scenario import Scenario
from harness.model.topology import Roster, Route
from harness.stats import Histogram
from harness.tally import Tally

EVERY_TASK_SUCCEEDED = "every task succeeded"
#: Overlap is judged where running in parallel could have saved at least this much, in seconds.
TELLING_S = 0.1
#: Of runs that are mostly shorter, in seconds, each is over before the next has begun, in parallel or not.
TELLING_RUN_S = 0.02

#: What a worker whose result backend is another one leaves to be said of a task.
_NO_EVIDENCE = (
    "came back without evidence of where it ran: its worker's result_backend is not that of worker/settings.py"
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


class Judge:
    """Watches a run's outcomes and judges what needs no configuration."""

    def __init__(
        self,
        roster: Roster,
        scenario: Scenario,
        *,
        confirms: bool,
        policies: Mapping[str, RetryPolicy] | None = None,
        routes: Mapping[str, Route | None] | None = None,
        disturbed: bool = False,
        load: bool = False,
    ) -> None:
        """Args:
        confirms: Whether the broker confirms messages (the embedded one does not).
        policies: The retry settings of the app's tasks.
        routes: Where the app's router sends each registered task.
        disturbed: The run has faults, or another dispatcher began it: nodes come and go, and a message can come
            twice, which is no failure where it is seen and explained.
        load: Its tasks come as a load has them: how many run at a time is for its pace to say.
        """
        self._roster = roster
        self._scenario = scenario
        self._confirms = confirms
        self._disturbed = disturbed
        self._load = load
        self._nodes = {node.name: node for node in roster.nodes}
        self._owners = {worker.queue: worker.service for worker in scenario.workers}
        self._expected = ExpectedTasks(scenario, policies or {})
        self._shares = Shares(scenario)
        self._routes = Routes(routes or {})
        self._ended = Tally()
        self._queues = Tally()
        self._homes = Tally()
        self._probes = Tally()
        self._missing = Tally()
        self._seen: Counter[str] = Counter()  # "queue_a on worker-a@host" -> outcomes
        self._evidence: set[str] = set()
        self._distributions = {name: Histogram() for name in ("run_time", "queue_wait", "round_trip", "lag")}
        self._kinds = {spec.task: _Kind() for spec in scenario.tasks}
        self._busyness: Busyness | None = None
        self._intervals: defaultdict[str, Intervals] = defaultdict(Intervals)  # by node: when the last attempts ran
        self._paced: set[str] = set()  # nodes that got tasks at a rate
        self._away: dict[tuple[str, str], Tally] = {}  # by node and queue: tasks of nodes that came during the run
        self._newcomers: set[str] = set()  # those of them that consume what they should
        self._unroutable = 0  # ended unacknowledged, as they should
        self._sequential_s = 0.0
        self._retries = 0
        self._negative_waits = 0

    def observe(self, outcome: Outcome) -> None:
        """Take one outcome into account."""
        who = f"{outcome.task} {outcome.task_id}"
        words = outcome.where or outcome.error or ""
        spec = self._scenario.tasks[outcome.entry]
        wanted = spec.expect.state
        as_expected = outcome.state is wanted
        told = f"{who} {outcome.state.value}{'' if wanted is State.SUCCEEDED else f', not {wanted.value}'}"
        self._ended.note(as_expected, f"{told}: {words}" if words else told)
        self._missing.note(outcome.state.is_completed or as_expected, f"{who} {outcome.state.value}: {words}")
        self._unroutable += as_expected and wanted is State.UNACKNOWLEDGED
        self._retries += outcome.retries
        self._measure(outcome)
        self._expected.observe(outcome)
        self._shares.observe(outcome)
        if spec.queue is not None:
            where = f"{who} was executed on {outcome.node}, from {outcome.queue}"
            self._probes.note(outcome.attempts == 0 and outcome.state is not State.SUCCEEDED, where)
            return
        if not outcome.state.is_completed and outcome.node is None:
            return  # it was never delivered, as far as we know: counted above, and it ran nowhere
        self._routes.observe(outcome)
        own = spec.expect.queue or outcome.declared_queue
        self._seen[f"{outcome.queue} on {outcome.node}"] += 1
        if outcome.queue_evidence is None:
            self._queues.note(False, f"{who} {_NO_EVIDENCE}")
            self._homes.note(False, f"{who} {_NO_EVIDENCE}")
            return
        self._evidence.add(outcome.queue_evidence)
        self._queues.note(outcome.queue == own, f"{who} arrived on {outcome.queue}, declared for {own}")
        if outcome.node and outcome.node not in self._nodes:
            self._away.setdefault((outcome.node, own), Tally()).note(False, who)
        else:
            self._homes.note(*self._home(outcome, own, who))
        if spec.rate is not None and outcome.node:
            self._paced.add(outcome.node)

    def begin(self, started_at: float) -> None:
        """Note when the run began, on our clock: activity over time is counted from there."""
        self._busyness = Busyness(started_at)

    def _measure(self, outcome: Outcome) -> None:
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
                self._distributions[name].record(value_s)
        self._sequential_s += outcome.run_time_s or 0.0
        if outcome.started_at is not None and outcome.finished_at is not None:
            self._intervals[outcome.node or ""].append((outcome.started_at, outcome.finished_at))
        self._negative_waits += (outcome.queue_wait_s or 0.0) < 0

    def _home(self, outcome: Outcome, own: str, who: str) -> tuple[bool, str]:
        """Judge whether the node that ran it is one of the queue's service, and consumes that queue alone."""
        node = self._nodes.get(outcome.node or "")
        if node is None:
            return False, f"{who} ran on a node that is not named"
        if node.queues != (own,):
            return False, f"{who} ran on {node.name}, which consumes {', '.join(node.queues) or 'nothing'}"
        if node.service != self._owners.get(own):
            return (
                False,
                f"{who} ran on {node.name}, but {own} belongs to {self._owners.get(own, 'no declared worker')}",
            )
        return True, ""

    # --- the verdict ------------------------------------------------------------------------------

    def metrics(self, wall_s: float) -> Metrics:
        activity, slice_s = self._busyness.result() if self._busyness else ((), 0.0)
        return Metrics(
            wall_s=wall_s,
            sequential_s=self._sequential_s,
            retries=self._retries,
            run_time=self._distributions["run_time"].summary(),
            queue_wait=self._distributions["queue_wait"].summary(),
            round_trip=self._distributions["round_trip"].summary(),
            lag=self._distributions["lag"].summary(),
            negative_waits=self._negative_waits,
            distributions={name: distribution.buckets() for name, distribution in self._distributions.items()},
            tallies=tuple(kind.tally(task) for task, kind in self._kinds.items()),
            activity=activity,
            slice_s=slice_s,
        )

    def thresholds(self, ledger: LedgerCounts) -> tuple[Check, ...]:
        return thresholds.judge(self._scenario.expect.thresholds, self._distributions, ledger)

    @property
    def newcomers(self) -> bool:
        """Whether tasks ran on nodes of which nobody knows yet where they belong: ask, and tell `arrived`."""
        return bool(self._away)

    def arrived(self, roster: Roster, *, last: bool = False) -> None:
        """Judge the tasks of nodes that came during the run, by what they consume now.

        Args:
            last: The run is over: who has not answered by now never will. Until then, only a node that consumes what
                it should is known: one that is stopping consumes nothing any more.
        """
        nodes = {node.name: node for node in roster.nodes}
        for (name, own), tasks in list(self._away.items()):
            node = nodes.get(name)
            at_home = node is not None and node.queues == (own,) and node.service == self._owners.get(own)
            if node is not None and at_home:
                self._nodes[name] = node
                self._newcomers.add(name)
            elif not last:
                continue
            seen = f"consumes {', '.join(node.queues)}" if node else "answered neither before the run nor after it"
            for number in range(tasks.judged):
                who = tasks.offenders[min(number, len(tasks.offenders) - 1)]
                self._homes.note(at_home, f"{who} ran on {name}, which {seen}")
            del self._away[name, own]

    def checks(
        self,
        ledger: LedgerCounts,
        wall_s: float,
        dead_letters: Sequence[DeadLetter] = (),
        faults: Sequence[FaultRecord] | None = (),
    ) -> tuple[Check, ...]:
        """Judge the whole run; in the order in which a reader asks."""
        self.arrived(Roster(), last=True)
        attempted = ledger.attempted
        checks = []
        if self._confirms:
            checks.append(
                Check(
                    name="every task confirmed by the broker",
                    passed=ledger.acknowledged == attempted - self._unroutable,
                    evidence=f"{ledger.acknowledged} of {attempted} confirmed",
                )
            )
        places = ", ".join(f"{count} from {place}" for place, count in sorted(self._seen.items())[:8])
        by = f" (by {' and '.join(sorted(self._evidence))})" if self._evidence else ""
        homes = sorted({*self._newcomers, *(node.name for node in self._roster.nodes if node.queues)})
        checks.append(self._outcome(ledger))
        if any(spec.queue is None for spec in self._scenario.tasks):
            checks += [
                self._ran(self._queues, "every task on its declared queue", f"{places}{by}"),
                self._ran(
                    self._homes,
                    "every task on a worker of that queue alone",
                    f"{self._homes.held} of {attempted}, on {', '.join(homes[:8])}",
                ),
            ]
        if self._probes.judged:
            evidence = f"{self._probes.held} of {self._probes.judged} refused"
            checks.append(self._probes.check("no task executed from a queue that is not its own", evidence))
        checks.append(self._deployment())
        checks += self._concurrency()
        overlap = self._overlap()
        if overlap:
            checks.append(overlap)
        checks += [
            self._missing.check("nothing lost", _whereabouts(ledger)),
            self._duplicates(ledger),
            self._none("nothing unexpected", ledger.unexpected, f"{ledger.unexpected} replies for ids never sent"),
            Check(name="every id accounted for", passed=ledger.balanced, evidence=_columns(ledger)),
        ]
        checks += self._expected.checks()
        if self._scenario.expect.routing:
            checks += self._routes.checks()
        checks += run_checks(
            self._scenario, ledger, wall_s, self._sequential_s, self._shares, self._roster, dead_letters, faults
        )
        return tuple(checks)

    def _outcome(self, ledger: LedgerCounts) -> Check:
        if all(spec.expect.state is State.SUCCEEDED for spec in self._scenario.tasks):
            return self._ended.check(EVERY_TASK_SUCCEEDED, f"{ledger.succeeded} of {ledger.attempted} succeeded")
        evidence = f"{self._ended.held} of {ledger.attempted}: {_columns(ledger)}"
        return self._ended.check("every task ended as expected", evidence)

    def _duplicates(self, ledger: LedgerCounts) -> Check:
        """A message comes at least once: where something makes it come again, that has to be seen and explained."""
        evidence = f"{ledger.duplicated} ids ran or ended more than once"
        if not self._disturbed:
            return self._none("nothing duplicated", ledger.duplicated, evidence)
        evidence += f", {ledger.unexplained} of them unexplained" if ledger.duplicated else ""
        return self._none("every duplicate explained", ledger.unexplained, evidence)

    def overlap_note(self) -> str | None:
        """Return why overlap was not judged; None where it was."""
        if self._overlap() is not None or self._interrupted_flow:
            return None
        return "overlap in time not judged: running in parallel could have saved next to nothing"

    @staticmethod
    def _ran(tally: Tally, name: str, evidence: str) -> Check:
        if not tally.held and not tally.offences:
            return Check(name=name, passed=False, evidence="no task was seen to run")
        return tally.check(name, evidence)

    @staticmethod
    def _none(name: str, count: int, evidence: str) -> Check:
        return Check(name=name, passed=count == 0, evidence=evidence)

    def _deployment(self) -> Check:
        """Judge the roster: each node consumes one queue, and it is the one of its service."""
        tally = Tally()
        for node in self._roster.nodes:
            queues = ", ".join(node.queues) or "no queue"
            if len(node.queues) > 1:
                tally.note(False, f"{node.name} consumes {len(node.queues)} queues: {queues}")
            elif not node.queues or self._owners.get(node.queues[0]) != node.service:
                tally.note(False, f"{node.name} consumes {queues}, which is not declared")
            else:
                tally.note(True, "")
        for queue, consumers in self._roster.consumers.items():
            named = sum(queue in node.queues for node in self._roster.nodes)
            tally.note(named == consumers, f"{queue} has {consumers} consumers, {named} nodes named themselves")
        evidence = ", ".join(f"{node.name}: {', '.join(node.queues)}" for node in self._roster.nodes[:8])
        return tally.check("every node consumes exactly its queue", evidence)

    def _concurrency(self) -> list[Check]:
        """Judge for each service that says its concurrency whether its nodes ran so many at a time, and no more.

        A node that had too little to do (few tasks, short ones, or one after the other at a rate) is only judged on
        running no more.
        """
        run = self._distributions["run_time"].summary()
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
            checks.append(self._ran(tally, name, ", ".join(peaks)))
        return checks

    @property
    def _interrupted_flow(self) -> bool:
        """Whether there are reasons why tasks run one after the other: a load's pace, a rate, or a fault."""
        paced = self._load or all(spec.rate is not None for spec in self._scenario.tasks)
        return paced or bool(self._scenario.faults)

    def _overlap(self) -> Check | None:
        if self._interrupted_flow:
            return None
        run = self._distributions["run_time"].summary()
        if run is None or run.count < 2 or self._sequential_s - run.max_s < TELLING_S or run.p50_s < TELLING_RUN_S:
            return None
        busy_s = union_s(self._intervals.values())
        factor = self._sequential_s / busy_s if busy_s > 0 else 0.0
        return Check(
            name="the runs overlapped in time",
            passed=busy_s < 0.9 * self._sequential_s,
            evidence=f"{self._sequential_s:.3f}s of work within {busy_s:.3f}s ({factor:.2f} at a time)",
        )


def _whereabouts(ledger: LedgerCounts) -> str:
    return f"{ledger.lost} lost, {ledger.unfinished} unfinished, {ledger.unacknowledged} never confirmed"


def _columns(ledger: LedgerCounts) -> str:
    columns = {state.value: getattr(ledger, state.value) for state in State}
    ended = (
        ", ".join(f"{count} {name.replace('_', '-')}" for name, count in columns.items() if count) or "nothing ended"
    )
    return f"{ledger.attempted} attempted = {ended}"
