"""Takes dead letters out of their queue: back to the queue that they came from, or for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from amqp import ChannelError, Message
from amqp.exceptions import MessageNacked
from celery import Celery
from kombu import Connection

from harness import broker
from harness.dead_letters import opened, read
from harness.model.dead_letter import DeadLetter

#: How long the broker may take to confirm a message, in seconds.
CONFIRM_TIMEOUT_S = 5.0
#: How AMQP says that no queue takes a mandatory message.
NO_ROUTE = 312

#: What a letter carries of its former life, and must not carry into the next one [tried on 3.10.8 and 4.0.5].
LEFT_OUT = frozenset(
    {
        # RabbitMQ 3.10 counts on from here, and where these deaths form a cycle without a rejection in it drops the
        # message when it dies again
        "x-death",
        *(f"x-{which}-death-{what}" for which in ("first", "last") for what in ("exchange", "queue", "reason")),
        # RabbitMQ 4 leaves these as they are until the first redelivery: a first run would look like a second one
        "x-delivery-count",
        "x-acquired-count",
        # further queues: RabbitMQ 4 keeps CC in the dead letter, and would deliver copies there again
        "CC",
        "BCC",
    }
)
#: The same of its properties: how long it may wait in a queue; and who published it, which the broker compares with
#: who publishes now.
PROPERTIES_LEFT_OUT = frozenset({"application_headers", "expiration", "user_id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A dead letter, and why it is still there; nothing where it is not."""

    letter: DeadLetter
    trouble: str = ""


def counts(app: Celery, queues: Sequence[str]) -> dict[str, int]:
    """Return how many messages are ready in each of `queues`; 0 for one that does not exist.

    Raises:
        UnavailableError: The broker does not answer.
    """
    with broker.connect(app) as connection, broker.said_plainly(app):
        return {queue: broker.count(connection, queue)[0] for queue in queues}


def redrive(app: Celery, there: Mapping[str, int], task_id: str | None, on_moved: Callable[[Moved], None]) -> None:
    """Send dead letters back to the queues that they came from.

    Each is confirmed by that queue before it is acknowledged here: what is interrupted in between is in both, and
    nothing is in neither. Body, task id, retries, reply queue and all else stay as they were; see `again`.

    Args:
        there: How many messages to look at, by dead-letter queue: those that were there when the user asked. Letters
            that come back meanwhile are behind them.
        task_id: Only the letters of this task; None for all.
        on_moved: Told of each letter, as soon as the broker has been.

    Raises:
        UnavailableError: The broker does not answer, or not in time: the letter in hand may be in both queues.
    """
    with _connected(app) as connection:
        out = connection.channel()
        for message, letter in _letters(connection, there, task_id):
            if not letter.came_from:
                on_moved(Moved(letter=letter, trouble="it does not say which queue it came from"))
                continue
            try:
                out.basic_publish_confirm(
                    again(message, datetime.now(UTC)),
                    exchange="",
                    routing_key=letter.came_from,
                    mandatory=True,
                    confirm_timeout=CONFIRM_TIMEOUT_S,
                )
            except ChannelError as exc:
                if exc.reply_code != NO_ROUTE:
                    raise
                out.close()  # the broker confirms what it returned as well; that must not count for the next one
                out = connection.channel()
                on_moved(Moved(letter=letter, trouble=f"there is no queue {letter.came_from} any more"))
            except MessageNacked:
                on_moved(Moved(letter=letter, trouble=f"queue {letter.came_from} refused it (basic.nack)"))
            else:
                message.channel.basic_ack(message.delivery_tag)
                on_moved(Moved(letter=letter))


def purge(app: Celery, there: Mapping[str, int], task_id: str | None, on_moved: Callable[[Moved], None]) -> None:
    """Remove dead letters for good; arguments and errors as in `redrive`."""
    with _connected(app) as connection:
        for message, letter in _letters(connection, there, task_id):
            message.channel.basic_ack(message.delivery_tag)
            on_moved(Moved(letter=letter))


def again(message: Any, now: datetime) -> Message:
    """Return a message that says what a dead letter says, without what its former life left on it.

    Celery's header `expires` goes where it has passed: a worker would discard the task without running it.
    """
    headers = {name: value for name, value in (message.headers or {}).items() if name not in LEFT_OUT}
    if _has_passed(headers.get("expires"), now):
        headers["expires"] = None
    properties = {name: value for name, value in message.properties.items() if name not in PROPERTIES_LEFT_OUT}
    return Message(message.body, application_headers=headers, **properties)


def _has_passed(expires: object, now: datetime) -> bool:
    """Return whether a time that Celery wrote has passed; what is no time is left to the worker."""
    try:
        at = datetime.fromisoformat(str(expires))
    except ValueError:
        return False
    return at.replace(tzinfo=at.tzinfo or UTC) <= now


@contextmanager
def _connected(app: Celery) -> Iterator[Connection]:
    with broker.connect(app) as connection, broker.said_plainly(app):
        yield connection


def _letters(connection: Connection, there: Mapping[str, int], task_id: str | None) -> Iterator[tuple[Any, DeadLetter]]:
    for queue, most in there.items():
        with opened(connection, queue, most) as messages:
            for message in messages:
                letter = read(queue, message)
                if task_id in (None, letter.task_id):
                    yield message, letter
