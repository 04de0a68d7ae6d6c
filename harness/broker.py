"""The broker seen from outside: its URL, a connection for questions, and what it refuses, in the user's terms."""

from __future__ import annotations

import contextlib
import os
import re
import ssl
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
        UsageError: The URL cannot be used, or not with `BROKER_CA`. No message shows it: it may hold a password.
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
        _check_authorities(parts.scheme)


def _check_authorities(scheme: str) -> None:
    authorities = os.environ.get("BROKER_CA")
    if not authorities or scheme == "filesystem":
        return
    if scheme != "amqps":
        raise UsageError(
            "BROKER_CA is set, and the connection would not be encrypted",
            why=f"BROKER_URL begins with {scheme}://",
            fix="BROKER_URL=amqps://USER:PASSWORD@HOST:5671/VHOST, or BROKER_CA= for a connection without TLS",
        )
    try:
        ssl.create_default_context(cafile=authorities)
    except OSError as exc:  # ssl.SSLError is one
        raise UsageError(
            f"BROKER_CA: {authorities}: no certificates can be read there",
            why=exc.strerror or str(exc),
            fix="name a PEM file with the certificate of the authority that signed the broker's",
        ) from exc


def is_embedded(app: Celery) -> bool:
    """Return whether the app's broker is a directory, which confirms, redelivers and dead-letters nothing."""
    return str(app.conf.broker_url).startswith("filesystem:")


@contextmanager
def connect(app: Celery, **client_properties: str) -> Iterator[Connection]:
    """Open a connection for questions; what goes wrong is said in the user's terms.

    Args:
        client_properties: What the broker shows of it, such as its `connection_name`.

    Raises:
        UnavailableError: Nothing answers, or the broker refuses the credentials, the virtual host or, for want of
            memory or disk, every message.
    """
    blocked: list[str] = []  # not empty: the broker takes no message of this connection
    # `broadcast` would put its question on a second connection, of the app's pool (kombu.pidbox.Mailbox)
    app.control.mailbox._producer_pool = None
    connection = app.connection_for_write(
        connect_timeout=CONNECT_TIMEOUT_S,
        transport_options={
            "read_timeout": SILENCE_S,
            "write_timeout": SILENCE_S,
            # a broker whose memory or disk alarm is on confirms no question, and py-amqp would wait for it without end
            "confirm_publish": False,
            "client_properties": client_properties,
        },
    )
    try:
        with said_plainly(app):
            dial(connection)
        connection.connection.on_blocked = blocked.append
        yield connection
    except BaseException as exc:
        connection.collect()  # without goodbye: what went wrong may be that nobody answers
        if blocked and isinstance(exc, (UnavailableError, OSError)):
            raise UnavailableError(
                f"the broker at {public_url(app.conf.broker_url)} takes no messages",
                why="its memory or disk alarm is on, and it blocks who publishes",
                fix="free memory or disk there; rabbitmqctl status shows its alarms and limits",
            ) from exc
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
            see="not-permitted",
        )
    if isinstance(exc, AccessRefused):
        return UnavailableError(
            f"the broker refused user {url.username or 'guest'!r} at {where}",
            why="wrong user or password, or `guest` from another host: RabbitMQ lets it in from loopback only",
            fix=f"{ways_on}",
            see="user-refused",
        )
    if isinstance(exc, NotAllowed):
        return _not_allowed(exc, url.username or "guest", vhost, where, ways_on)
    if isinstance(exc, ssl.SSLCertVerificationError):
        return UnavailableError(
            f"the broker at {where} could not prove that it is the one",
            why=exc.verify_message,
            fix="BROKER_CA=FILE, the authority that signed its certificate; BROKER_TLS_NAME=NAME, the name in it",
            see="tls",
        )
    if isinstance(exc, ssl.SSLError):
        return UnavailableError(
            f"the broker at {where} does not answer with TLS",
            why=str(exc),
            fix="the port of its TLS listener (5671 by default), or amqp:// for a connection without TLS",
            see="tls",
        )
    if not isinstance(exc, OSError):
        return UnavailableError(
            f"the broker at {where} cannot be used", why=f"{type(exc).__name__}: {exc}", fix=ways_on
        )
    reason = str(exc) or type(exc).__name__
    return UnavailableError(f"no broker answers at {where}", why=reason, fix=ways_on, see="no-broker")


def _not_allowed(exc: NotAllowed, user: str, vhost: str, where: str, ways_on: str) -> UnavailableError:
    """Return what a refused virtual host means: RabbitMQ tells apart one that is missing, one that is not for this user
    and one that takes no more connections [tried on 3.10.8 and 4.0.5]; another broker may not.
    """
    why = str(exc).splitlines()[0]
    add = f"rabbitmqctl add_vhost {vhost}"
    permit = f"rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*'"
    if "limit (" in why:
        what = f"the broker takes no more connections of user {user!r} to virtual host {vhost!r} at {where}"
        fix = f"rabbitmqctl clear_vhost_limits -p {vhost}; rabbitmqctl clear_user_limits {user} max-connections"
    elif "not found" in why:
        what = f"the broker has no virtual host {vhost!r} for user {user!r} at {where}"
        fix = f"{add}; {permit}; or {ways_on}"
    elif "refused for user" in why:
        what = f"user {user!r} has no permissions on the virtual host {vhost!r} at {where}"
        fix = f"{permit}; or {ways_on}"
    else:
        what = f"the broker does not let user {user!r} use the virtual host {vhost!r} at {where}"
        fix = f"where it is missing: {add}; then, or where it is there: {permit}; or {ways_on}"
    return UnavailableError(what, why=why, fix=fix, see="no-virtual-host")
