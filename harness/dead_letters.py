"""What of a run is in the dead-letter queues, read without taking it out."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from amqp.exceptions import ChannelError
from celery import Celery
from kombu import Connection

from harness import broker
from harness.model import DeadLetter

#: Messages looked at in one queue at most.
LIMIT = 20_000
#: The pause between two looks, in seconds.
LOOK_INTERVAL_S = 0.1


def dead_queues(app: Celery, queues: Collection[str]) -> list[str]:
    """Return the dead-letter queues of `queues`, as the app declares them."""
    declared = (app.amqp.queues[name] for name in queues if name in app.amqp.queues)
    names = {(queue.queue_arguments or {}).get("x-dead-letter-routing-key") for queue in declared}
    return sorted(name for name in names if name)


def find(
    app: Celery,
    queues: Collection[str],
    is_ours: Callable[[str], bool],
    *,
    enough: Callable[[list[DeadLetter]], bool],
    within_s: float,
) -> list[DeadLetter]:
    """Return the dead letters of this run, as soon as there are enough, or after `within_s`.

    The broker moves a rejected message some milliseconds after its worker has told the result.

    Args:
        queues: Dead-letter queues to look in; one that does not exist is empty.
        is_ours: Whether a task id is one of this run.

    Raises:
        UnavailableError: The broker does not answer.
    """
    deadline = time.monotonic() + within_s
    with broker.connect(app) as connection, broker.said_plainly(app):
        while True:
            letters = [letter for queue in queues for letter in _peek(connection, queue) if is_ours(letter.task_id)]
            if enough(letters) or time.monotonic() >= deadline:
                return letters
            time.sleep(LOOK_INTERVAL_S)


def _peek(connection: Connection, queue: str) -> Iterator[DeadLetter]:
    """Yield what is in `queue`; closing the channel, unacknowledged, puts everything back."""
    channel = connection.channel()
    try:
        for _ in range(LIMIT):
            message = channel.basic_get(queue, no_ack=False)
            if message is None:
                return
            yield _letter(queue, message)
    except ChannelError:  # NotFound: there is no such queue
        return
    finally:
        channel.close()


def _letter(queue: str, message: Any) -> DeadLetter:
    headers: Mapping[str, Any] = message.headers or {}
    deaths = headers.get("x-death") or [{}]
    latest = deaths[0]  # the most recent one; a retry's wait in the delay queues is a death too
    return DeadLetter(
        task_id=str(headers.get("id") or message.properties.get("correlation_id") or ""),
        task=str(headers.get("task") or ""),
        queue=queue,
        reason=str(latest.get("reason") or headers.get("x-first-death-reason") or ""),
        came_from=str(latest.get("queue") or ""),
        times=int(latest.get("count") or 1),
    )
