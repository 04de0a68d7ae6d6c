"""What the nodes say of themselves when asked through the broker: all that answer, also those that consume nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery import Celery
from kombu import Connection

from harness import broker


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweringNode:
    """A worker node that answers."""

    name: str
    namesakes: int  # other nodes that answer to this name
    queues: tuple[str, ...] | None  # that it consumes; None: it did not say
    pool: str  # the class that executes its tasks, module:name
    concurrency: int | None
    prefetch: int | None  # messages that it takes at most, without what it holds for later; 0: all
    active: int | None  # tasks that it executes; None: it did not say
    later: tuple[float, ...]  # when each task that it holds until its ETA is due, in seconds since the epoch
    clock_ahead_s: float | None  # of this host's; None: its app has no wall_clock command
    clock_known_to_s: float  # half of the time that asking took


def answering(app: Celery) -> list[AnsweringNode]:
    """Return all nodes that answer within `broker.ANSWER_TIMEOUT_S`, which is always waited for.

    Raises:
        UnavailableError: The broker does not answer.
    """
    with broker.connect(app) as connection, broker.said_plainly(app):
        stats = ask(app, connection, "stats")
        names = sorted(stats)
        queues = ask(app, connection, "active_queues", names)
        active = ask(app, connection, "active", names)
        scheduled = ask(app, connection, "scheduled", names)
        before = time.time()
        clocks = ask(app, connection, "wall_clock", names)
        half_s = (time.time() - before) / 2
        later = {name: _etas(scheduled.get(name)) for name in names}
        return [
            AnsweringNode(
                name=name,
                namesakes=_namesakes(app, connection, name),
                queues=_queues(queues.get(name)),
                pool=str(stats[name].get("pool", {}).get("implementation", "")),
                concurrency=stats[name].get("pool", {}).get("max-concurrency"),
                prefetch=_prefetch(stats[name].get("prefetch_count"), len(later[name])),
                active=_number(active.get(name)),
                later=later[name],
                clock_ahead_s=_ahead_s(clocks.get(name), before + half_s),
                clock_known_to_s=half_s,
            )
            for name in names
        ]


def ask(app: Celery, connection: Connection, question: str, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the answers by node; of `names`, as soon as they are all there."""
    if names is not None and not names:
        return {}
    answers: list[dict[str, Any]] = (
        app.control.broadcast(
            question,
            destination=names and list(names),
            reply=True,
            timeout=broker.ANSWER_TIMEOUT_S,
            limit=len(names) if names else None,
            connection=connection,
        )
        or []
    )
    return {name: said for answer in answers for name, said in answer.items()}


def _namesakes(app: Celery, connection: Connection, name: str) -> int:
    """Return how many more nodes read the control queue of `name`.

    One that is exclusive, as Celery makes it since 5.7, is not shown to us (405 RESOURCE_LOCKED), and is one node's.
    """
    _, consumers = broker.count(connection, f"{name}.{app.conf.control_exchange}.pidbox")
    return max(consumers - 1, 0)


def _queues(said: Any) -> tuple[str, ...] | None:
    return tuple(sorted(queue["name"] for queue in said)) if isinstance(said, list) else None


def _etas(said: Any) -> tuple[float, ...]:
    """Return when the tasks are due that a node holds for later; one that waits for its rate limit has no ETA."""
    etas = [task.get("eta") for task in said] if isinstance(said, list) else []
    return tuple(sorted(datetime.fromisoformat(eta).timestamp() for eta in etas if eta))


def _prefetch(said: int | None, later: int) -> int | None:
    """Return a node's limit as it was set: Celery counts one more for each task that is held for later."""
    return max(said - later, 1) if said else said


def _number(said: Any) -> int | None:
    return len(said) if isinstance(said, list) else None


def _ahead_s(said: Any, now: float) -> float | None:
    """Return how far a node's clock is ahead of ours; an app without the command answers with an error."""
    at = said.get("time") if isinstance(said, dict) else None
    return at - now if isinstance(at, float) else None
