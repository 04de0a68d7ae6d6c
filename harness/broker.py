"""The broker seen from outside: does it answer, who consumes what, and where are messages that did not come back."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from amqp.exceptions import AccessRefused, AMQPError, ChannelError, NotAllowed, NotFound, PreconditionFailed
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

from harness.app_facts import declared_queue
from harness.errors import HarnessError, UnavailableError, UsageError
from harness.ledger import Entry
from harness.model import Node, Roster, State, WorkerSpec

#: How long a connection may take to come up, in seconds.
CONNECT_TIMEOUT_S = 4.0
#: How long a broker that is connected may be silent where it owes an answer, in seconds.
SILENCE_S = 5.0
#: How long nodes have to answer a question, in seconds. Waited out only where an answer is missing.
ANSWER_TIMEOUT_S = 1.0
#: The pause between two looks while workers are missing, in seconds.
LOOK_INTERVAL_S = 0.25

#: What a broker URL may begin with: RabbitMQ's own, and the embedded one's.
_SCHEMES = frozenset({"amqp", "amqps", "pyamqp", "filesystem"})
_ONE_OF_SEVERAL = re.compile(r";(?=[a-z]+://)")
#: From the user's colon to the last @: also where a password holds what it should not.
_PASSWORD = re.compile(r"(://[^:@/]*):.*@")


def public_url(url: str) -> str:
    """Return a broker URL without its password; of several, divided by `;`, each."""
    return ";".join(_PASSWORD.sub(r"\1@", one) for one in _ONE_OF_SEVERAL.split(url))


def check_url(url: str) -> None:
    """Refuse what is no broker URL, before anything else looks at it and shows it.

    Raises:
        UsageError: The URL cannot be used. No message shows it: it may hold a password.
    """
    for one in _ONE_OF_SEVERAL.split(url):
        try:
            parts = urlsplit(one)
            usable = (
                parts.scheme in _SCHEMES and parts.port != 0 and "@" not in parts.path + parts.query + parts.fragment
            )
        except ValueError:  # a port that is no number, half an IPv6 address
            usable = False
        if not usable:
            raise UsageError(
                "BROKER_URL is not the URL of a broker that can be used here",
                why="it must be amqp://USER:PASSWORD@HOST:PORT/VHOST, with / # ? @ in a password as %2F %23 %3F %40",
                fix="BROKER_URL=amqp://guest:guest@localhost:5672// python dispatch.py",
            )


def is_embedded(app: Celery) -> bool:
    """Return whether the app's broker is a directory, which confirms, redelivers and dead-letters nothing."""
    return str(app.conf.broker_url).startswith("filesystem:")


@contextmanager
def connect(app: Celery) -> Iterator[Connection]:
    """Open a connection for questions; what goes wrong is said in the user's terms.

    Raises:
        UnavailableError: Nothing answers, or the broker refuses the credentials or the virtual host.
    """
    connection = app.connection_for_write(
        connect_timeout=CONNECT_TIMEOUT_S, transport_options={"read_timeout": SILENCE_S, "write_timeout": SILENCE_S}
    )
    try:
        with said_plainly(app):
            dial(connection)
        yield connection
    except BaseException:
        connection.collect()  # without goodbye: what went wrong may be that nobody answers
        raise
    else:
        with contextlib.suppress(AMQPError, OSError):
            connection.release()


def dial(connection: Connection) -> None:
    """Try each host of the URL once; kombu's own `connect` tries again two seconds later."""
    last = max(len(connection.alt), 1) - 1
    connection.ensure_connection(max_retries=last, interval_start=0, reraise_as_library_errors=False)


@contextmanager
def said_plainly(app: Celery) -> Iterator[None]:
    """Turn what the broker, the network or kombu raise inside into an `UnavailableError` that says what to do."""
    try:
        yield
    except (AMQPError, OperationalError, OSError, KeyError) as exc:  # KeyError: a URL of a transport that kombu lacks
        raise _refusal(app, exc) from exc


def revoke(app: Celery, task_ids: Sequence[str]) -> None:
    """Tell every node not to start `task_ids`; what has started goes on."""
    with connect(app) as connection, said_plainly(app):
        app.control.revoke(list(task_ids), connection=connection)


def _refusal(app: Celery, exc: Exception) -> UnavailableError:
    url = urlsplit(app.conf.broker_url)
    where = public_url(app.conf.broker_url)
    vhost = (url.path[1:] or "/").replace("%2f", "/").replace("%2F", "/")
    ways_on = "./setup.sh, or BROKER_URL=amqp://USER:PASSWORD@HOST:5672/VHOST, or --embedded for a demonstration"
    if isinstance(exc, AccessRefused) and "access to" in str(exc):  # logged in; what it lacks is a permission
        user = url.username or "guest"
        return UnavailableError(
            f"the broker refused user {user!r} at {where}",
            why=str(exc).splitlines()[0],
            fix=f"rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*'",
        )
    if isinstance(exc, AccessRefused):
        return UnavailableError(
            f"the broker refused user {url.username or 'guest'!r} at {where}",
            why="wrong user or password, or `guest` from another host: RabbitMQ lets it in from loopback only",
            fix=f"{ways_on}",
        )
    if isinstance(exc, NotAllowed):
        return UnavailableError(
            f"the broker has no virtual host {vhost!r} for user {url.username or 'guest'!r} at {where}",
            why=str(exc).splitlines()[0],
            fix=f"rabbitmqctl add_vhost {vhost}; or {ways_on}",
        )
    if not isinstance(exc, OSError):
        return UnavailableError(
            f"the broker at {where} cannot be used", why=f"{type(exc).__name__}: {exc}", fix=ways_on
        )
    reason = str(exc) or type(exc).__name__
    return UnavailableError(f"no broker answers at {where}", why=reason, fix=ways_on)


# --- who consumes what ----------------------------------------------------------------------------


def roster(app: Celery, connection: Connection, queues: Collection[str]) -> Roster:
    """Return who consumes `queues` now: the broker's counts, and the names that nodes give of themselves.

    Returns as soon as as many nodes have answered as the broker counts consumers. Where these disagree (a
    foreign node answered first, or one that consumes does not answer) the answers of the whole
    `ANSWER_TIMEOUT_S` are taken.
    """
    consumers: dict[str, int] = {}
    backlog: dict[str, int] = {}
    for queue in queues:
        backlog[queue], consumers[queue] = count(connection, queue)
    expected = sum(consumers.values())
    if is_embedded(app):
        nodes = _ask(app, connection, limit=len(queues))
        consumers = {queue: sum(queue in node.queues for node in nodes) for queue in queues}
        return Roster(nodes=nodes, consumers=consumers, backlog=backlog)
    nodes = _ask(app, connection, limit=expected) if expected else ()
    if not _agree(nodes, consumers):
        nodes = _ask(app, connection, limit=None)
    return Roster(nodes=nodes, consumers=consumers, backlog=backlog)


def count(connection: Connection, queue: str) -> tuple[int, int]:
    """Return the messages ready in `queue` and its consumers; (0, 0) where there is no such queue."""
    channel = connection.channel()
    try:
        answer = channel.queue_declare(queue=queue, passive=True)
    except ChannelError:  # NotFound; kombu's virtual transports raise it too
        return 0, 0
    else:
        return answer.message_count, answer.consumer_count
    finally:
        channel.close()


def _ask(app: Celery, connection: Connection, limit: int | None) -> tuple[Node, ...]:
    answers: list[dict[str, Any]] = (
        app.control.broadcast("active_queues", reply=True, timeout=ANSWER_TIMEOUT_S, limit=limit, connection=connection)
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
    with connect(app) as connection, said_plainly(app):
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
        reasons.append(f"{present} answers through {public_url(app.conf.broker_url)}")
    return UnavailableError(
        f"no worker consumes {queues}; nothing was published",
        why="; ".join(reasons),
        fix="docker compose up -d, or --local to start workers here, or --wait-workers 60s",
    )


def _refuse_other_arguments(app: Celery, connection: Connection, queue: str) -> None:
    """Raise where `queue` exists with other arguments than the app's: no worker can ever consume it then."""
    if is_embedded(app) or queue not in app.amqp.queues:
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
        ) from exc
    except AccessRefused:
        return  # not ours to declare: the passive look was all we may do
    finally:
        channel.close()


# --- where is what did not come back --------------------------------------------------------------


def whereabouts(
    app: Celery, in_flight: Mapping[str, Entry], nodes: Collection[Node], limit: int = 1000
) -> Callable[[str], tuple[State, str]]:
    """Look for task ids without a final state; return what says of each in which column it ends, and where it is.

    Nodes are asked by name for the first `limit` ids. Ready messages cannot be told apart without taking them
    out of their queue, so as many ids as are ready there count as queued, from the last published one back.
    Where a node does not answer, what it may hold is unfinished: only what can be nowhere is lost.

    Args:
        in_flight: The ledger's entries by task id, in publishing order.
        nodes: The nodes that answered before the run.
    """
    found: dict[str, str] = {}
    try:
        with connect(app) as connection:
            silent = {node.name: node for node in nodes}
            for node_name, tasks in _query(app, connection, list(in_flight)[:limit]):
                silent.pop(node_name, None)
                found.update({task_id: f"{words} on {node_name}" for task_id, words in tasks.items()})
            for queue in {declared_queue(app, entry.spec) for entry in in_flight.values()}:
                ready, _ = count(connection, queue)
                holders = [name for name, node in silent.items() if queue in node.queues]
                rest = {
                    task_id: entry
                    for task_id, entry in in_flight.items()
                    if task_id not in found and declared_queue(app, entry.spec) == queue
                }
                waiting = [task_id for task_id, entry in rest.items() if not entry.last_state]
                found.update(dict.fromkeys(waiting[-ready:] if ready else (), f"queued in {queue}"))
                for task_id, entry in rest.items():
                    if entry.last_state == "RETRY":
                        found[task_id] = f"waiting for attempt {entry.retries + 2}"
                    elif entry.node in silent:
                        found.setdefault(task_id, f"started on {entry.node}, which does not answer")
                    elif holders:
                        found.setdefault(task_id, f"not seen; {', '.join(holders)} may hold it and does not answer")
    except (HarnessError, OSError) as exc:
        reason = f"not looked for: {str(exc).splitlines()[0]}"
        return lambda task_id: (State.UNFINISHED, reason)
    return lambda task_id: (
        (State.UNFINISHED, found[task_id])
        if task_id in found
        else (State.LOST, "confirmed, no final state, found nowhere")
    )


def _query(app: Celery, connection: Connection, ids: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Ask every node for `ids`; yield its name and, in words, what it does with those it knows."""
    words = {"active": "running", "reserved": "held, not started,", "scheduled": "waiting for its time"}
    answers: list[dict[str, Any]] = (
        app.control.broadcast(
            "query_task", arguments={"ids": ids}, reply=True, timeout=ANSWER_TIMEOUT_S, connection=connection
        )
        or []
    )
    for answer in answers:
        for node, tasks in answer.items():
            yield node, {task_id: words[seen[0]] for task_id, seen in tasks.items() if seen[0] in words}
