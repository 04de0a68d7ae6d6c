"""Plays a load on a deployment, or on several sizes of it: health check, run, results, reports, exit code."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from celery import Celery

from harness import broker
from harness.errors import ExitCode
from harness.fleet import Fleet
from harness.interrupts import handled
from harness.load_plan import LoadPlan
from harness.load_report import LoadReport
from harness.load_run import LoadRun
from harness.model.topology import Roster
from harness.output import Console, ProgressLine, ResultsFile, Terminal
from harness.render.load_html import load_html
from harness.render.load_json import load_pieces
from harness.render.load_progress import load_progress
from harness.render.load_text import load_banner, load_text
from harness.render.style import Style
from harness.render.sweep_html import sweep_html
from harness.render.sweep_json import sweep_pieces
from harness.render.sweep_text import replicas_text, step_text, sweep_text
from harness.render.timeline import rich_connected
from harness.report_files import write_whole
from harness.roster import wait_for_workers
from harness.stage import published_nothing
from harness.sweep_run import Replicas, sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Where a load's output goes."""

    console: Console
    style: Style  # of stdout
    progress: ProgressLine
    notes: Terminal  # what stderr can show
    results: str | None  # -o
    results_dir: str
    html: Path | None
    json: bool  # the results document on stdout, and nothing else there

    def say(self, text: str) -> None:
        """Show what comes before the results."""
        if not self.json:
            self.console.write(text)

    def show(self, results: Path, text: str, page: Callable[[], str]) -> None:
        """Show the results, as text or as the document; write the HTML report, if one is wanted."""
        if self.json:
            self.console.write_file(results)
        else:
            self.console.write(text)
        if self.html:
            self.console.note(f"report: {write_whole(self.html, page())}")


def play(app: Celery, fleet: Fleet, plan: LoadPlan, wait_s: float, out: Outputs) -> ExitCode:
    """Run the load and show it.

    Args:
        wait_s: How long workers may take to answer.

    Raises:
        UsageError: The results cannot be written.
        UnavailableError: The broker or the workers do not answer.
        KeyboardInterrupt: It was interrupted before anything was published, or twice.
    """
    started_at = time.time()
    with ResultsFile.reserve(out.results, started_at, out.results_dir, kind="load").kept() as results:
        with published_nothing():
            begun(app, plan, started_at, out)
            loading = ready(app, fleet, plan, wait_s, out)
        with handled(loading.run.interrupt):
            report = loading.execute()
            out.progress.clear()
            path = results.write(load_pieces(report))
    out.show(path, load_text(report, path, out.style), lambda: load_html(report))
    if loading.run.left_at_once:
        raise KeyboardInterrupt  # past the warm shutdown of local workers too
    return report.exit_code


def begun(app: Celery, plan: LoadPlan, started_at: float, out: Outputs) -> str:
    """Show what is asked of which broker; return its URL, without its password."""
    url, embedded = broker.public_url(os.environ["BROKER_URL"]), broker.is_embedded(app)
    out.say(load_banner(plan, started_at, url, out.style, embedded=embedded))
    return url


def ready(app: Celery, fleet: Fleet, plan: LoadPlan, wait_s: float, out: Outputs) -> LoadRun:
    """Return the run once its workers answer; args and errors as of `play`."""
    roster = wait_for_workers(app, plan.scenario.workers, wait_s, on_wait=out.console.note, explain=fleet.explain)
    out.say(rich_connected(roster, out.style))
    width = out.notes.width - 1
    return LoadRun(
        app,
        plan,
        roster,
        on_note=out.console.note,
        on_progress=lambda progress: out.progress.show(load_progress(progress, out.notes.style, width)),
        wants_progress=lambda: out.progress.due,
    )


def play_sweep(
    app: Celery, plan: LoadPlan, steps: Sequence[int], replicas: Replicas, wait_s: float, out: Outputs
) -> ExitCode:
    """Run the load on each number of replicas and show the curve; what was measured before an error is saved too.

    Args:
        steps: Numbers of replicas of each service.
        wait_s: How long workers may take to answer.

    Raises:
        UsageError: The results cannot be written.
        UnavailableError: The broker, Docker or the workers do not answer.
        KeyboardInterrupt: It was interrupted before anything was measured, or twice.
    """
    started_at = time.time()
    left_at_once = False

    def measured(fleet: Fleet, plan: LoadPlan) -> tuple[LoadReport, Roster]:
        nonlocal left_at_once
        out.say(replicas_text(plan.scenario.workers[0].replicas, out.style))
        loading = ready(app, fleet, plan, wait_s, out)
        with handled(loading.run.interrupt):
            report = loading.execute()
            out.progress.clear()
        left_at_once = loading.run.left_at_once
        return report, loading.roster

    with ResultsFile.reserve(out.results, started_at, out.results_dir, kind="load").kept() as results:
        url = begun(app, plan, started_at, out)
        played = sweep(app, plan, steps, replicas, measured, lambda step: out.say(step_text(step, out.style)))
        if not played.steps and played.error:
            raise played.error
        path = results.write(sweep_pieces(played, plan, started_at, url))
    out.show(path, sweep_text(played, path, out.style), lambda: sweep_html(played, plan, started_at, url))
    if left_at_once:
        raise KeyboardInterrupt
    if played.error:
        raise played.error
    return played.exit_code
