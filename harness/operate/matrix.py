"""`operate.py matrix`: measure the promise matrix, write it where it was asked for."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from celery import Celery

from harness import broker
from harness.errors import ExitCode, UsageError
from harness.matrix import FEWEST_TASKS, Acks, Combination, Kill, QueueType, combinations
from harness.matrix_nodes import Containers, Processes
from harness.matrix_run import measure
from harness.output import Console, ProgressLine
from harness.render.matrix import matrix_document, matrix_text
from harness.render.matrix_html import matrix_html
from harness.render.style import Style
from harness.report_files import writable, write_whole
from harness.terminal import Terminal


def wanted(pattern: str, tasks: int) -> Sequence[Combination]:
    """Return the combinations that match.

    Raises:
        UsageError: There is none, or `tasks` of each are too few.
    """
    found = combinations(pattern)
    if not found:
        parts = ", ".join([*Kill, *Acks, *QueueType])
        raise UsageError(
            f"--only: no combination matches {pattern!r}", why=f"they are made of {parts}", fix="--only 'stop/late/*'"
        )
    if tasks < FEWEST_TASKS:
        raise UsageError(
            f"--tasks: at least {FEWEST_TASKS}", why="some must run, some be prefetched and some wait in the queue"
        )
    return found


def matrix(app: Celery, args: argparse.Namespace, root: Path, console: Console, style: Style) -> ExitCode:
    """Measure what `args` ask for on the app's broker, and write it.

    Args:
        root: Where docker-compose.yml is.

    Raises:
        UsageError: A flag cannot be used.
        UnavailableError: The broker does not answer, or no worker can start.
    """
    tasks = args.tasks or FEWEST_TASKS
    chosen = wanted(args.only, tasks)
    json_path, html_path = writable(args.json), writable(args.html)
    if broker.is_embedded(app):
        raise UsageError("there is nothing to measure in embedded mode", why="its broker is a directory")
    notes = Terminal.detect(args.color, sys.stderr, os.environ)
    progress = ProgressLine(sys.stderr, clock=time.monotonic, live=notes.live)
    url = str(app.conf.broker_url)
    place = Processes(url) if args.local else Containers(root, url, os.environ)

    def on_progress(done: int, names: Sequence[str]) -> None:
        progress.show(f"{done}/{len(chosen)} measured; {', '.join(names)}"[: notes.width - 1])

    try:
        measured = measure(app, place, chosen, tasks, on_progress)
    finally:
        place.close()
        progress.clear()
    console.write(matrix_text(measured, style))
    if json_path:
        write_whole(json_path, matrix_document(measured))
    if html_path:
        write_whole(html_path, matrix_html(measured))
    return ExitCode.UNAVAILABLE if measured.unmeasured else ExitCode.OK
