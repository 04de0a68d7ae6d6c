"""The broker seen from outside: its URL, a connection for questions, and what it refuses, in the user's terms."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from amqp.exceptions import AccessRefused, AMQPError, ChannelError, NotAllowed
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

from harness.errors import UnavailableError, UsageError

#: How long a connection may take to come up, in seconds.
CONNECT_TIMEOUT_S = 4.0
#: How long a broker that is connected may be silent where it owes an answer, in seconds.
SILENCE_S = 5.0
#: How long nodes have to answer a question, in seconds. Waited out only where an answer is missing.
ANSWER_TIMEOUT_S = 1.0

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
def connect(app: Celery, **client_properties: str) -> Iterator[Connection]:
    """Open a connection for questions; what goes wrong is said in the user's terms.

    Args:
        client_properties: What the broker shows of it, such as its `connection_name`.

    Raises:
        UnavailableError: Nothing answers, or the broker refuses the credentials or the virtual host.
    """
    connection = app.connection_for_write(
        connect_timeout=CONNECT_TIMEOUT_S,
        transport_options={
            "read_timeout": SILENCE_S,
            "write_timeout": SILENCE_S,
            "client_properties": client_properties,
        },
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
    except (AMQPError, OperationalError, OSError) as exc:
        raise _refusal(app, exc) from exc


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
