#!/usr/bin/env python
"""Operate the deployment: what is wrong with it, runs to resume, dead letters, what plain Celery would lose here."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import command
from harness.errors import ConfigError, ExitCode, UsageError

if TYPE_CHECKING:
    from celery import Celery

    from harness.finding import Examined
    from harness.output import Console
    from harness.terminal import Terminal

ROOT = Path(__file__).resolve().parent
#: Dead letters that are listed of one queue, unless told otherwise.
LISTED = 1000


def build_parser() -> argparse.ArgumentParser:
    parser = command.parser("operate.py", __doc__)
    commands = parser.add_subparsers(title="commands", dest="command", required=True)

    examination = commands.add_parser(
        "doctor",
        help="check each part; say the cause and the command that mends it",
        **command.described(
            "Checks the environment, the broker, its queues, the workers and the configuration. Changes nothing.\n"
            "Exit code: 0 where no check failed, 1 where one did; [!] is unsafe or not known, and does not count."
        ),
    )
    examination.add_argument("--json", action="store_true", help="print a JSON document")
    examination.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    examination.set_defaults(work=doctor)

    letters = commands.add_parser(
        "dead-letters",
        help="list the dead letters, send them back, remove them",
        **command.described(
            "What could not be handled is kept in dead-letter queues.\n\n"
            "  dead-letters [list]              show them; changes nothing\n"
            "  dead-letters redrive ID|all      send them back to the queue that they came from\n"
            "  dead-letters purge [ID|all]      remove them for good"
        ),
    )
    letters.add_argument("action", nargs="?", choices=("list", "redrive", "purge"), default="list")
    letters.add_argument("id", metavar="ID|all", nargs="?", help="a task id, or all")
    letters.add_argument("--queue", metavar="Q", help="only of this queue: queue_a, or queue_a.dead")
    letters.add_argument("--json", action="store_true", help="list: print a JSON document")
    letters.add_argument("--limit", metavar="N", type=_count, help=f"list: so many of each queue (default: {LISTED})")
    letters.add_argument("--yes", action="store_true", help="redrive all, purge: do not ask")
    letters.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    letters.set_defaults(work=dead_letters)

    runs = commands.add_parser(
        "runs",
        help="list the runs that can be resumed",
        **command.described(
            "A run whose dispatcher was killed or interrupted leaves a journal. Its late results wait in the broker\n"
            "for an hour. `dispatch.py --resume RUN` finishes it."
        ),
    )
    runs.add_argument("--json", action="store_true", help="print a JSON document")
    runs.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    runs.set_defaults(work=unfinished)

    promises = commands.add_parser(
        "matrix",
        help="measure what plain Celery loses, repeats and recovers",
        **command.described(
            "Kills plain Celery workers in the middle of their tasks: six kinds of kill, three ways to acknowledge,\n"
            "two types of queue. Accounts for every task. Runs containers of your image, on queues of its own."
        ),
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
    promises.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    promises.set_defaults(work=matrix)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse_args(argv)
    args.exported = dict(os.environ)  # of the shell: settings of .env come into the environment next
    return command.run(lambda: args.work(args), prog="operate.py", root=ROOT)


# --- doctor -----------------------------------------------------------------------------------------

#: The broker as the workers in containers see it where nothing else is set, as in docker-compose.yml.
WORKER_BROKER_URL = "amqp://guest:guest@host.docker.internal:5672//"


def doctor(args: argparse.Namespace) -> int:
    from harness.render.doctor import examined_document, examined_text, summary

    console, terminal = outputs(args)
    begun = time.monotonic()
    examined = examine(args.exported)
    took_s = time.monotonic() - begun
    if args.json:
        console.write(examined_document(examined, took_s))
    else:
        console.write(examined_text(examined, terminal.style))
        console.note(summary(examined, took_s))
    return ExitCode.CHECK_FAILED if any(one.failed for one in examined) else ExitCode.OK


def examine(exported: Mapping[str, str]) -> list[Examined]:
    """Return what all checks found; settings that cannot be used are one that failed, and leave nothing to examine."""
    from harness import broker
    from harness.config import load_config
    from harness.doctor.examine import Deployment, examine
    from harness.finding import Examined, complaint, failed
    from worker.topology import all_queues

    try:
        app = load_app()
        config = load_config(ROOT / "test-config.yml", os.environ)
    except (ConfigError, UsageError) as exc:
        return [Examined(subject="configuration", findings=(failed("files", complaint(exc), exc.fix),))]
    if broker.is_embedded(app):
        raise UsageError("there is no deployment to examine in embedded mode", why="its broker is a directory")
    return examine(
        Deployment(
            app=app,
            declared=all_queues(list(app.amqp.queues.values())),
            config=config,
            root=ROOT,
            exported=exported,
            worker_url=os.environ.get("WORKER_BROKER_URL") or WORKER_BROKER_URL,
        )
    )


# --- runs -------------------------------------------------------------------------------------------


def unfinished(args: argparse.Namespace) -> int:
    from harness.render.runs import runs_document, runs_table
    from harness.unfinished import unfinished_runs

    console, terminal = outputs(args)
    runs = list(unfinished_runs(ROOT / ".runs"))
    if args.json:
        console.write(runs_document(runs))
    else:
        console.write(runs_table(runs, terminal.style) if runs else "no unfinished runs\n")
    return ExitCode.OK


# --- dead letters -----------------------------------------------------------------------------------


def dead_letters(args: argparse.Namespace) -> int:
    if args.action == "list" and (args.id or args.yes):
        raise UsageError("dead-letters list takes neither an id nor --yes")
    if args.action != "list" and (args.json or args.limit):
        raise UsageError("--json and --limit belong to dead-letters list")
    if args.action == "redrive" and not args.id:
        raise UsageError("dead-letters redrive: which ones?", fix="operate.py dead-letters redrive ID, or: redrive all")
    from harness import redrive
    from harness.dead_letters import chosen_queues

    app = load_app()
    console, terminal = outputs(args)
    queues = chosen_queues(app, args.queue)
    there = redrive.counts(app, queues)
    if args.action == "list":
        return _list(app, args, there, console, terminal)
    task_id = None if args.id in (None, "all") else args.id
    if task_id is None and not any(there.values()):
        console.write(f"no dead letters in {', '.join(queues)}\n")
        return ExitCode.OK
    return _move(app, args, task_id, there, console)


def _list(app: Celery, args: argparse.Namespace, there: Mapping[str, int], console: Console, terminal: Terminal) -> int:
    from harness import broker
    from harness.dead_letters import every
    from harness.render.dead_letters import document, table

    most = args.limit or LISTED
    letters = every(app, there, most)
    now = time.time()
    if args.json:
        console.write(document(letters, there, now, broker.public_url(str(app.conf.broker_url))))
    elif letters:
        console.write(table(letters, now, terminal.style))
    else:
        console.write(f"no dead letters in {', '.join(there)}\n")
    for queue, count in there.items():
        if count > most:
            console.note(f"{queue}: the first {most:,} of {count:,}; --limit {count} shows all")
    return ExitCode.OK


def _move(
    app: Celery, args: argparse.Namespace, task_id: str | None, there: Mapping[str, int], console: Console
) -> int:
    from harness import redrive
    from harness.output import print_error
    from harness.render.dead_letters import moved_line

    queues = ", ".join(queue for queue in there if task_id or there[queue])
    total = sum(there.values())
    which = f"the dead letters of {task_id}" if task_id else f"{total:,} dead letter{'s' if total > 1 else ''}"
    if args.action == "purge":
        move, did, agreed = redrive.purge, "purged", command.confirm(f"remove {which} from {queues} for good", args.yes)
    else:
        move, did = redrive.redrive, "redriven"
        agreed = bool(task_id) or command.confirm(f"send {which} of {queues} back", args.yes)
    if not agreed:
        console.note("nothing was done")
        return ExitCode.OK
    moved = []

    def on_moved(one: redrive.Moved) -> None:
        moved.append(one.trouble)
        console.write(moved_line(did, one.letter, one.trouble))

    move(app, there, task_id, on_moved)
    if task_id and not moved:
        print_error(UsageError(f"no dead letter has the id {task_id} in {queues}", fix="operate.py dead-letters list"))
        return ExitCode.CHECK_FAILED
    return ExitCode.CHECK_FAILED if any(moved) else ExitCode.OK


# --- promise matrix ---------------------------------------------------------------------------------


def matrix(args: argparse.Namespace) -> int:
    from harness import broker
    from harness.matrix import FEWEST_TASKS, Acks, Kill, QueueType, combinations
    from harness.matrix_nodes import Containers, Processes
    from harness.matrix_run import measure
    from harness.output import ProgressLine, Terminal
    from harness.render.matrix import matrix_document, matrix_text
    from harness.render.matrix_html import matrix_html
    from harness.report_files import writable, write_whole

    wanted = combinations(args.only)
    if not wanted:
        parts = ", ".join([*Kill, *Acks, *QueueType])
        raise UsageError(
            f"--only: no combination matches {args.only!r}", why=f"they are made of {parts}", fix="--only 'stop/late/*'"
        )
    tasks = args.tasks or FEWEST_TASKS
    if tasks < FEWEST_TASKS:
        raise UsageError(
            f"--tasks: at least {FEWEST_TASKS}", why="some must run, some be prefetched and some wait in the queue"
        )
    json_path, html_path = writable(args.json), writable(args.html)
    app = load_app()
    if broker.is_embedded(app):
        raise UsageError("there is nothing to measure in embedded mode", why="its broker is a directory")
    console, terminal = outputs(args)
    notes = Terminal.detect(args.color, sys.stderr, os.environ)
    progress = ProgressLine(sys.stderr, clock=time.monotonic, live=notes.live)
    url = str(app.conf.broker_url)
    place = Processes(url) if args.local else Containers(ROOT, url, os.environ)
    try:
        measured = measure(
            app,
            place,
            wanted,
            tasks,
            lambda done, names: progress.show(f"{done}/{len(wanted)} measured; {', '.join(names)}"[: notes.width - 1]),
        )
    finally:
        place.close()
        progress.clear()
    console.write(matrix_text(measured, terminal.style))
    if json_path:
        write_whole(json_path, matrix_document(measured))
    if html_path:
        write_whole(html_path, matrix_html(measured))
    return ExitCode.UNAVAILABLE if measured.unmeasured else ExitCode.OK


# --- shared -----------------------------------------------------------------------------------------


def load_app() -> Celery:
    """Return the system under test, on the broker that the settings name."""
    import celery_app
    from harness import broker

    broker.check_url(celery_app.BROKER_URL)
    return celery_app.app


def outputs(args: argparse.Namespace) -> tuple[Console, Terminal]:
    from harness.output import Console, Terminal

    return Console(sys.stdout, sys.stderr), Terminal.detect(args.color, sys.stdout, os.environ)


def _count(text: str) -> int:
    """Return a whole number of at least 1, for argparse."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    raise SystemExit(main())
