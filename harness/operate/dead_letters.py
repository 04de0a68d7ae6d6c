"""`operate.py dead-letters`: list them, send them back, remove them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

from celery import Celery

from harness import broker, command, redrive
from harness.dead_letters import chosen_queues, every
from harness.errors import ExitCode, UsageError
from harness.output import Console, print_error
from harness.render.dead_letters import document, moved_line, table
from harness.render.style import Style


def refuse(args: argparse.Namespace) -> None:
    """Raises:
    UsageError: Flags do not belong together.
    """
    if args.action == "list" and (args.id or args.yes):
        raise UsageError("dead-letters list takes neither an id nor --yes")
    if args.action != "list" and (args.json or args.limit):
        raise UsageError("--json and --limit belong to dead-letters list")
    if args.action == "redrive" and not args.id:
        raise UsageError("dead-letters redrive: which ones?", fix="operate.py dead-letters redrive ID, or: redrive all")


def dead_letters(app: Celery, args: argparse.Namespace, most: int, console: Console, style: Style) -> ExitCode:
    """Do what `args` ask for with the app's dead letters.

    Args:
        most: To list of each queue.
    """
    queues = chosen_queues(app, args.queue)
    there = redrive.counts(app, queues)
    if args.action == "list":
        return _list(app, there, most, console, None if args.json else style)
    task_id = None if args.id in (None, "all") else args.id
    if task_id is None and not any(there.values()):
        console.write(f"no dead letters in {', '.join(queues)}\n")
        return ExitCode.OK
    return _move(app, args, task_id, there, console)


def _list(app: Celery, there: Mapping[str, int], most: int, console: Console, style: Style | None) -> ExitCode:
    """Write a table; without a style, a JSON document."""
    letters = every(app, there, most)
    now = time.time()
    if style is None:
        console.write(document(letters, there, now, broker.public_url(str(app.conf.broker_url))))
    elif letters:
        console.write(table(letters, now, style))
    else:
        console.write(f"no dead letters in {', '.join(there)}\n")
    for queue, count in there.items():
        if count > most:
            console.note(f"{queue}: the first {most:,} of {count:,}; --limit {count} shows all")
    return ExitCode.OK


def _move(
    app: Celery, args: argparse.Namespace, task_id: str | None, there: Mapping[str, int], console: Console
) -> ExitCode:
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
