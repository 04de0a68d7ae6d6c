"""What RabbitMQ tells its administrator and nobody else, asked in one call: each `rabbitmqctl` costs half a second."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.broker_node import rabbitmqctl
from harness.errors import UnavailableError

#: An expression for the node, with the virtual host to fill in. These are the functions behind rabbitmqctl's own
#: list_connections, list_permissions, list_policies, list_queues and list_bindings [tried on 3.10.8; all but the
#: policies and topic permissions on 4.0.5]. A connection that is being opened has no client properties yet: `none`,
#: which is not a list.
_QUESTION = """
V = <<"{vhost}"/utf8>>,
io:format("~ts~n", [rabbit_json:encode(#{{
  node => node(),
  alarms => [element(2, Limit) || {{Limit, _}} <- rabbit_alarm:get_alarms(), element(1, Limit) =:= resource_limit],
  listeners => [[element(3, L), list_to_binary(inet:ntoa(element(5, L)))] || L <- rabbit_networking:active_listeners()],
  consumer_timeout => case application:get_env(rabbit, consumer_timeout) of
    {{ok, Time}} when is_integer(Time) -> Time; _ -> null end,
  loopback_users => application:get_env(rabbit, loopback_users, []),
  connections => [Name || [{{client_properties, Said}}] <- rabbit_networking:connection_info_all([client_properties]),
    is_list(Said), {{<<"connection_name">>, _, Name}} <- Said],
  permissions => [maps:from_list(P) || P <- rabbit_auth_backend_internal:list_vhost_permissions(V)],
  topics => [maps:from_list(P) || P <- rabbit_auth_backend_internal:list_vhost_topic_permissions(V)],
  policies => [maps:from_list(P) || P <- rabbit_policy:list(V) ++ rabbit_policy:list_op(V)],
  queues => [#{{name => element(4, proplists:get_value(name, Q)),
    consumers => proplists:get_value(consumers, Q, 0), messages => proplists:get_value(messages, Q, 0)}}
    || Q <- rabbit_amqqueue:info_all(V, [name, consumers, messages])],
  bindings => [maps:with([source_name, destination_name, destination_kind, routing_key], maps:from_list(B))
    || B <- rabbit_binding:info_all(V)]
}})]).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What a user may do in the virtual host: regular expressions over names."""

    configure: str
    write: str
    read: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPermission:
    """What a user may do with a topic exchange beyond that: regular expressions over routing keys."""

    user: str
    exchange: str
    write: str
    read: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an administrator gives queues, whatever their own arguments say."""

    name: str
    pattern: str  # a regular expression over names
    applies_to: str  # all, queues, quorum_queues, classic_queues, exchanges, streams
    definition: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    """A queue of the virtual host. Counts of a quorum queue are up to 5 s old."""

    consumers: int
    messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A queue bound to an exchange by a routing key."""

    exchange: str
    queue: str
    routing_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Administered:
    """A RabbitMQ node and one of its virtual hosts, as its administrator sees them."""

    vhost: str
    alarms: tuple[str, ...]  # memory, disk
    listeners: tuple[str, ...]  # addresses on which it takes AMQP connections, such as 127.0.0.1 or ::
    consumer_timeout_s: float | None  # how long a message may be held unacknowledged; None: for ever
    loopback_users: tuple[str, ...]  # those let in from the node's own host only
    permissions: Mapping[str, Permission]  # by user
    topics: tuple[TopicPermission, ...]
    policies: tuple[Policy, ...]
    queues: Mapping[str, QueueFigures]  # by name
    bindings: tuple[Binding, ...]  # without those that every queue has to the default exchange


def administered(vhost: str, mark: str) -> Administered:
    """Return what the administrator of the broker is told.

    Args:
        mark: The name of a connection that is open: a node that does not have it is another broker.

    Raises:
        UnavailableError: This user may not administrate RabbitMQ, there is no rabbitmqctl here, or it leads elsewhere.
    """
    question = _QUESTION.format(vhost=vhost.replace("\\", "\\\\").replace('"', '\\"'))
    try:
        said = rabbitmqctl("eval", question)
    except UnavailableError as exc:  # without the question, which is long
        what = exc.what.replace(shlex.quote(question), "...")
        raise UnavailableError(what, why=exc.why, fix="sudo ./setup.sh doctor, on the broker's host") from exc
    told: dict[str, Any] = json.loads(said.splitlines()[0])  # the last line is what the expression itself comes to
    if mark not in told["connections"]:
        raise UnavailableError(
            f"rabbitmqctl administrates {told['node']}, which is not the broker of BROKER_URL",
            why="a connection opened there is not among the node's own",
            fix="RABBITMQ_NODENAME=NAME@HOST, the node that BROKER_URL leads to",
        )
    timeout_ms = told["consumer_timeout"]
    return Administered(
        vhost=vhost,
        alarms=tuple(told["alarms"]),
        listeners=tuple(address for protocol, address in told["listeners"] if protocol.startswith("amqp")),
        consumer_timeout_s=None if timeout_ms is None else timeout_ms / 1000,
        loopback_users=tuple(told["loopback_users"]),
        permissions={
            one["user"]: Permission(configure=one["configure"], write=one["write"], read=one["read"])
            for one in told["permissions"]
        },
        topics=tuple(
            TopicPermission(user=one["user"], exchange=one["exchange"], write=one["write"], read=one["read"])
            for one in told["topics"]
        ),
        policies=tuple(
            Policy(
                name=one["name"],
                pattern=one["pattern"],
                applies_to=one["apply-to"],
                definition=one["definition"],
            )
            for one in told["policies"]
        ),
        queues={
            one["name"]: QueueFigures(consumers=_number(one["consumers"]), messages=_number(one["messages"]))
            for one in told["queues"]
        },
        bindings=tuple(
            Binding(exchange=one["source_name"], queue=one["destination_name"], routing_key=one["routing_key"])
            for one in told["bindings"]
            if one["destination_kind"] == "queue" and one["source_name"]
        ),
    )


def _number(value: object) -> int:
    """Return a count; a queue that is down has none."""
    return value if isinstance(value, int) else 0
