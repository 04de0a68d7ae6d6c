"""Plays a load on a deployment: health check, run, results, reports, exit code."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from celery import Celery

from harness import broker
from harness.errors import ExitCode
from harness.fleet import Fleet
from harness.load_plan import LoadPlan
from harness.load_run import LoadRun
from harness.output import Console, ProgressLine, ResultsFile, Terminal
from harness.render.load_html import load_html
from harness.render.load_json import load_pieces
from harness.render.load_progress import load_progress
from harness.render.load_text import load_banner, load_text
from harness.render.style import Style
from harness.render.timeline import rich_connected
from harness.report_files import write_whole
from harness.roster import wait_for_workers
from harness.stage import interrupts, published_nothing


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
    results = ResultsFile.reserve(out.results, started_at, out.results_dir, kind="load")

    def say(text: str) -> None:
        if not out.json:
            out.console.write(text)

    try:
        with published_nothing():
            url = broker.public_url(os.environ["BROKER_URL"])
            say(load_banner(plan, started_at, url, out.style, embedded=broker.is_embedded(app)))
            roster = wait_for_workers(
                app, plan.scenario.workers, wait_s, on_wait=out.console.note, explain=fleet.explain
            )
            say(rich_connected(roster, out.style))
            width = out.notes.width - 1
            loading = LoadRun(
                app,
                plan,
                roster,
                on_note=out.console.note,
                on_progress=lambda progress: out.progress.show(load_progress(progress, out.notes.style, width)),
                wants_progress=lambda: out.progress.due,
            )
        with interrupts(loading.run):
            report = loading.execute()
            out.progress.clear()
            path = results.write(load_pieces(report))
    except BaseException:
        results.discard()
        raise
    if out.json:
        out.console.write_file(path)
    else:
        out.console.write(load_text(report, path, out.style))
    if out.html:
        out.console.note(f"report: {write_whole(out.html, load_html(report))}")
    if loading.run.left_at_once:
        raise KeyboardInterrupt  # past the warm shutdown of local workers too
    return report.exit_code
