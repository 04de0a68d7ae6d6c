"""Reads from a delivery where, when and how often a task runs; a constant would say the same on the wrong worker."""

from __future__ import annotations

import time
from typing import Any

#: Header in which the consumer notes the queue whose consumer received the message. It is written
#: on arrival, over whatever the publisher or an earlier attempt put there.
CONSUMED_QUEUE = "consumed_queue"


def evidence(request: Any) -> dict[str, Any]:
    """Return what the request says of this execution, ready for JSON.

    `queue` is the queue whose consumer received the message. Where the transport does not name the
    consumer (kombu's virtual ones), it is the routing key, and `queue_evidence` says so. `delivery_count`
    is RabbitMQ's `x-delivery-count` of a quorum queue: how often the message came back unacknowledged; a
    retry copies the headers of the attempt before, so it counts only where the broker marks a redelivery.

    Args:
        request: A `celery.app.task.Context`; anything with some of its attributes will do, since the
            worker's main process reports unknown tasks with less.
    """
    info = getattr(request, "delivery_info", None) or {}
    consumed = getattr(request, CONSUMED_QUEUE, None)
    retries = getattr(request, "retries", 0) or 0
    redelivered = bool(info.get("redelivered"))
    return {
        "node": getattr(request, "hostname", None),
        "queue": consumed or info.get("routing_key"),
        "queue_evidence": "consumer" if consumed else "routing key",
        "attempt": retries + 1,
        "retries": retries,
        "redelivered": redelivered,
        "delivery_count": (getattr(request, "x-delivery-count", 0) or 0) if redelivered else 0,
        "started_at": getattr(request, "started_at", None),
        "at": time.time(),
    }
