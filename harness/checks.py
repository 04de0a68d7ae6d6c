"""Pure: the judgement of a run: what each proof says, and from the ledger that nothing is lost, repeated or unexpected.

Outcomes are seen one by one and not kept: memory does not grow with the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness import thresholds
from harness.expected import ExpectedTasks, RetryPolicy
from harness.expected_run import Routes, Shares, run_checks
from harness.model.dead_letter import DeadLetter
from harness.model.fault import FaultRecord
from harness.model.ledger import LedgerCounts, State
from harness.model.metrics import Metrics
from harness.model.outcome import Outcome
from harness.model.report import Check
from harness.model.scenario import Scenario
from harness.model.topology import Roster, Route
from harness.parallelism import Parallelism
from harness.placement import Placement
from harness.run_metrics import Meter
from harness.tally import Tally

EVERY_TASK_SUCCEEDED = "every task succeeded"


class Judge:
    """Watches a run's outcomes, and judges them once it has ended."""

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
        self._meter = Meter(scenario)
        self._placement = Placement(roster, scenario)
        self._parallelism = Parallelism(roster, scenario, self._meter, load=load)
        self._expected = ExpectedTasks(scenario, policies or {})
        self._shares = Shares(scenario)
        self._routes = Routes(routes or {})
        self._ended = Tally()
        self._missing = Tally()
        self._unroutable = 0  # ended unacknowledged, as they should

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
        self._meter.observe(outcome)
        self._placement.observe(outcome, spec)
        self._parallelism.observe(outcome, spec)
        self._expected.observe(outcome)
        self._shares.observe(outcome)
        if spec.queue is None:
            self._routes.observe(outcome)

    def begin(self, started_at: float) -> None:
        """Note when the run began, on our clock: activity over time is counted from there."""
        self._meter.begin(started_at)

    # --- the verdict ------------------------------------------------------------------------------

    def metrics(self, wall_s: float) -> Metrics:
        return self._meter.metrics(wall_s)

    def thresholds(self, ledger: LedgerCounts) -> tuple[Check, ...]:
        return thresholds.judge(self._scenario.expect.thresholds, self._meter.distributions, ledger)

    def overlap_note(self) -> str | None:
        """Return why overlap was not judged; None where it was."""
        return self._parallelism.note()

    @property
    def newcomers(self) -> bool:
        """Whether tasks ran on nodes of which nobody knows yet where they belong: ask, and tell `arrived`."""
        return self._placement.newcomers

    def arrived(self, roster: Roster, *, last: bool = False) -> None:
        """Judge the tasks of nodes that came during the run; args as of `Placement.arrived`."""
        self._placement.arrived(roster, last=last)

    def checks(
        self,
        ledger: LedgerCounts,
        wall_s: float,
        dead_letters: Sequence[DeadLetter] = (),
        faults: Sequence[FaultRecord] = (),
    ) -> tuple[Check, ...]:
        """Judge the whole run; in the order in which a reader asks."""
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
        checks += [
            self._outcome(ledger),
            *self._placement.checks(attempted),
            *self._parallelism.checks(),
            self._missing.check("nothing lost", _whereabouts(ledger)),
            self._duplicates(ledger),
            self._none("nothing unexpected", ledger.unexpected, f"{ledger.unexpected} replies for ids never sent"),
            Check(name="every id accounted for", passed=ledger.balanced, evidence=_columns(ledger)),
        ]
        checks += self._expected.checks()
        if self._scenario.expect.routing:
            checks += self._routes.checks()
        checks += run_checks(
            self._scenario, ledger, wall_s, self._meter.sequential_s, self._shares, self._roster, dead_letters, faults
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

    @staticmethod
    def _none(name: str, count: int, evidence: str) -> Check:
        return Check(name=name, passed=count == 0, evidence=evidence)


def _whereabouts(ledger: LedgerCounts) -> str:
    return f"{ledger.lost} lost, {ledger.unfinished} unfinished, {ledger.unacknowledged} never confirmed"


def _columns(ledger: LedgerCounts) -> str:
    columns = {state.value: getattr(ledger, state.value) for state in State}
    ended = (
        ", ".join(f"{count} {name.replace('_', '-')}" for name, count in columns.items() if count) or "nothing ended"
    )
    return f"{ledger.attempted} attempted = {ended}"
