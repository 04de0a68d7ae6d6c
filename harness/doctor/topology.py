"""Checks of queues, exchanges and bindings, of who consumes them, and of what is left in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from amqp.exceptions import AccessRefused, NotFound, PreconditionFailed
from celery import Celery
from kombu import Connection, Exchange, Queue

from harness import broker
from harness.dead_letters import dead_queues
from harness.doctor.administration import Administered
from harness.doctor.nodes import AnsweringNode
from harness.finding import Finding, Level, Problem, judged, unknown
from harness.service_status import ServiceStatus
from harness.unread_results import UNREAD_RESULTS

#: What runs call their reply queues, Celery its callers', and Celery a node's control queue.
_RUNS_REPLIES = re.compile(r"dispatch\..+")
_CALLERS_REPLIES = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CONTROL = re.compile(r"(?!.*\breply\.celery\.pidbox).+\.celery\.pidbox")
#: Celery's own binding, by which a delayed message comes back to its queue.
_DELAYED_DELIVERY = "celery_delayed_delivery"

#: A worker declares what is not there when it starts, and `up` alone leaves alone one that runs.
_START = "docker compose up --detach --force-recreate --wait: workers declare what is not there as they start"


# --- declared -------------------------------------------------------------------------------------


def queues(connection: Connection, declared: Sequence[Queue]) -> Finding:
    """Judge whether each queue exists with our arguments: declared again, which changes nothing on one that does.

    With other arguments RabbitMQ answers 406 PRECONDITION_FAILED, to a worker as well. An argument of a queue cannot be
    changed; and 3.10 deletes no quorum queue on condition that it is empty, so that is for who does it.
    """
    problems: list[Problem] = []
    untold: list[str] = []
    vhost = connection.virtual_host
    for queue in declared:
        refusal = _redeclared(connection, partial(_declare_queue, queue))
        if isinstance(refusal, NotFound):
            problems.append((f"{queue.name} does not exist", _START))
        elif isinstance(refusal, PreconditionFailed):
            ready, _ = broker.count(connection, queue.name)
            problems.append(
                (f"{queue.name} exists with other arguments ({_first_line(refusal)})", _anew(queue, ready, vhost))
            )
        elif refusal:
            untold.append(queue.name)
    if untold and not problems:
        return unknown("queues", f"this user may not declare {', '.join(untold)}", "./setup.sh")
    return judged("queues", problems, f"all {len(declared)} exist with the arguments that the app declares")


def _anew(queue: Queue, ready: int, vhost: str) -> str:
    """Return what makes a queue anew."""
    delete = f"docker compose stop; rabbitmqctl delete_queue -p {vhost} {queue.name}; docker compose up --detach --wait"
    if not ready:
        return delete
    letters = "x-dead-letter-exchange" not in (queue.queue_arguments or {})
    first = f"operate.py dead-letters redrive all --queue {queue.name}" if letters else "let the workers empty it"
    return f"first save its {ready} messages ({first}), then {delete}"


def exchanges(connection: Connection, declared: Sequence[Queue]) -> Finding:
    """Judge whether each exchange exists, with our type."""
    problems: list[Problem] = []
    untold: list[str] = []
    ours = {queue.exchange.name: queue.exchange for queue in declared if queue.exchange.name}
    for name, exchange in ours.items():
        refusal = _redeclared(connection, partial(_declare_exchange, exchange))
        if isinstance(refusal, NotFound):
            problems.append((f"{name} does not exist", _START))
        elif isinstance(refusal, PreconditionFailed):
            delete = f"exchange:delete on {name}, by its owner; or a virtual host of its own: ./setup.sh"
            problems.append((f"{name} is not of the type {exchange.type} ({_first_line(refusal)})", delete))
        elif refusal:
            untold.append(name)
    if untold and not problems:
        return unknown("exchanges", f"this user may not declare {', '.join(untold)}", "./setup.sh")
    return judged("exchanges", problems, ", ".join(f"{name} is a {one.type} exchange" for name, one in ours.items()))


def _declare_queue(queue: Queue, channel: Any) -> None:
    channel.queue_declare(queue=queue.name, passive=True)
    channel.queue_declare(
        queue=queue.name, durable=queue.durable, auto_delete=queue.auto_delete, arguments=queue.queue_arguments
    )


def _declare_exchange(exchange: Exchange, channel: Any) -> None:
    channel.exchange_declare(exchange=exchange.name, type=exchange.type, passive=True)
    channel.exchange_declare(
        exchange=exchange.name, type=exchange.type, durable=exchange.durable, auto_delete=exchange.auto_delete
    )


def _redeclared(connection: Connection, declare: Callable[[Any], None]) -> Exception | None:
    """Return why the broker refused; None where it did not. A refusal closes the channel."""
    channel = connection.channel()
    try:
        declare(channel)
    except (NotFound, PreconditionFailed, AccessRefused) as exc:
        refusal: Exception = exc
        return refusal
    finally:
        channel.close()
    return None


def _first_line(exc: Exception) -> str:
    return str(getattr(exc, "reply_text", exc)).splitlines()[0]


def bindings(declared: Sequence[Queue], told: Administered, vhost: str) -> Finding:
    """Judge what is bound: each queue by its own key, and task queues by no other, which would bring foreign tasks.

    Celery adds the key behind `#.`, by which a delayed message comes back (`kombu.transport.native_delayed_delivery`).
    """
    wanted = {(queue.exchange.name, queue.name, queue.routing_key) for queue in declared if queue.exchange.name}
    there = {(one.exchange, one.queue, one.routing_key) for one in told.bindings}
    ours = {queue.name for queue in declared}
    problems: list[Problem] = [
        (f"{queue} is not bound to {exchange} by {key}", _START) for exchange, queue, key in sorted(wanted - there)
    ]
    problems += [
        (
            f"{queue} is also bound to {exchange} by {key}: what is not its own reaches it",
            f"unbind it: channel.queue_unbind({queue!r}, {exchange!r}, {key!r}) on {vhost}",
        )
        for exchange, queue, key in sorted(there - wanted)
        if queue in ours and exchange != _DELAYED_DELIVERY and (exchange, queue, key.removeprefix("#.")) not in wanted
    ]
    return judged("bindings", problems, f"each of the {len(wanted)} queues is bound by its own key")


# --- consumed -------------------------------------------------------------------------------------


def consumers(
    services: Collection[ServiceStatus], counts: Mapping[str, tuple[int, int]], routed: Mapping[str, Sequence[str]]
) -> Finding:
    """Judge whether each task queue is consumed; one that no task is routed to and that is empty need not be.

    Args:
        counts: The messages ready in each queue of the app and its consumers.
        routed: The tasks that are routed to each.
    """
    problems: list[Problem] = []
    seen = []
    of_services = {one.queue: (one.backlog, one.consumers) for one in services}
    by_queue = {one.queue: one.service for one in services}
    for queue, (ready, number) in {**counts, **of_services}.items():
        served = queue in by_queue
        seen.append(f"{number} of {queue}{'' if served else ' (no service of test-config.yml)'}")
        if number or not (served or ready or routed.get(queue)):
            continue
        cause = f"nobody consumes {queue}, in which {ready} messages wait"
        if served:
            problems.append((cause, f"docker compose up --detach --wait {by_queue[queue]}"))
        else:
            whose = f" of {', '.join(routed[queue])}" if routed.get(queue) else ""
            fix = f"a service for {queue} in docker-compose.yml and under workers in test-config.yml"
            problems.append((f"{cause}{whose}: test-config.yml has no service for it", fix))
    return judged("consumers", problems, ", ".join(seen))


def one_queue_each(nodes: Sequence[AnsweringNode]) -> Finding:
    """Judge whether a node consumes one queue: with two, a flood in one starves the other, and tasks mix."""
    problems: list[Problem] = [
        (f"{node.name} consumes {', '.join(node.queues)}", f"start {node.name} with -Q and one queue")
        for node in nodes
        if node.queues is not None and len(node.queues) > 1
    ]
    return judged("one queue a node", problems, f"each of the {len(nodes)} nodes that answer consumes one at most")


def held_by_one(services: Collection[ServiceStatus], concurrency: Mapping[str, int | None]) -> Finding:
    """Judge how unacknowledged messages are spread: one node holds more than it runs, and another has nothing to do.

    Args:
        concurrency: How many tasks each node runs at once; None where it did not say.
    """
    problems: list[Problem] = []
    for service in services:
        idle = [node.name for node in service.nodes if node.unacked == 0]
        for node in service.nodes:
            runs = concurrency.get(node.name)
            if idle and runs is not None and node.unacked is not None and node.unacked > runs:
                cause = (
                    f"{node.name} holds {node.unacked} messages of {service.queue} and runs {runs}; {idle[0]} is idle"
                )
                problems.append((cause, f"--prefetch-multiplier=1 on {node.name}"))
    return judged("unacknowledged", problems, "no node holds what an idle one could run", Level.WARNING)


# --- left -----------------------------------------------------------------------------------------


def dead_letters(app: Celery, connection: Connection, declared: Sequence[Queue]) -> Finding:
    """Judge whether dead letters wait for somebody to look at them, and results that nobody waits for any more."""
    names = dead_queues(app, app.amqp.queues)
    if any(queue.name == UNREAD_RESULTS for queue in declared):
        names.append(UNREAD_RESULTS)
    counts = {name: broker.count(connection, name)[0] for name in names}
    purge = f"rabbitmqctl purge_queue -p {connection.virtual_host} {UNREAD_RESULTS}, or they expire within a day"
    problems: list[Problem] = [
        (f"{count} in {name}", purge if name == UNREAD_RESULTS else "operate.py dead-letters")
        for name, count in counts.items()
        if count
    ]
    return judged("dead letters", problems, f"none in {', '.join(names) or 'any queue'}", Level.WARNING)


def reply_queues(told: Administered, vhost: str) -> Finding:
    """Judge the reply queues that nobody reads: of runs that were killed, and of callers that are gone."""
    problems: list[Problem] = []
    for name, queue in told.queues.items():
        if queue.consumers == 0 and _RUNS_REPLIES.fullmatch(name):
            fix = "operate.py runs shows what can be resumed; the queue expires by itself within an hour"
            problems.append((f"nobody reads {name}, which holds {queue.messages}", fix))
        elif queue.consumers == 0 and _CALLERS_REPLIES.fullmatch(name):
            delete = f"rabbitmqctl delete_queue -p {vhost} {name}"
            problems.append((f"nobody reads {name}, which holds {queue.messages}", delete))
    return judged("reply queues", problems, "each is read by somebody", Level.WARNING)


def control_queues(told: Administered, vhost: str) -> Finding:
    """Judge the control queues of nodes that are gone: each remote command goes to them as well."""
    problems: list[Problem] = [
        (f"{name} is nobody's", f"rabbitmqctl delete_queue -p {vhost} {name}")
        for name, queue in told.queues.items()
        if queue.consumers == 0 and _CONTROL.fullmatch(name)
    ]
    return judged("control queues", problems, "each belongs to a node", Level.WARNING)


#: The checks that only an administrator can carry out, by name.
ADMINISTRATORS = ("bindings", "policies", "reply queues", "control queues")
#: The checks that only nodes can answer, by name.
OF_NODES = ("one queue a node", "unacknowledged")
