"""Checks of what users may do on the broker, name by name: as its administrator says, or else as it lets them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from amqp.exceptions import AccessRefused, ChannelError
from kombu import Connection, Queue

from harness.doctor.administration import Permission, TopicPermission
from harness.finding import Finding, Problem, failed, judged

#: RabbitMQ's access control: an operation needs `configure` to declare, `write` to publish or to be bound, `read` to
#: consume or to bind from.
Operation = Literal["configure", "write", "read"]

#: Names that stand for all of their kind, exchanges and queues: remote control and a caller's answers, a run's replies,
#: Celery's delay, events and one who listens to them.
_CONTROL_EXCHANGES = ("celery.pidbox", "reply.celery.pidbox")
_ANSWERS = "id.reply.celery.pidbox"
_CONTROL_QUEUES = ("node@host.celery.pidbox", _ANSWERS)
_REPLIES = "dispatch.run"
_DELAY = ("celery_delayed_27", "celery_delayed_delivery")
_EVENTS, _LISTENER = "celeryev", "celeryev.id"
#: The default exchange, by the name that permissions have for it.
_DEFAULT = "amq.default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A user of the broker and what it is for."""

    name: str  # dispatcher, worker, monitor
    user: str
    sends_events: bool = False

    @property
    def check(self) -> str:
        return f"permissions of the {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something that a role does."""

    operation: Operation
    kind: Literal["queue", "exchange"]
    name: str


def user_of(url: str) -> str:
    """Return the user of a broker URL."""
    return unquote(urlsplit(url).username or "guest")


def as_granted(
    role: Role,
    vhost: str,
    queues: Sequence[Queue],
    granted: Permission | None,
    topics: Sequence[TopicPermission] = (),
) -> Finding:
    """Judge what the user of a role may do by its regular expressions.

    Args:
        queues: All that the workers declare: of tasks, dead letters and unread results.
        granted: None: it has no permissions on the virtual host.
        topics: What it may do with single exchanges, by routing key; one without such takes any key.
    """
    if granted is None:
        return failed(role.check, f"{role.user} has no permissions on the virtual host {vhost}", _fix(role, vhost))
    # RabbitMQ takes an empty expression as that
    missing = [one for one in needs(role, queues) if not re.search(getattr(granted, one.operation) or "^$", one.name)]
    return _judged(role, vhost, missing, _topics_missing(role, vhost, queues, topics))


def _topics_missing(
    role: Role, vhost: str, queues: Sequence[Queue], topics: Sequence[TopicPermission]
) -> list[Problem]:
    """Return the routing keys that topic permissions keep from a role: of what it publishes, and of what it binds."""
    if role.name == "monitor":
        return []
    operations = ("write", "read") if role.name == "worker" else ("write",)
    return [
        (
            f"{role.user} may not {operation} {queue.routing_key} on the topic exchange {one.exchange}",
            f"rabbitmqctl clear_topic_permissions -p {vhost} {role.user} {one.exchange}",
        )
        for one in topics
        for queue in queues
        for operation in operations
        if (one.user, one.exchange) == (role.user, queue.exchange.name)
        and not re.search(getattr(one, operation) or "^$", queue.routing_key)
    ]


def as_tried(role: Role, connection: Connection, queues: Sequence[Queue], *, may_publish: bool) -> Finding:
    """Judge what the user of a role may do by what the broker refuses this connection, which is that user's.

    Each is tried in a way that cannot succeed: RabbitMQ looks at the permission first (403), and then at an argument or
    a name that is wrong (406, 404), so nothing is made, bound or consumed [tried on 3.10.8 and 4.0.5].

    Args:
        may_publish: To the default exchange, which was tried before: in an alarm nothing is read behind a message.
    """
    missing = [
        one
        for one in needs(role, queues)
        if (not may_publish if one.name == _DEFAULT else _is_refused(connection, one))
    ]
    return _judged(role, str(connection.virtual_host), missing)


def needs(role: Role, queues: Sequence[Queue]) -> Iterator[Need]:
    """Yield all that a role does, as deploy/setup/broker.sh grants it."""
    names = [queue.name for queue in queues]
    consumed = [queue.name for queue in queues if "x-dead-letter-exchange" in (queue.queue_arguments or {})]
    exchanges = list(dict.fromkeys(queue.exchange.name for queue in queues if queue.exchange.name))
    quorum = any((queue.queue_arguments or {}).get("x-queue-type") == "quorum" for queue in queues)
    shared = [*exchanges, *_CONTROL_EXCHANGES]
    if role.name == "worker":
        own = [*shared, *(_DELAY if quorum else ()), *((_EVENTS,) if role.sends_events else ())]
        from_exchanges = [*shared, *(_DELAY if quorum else ())]
        yield from _needs("configure", [*names, *_CONTROL_QUEUES], own)
        yield from _needs("write", [*names, *_CONTROL_QUEUES], [_DEFAULT, *own])
        yield from _needs("read", [*consumed, *_CONTROL_QUEUES], from_exchanges)
    elif role.name == "monitor":
        yield from _needs("configure", [_LISTENER, _ANSWERS], [_EVENTS, *_CONTROL_EXCHANGES])
        yield from _needs("write", [_LISTENER, _ANSWERS], ["celery.pidbox"])
        yield from _needs("read", [_LISTENER, _ANSWERS], [_EVENTS, "reply.celery.pidbox"])
    else:
        yield from _needs("configure", [_REPLIES, *_CONTROL_QUEUES], _CONTROL_EXCHANGES)
        yield from _needs("write", [_REPLIES, *_CONTROL_QUEUES], [_DEFAULT, *shared])
        yield from _needs("read", [_REPLIES, *names, *_CONTROL_QUEUES], _CONTROL_EXCHANGES)


def _needs(operation: Operation, queues: Sequence[str], exchanges: Sequence[str]) -> Iterator[Need]:
    yield from (Need(operation=operation, kind="queue", name=name) for name in queues)
    yield from (Need(operation=operation, kind="exchange", name=name) for name in exchanges)


def _judged(role: Role, vhost: str, missing: Sequence[Need], topics: Sequence[Problem] = ()) -> Finding:
    by_operation: dict[str, list[str]] = {}
    for one in missing:
        by_operation.setdefault(one.operation, []).append(one.name)
    problems: list[Problem] = [
        (f"{role.user} may not {operation} {', '.join(names)}", _fix(role, vhost))
        for operation, names in by_operation.items()
    ]
    return judged(role.check, [*problems, *topics], f"{role.user} may do on {vhost} what it needs")


def _fix(role: Role, vhost: str) -> str:
    return f"./setup.sh, or rabbitmqctl set_permissions -p {vhost} {role.user} '.*' '.*' '.*'"


# --- tried ----------------------------------------------------------------------------------------


def _is_refused(connection: Connection, need: Need) -> bool:
    """Return whether the broker refuses it for want of that permission; of another one, it names another."""
    channel = connection.channel()
    try:
        _try(channel, need)
    except AccessRefused as exc:
        return f"{need.kind} '{need.name}'" in str(exc)
    except ChannelError:  # permitted, and of no effect
        return False
    finally:
        channel.close()
    return False


def _try(channel: Any, need: Need) -> None:
    nowhere = f"doctor-{uuid.uuid4()}"
    match need.operation, need.kind:
        case "configure", "queue":
            channel.queue_declare(need.name, durable=True, auto_delete=False, arguments={"x-expires": "never"})
        case "configure", _:
            wrong = {"alternate-exchange": 0}
            channel.exchange_declare(need.name, "topic", durable=True, auto_delete=False, arguments=wrong)
        case "write", "queue":
            channel.queue_bind(need.name, nowhere)
        case "write", _:
            channel.exchange_bind(need.name, nowhere)
        case "read", "queue":
            channel.basic_consume(need.name, arguments={"x-priority": "none"})
        case _:  # what is bound has to be one that the user may write: each role may, to a caller's answers
            channel.queue_bind(f"{nowhere}.reply.celery.pidbox", need.name)
