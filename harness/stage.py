"""Plays scenarios one after the other on a deployment: health check, run, reports, exit code."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from celery import Celery

from harness import app_facts, broker
from harness.baseline import compare
from harness.errors import ExitCode, HarnessError
from harness.fleet import Fleet
from harness.measure import Measure
from harness.model import Check, Report, Roster, Scenario
from harness.output import Console, ProgressLine, ResultsFile, Terminal
from harness.presenter import Presenter
from harness.reconnect import reconnect
from harness.render.console import progress_text
from harness.render.headline import NotRun
from harness.render.verdict import MANY
from harness.report_files import ReportFiles
from harness.roster import wait_for_workers
from harness.run import Run

#: Which of several exit codes a command with several runs answers: the worst.
_WORST_FIRST = (ExitCode.INTERRUPTED, ExitCode.CHECK_FAILED, ExitCode.THRESHOLD, ExitCode.OK)


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

    def play(self, scenarios: Sequence[Scenario]) -> ExitCode:
        """Run each; returns the worst exit code. The reports are written also when a scenario cannot be run."""
        codes = []
        try:
            for scenario in scenarios:
                try:
                    report = self._play(scenario)
                except HarnessError as exc:
                    self._out.reports.add(NotRun.of(scenario.name, exc))
                    raise
                self._out.reports.add(report)
                codes.append(report.exit_code)
                if report.interrupted:
                    break
        finally:
            for path in self._out.reports.write():
                self._out.console.note(f"report: {path}")
        return min(codes, key=_WORST_FIRST.index)

    def _play(self, scenario: Scenario) -> Report:
        started_at = time.time()
        results = ResultsFile.reserve(self._out.results, started_at, self._out.results_dir)
        try:
            with published_nothing():
                run, extra = self._ready(scenario, results, started_at)
            with interrupts(run):
                report = run.execute()
        except BaseException:
            results.discard()
            raise
        report = replace(report, checks=(*report.checks, *extra))
        if self._measure:
            compared = compare(report, self._measure.baseline, self._measure.rules)
            report = replace(report, thresholds=(*report.thresholds, *compared))
        with interrupts(run):
            self._out.progress.clear()
            self._out.presenter.finished(report, results.finish(report))
        if run.left_at_once:
            raise KeyboardInterrupt  # past the warm shutdown of local workers too
        return report

    def _ready(self, scenario: Scenario, results: ResultsFile, started_at: float) -> tuple[Run, list[Check]]:
        """Return the run once its workers answer, and what getting there has shown."""
        out = self._out
        app_facts.declared_queues(self._app, scenario.tasks)
        url, embedded = broker.public_url(os.environ["BROKER_URL"]), broker.is_embedded(self._app)
        out.presenter.begun(scenario, started_at, url, embedded)
        roster = self._roster(scenario)
        extra = []
        if scenario.reconnect:
            lines = reconnect(self._app, roster.nodes, self._wait_s)
            extra.append(
                Check(name="every node lost its connection and made a new one", passed=True, evidence="; ".join(lines))
            )
            roster = self._roster(scenario)
        out.presenter.connected(roster)
        run = Run(
            self._app,
            scenario,
            roster,
            results,
            journals=out.journals,
            on_event=out.presenter.event,
            on_tick=self._tick,
            on_note=out.console.note,
        )
        out.presenter.dispatching(scenario)
        return run, extra

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


@contextmanager
def interrupts(run: Run) -> Iterator[None]:
    """Let Ctrl-C, or SIGTERM, wind `run` up instead of ending this process."""
    before = {number: signal.signal(number, lambda *_: run.interrupt()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def published_nothing() -> Iterator[None]:
    """Let an interrupt say so."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("nothing was published") from None
