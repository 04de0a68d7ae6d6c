#!/usr/bin/env python
"""Dispatch the tasks of a scenario, gather their results and judge, from evidence, what ran where."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness import command, interrupts
from harness.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from celery import Celery

    from harness.fleet import Fleet
    from harness.model.scenario import Scenario
    from harness.unfinished import UnfinishedRun

ROOT = Path(__file__).resolve().parent
#: Where a run notes what a resume needs.
JOURNALS = ROOT / ".runs"
DEFAULT_SCENARIO = "basic"
#: How long workers may take to answer, in seconds, unless told otherwise.
WAIT_WORKERS_S = 20.0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dispatch.py", **command.described(__doc__))
    parser.add_argument("scenarios", metavar="SCENARIO", nargs="*", help=f"what to run (default: {DEFAULT_SCENARIO})")
    parser.add_argument("--list", action="store_true", help="list the scenarios and exit")
    parser.add_argument("--all", action="store_true", help="run every scenario that has no faults")
    parser.add_argument("--tag", metavar="TAG", action="append", default=[], help="run the scenarios with this tag")
    parser.add_argument("--resume", metavar="RUN", help="finish a run whose dispatcher was killed or interrupted")
    parser.add_argument("--validate", action="store_true", help="check test-config.yml and exit")
    parser.add_argument("--config", metavar="FILE", help="default: test-config.yml beside this command")
    parser.add_argument("--format", choices=("rich", "basic", "plain", "json"), default="rich")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only; the exit code says the rest")
    parser.add_argument("-o", "--output", metavar="FILE", help="results file (default: dispatch_results_<time>.json)")
    parser.add_argument("--junit", metavar="FILE", help="also write a JUnit report, for CI")
    parser.add_argument("--html", metavar="FILE", help="also write an HTML report, one file")
    parser.add_argument("--baseline", metavar="FILE", help="compare with the results file of an earlier run")
    parser.add_argument(
        "--fail-on",
        metavar="RULE",
        action="append",
        default=[],
        help="with --baseline: what may get how much worse, such as 'round_trip.p(95):10%%'",
    )
    parser.add_argument("--wait-workers", metavar="20s", help="how long workers may take to answer")
    parser.add_argument("--timeout", metavar="30s", help="how long a run may take, instead of the scenario's own")
    parser.add_argument(
        "--allow-broker-faults", action="store_true", help="let a scenario restart, kill, freeze or fill the broker"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--local", action="store_true", help="start the workers here, as processes, and stop them after")
    where.add_argument(
        "--embedded", action="store_true", help="no RabbitMQ: a directory as broker, workers here; a demonstration"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {command.VERSION}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse_args(argv)
    gc.disable()  # what is imported is no garbage: looking for some takes a sixth of the start
    return command.told(lambda: dispatch(args), prog="dispatch.py")


def dispatch(args: argparse.Namespace) -> int:
    from harness.config import load_config
    from harness.output import Console, ProgressLine, Terminal, configure_logging
    from harness.settings import load_env

    configure_logging()
    load_env(ROOT / ".env")
    config = load_config(args.config or _beside("test-config.yml"), os.environ)
    terminal = Terminal.detect(args.color, sys.stdout, os.environ)
    notes = Terminal.detect(args.color, sys.stderr, os.environ)
    progress = ProgressLine(None if args.quiet else sys.stderr, clock=time.monotonic, live=notes.live)
    console = Console(sys.stdout, sys.stderr, quiet=args.quiet, progress=progress)
    if args.validate:
        console.write(f"{config.path}: valid, {len(config.scenarios)} scenarios\n")
        return ExitCode.OK
    if args.list:
        for scenario in config.scenarios:
            tags = f"  [{', '.join(scenario.tags)}]" if scenario.tags else ""
            console.write(f"{scenario.name:<24} {scenario.description}{tags}\n", always=True)
        return ExitCode.OK
    from dataclasses import replace

    from harness import flags, scenario_choice
    from harness.measure import measured_by
    from harness.presenter import FORMATS
    from harness.quantities import duration_s
    from harness.report_files import ReportFiles

    resume = _resumed(args) if args.resume else None
    if resume:
        args.scenarios = [resume.scenario]
    chosen = scenario_choice.choose(config, args.scenarios, args.tag, every=args.all, default=DEFAULT_SCENARIO)
    if args.output and len(chosen) > 1:
        raise UsageError("-o names one file, and each scenario writes its own", fix="leave -o out")
    if args.embedded:
        scenario_choice.refuse_embedded(chosen)
    if not (args.allow_broker_faults or args.resume):  # a resumed run has had its faults
        scenario_choice.refuse_broker_faults(chosen)
    if args.all and len(chosen) < len(config.scenarios):
        left_out = len(config.scenarios) - len(chosen)
        console.note(f"--all leaves out {left_out} scenarios with faults: run them by name, or with --tag")
    if resume:
        from harness.resumable import refuse_changed

        refuse_changed(resume, chosen[0])
    if timeout_s := flags.read("--timeout", args.timeout or None, duration_s):
        chosen = [replace(scenario, timeout_s=timeout_s) for scenario in chosen]
    asked_s = flags.read("--wait-workers", args.wait_workers or None, duration_s)
    wait_s = asked_s or config.settings.wait_workers_s or WAIT_WORKERS_S
    measure = measured_by(args.baseline, args.fail_on, chosen, embedded=args.embedded)
    reports = ReportFiles(args.junit, args.html, os.environ)
    if not os.environ.get("BROKER_URL") and config.settings.broker_url:
        os.environ["BROKER_URL"] = config.settings.broker_url
    with deployment(args, chosen) as (app, fleet):
        from harness.stage import Outputs, Stage

        outputs = Outputs(
            console=console,
            presenter=FORMATS[args.format](console, terminal.style),
            progress=progress,
            notes=notes,
            results=args.output,
            results_dir=config.settings.results_dir or ".",
            journals=JOURNALS,
            reports=reports,
        )
        gc.freeze()
        gc.enable()
        return Stage(app, fleet, wait_s, outputs, measure).play(chosen, resume.path if resume else None)


@contextmanager
def deployment(args: argparse.Namespace, scenarios: Sequence[Scenario]) -> Iterator[tuple[Celery, Fleet]]:
    """Give the app, and the fleet that its workers are in; what is started here is stopped here."""
    from harness.app_import import load_app
    from harness.compose import ComposeFleet
    from harness.deployment import embedded_broker, workers_here
    from harness.model.fault import FaultKind

    with ExitStack() as made:
        if args.embedded:
            made.enter_context(embedded_broker())
        app = load_app("celery_app", ROOT)
        if not (args.local or args.embedded):
            yield app, ComposeFleet(ROOT)
            return
        workers = {worker.service: worker for scenario in scenarios for worker in scenario.workers}
        cut = any(fault.kind is FaultKind.DISCONNECT for scenario in scenarios for fault in scenario.faults)
        fleet = workers_here(ROOT, tuple(workers.values()), os.environ["BROKER_URL"], abrupt=args.embedded, relays=cut)
        yield app, made.enter_context(fleet)


def _beside(name: str) -> Path:
    """Return a file beside this command, by its short name where that is enough."""
    return Path(name) if Path.cwd() == ROOT else ROOT / name


def _resumed(args: argparse.Namespace) -> UnfinishedRun:
    """Return the run to finish.

    Raises:
        UsageError: There is no such run, or another flag asks for something else.
    """
    from harness.unfinished import unfinished_run

    if args.scenarios or args.all or args.tag or args.embedded:
        raise UsageError("--resume finishes one run of its own scenario: name no scenario, no tag, and not --embedded")
    return unfinished_run(JOURNALS, args.resume)


if __name__ == "__main__":
    raise SystemExit(interrupts.last(main()))
