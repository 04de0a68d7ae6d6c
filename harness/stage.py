"""Plays scenarios one after the other on a deployment: health check, run, reports, exit code."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from celery import Celery

from harness import app_facts, broker
from harness.baseline import compare
from harness.errors import ExitCode, HarnessError, UnavailableError
from harness.fleet import Fleet
from harness.interrupts import handled
from harness.measure import Measure
from harness.model.event import Event
from harness.model.fault import DISPATCHER, FaultKind
from harness.model.report import Check, Report
from harness.model.scenario import Scenario
from harness.model.topology import Roster
from harness.output import Console, ProgressLine, ResultsFile, Terminal, print_error
from harness.presenter import Presenter
from harness.reconnect import reconnect
from harness.relay import Relay, address
from harness.render.console import progress_text
from harness.render.headline import NotRun
from harness.render.verdict import MANY
from harness.replicas import as_before
from harness.report_files import ReportFiles
from harness.roster import wait_for_workers
from harness.run import Run
from harness.task_ids import TaskIds
from harness.victim import Killed, fatal, sacrifice

#: Which of several exit codes a command with several runs answers: the worst.
_WORST_FIRST = (ExitCode.INTERRUPTED, ExitCode.UNAVAILABLE, ExitCode.CHECK_FAILED, ExitCode.THRESHOLD, ExitCode.OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Where a command's output goes."""

    console: Console
    presenter: Presenter
    progress: ProgressLine
    notes: Terminal  # what stderr can show
    results: str | None  # -o
    results_dir: str
    journals: Path
    reports: ReportFiles


class Stage:
    """Runs scenarios and shows them."""

    def __init__(self, app: Celery, fleet: Fleet, wait_s: float, outputs: Outputs, measure: Measure | None) -> None:
        """Args:
        wait_s: How long workers may take to answer.
        """
        self._app = app
        self._fleet = fleet
        self._wait_s = wait_s
        self._out = outputs
        self._measure = measure

    def play(self, scenarios: Sequence[Scenario], resume: Path | None = None) -> ExitCode:
        """Run each; returns the worst exit code. The reports are written also when a scenario cannot be run.

        Args:
            resume: The journal of an unfinished run of the one scenario: finish it instead.
        """
        codes = []
        try:
            for scenario in scenarios:
                try:
                    report, failure = self._play(scenario, resume)
                except HarnessError as exc:
                    self._out.reports.add(NotRun.of(scenario.name, exc))
                    raise
                codes.append(report.exit_code)
                if failure:  # what comes next would not find the deployment as it was
                    print_error(failure)
                    codes.append(failure.exit_code)
                if failure or report.interrupted:
                    break
        finally:
            for path in self._out.reports.write():
                self._out.console.note(f"report: {path}")
        return min(codes, key=_WORST_FIRST.index)

    def _play(self, scenario: Scenario, resume: Path | None) -> tuple[Report, UnavailableError | None]:
        """Return the report, and why what was made ready for the run could not be undone, where that is so."""
        started_at = time.time()
        results = ResultsFile.reserve(self._out.results, started_at, self._out.results_dir)
        report = failure = None
        try:
            faulty = scenario if not resume else None
            with results.kept(), disturbed(self._app, self._fleet, faulty, self._out.console.note) as relay:
                with published_nothing():
                    run, extra = self._ready(scenario, results, started_at, resume, relay)
                with handled(run.interrupt):
                    report = self._shown(run, extra, results)
        except UnavailableError as exc:
            if report is None:
                raise
            failure = exc
        if run.left_at_once or (run.courier.interrupted and not report.interrupted):
            if failure:
                print_error(failure)
            raise KeyboardInterrupt  # past the warm shutdown of local workers too, and past what would come next
        return report, failure

    def _shown(self, run: Run, extra: Sequence[Check], results: ResultsFile) -> Report:
        """Execute the run, write its results before anything else can fail, and show them."""
        report = run.execute()
        report = replace(report, checks=(*report.checks, *extra))
        if self._measure:
            compared = compare(report, self._measure.baseline, self._measure.rules)
            report = replace(report, thresholds=(*report.thresholds, *compared))
        path = results.finish(report)
        self._out.reports.add(report)

        def leave() -> None:  # a terminal may not take what is shown
            further = run.left_at_once
            run.interrupt()
            if further:
                raise KeyboardInterrupt

        with handled(leave):
            self._out.progress.clear()
            self._out.presenter.finished(report, path)
        return report

    def _ready(
        self, scenario: Scenario, results: ResultsFile, started_at: float, resume: Path | None, relay: Relay | None
    ) -> tuple[Run, list[Check]]:
        """Return the run once its workers answer, and what getting there has shown."""
        out = self._out
        app_facts.declared_queues(self._app, scenario.tasks)
        url, embedded = broker.public_url(os.environ["BROKER_URL"]), broker.is_embedded(self._app)
        out.presenter.begun(scenario, started_at, url, embedded)
        roster = self._roster(scenario)
        extra = []
        if scenario.reconnect and not resume:
            lines = reconnect(self._app, roster.nodes, self._wait_s)
            extra.append(
                Check(name="every node lost its connection and made a new one", passed=True, evidence="; ".join(lines))
            )
            roster = self._roster(scenario)
        out.presenter.connected(roster)
        killed = self._killed(scenario, roster, results) if not resume else None
        run = Run(
            self._app,
            scenario,
            roster,
            results,
            journals=out.journals,
            on_event=out.presenter.event,
            on_tick=self._tick,
            on_note=out.console.note,
            fleet=self._fleet,
            relay=relay,
            resume=killed.journal if killed else resume,
            killed=killed,
        )
        out.presenter.dispatching(scenario)
        return run, extra

    def _killed(self, scenario: Scenario, roster: Roster, results: ResultsFile) -> Killed | None:
        """Begin the run in a dispatcher that is killed, where the scenario says so; the rest is a resume."""
        fault = fatal(scenario)
        if fault is None:
            return None
        run_id = TaskIds().run_id
        self._out.console.note(f"a dispatcher begins the run {run_id}: {fault.words}")

        def run() -> None:
            journals, fleet = self._out.journals, self._fleet
            run = Run(
                self._app, scenario, roster, results, journals=journals, on_event=_nothing, fleet=fleet, run_id=run_id
            )
            run.execute()

        killed = sacrifice(fault, self._out.journals / f"{run_id}.jsonl", run)
        self._out.console.note(f"{killed.hit} was killed; the run is resumed")
        return killed

    def _roster(self, scenario: Scenario) -> Roster:
        return wait_for_workers(
            self._app, scenario.workers, self._wait_s, on_wait=self._out.console.note, explain=self._fleet.explain
        )

    def _tick(self, run: Run) -> None:
        total = run.scenario.task_count
        if total <= MANY or not self._out.progress.due:
            return
        done = run.ledger.attempted - len(run.ledger.in_flight)
        elapsed_s = run.courier.now() - run.courier.started_at
        notes = self._out.notes
        self._out.progress.show(progress_text(done, total, run.failed, elapsed_s, notes.style, notes.width - 1))


def _nothing(event: Event) -> None:
    pass


@contextmanager
def disturbed(
    app: Celery, fleet: Fleet, scenario: Scenario | None, note: Callable[[str], None]
) -> Iterator[Relay | None]:
    """Make ready what a scenario's faults need: as many nodes as it says, and a way to cut this dispatcher off.

    Args:
        note: Told what takes long in the end.

    Raises:
        UnavailableError: Docker does not do what it is asked, or the broker has no connection to cut.
    """
    faults = scenario.faults if scenario else ()
    with ExitStack() as stack:
        if scenario and any(fault.target in {worker.service for worker in scenario.workers} for fault in faults):
            stack.enter_context(sized(fleet, scenario, note))
        relay = None
        if any(fault.kind is FaultKind.DISCONNECT and fault.target == DISPATCHER for fault in faults):
            relay = Relay(*address(app.conf.broker_url))
            stack.callback(relay.close)
        yield relay


@contextmanager
def sized(fleet: Fleet, scenario: Scenario, note: Callable[[str], None]) -> Iterator[None]:
    """Have as many nodes as `scenario` needs, and afterwards as many as there were."""
    with as_before(fleet, [worker.service for worker in scenario.workers], note) as before:
        wanted = {worker.service: worker.replicas for worker in scenario.workers}
        if more := {service: count for service, count in wanted.items() if count > before[service]}:
            fleet.scale(more)
        yield


@contextmanager
def published_nothing() -> Iterator[None]:
    """Let an interrupt say so."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("nothing was published") from None
