"""Messages that no Celery worker can execute: one of each kind that Celery loses, or dies on."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

from amqp import Message
from celery import Celery

from harness import broker

_JSON = {"content_type": "application/json", "content_encoding": "utf-8"}
_BODY = b'[[], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
#: Seconds that the broker may take to confirm one.
_CONFIRM_TIMEOUT_S = 5.0

#: By name: what the body is, its properties, and which of Celery's headers it has.
KINDS: dict[str, tuple[bytes, dict[str, str], dict[str, Any]]] = {
    "garbage": (b"{not json", _JSON, {"task": "malformed"}),
    "no UTF-8": (b'[["\xff\xfe"], {}, {}]', _JSON, {"task": "malformed"}),
    "no task body": (b"[1]", _JSON, {"task": "malformed"}),
    "no id": (_BODY, _JSON, {"task": "malformed", "id": None}),
    "unknown task": (_BODY, _JSON, {"task": "malformed"}),
    "pickle": (
        pickle.dumps(((), {}, {})),
        {"content_type": "application/x-python-serialize", "content_encoding": "binary"},
        {"task": "malformed"},
    ),
}


def publish(app: Celery, queue: str, ids: Iterator[str]) -> None:
    """Put one of each kind into `queue`; returns once the broker has them.

    Args:
        ids: Where the task id of each is from; it is the message's correlation id too.

    Raises:
        UnavailableError: The broker does not answer, or takes them not.
    """
    with broker.connect(app) as connection, broker.said_plainly(app):
        channel = connection.channel()
        channel.confirm_select()
        for body, properties, headers in KINDS.values():
            task_id = next(ids)
            said = {"id": task_id, "lang": "py", "root_id": task_id, **headers}
            message = Message(
                body,
                application_headers={name: value for name, value in said.items() if value is not None},
                correlation_id=task_id,
                delivery_mode=2,
                **properties,
            )
            channel.basic_publish_confirm(
                message, routing_key=queue, mandatory=True, confirm_timeout=_CONFIRM_TIMEOUT_S
            )
