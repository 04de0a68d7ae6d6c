"""The check of what nodes do not get done: tasks that a free process does not start, or that outlive their limit."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from celery import Celery
from kombu import Connection

from harness import broker
from harness.doctor.nodes import AnsweringNode, ask
from harness.finding import Finding, Level, Problem, judged
from harness.render.figures import duration_text

CHECK = "hung processes"
#: A process that is free starts a task within milliseconds; one that is just being made anew, within this, in seconds.
START_S = 1.0
#: How much later than its limit a task may be seen ended, in seconds.
LATE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a node holds, as it says."""

    running: Mapping[str, tuple[str, float]]  # by task id: its name, and when it started by the node's clock
    waiting: frozenset[str]  # ids of tasks that may start at once: not for an ETA, nor for their rate limit


def hung(app: Celery, nodes: Sequence[AnsweringNode]) -> Finding:
    """Look at what nodes hold, twice where one holds tasks and says that it has a process free, `START_S` apart.

    A long task is not a hung one: of a task that runs, and has no limit or is still within it, nobody can say which it
    is. A limit that came with its message is not known here.

    Raises:
        UnavailableError: The broker does not answer.
    """
    problems: list[Problem] = []
    with broker.connect(app) as connection, broker.said_plainly(app):
        first = _look(app, connection, [node.name for node in nodes])
        for node in nodes:
            if node.name in first:
                problems += [(cause, _fix(node)) for cause in _outlived(app, node, first[node.name])]
        suspects = [node for node in nodes if node.name in first and _may_start(node, first[node.name])]
        if suspects:
            time.sleep(START_S)
            second = _look(app, connection, [node.name for node in suspects])
            for node in suspects:
                before, now = first[node.name], second.get(node.name)
                # whatever is started is one of those that waited: the pool takes them in their order
                if now and _may_start(node, now) and before.running == now.running and before.waiting <= now.waiting:
                    cause = (
                        f"{node.name} runs {len(now.running)} of {node.concurrency} tasks, holds {len(now.waiting)} "
                        f"more, and started none of them within {duration_text(START_S)}"
                    )
                    problems.append((f"{cause}: its processes may hang", _fix(node)))
    return judged(CHECK, problems, "each task that a node holds is started, and none outlives its limit", Level.WARNING)


def _look(app: Celery, connection: Connection, names: Sequence[str]) -> dict[str, _Seen]:
    """Return what each node holds; one that does not say it all is left out."""
    active = ask(app, connection, "active", names)
    reserved = ask(app, connection, "reserved", names)
    seen = {}
    for name in names:
        runs, holds = active.get(name), reserved.get(name)
        if isinstance(runs, list) and isinstance(holds, list):
            seen[name] = _Seen(
                running={one["id"]: (one["name"], one["time_start"]) for one in runs if one["time_start"]},
                waiting=frozenset(one["id"] for one in holds),
            )
    return seen


def _may_start(node: AnsweringNode, seen: _Seen) -> bool:
    return bool(seen.waiting) and node.concurrency is not None and len(seen.running) < node.concurrency


def _outlived(app: Celery, node: AnsweringNode, seen: _Seen) -> list[str]:
    """Return which tasks have run for longer than their hard limit, at which the pool ends them."""
    now = time.time() + (node.clock_ahead_s or 0.0)
    found = []
    for task_id, (name, started) in seen.running.items():
        own = app.tasks[name].time_limit if name in app.tasks else None
        limit_s = own or app.conf.task_time_limit
        if limit_s and now - started > limit_s + LATE_S:
            ran = f"{node.name} has run {name} {task_id} for {duration_text(now - started)}"
            found.append(f"{ran}, and its limit is {duration_text(float(limit_s))}")
    return found


def _fix(node: AnsweringNode) -> str:
    """Return what starts the node anew; what it held comes back to the queue."""
    return f"docker compose restart --timeout 5 {node.name.partition('@')[0]}"
