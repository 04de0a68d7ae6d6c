#!/usr/bin/env python
"""Publish a load of tasks, measure what the workers make of it, and judge it: rates, latencies, backlog, shares."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from harness import command, interrupts
from harness.errors import ExitCode, UsageError
from harness.flags import read

if TYPE_CHECKING:
    from celery import Celery

    from harness.fleet import Fleet
    from harness.load_plan import LoadPlan
    from harness.model.config import Config
    from harness.model.load import LoadProfile
    from harness.sweep_run import Replicas

ROOT = Path(__file__).resolve().parent
#: How long workers may take to answer, in seconds, unless told otherwise.
WAIT_WORKERS_S = 20.0
#: How long the nodes of a sweep may take to consume once their containers run, in seconds.
SCALE_WAIT_S = 60.0


def build_parser() -> argparse.ArgumentParser:
    parser = command.parser("load_test.py", __doc__)
    parser.add_argument("profile", metavar="PROFILE", nargs="?", help="an entry of load: in test-config.yml")
    load = parser.add_argument_group("the load: a burst (--tasks), open (--rate) or closed (--in-flight)")
    load.add_argument("--tasks", metavar="N", help="so many of each kind, at once or with --in-flight")
    load.add_argument("--rate", metavar="50/s", help="all kinds together, whatever comes of the earlier ones")
    load.add_argument("--in-flight", metavar="N", help="keep so many in flight: each that ends makes room for one")
    load.add_argument("--duration", metavar="1m", help="publish for so long")
    load.add_argument("--ramp", metavar="10s", help="let the rate grow from 0")
    load.add_argument("--warmup", metavar="5s", help="what is published meanwhile is not in the figures")
    load.add_argument("--mix", metavar="TASK=N,...", help="shares of the kinds, such as task_a=3,other=1")
    load.add_argument("--work", metavar="50ms", help="how long each task works (its work_s)")
    judged = parser.add_argument_group("what is judged")
    judged.add_argument(
        "--threshold",
        metavar="RULE",
        action="append",
        help="such as 'round_trip:p(95)<500ms', 'throughput:rate>50/s', 'backlog:max<100', 'failures:rate<0.01'",
    )
    judged.add_argument("--max-error-rate", metavar="1%", help="so many tasks may fail")
    judged.add_argument("--max-lag", metavar="5ms", help="a rate published later than this (p99) makes the run invalid")
    parser.add_argument(
        "--sweep", metavar="1,2,4", help="play the load on so many replicas of each service, one after the other"
    )
    parser.add_argument("--list", action="store_true", help="list the profiles and exit")
    parser.add_argument("--config", metavar="FILE", help="default: test-config.yml beside this command")
    parser.add_argument("-o", "--output", metavar="FILE", help="results file (default: load_results_<time>.json)")
    parser.add_argument("--html", metavar="FILE", help="also write an HTML report, one file")
    parser.add_argument("--json", action="store_true", help="print the results document, and nothing else")
    parser.add_argument("--wait-workers", metavar="20s", help="how long workers may take to answer")
    parser.add_argument("--timeout", metavar="2m", help="how long it may take in all")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only; the exit code says the rest")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--local", action="store_true", help="start the workers here, as processes, and stop them after")
    where.add_argument(
        "--embedded", action="store_true", help="no RabbitMQ: a directory as broker, workers here; a demonstration"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse_args(argv)
    return command.run(lambda: load(args), prog="load_test.py", root=ROOT)


def load(args: argparse.Namespace) -> int:
    from harness.config import load_config
    from harness.load_request import chosen
    from harness.load_stage import Outputs, play, play_sweep
    from harness.output import Console, ProgressLine, Terminal
    from harness.quantities import duration_s
    from harness.report_files import writable

    config = load_config(args.config or ROOT / "test-config.yml", os.environ)
    notes = Terminal.detect(args.color, sys.stderr, os.environ)
    progress = ProgressLine(None if args.quiet else sys.stderr, clock=time.monotonic, live=notes.live)
    console = Console(sys.stdout, sys.stderr, quiet=args.quiet, progress=progress)
    if args.list:
        for name, profile in config.load.items():
            console.write(f"{name:<24} {profile.description or ''}\n", always=True)
        return ExitCode.OK
    name, asked = chosen(config, args.profile, flagged(args), swept=args.sweep is not None, note=console.note)
    wait_s = read("--wait-workers", args.wait_workers, duration_s) or config.settings.wait_workers_s or WAIT_WORKERS_S
    outputs = Outputs(
        console=console,
        style=Terminal.detect(args.color, sys.stdout, os.environ).style,
        progress=progress,
        notes=notes,
        results=args.output,
        results_dir=config.settings.results_dir or ".",
        html=writable(args.html),
        json=args.json,
    )
    with deployment(args, config, name, asked) as (app, plan):
        gc.freeze()  # what is imported is no garbage: looking for some would make the generator late
        if args.sweep is None:
            with workers(args, plan) as fleet:
                return play(app, fleet, plan, wait_s, outputs)
        steps = swept(args, config, plan)
        scale_s = wait_s if args.wait_workers else SCALE_WAIT_S
        with replicated(args, app, config, plan, scale_s, console.note) as replicas:
            return play_sweep(app, plan, steps, replicas, wait_s, outputs)


def flagged(args: argparse.Namespace) -> LoadProfile:
    """Return what the flags say of the load."""
    from harness.load_plan import MAX_LOAD_TASKS, mix, whole
    from harness.model.load import LoadProfile
    from harness.quantities import duration_s, rate_per_s, share
    from harness.threshold_grammar import LOAD_METRICS, parse_threshold_rule

    return LoadProfile(
        tasks=read("--tasks", args.tasks, lambda text: whole(text, MAX_LOAD_TASKS)),
        rate=read("--rate", args.rate, rate_per_s),
        in_flight=read("--in-flight", args.in_flight, lambda text: whole(text)),
        duration_s=read("--duration", args.duration, duration_s),
        ramp_s=read("--ramp", args.ramp, duration_s),
        warmup_s=read("--warmup", args.warmup, duration_s),
        mix=read("--mix", args.mix, mix),
        work_s=read("--work", args.work, lambda text: duration_s(text, zero=True)),
        thresholds=read(
            "--threshold",
            args.threshold,
            lambda rules: tuple(parse_threshold_rule(rule, LOAD_METRICS) for rule in rules),
        ),
        max_error_rate=read("--max-error-rate", args.max_error_rate, share),
        max_lag_s=read("--max-lag", args.max_lag, duration_s),
        timeout_s=read("--timeout", args.timeout, duration_s),
    )


@contextmanager
def deployment(
    args: argparse.Namespace, config: Config, name: str, asked: LoadProfile
) -> Iterator[tuple[Celery, LoadPlan]]:
    """Give the app on its broker, and the plan.

    Raises:
        UsageError: The load is none, or not one of this app.
    """
    from harness import memory
    from harness.app_import import load_app
    from harness.deployment import embedded_broker
    from harness.load_plan import plan as plan_of
    from harness.load_run import queues, refuse_too_many_in_flight

    with ExitStack() as made:
        if args.embedded:
            made.enter_context(embedded_broker())
        app = load_app("celery_app", ROOT)
        plan = plan_of(name, asked, config.workers, queues(app))
        refuse_too_many_in_flight(plan, memory.available_bytes())
        yield app, plan


def workers(args: argparse.Namespace, plan: LoadPlan) -> AbstractContextManager[Fleet]:
    """Give the fleet that the workers are in; those that are started here are stopped here."""
    from harness.compose import ComposeFleet
    from harness.deployment import workers_here

    if not (args.local or args.embedded):
        return nullcontext(ComposeFleet(ROOT))
    return workers_here(ROOT, plan.scenario.workers, os.environ["BROKER_URL"], abrupt=args.embedded)


# --- the scaling curve ----------------------------------------------------------------------------


def swept(args: argparse.Namespace, config: Config, plan: LoadPlan) -> Sequence[int]:
    """Return the numbers of replicas of a sweep.

    Raises:
        UsageError: They are none, or more than test-config.yml allows.
    """
    from harness import sweep
    from harness.config_workers import MAX_REPLICAS
    from harness.model.config import ServiceScaling

    steps = read("--sweep", args.sweep, lambda text: sweep.replicas(text, MAX_REPLICAS))
    assert steps
    if args.embedded:
        raise UsageError("--embedded: one broker in a directory does not scale", fix="--sweep 1,2,4 --local")
    services = [worker.service for worker in plan.scenario.workers]
    sweep.refuse_beyond(steps, {service: config.scaling.get(service, ServiceScaling()).max for service in services})
    return steps


def replicated(
    args: argparse.Namespace, app: Celery, config: Config, plan: LoadPlan, wait_s: float, note: Callable[[str], None]
) -> AbstractContextManager[Replicas]:
    """Give what sets the replicas; in the end they are as before.

    Args:
        wait_s: How long nodes may take to consume once their containers run.

    Raises:
        UnavailableError: Docker does not answer.
    """
    from harness.compose import ComposeFleet
    from harness.scaling import Scaling
    from harness.sweep_run import of_containers, of_processes

    if args.local:
        return of_processes(ROOT, plan.scenario.workers, os.environ["BROKER_URL"])
    fleet = ComposeFleet(ROOT)
    scaling = Scaling(app, fleet, config.workers, env_file=ROOT / ".env", exported=os.environ, note=note)
    services = [worker.service for worker in plan.scenario.workers]
    instead = f"or processes on this machine: load_test.py --sweep {args.sweep} --local"
    return of_containers(scaling, fleet, services, wait_s, instead, note)


if __name__ == "__main__":
    raise SystemExit(interrupts.last(main()))
