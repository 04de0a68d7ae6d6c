"""Reads what a message says of its task, and refuses what Celery would lose, execute without an id or crash on."""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.app.task import Context
from celery.utils.time import maybe_iso8601

#: What a body may hold besides the arguments; Celery copies it over the request, evidence and all.
EMBEDDED = frozenset({"callbacks", "errbacks", "chain", "chord"})

#: Headers become attributes of the request: these would take the place of its methods.
METHODS = frozenset(name for name in dir(Context) if callable(getattr(Context, name)))

#: RabbitMQ takes a message back from a consumer that holds it longer than this (consumer_timeout): what is to
#: start later can never start here, but would occupy the node until then.
LONGEST_WAIT = timedelta(minutes=30)


class Malformed(Exception):
    """A message that no node can execute."""


def unseal(message: Any) -> MutableMapping[str, Any]:
    """Return the mapping in which the message names its task: the headers, or in protocol 1 its body.

    Celery 5.7 trusts what is in it: arguments of the wrong type are acknowledged without a result; a time limit
    of the wrong type costs a slot of the pool for ever, or ends the worker, and then its replacement.

    Raises:
        Malformed: It cannot be executed; says why.
        Exception: The body cannot be decoded; whatever the decoder raised.
    """
    payload = message.payload
    if isinstance(payload, dict):
        said = message.headers if "task" in message.headers else payload
        fields = {**payload, **message.headers}
        args, kwargs, embedded = payload.get("args", []), payload.get("kwargs", {}), None
    elif isinstance(payload, list) and len(payload) == 3:
        said = fields = message.headers
        args, kwargs, embedded = payload
    else:
        raise Malformed("the body is neither [args, kwargs, embed] nor a task")
    for name, well_formed in {
        "id": _is_name(fields.get("id")),
        "task": _is_name(fields.get("task")),
        "headers": not fields.keys() & METHODS,
        "args": isinstance(args, list),
        "kwargs": isinstance(kwargs, dict),
        "embed": embedded is None or (isinstance(embedded, dict) and embedded.keys() <= EMBEDDED),
        "retries": _is_count(fields.get("retries")),
        "timelimit": _is_limits(fields.get("timelimit")),
        "stamped_headers": isinstance(fields.get("stamped_headers"), (list, type(None))),
        "stamps": isinstance(fields.get("stamps"), (dict, type(None))),
        "eta": _is_soon(fields.get("eta")),
    }.items():
        if not well_formed:
            raise Malformed(f"{name} is missing, of the wrong type or out of range")
    return said


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _is_limits(value: object) -> bool:
    """Return whether this is `[hard, soft]`, each a number of seconds above 0 or None."""
    if value is None:
        return True
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(
            limit is None or (isinstance(limit, (int, float)) and not isinstance(limit, bool) and 0 < limit < math.inf)
            for limit in value
        )
    )


def _is_soon(value: Any) -> bool:
    if value is None:
        return True
    try:
        eta = maybe_iso8601(value)
        return bool(eta.replace(tzinfo=eta.tzinfo or UTC) - datetime.now(UTC) <= LONGEST_WAIT)
    except (TypeError, ValueError, AttributeError, OverflowError):
        return False
