#!/usr/bin/env python
"""Dispatch the tasks of a scenario, gather their results and judge, from evidence, what ran where."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ExitCode, HarnessError, UsageError

if TYPE_CHECKING:
    from celery import Celery

    from harness.fleet import Fleet
    from harness.model import Config, Roster, Scenario
    from harness.output import Console, ProgressLine, Terminal
    from harness.presenter import Presenter
    from harness.run import Run

ROOT = Path(__file__).resolve().parent
VERSION = "1.0.0"
DEFAULT_SCENARIO = "basic"
#: How long workers may take to answer, in seconds, unless told otherwise.
WAIT_WORKERS_S = 20.0


def build_parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code.value:>3}  {code.meaning}" for code in ExitCode)
    parser = argparse.ArgumentParser(
        prog="dispatch.py",
        description=__doc__,
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("scenarios", metavar="SCENARIO", nargs="*", help=f"what to run (default: {DEFAULT_SCENARIO})")
    parser.add_argument("--list", action="store_true", help="list the scenarios and exit")
    parser.add_argument("--all", action="store_true", help="run every scenario")
    parser.add_argument("--config", metavar="FILE", help="default: test-config.yml beside this command")
    parser.add_argument("--format", choices=("rich", "basic", "plain", "json"), default="rich")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only; the exit code says the rest")
    parser.add_argument("-o", "--output", metavar="FILE", help="results file (default: dispatch_results_<time>.json)")
    parser.add_argument("--wait-workers", metavar="20s", help="how long workers may take to answer")
    parser.add_argument("--timeout", metavar="30s", help="how long a run may take, instead of the scenario's own")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--local", action="store_true", help="start the workers here, as processes, and stop them after")
    where.add_argument(
        "--embedded", action="store_true", help="no RabbitMQ: a directory as broker, workers here; a demonstration"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse_args(argv)
    try:
        return command(args)
    except HarnessError as exc:
        from harness.output import print_error

        print_error(exc)
        return exc.exit_code
    except KeyboardInterrupt:
        print("interrupted; nothing was published", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in (
            "celery",
            "kombu",
            "amqp",
            "yaml",
            "colorama",
            "pythonjsonlogger",
        ):
            raise
        print(
            f"error: this Python ({sys.executable}) lacks the package {exc.name}\n"
            "  why: the project's packages are in its own environment, .venv\n"
            "  try: make install; .venv/bin/python dispatch.py",
            file=sys.stderr,
        )
        return ExitCode.USAGE
    except Exception:
        import logging

        logging.getLogger(__name__).exception("unexpected error; this is a bug")
        return ExitCode.INTERNAL


def command(args: argparse.Namespace) -> int:
    from harness.config import duration_s, load_config
    from harness.output import Console, ProgressLine, Terminal, configure_logging
    from harness.presenter import FORMATS
    from harness.settings import load_env

    configure_logging()
    load_env(ROOT / ".env")
    config = load_config(args.config or _beside("test-config.yml"), os.environ)
    terminal = Terminal.detect(args.color, sys.stdout, os.environ)
    notes = Terminal.detect(args.color, sys.stderr, os.environ)
    progress = ProgressLine(None if args.quiet else sys.stderr, clock=time.monotonic, live=notes.live)
    console = Console(sys.stdout, sys.stderr, quiet=args.quiet, progress=progress)
    if args.list:
        for scenario in config.scenarios:
            console.write(f"{scenario.name:<20} {scenario.description}\n", always=True)
        return ExitCode.OK
    chosen = _choose(config, args)
    if args.timeout:
        chosen = [replace(scenario, timeout_s=_flag("--timeout", args.timeout, duration_s)) for scenario in chosen]
    wait_s = config.settings.wait_workers_s or WAIT_WORKERS_S
    if args.wait_workers:
        wait_s = _flag("--wait-workers", args.wait_workers, duration_s)
    if not os.environ.get("BROKER_URL") and config.settings.broker_url:
        os.environ["BROKER_URL"] = config.settings.broker_url
    presenter: Presenter = FORMATS[args.format](console, terminal.style)
    stage = Stage(config, wait_s, args.output, presenter, console, progress, notes)
    codes = []
    with deployment(args, chosen) as (app, fleet):
        for scenario in chosen:
            codes.append(stage.play(app, fleet, scenario))
            if codes[-1] == ExitCode.INTERRUPTED:
                break
    return max(codes)


class Stage:
    """Runs scenarios one after the other on one deployment, and shows them."""

    def __init__(
        self,
        config: Config,
        wait_s: float,
        output: str | None,
        presenter: Presenter,
        console: Console,
        progress: ProgressLine,
        notes: Terminal,
    ) -> None:
        self._config = config
        self._wait_s = wait_s
        self._output = output
        self._presenter = presenter
        self._console = console
        self._progress = progress
        self._notes = notes

    def play(self, app: Celery, fleet: Fleet, scenario: Scenario) -> int:
        """Check the deployment, run `scenario`, show and save it; returns its exit code."""
        from harness import broker
        from harness.output import ResultsFile
        from harness.run import Run

        started_at = time.time()
        for spec in scenario.tasks:
            broker.declared_queue(app, spec.task)
        results = ResultsFile.reserve(self._output, started_at, self._config.settings.results_dir or ".")
        try:
            self._presenter.begun(
                scenario, started_at, broker.public_url(os.environ["BROKER_URL"]), broker.is_embedded(app)
            )
            roster = self._ready(app, fleet, scenario)
            self._presenter.connected(roster)
            run = Run(
                app,
                scenario,
                roster,
                results,
                journals=ROOT / ".runs",
                on_event=self._presenter.event,
                on_tick=self._tick,
                on_note=self._console.note,
            )
            self._presenter.dispatching(scenario)
            with interrupts(run):
                report = run.execute()
        except BaseException:
            results.discard()
            raise
        self._presenter.finished(report, results.finish(report))
        return report.exit_code

    def _ready(self, app: Celery, fleet: Fleet, scenario: Scenario) -> Roster:
        from harness import broker

        return broker.wait_for_workers(
            app, scenario.workers, self._wait_s, on_wait=self._console.note, explain=fleet.explain
        )

    def _tick(self, run: Run) -> None:
        from harness.render.console import progress_text
        from harness.render.verdict import MANY

        total = sum(spec.count for spec in run.scenario.tasks)
        if total <= MANY or not self._progress.due:
            return
        done = run.ledger.attempted - len(run.ledger.in_flight)
        elapsed_s = run.courier.now() - run.courier.started_at
        style = self._notes.style
        self._progress.show(progress_text(done, total, run.failed, elapsed_s, style, self._notes.width - 1))


@contextmanager
def deployment(args: argparse.Namespace, scenarios: Sequence[Scenario]) -> Iterator[tuple[Celery, Fleet]]:
    """Give the app, and the fleet that its workers are in; what is started here is stopped here."""
    from harness.fleet import ComposeFleet, LocalFleet

    with tempfile.TemporaryDirectory(prefix="embedded-broker-") as directory:
        if args.embedded:
            os.environ["BROKER_URL"] = f"filesystem://{directory}"
        import celery_app

        os.environ["BROKER_URL"] = celery_app.BROKER_URL
        if not (args.local or args.embedded):
            yield celery_app.app, ComposeFleet(ROOT)
            return
        workers = {worker.service: worker for scenario in scenarios for worker in scenario.workers}
        fleet = LocalFleet(ROOT, tuple(workers.values()), celery_app.BROKER_URL, abrupt=args.embedded)
        try:
            fleet.start()
            yield celery_app.app, fleet
        finally:
            fleet.stop()


@contextmanager
def interrupts(run: Run) -> Iterator[None]:
    """Let Ctrl-C wind `run` up instead of ending this process."""
    before = signal.signal(signal.SIGINT, lambda *_: run.interrupt())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _beside(name: str) -> Path:
    """Return a file beside this command, by its short name where that is enough."""
    return Path(name) if Path.cwd() == ROOT else ROOT / name


def _choose(config: Config, args: argparse.Namespace) -> list[Scenario]:
    """Return the scenarios to run, in the order asked for."""
    from difflib import get_close_matches

    known = {scenario.name: scenario for scenario in config.scenarios}
    if args.all and args.scenarios:
        raise UsageError("--all runs every scenario: name none, or leave it out")
    names = list(known) if args.all else args.scenarios or [DEFAULT_SCENARIO]
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            raise UsageError(
                f"no scenario {name!r} in {config.path}",
                why=f"it has: {', '.join(known)}",
                fix=f"dispatch.py {close[0]}" if close else "dispatch.py --list",
            )
    if args.output and len(names) > 1:
        raise UsageError("-o names one file, and each scenario writes its own", fix="leave -o out")
    return [known[name] for name in names]


def _flag(flag: str, value: str, parse: Any) -> float:
    try:
        seconds: float = parse(value)
    except HarnessError as exc:
        raise UsageError(f"{flag}: {exc.what}", why=exc.why, fix=exc.fix) from exc
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
