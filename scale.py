#!/usr/bin/env python
"""Set how many replicas each worker service has, and show what runs, what consumes and why something does not."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import command, interrupts
from harness.errors import ExitCode
from harness.flags import read

if TYPE_CHECKING:
    from harness.fleet import ContainerFleet
    from harness.model.config import Config
    from harness.output import Console
    from harness.scaling import Scaling

ROOT = Path(__file__).resolve().parent
#: The stack of --engine swarm, unless told otherwise.
STACK = "distributed-test"
#: How long nodes may take to consume, in seconds, unless told otherwise.
WAIT_WORKERS_S = 60.0
#: The pause between two looks of --watch, in seconds.
WATCH_INTERVAL_S = 2.0


def build_parser() -> argparse.ArgumentParser:
    parser = command.parser("scale.py", __doc__)
    commands = parser.add_subparsers(title="commands", dest="command", required=True)

    status = commands.add_parser(
        "status",
        help="show services, containers, nodes and queues",
        **command.described("Show each service: containers, nodes, queue, backlog, and why a node is missing."),
    )
    status.add_argument("--watch", action="store_true", help=f"look again every {WATCH_INTERVAL_S:.0f} s")
    status.set_defaults(work=show)

    some = commands.add_parser(
        "set",
        help="set the replicas of some services",
        **command.described(
            "Set the replicas of some services, wait until exactly their nodes consume, and keep the choice in .env.\n"
            "COUNT is a number, or default: what test-config.yml says. Those that go finish their tasks first."
        ),
    )
    some.add_argument("services", metavar="SERVICE=COUNT", nargs="+", help="such as worker-a=3, or queue_a=3")
    some.set_defaults(work=scale)

    every = commands.add_parser(
        "all",
        help="set the replicas of every service",
        **command.described("Set the same number of replicas for every service; otherwise like set."),
    )
    every.add_argument("count", metavar="COUNT", help="a number, or default")
    every.set_defaults(work=scale)

    for parts in (some, every):
        parts.add_argument("--yes", action="store_true", help="do not ask, also beyond the limits of test-config.yml")
        parts.add_argument("--wait-workers", metavar="60s", help="how long the nodes may take to consume")
    for parts in (status, some, every):
        parts.add_argument(
            "--engine", choices=("compose", "swarm"), default="compose", help="what runs the containers (compose)"
        )
        parts.add_argument("--stack", metavar="NAME", default=STACK, help=f"with --engine swarm: which stack ({STACK})")
        parts.add_argument("--config", metavar="FILE", help="default: test-config.yml beside this command")
        parts.add_argument("--json", action="store_true", help="print the status as a JSON document")
        parts.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse_args(argv)
    exported = dict(os.environ)  # of the shell: settings of .env come into the environment next
    return command.run(lambda: args.work(args, exported), prog="scale.py", root=ROOT)


def show(args: argparse.Namespace, exported: Mapping[str, str]) -> int:
    from harness.output import Console, Terminal
    from harness.render.status import status_document, status_text

    console = Console(sys.stdout, sys.stderr)
    terminal = Terminal.detect(args.color, sys.stdout, os.environ)
    scaling = _scaling(args, _config(args), exported, console)
    while True:
        status = scaling.status()
        if args.json:
            console.write(status_document(status, None, indent=None if args.watch else 2))
        else:
            clear = "\x1b[H\x1b[2J" if args.watch and terminal.live else ""
            console.write(clear + status_text(status, terminal.style))
        if not args.watch:
            return ExitCode.OK if status.complete else ExitCode.UNAVAILABLE
        if not (args.json or terminal.live):
            console.write("\n")
        time.sleep(WATCH_INTERVAL_S)


def scale(args: argparse.Namespace, exported: Mapping[str, str]) -> int:
    from harness import scale_request
    from harness.output import Console, Terminal
    from harness.render.status import scaled_text, status_document, status_text

    config = _config(args)
    all_ = args.command == "all"
    counts = scale_request.of_all(config, args.count) if all_ else scale_request.of_some(config, args.services)
    wait_s = _wait_s(args)
    console = Console(sys.stdout, sys.stderr)
    scaling = _scaling(args, config, exported, console)
    scale_request.refuse_nothing_left(counts, scaling.running(counts))
    much = scale_request.beyond_the_limits(config, counts)
    if much and not command.confirm(f"set {', '.join(much)}", args.yes):
        console.note("nothing was done")
        return ExitCode.OK
    try:
        scaled = scaling.set(counts, wait_s)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command again completes it; scale.py status shows what runs") from None
    status = scaling.status(counts)
    if args.json:
        console.write(status_document(status, scaled))
    else:
        style = Terminal.detect(args.color, sys.stdout, os.environ).style
        console.write(scaled_text(scaled) + "\n" + status_text(status, style))
    return ExitCode.OK


def _config(args: argparse.Namespace) -> Config:
    from harness.config import load_config

    return load_config(args.config or ROOT / "test-config.yml", os.environ)


def _wait_s(args: argparse.Namespace) -> float:
    from harness.quantities import duration_s

    return read("--wait-workers", args.wait_workers or None, duration_s) or WAIT_WORKERS_S


def _scaling(args: argparse.Namespace, config: Config, exported: Mapping[str, str], console: Console) -> Scaling:
    """Return the deployment on the broker that the settings name, in the containers of the engine that was chosen."""
    from harness.app_import import load_app
    from harness.scaling import Scaling

    app = load_app("celery_app", ROOT)
    fleet = _swarm(args.stack) if args.engine == "swarm" else _compose(exported)
    env_file = ROOT / ".env"
    return Scaling(app, fleet, config.workers, env_file=env_file, exported=exported, note=console.note)


def _compose(exported: Mapping[str, str]) -> ContainerFleet:
    """Return the containers of the project beside this command."""
    from harness.compose import ComposeFleet

    return ComposeFleet(ROOT, exported)


def _swarm(stack: str) -> ContainerFleet:
    """Return the containers of a stack; without a swarm that has it, there is nothing to ask or to set."""
    from harness.swarm import SwarmFleet

    fleet = SwarmFleet(ROOT, stack)
    fleet.require()
    return fleet


if __name__ == "__main__":
    raise SystemExit(interrupts.last(main()))
