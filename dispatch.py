#!/usr/bin/env python
"""Dispatch the tasks of a scenario, gather their results and judge, from evidence, what ran where."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ExitCode, HarnessError, UsageError

if TYPE_CHECKING:
    from celery import Celery

    from harness.fleet import Fleet
    from harness.measure import Measure
    from harness.model import Config, Scenario
    from harness.unfinished import UnfinishedRun

ROOT = Path(__file__).resolve().parent
#: Where a run notes what a resume needs.
JOURNALS = ROOT / ".runs"
VERSION = "1.0.0"
DEFAULT_SCENARIO = "basic"
#: What requirements.txt installs, by the names that are imported.
PACKAGES = ("celery", "kombu", "amqp", "billiard", "vine", "yaml", "colorama", "pythonjsonlogger")
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
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse_args(argv)
    gc.disable()  # what is imported is no garbage: looking for some takes a sixth of the start
    try:
        return command(args)
    except HarnessError as exc:
        from harness.output import print_error

        print_error(exc)
        return exc.exit_code
    except KeyboardInterrupt as exc:
        print("; ".join(["interrupted", *map(str, exc.args)]), file=sys.stderr)
        return ExitCode.INTERRUPTED
    except Exception as exc:
        if isinstance(exc, ModuleNotFoundError) and (exc.name or "").partition(".")[0] in PACKAGES:
            print(
                f"error: this Python ({sys.executable}) lacks the package {exc.name}\n"
                "  why: the project's packages are in its own environment, .venv\n"
                "  try: make install; .venv/bin/python dispatch.py",
                file=sys.stderr,
            )
            return ExitCode.USAGE
        import logging

        logging.getLogger(__name__).exception("unexpected error; this is a bug")
        return ExitCode.INTERNAL


def command(args: argparse.Namespace) -> int:
    from harness.config import duration_s, load_config
    from harness.output import Console, ProgressLine, Terminal, configure_logging
    from harness.presenter import FORMATS
    from harness.report_files import ReportFiles
    from harness.settings import load_env

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: workers started here are not left behind
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
    resume = _resumed(args) if args.resume else None
    if resume:
        args.scenarios = [resume.scenario]
    chosen = _choose(config, args)
    if args.all and len(chosen) < len(config.scenarios):
        left_out = len(config.scenarios) - len(chosen)
        console.note(f"--all leaves out {left_out} scenarios with faults: run them by name, or with --tag")
    if resume:
        from harness.resumable import refuse_changed

        refuse_changed(resume, chosen[0])
    if args.timeout:
        chosen = [replace(scenario, timeout_s=_flag("--timeout", args.timeout, duration_s)) for scenario in chosen]
    wait_s = config.settings.wait_workers_s or WAIT_WORKERS_S
    if args.wait_workers:
        wait_s = _flag("--wait-workers", args.wait_workers, duration_s)
    measure = _measure(args, chosen)
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
    from harness.compose import ComposeFleet
    from harness.deployment import embedded_broker, workers_here
    from harness.model import FaultKind

    with ExitStack() as made:
        if args.embedded:
            made.enter_context(embedded_broker())
        import celery_app
        from harness import broker

        broker.check_url(celery_app.BROKER_URL)
        os.environ["BROKER_URL"] = celery_app.BROKER_URL
        if not (args.local or args.embedded):
            yield celery_app.app, ComposeFleet(ROOT)
            return
        workers = {worker.service: worker for scenario in scenarios for worker in scenario.workers}
        cut = any(fault.kind is FaultKind.DISCONNECT for scenario in scenarios for fault in scenario.faults)
        fleet = workers_here(ROOT, tuple(workers.values()), celery_app.BROKER_URL, abrupt=args.embedded, relays=cut)
        yield celery_app.app, made.enter_context(fleet)


def _beside(name: str) -> Path:
    """Return a file beside this command, by its short name where that is enough."""
    return Path(name) if Path.cwd() == ROOT else ROOT / name


def _choose(config: Config, args: argparse.Namespace) -> list[Scenario]:
    """Return the scenarios to run, in the order asked for.

    Raises:
        UsageError: One is not there, or cannot be run in the way asked for.
    """
    from harness.spelling import hint

    known = {scenario.name: scenario for scenario in config.scenarios}
    if args.all and (args.scenarios or args.tag):
        raise UsageError("--all runs every scenario that has no faults: name none and no tag, or leave it out")
    for name in args.scenarios:
        if name not in known:
            raise UsageError(
                f"no scenario {name!r} in {config.path}{hint(name, known)}",
                why=f"it has: {', '.join(known)}",
                fix="dispatch.py --list",
            )
    names = list(dict.fromkeys(args.scenarios))
    if args.all:
        names = [name for name, scenario in known.items() if not scenario.faults]  # those are asked for
    for tag in args.tag:
        tagged = [scenario.name for scenario in config.scenarios if tag in scenario.tags]
        if not tagged:
            tags = sorted({tag for scenario in config.scenarios for tag in scenario.tags})
            raise UsageError(f"no scenario has the tag {tag!r}{hint(tag, tags)}", why=f"there are: {', '.join(tags)}")
        names += [name for name in tagged if name not in names]
    chosen = [known[name] for name in names or [DEFAULT_SCENARIO] if name in known]
    if not chosen:
        raise UsageError(f"no scenario {DEFAULT_SCENARIO!r} in {config.path}", fix="name one: dispatch.py --list")
    if args.output and len(chosen) > 1:
        raise UsageError("-o names one file, and each scenario writes its own", fix="leave -o out")
    if args.embedded:
        _refuse_embedded(chosen)
    touching = [scenario.name for scenario in chosen if any(fault.touches_broker for fault in scenario.faults)]
    if touching and not args.allow_broker_faults and not args.resume:  # a resumed run has had its faults
        raise UsageError(
            f"{', '.join(touching)}: would disturb the broker itself",
            why="others may use it",
            fix="--allow-broker-faults, with a broker that is there for tests",
        )
    return chosen


def _resumed(args: argparse.Namespace) -> UnfinishedRun:
    """Return the run to finish.

    Raises:
        UsageError: There is no such run, or another flag asks for something else.
    """
    from harness.unfinished import unfinished_run

    if args.scenarios or args.all or args.tag or args.embedded:
        raise UsageError("--resume finishes one run of its own scenario: name no scenario, no tag, and not --embedded")
    return unfinished_run(JOURNALS, args.resume)


def _refuse_embedded(chosen: Sequence[Scenario]) -> None:
    """Refuse what the embedded broker cannot show: it has no dead letters and no connections to lose."""
    beyond = [
        scenario.name
        for scenario in chosen
        if scenario.reconnect
        or scenario.faults
        or scenario.expect.dead_letters
        or any(spec.queue for spec in scenario.tasks)
    ]
    if beyond:
        raise UsageError(
            f"{', '.join(beyond)}: not in embedded mode",
            why="the embedded broker has no dead letters, no redelivery and no connections that could be lost",
            fix="./setup.sh, or BROKER_URL=amqp://... with --local",
        )


def _measure(args: argparse.Namespace, chosen: Sequence[Scenario]) -> Measure | None:
    """Return what the run is compared with, if anything.

    Raises:
        UsageError: The baseline cannot be used, or says nothing about this run.
    """
    if not args.baseline and not args.fail_on:
        return None
    if not args.baseline or not args.fail_on:
        raise UsageError(
            "--baseline and --fail-on go together",
            fix="--baseline OLD.json --fail-on 'round_trip.p(95):10%'",
        )
    if len(chosen) > 1:
        raise UsageError("a baseline is the run of one scenario", fix="name one scenario")
    from harness.baseline import load_baseline
    from harness.baseline_rules import parse_rule
    from harness.comparable import refuse_other
    from harness.measure import Measure

    measure = Measure(baseline=load_baseline(args.baseline), rules=tuple(map(parse_rule, args.fail_on)))
    refuse_other(chosen[0], measure.baseline, measure.rules, embedded=args.embedded)
    return measure


def _flag(flag: str, value: str, parse: Any) -> float:
    try:
        seconds: float = parse(value)
    except HarnessError as exc:
        raise UsageError(f"{flag}: {exc.what}", why=exc.why, fix=exc.fix) from exc
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
