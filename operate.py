#!/usr/bin/env python
"""Operate the deployment: what is wrong with it, runs to resume, dead letters, what plain Celery would lose here."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import command, interrupts
from harness.errors import ExitCode

if TYPE_CHECKING:
    from celery import Celery

    from harness.doctor.examine import Deployment
    from harness.output import Console
    from harness.terminal import Terminal

ROOT = Path(__file__).resolve().parent
#: The broker as the workers in containers see it where nothing else is set, as in docker-compose.yml.
WORKER_BROKER_URL = "amqp://guest:guest@host.docker.internal:5672//"
#: Dead letters that are listed of one queue, unless told otherwise.
LISTED = 1000


def build_parser() -> argparse.ArgumentParser:
    parser = command.parser("operate.py", __doc__)
    commands = parser.add_subparsers(title="commands", dest="command", required=True)

    def add(name: str, work: Callable[[argparse.Namespace], int], hint: str, *more: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=hint, **command.described("\n".join(more)))
        one.add_argument("--color", choices=("auto", "always", "never"), default="auto")
        one.set_defaults(work=work)
        return one

    examination = add(
        "doctor",
        doctor,
        "check each part; say the cause and the command that mends it",
        "Checks the environment, the broker, its queues, the workers and the configuration. Changes nothing.",
        "Exit code: 0 where no check failed, 1 where one did; [!] is unsafe or not known, and does not count.",
    )
    letters = add(
        "dead-letters",
        dead_letters,
        "list the dead letters, send them back, remove them",
        "What could not be handled is kept in dead-letter queues.\n",
        "  dead-letters [list]              show them; changes nothing",
        "  dead-letters redrive ID|all      send them back to the queue that they came from",
        "  dead-letters purge [ID|all]      remove them for good",
    )
    letters.add_argument("action", nargs="?", choices=("list", "redrive", "purge"), default="list")
    letters.add_argument("id", metavar="ID|all", nargs="?", help="a task id, or all")
    letters.add_argument("--queue", metavar="Q", help="only of this queue: queue_a, or queue_a.dead")
    letters.add_argument("--limit", metavar="N", type=_count, help=f"list: so many of each queue (default: {LISTED})")
    letters.add_argument("--yes", action="store_true", help="redrive all, purge: do not ask")
    listed = add(
        "runs",
        runs,
        "list the runs that can be resumed",
        "A run whose dispatcher was killed or interrupted leaves a journal. Its late results wait in the broker",
        "for an hour. `dispatch.py --resume RUN` finishes it.",
    )
    for one in (examination, letters, listed):
        one.add_argument("--json", action="store_true", help="print a JSON document")
    promises = add(
        "matrix",
        matrix,
        "measure what plain Celery loses, repeats and recovers",
        "Kills plain Celery workers in the middle of their tasks: six kinds of kill, three ways to acknowledge,",
        "two types of queue. Accounts for every task. Runs containers of your image, on queues of its own.",
    )
    promises.add_argument("--json", metavar="FILE", help="also write a JSON document")
    promises.add_argument("--html", metavar="FILE", help="also write an HTML report, one file")
    promises.add_argument("--local", action="store_true", help="run processes of this Python instead of containers")
    promises.add_argument(
        "--only",
        metavar="PATTERN",
        default="*",
        help="only these combinations: a part of their name, such as late, or a pattern, such as 'stop*/*/quorum'",
    )
    promises.add_argument("--tasks", metavar="N", type=_count, help="tasks of each combination (default: the fewest)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse_args(argv)
    args.exported = dict(os.environ)  # of the shell: settings of .env come into the environment next
    return command.run(lambda: args.work(args), prog="operate.py", root=ROOT)


def doctor(args: argparse.Namespace) -> int:
    from harness.operate.doctor import doctor

    def settled() -> Deployment:
        app = load_app()  # first: a mistake in worker/, which it imports, is told as one in itself
        from harness.config import load_config
        from harness.doctor.examine import Deployment
        from worker.topology import all_queues

        return Deployment(
            app=app,
            declared=all_queues(list(app.amqp.queues.values())),
            config=load_config(ROOT / "test-config.yml", os.environ),
            root=ROOT,
            exported=args.exported,
            worker_url=os.environ.get("WORKER_BROKER_URL") or WORKER_BROKER_URL,
            monitor_url=os.environ.get("MONITOR_BROKER_URL", ""),
        )

    console, terminal = outputs(args)
    return doctor(settled, as_json=args.json, console=console, style=terminal.style)


def dead_letters(args: argparse.Namespace) -> int:
    from harness.operate.dead_letters import dead_letters, refuse

    refuse(args)
    console, terminal = outputs(args)
    return dead_letters(load_app(), args, args.limit or LISTED, console, terminal.style)


def runs(args: argparse.Namespace) -> int:
    from harness.render.runs import runs_document, runs_table
    from harness.unfinished import unfinished_runs

    console, terminal = outputs(args)
    found = list(unfinished_runs(ROOT / ".runs"))
    if args.json:
        console.write(runs_document(found))
    else:
        console.write(runs_table(found, terminal.style) if found else "no unfinished runs\n")
    return ExitCode.OK


def matrix(args: argparse.Namespace) -> int:
    from harness.operate.matrix import matrix

    console, terminal = outputs(args)
    return matrix(load_app(), args, ROOT, console, terminal.style)


def load_app() -> Celery:
    """Return the system under test, on the broker that the settings name."""
    from harness.app_import import load_app

    return load_app("celery_app", ROOT)


def outputs(args: argparse.Namespace) -> tuple[Console, Terminal]:
    from harness.output import Console
    from harness.terminal import Terminal

    return Console(sys.stdout, sys.stderr), Terminal.detect(args.color, sys.stdout, os.environ)


def _count(text: str) -> int:
    """Return a whole number of at least 1, for argparse, which refuses another with exit code 2."""
    if not re.fullmatch("[0-9]{1,15}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(interrupts.last(main()))
