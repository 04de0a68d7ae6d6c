"""What is in the dead-letter queues, read without taking it out."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from amqp.exceptions import NotFound
from celery import Celery
from kombu import Connection

from harness import broker
from harness.errors import UsageError
from harness.model.dead_letter import DeadLetter, ListedLetter
from harness.spelling import choices, hint

#: Messages looked at in one queue at most.
LIMIT = 20_000
#: The pause between two looks, in seconds.
LOOK_INTERVAL_S = 0.1


def dead_queues(app: Celery, queues: Collection[str]) -> list[str]:
    """Return the dead-letter queues of `queues`, as the app declares them."""
    declared = (app.amqp.queues[name] for name in queues if name in app.amqp.queues)
    names = {(queue.queue_arguments or {}).get("x-dead-letter-routing-key") for queue in declared}
    return sorted(name for name in names if name)


def chosen_queues(app: Celery, queue: str | None) -> list[str]:
    """Return the dead-letter queues that `queue` means: a dead-letter queue, the one of a task queue, or (None) all.

    Raises:
        UsageError: The app has no such queue, or its broker no dead letters at all.
    """
    if broker.is_embedded(app):
        raise UsageError(
            "there are no dead letters in embedded mode", why="its broker is a directory", fix="BROKER_URL=amqp://..."
        )
    every = dead_queues(app, app.amqp.queues)
    if queue is None:
        return every
    if queue in every:
        return [queue]
    if found := dead_queues(app, [queue]):
        return found
    known = [*app.amqp.queues, *every]
    raise UsageError(f"--queue: no queue {queue!r} with dead letters{hint(queue, known)}", fix=choices(known))


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
            letters: list[DeadLetter] = []
            for queue in queues:
                with opened(connection, queue) as messages:
                    letters += [letter for message in messages if is_ours((letter := read(queue, message)).task_id)]
            if enough(letters) or time.monotonic() >= deadline:
                return letters
            time.sleep(LOOK_INTERVAL_S)


def every(app: Celery, queues: Iterable[str], most: int) -> list[ListedLetter]:
    """Return the dead letters in `queues`, of each queue the oldest `most`.

    Raises:
        UnavailableError: The broker does not answer.
    """
    letters: list[ListedLetter] = []
    with broker.connect(app) as connection, broker.said_plainly(app):
        for queue in queues:
            with opened(connection, queue, most) as messages:
                letters += [listed(queue, message) for message in messages]
    return letters


@contextmanager
def opened(connection: Connection, queue: str, most: int = LIMIT) -> Iterator[Iterator[Any]]:
    """Give the messages of `queue`, oldest first and `most` at most; one that is not acknowledged goes back.

    Nothing that goes back meanwhile, and nothing that is given, is given a second time: messages are held until
    the end. That they go back counts as a failed delivery of each; see `worker/topology.py` for why that is no harm.
    A message's `body` is bytes, its `channel` the one to acknowledge it on. There may be no such queue.
    """
    channel = connection.channel()
    channel.auto_decode = False
    yield _messages(channel, queue, most)
    channel.close()  # after an error the connection is given up, and everything goes back with it


def _messages(channel: Any, queue: str, most: int) -> Iterator[Any]:
    for _ in range(most):
        try:
            message = channel.basic_get(queue, no_ack=False)
        except NotFound:
            return
        if message is None:
            return
        yield message


def read(queue: str, message: Any) -> DeadLetter:
    """Return what a message of the dead-letter queue `queue` says of itself."""
    headers: Mapping[str, Any] = message.headers or {}
    latest = next(_deaths(headers), {})
    count = latest.get("count")
    return DeadLetter(
        task_id=str(headers.get("id") or message.properties.get("correlation_id") or ""),
        task=str(headers.get("task") or ""),
        queue=queue,
        reason=str(latest.get("reason") or headers.get("x-first-death-reason") or ""),
        came_from=str(latest.get("queue") or ""),
        times=count if isinstance(count, int) else 1,
    )


def listed(queue: str, message: Any) -> ListedLetter:
    """Return the same with its times."""
    letter = read(queue, message)
    deaths = [death for death in _deaths(message.headers or {}) if death.get("queue") == letter.came_from]
    # py-amqp gives an AMQP timestamp as UTC without saying so
    times = [at.replace(tzinfo=UTC).timestamp() for death in deaths if isinstance(at := death.get("time"), datetime)]
    return ListedLetter(letter=letter, first_at=min(times, default=None), last_at=max(times, default=None))


def _deaths(headers: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of `x-death`, latest first; a retry's wait in the delay queues is one too."""
    deaths = headers.get("x-death")
    yield from (death for death in (deaths if isinstance(deaths, list) else ()) if isinstance(death, Mapping))
