"""Who consumes what: the broker's counts, and the names that nodes give of themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from amqp.exceptions import AccessRefused, NotFound, PreconditionFailed
from celery import Celery
from kombu import Connection

from harness import broker
from harness.errors import UnavailableError
from harness.model.topology import Node, Roster, WorkerSpec

#: The pause between two looks while workers are missing, in seconds.
LOOK_INTERVAL_S = 0.25


def roster(app: Celery, connection: Connection, queues: Collection[str]) -> Roster:
    """Return who consumes `queues` now: the broker's counts, and the names that nodes give of themselves.

    Returns as soon as as many nodes have answered as the broker counts consumers. Where these disagree (a
    foreign node answered first, or one that consumes does not answer) the answers of the whole
    `ANSWER_TIMEOUT_S` are taken.
    """
    consumers: dict[str, int] = {}
    backlog: dict[str, int] = {}
    for queue in queues:
        backlog[queue], consumers[queue] = broker.count(connection, queue)
    expected = sum(consumers.values())
    if broker.is_embedded(app):
        nodes = _ask(app, connection, limit=len(queues))
        consumers = {queue: sum(queue in node.queues for node in nodes) for queue in queues}
        return Roster(nodes=nodes, consumers=consumers, backlog=backlog)
    nodes = _ask(app, connection, limit=expected) if expected else ()
    if not _agree(nodes, consumers):
        nodes = _ask(app, connection, limit=None)
    return Roster(nodes=nodes, consumers=consumers, backlog=backlog)


def _ask(app: Celery, connection: Connection, limit: int | None) -> tuple[Node, ...]:
    answers: list[dict[str, Any]] = (
        app.control.broadcast(
            "active_queues", reply=True, timeout=broker.ANSWER_TIMEOUT_S, limit=limit, connection=connection
        )
        or []
    )
    nodes = {
        name: Node(name=name, queues=tuple(sorted(queue["name"] for queue in queues)))
        for answer in answers
        for name, queues in answer.items()
        if isinstance(queues, list)
    }
    return tuple(nodes[name] for name in sorted(nodes))


def _agree(nodes: Sequence[Node], consumers: Mapping[str, int]) -> bool:
    return all(sum(queue in node.queues for node in nodes) == expected for queue, expected in consumers.items())


def wait_for_workers(
    app: Celery,
    workers: Sequence[WorkerSpec],
    wait_s: float,
    *,
    on_wait: Callable[[str], None],
    explain: Callable[[WorkerSpec], str],
) -> Roster:
    """Return the roster as soon as every queue has its consumers, by count and by name.

    Args:
        wait_s: How long to wait for that.
        on_wait: Called with what is missing, each time this changes.
        explain: What the fleet knows of a service that is missing: a line, or nothing.

    Raises:
        UnavailableError: The broker does not answer, or a queue is still without consumers.
    """
    deadline = time.monotonic() + wait_s
    told = ""
    with broker.connect(app) as connection, broker.said_plainly(app):
        while True:
            seen = roster(app, connection, [worker.queue for worker in workers])
            missing = [worker for worker in workers if seen.consumers[worker.queue] < worker.replicas]
            if not missing and _agree(seen.nodes, seen.consumers):
                return _of_this_run(seen)
            for worker in missing:
                _refuse_other_arguments(app, connection, worker.queue)
            if time.monotonic() >= deadline:
                if missing:
                    raise _missing(app, missing, seen, explain)
                named = {queue for node in seen.nodes for queue in node.queues}
                if silent := [worker for worker in workers if worker.queue not in named]:
                    raise _silent(silent)
                return _of_this_run(seen)  # enough consume, not all of them answer: the checks name the difference
            words = ", ".join(f"{worker.service} on {worker.queue}" for worker in missing) or "every node to answer"
            if words != told:
                told = words
                on_wait(f"waiting for {words}")
            time.sleep(LOOK_INTERVAL_S)


def _of_this_run(seen: Roster) -> Roster:
    """Leave out nodes that consume other queues only: whether one answers before the others is chance."""
    return replace(seen, nodes=tuple(node for node in seen.nodes if set(node.queues) & seen.consumers.keys()))


def _missing(
    app: Celery, missing: Sequence[WorkerSpec], seen: Roster, explain: Callable[[WorkerSpec], str]
) -> UnavailableError:
    queues = ", ".join(f"{worker.queue} ({worker.service})" for worker in missing)
    reasons = []
    for worker in missing:
        astray = [node for node in seen.nodes if node.service == worker.service]
        reasons += [f"{node.name} consumes {', '.join(node.queues) or 'nothing'}" for node in astray]
        if known := explain(worker):
            reasons.append(known)
    if not reasons:
        present = ", ".join(node.name for node in seen.nodes) or "no node"
        reasons.append(f"{present} answers through {broker.public_url(app.conf.broker_url)}")
    return UnavailableError(
        f"no worker consumes {queues}; nothing was published",
        why="; ".join(reasons),
        fix="docker compose up -d, or --local to start workers here, or --wait-workers 60s",
        see="no-worker",
    )


def _silent(workers: Sequence[WorkerSpec]) -> UnavailableError:
    services = " ".join(worker.service for worker in workers)
    return UnavailableError(
        f"{', '.join(worker.queue for worker in workers)} has consumers, none of which answers; nothing was published",
        why="a worker is paused or hangs, or what consumes there is no Celery worker",
        fix=f"docker compose ps {services}; docker compose restart {services}",
        see="no-worker",
    )


def _refuse_other_arguments(app: Celery, connection: Connection, queue: str) -> None:
    """Raise where `queue` exists with other arguments than the app's: no worker can ever consume it then."""
    if broker.is_embedded(app) or queue not in app.amqp.queues:
        return
    channel = connection.channel()
    try:
        channel.queue_declare(queue=queue, passive=True)
        ours = app.amqp.queues[queue]
        channel.queue_declare(queue=queue, durable=True, auto_delete=False, arguments=ours.queue_arguments)
    except NotFound:
        return
    except PreconditionFailed as exc:
        raise UnavailableError(
            f"queue {queue} exists with other arguments than celery_app.py declares, so no worker can consume it",
            why=str(exc).splitlines()[0],
            fix="a virtual host of its own avoids it: ./setup.sh, or BROKER_URL=amqp://.../OTHER_VHOST",
            see="other-arguments",
        ) from exc
    except AccessRefused:
        return  # not ours to declare: the passive look was all we may do
    finally:
        channel.close()
