"""Checks of the broker: whether it lets us in, is a release that works, takes messages, and keeps them long enough."""

from __future__ import annotations

import re
import uuid
from urllib.parse import unquote, urlsplit

import celery
from amqp.exceptions import AccessRefused, NotAllowed
from celery import Celery
from kombu import Connection

from harness import broker
from harness.broker import public_url
from harness.doctor.administration import Administered
from harness.doctor.lint import held
from harness.doctor.permissions import user_of
from harness.errors import UnavailableError
from harness.finding import Finding, complaint, failed, good, judged, unknown, warned
from harness.render.figures import duration_text

#: How long a broker that takes messages may take to confirm one, in seconds.
CONFIRM_S = 2.0
_LOOPBACK = ("127.", "::1", "::ffff:127.")

# --- who is let in --------------------------------------------------------------------------------


def reached(app: Celery, connection: Connection) -> list[Finding]:
    """Return the findings of a connection that is open."""
    properties = connection.connection.server_properties
    where = public_url(str(app.conf.broker_url))
    return [
        good("broker", f"{properties.get('product', 'a broker')} answers at {where}"),
        good("login", f"{connection.userid or 'guest'} is let in"),
        good("virtual host", f"{connection.virtual_host} is there"),
        version(str(properties.get("product", "")), str(properties.get("version", "")), app),
    ]


def refused(app: Celery, error: UnavailableError) -> list[Finding]:
    """Return the findings of a connection that was not had, by who refused it: the network, the login, the vhost."""
    where = public_url(str(app.conf.broker_url))
    said = complaint(error)
    answers = good("broker", f"it answers at {where}")
    if isinstance(error.__cause__, NotAllowed):
        return [answers, good("login", "the user is let in"), failed("virtual host", said, error.fix)]
    if isinstance(error.__cause__, AccessRefused):
        return [answers, failed("login", said, error.fix)]
    return [failed("broker", said, "./setup.sh, or rabbitmq-server -detached, or another BROKER_URL")]


def version(product: str, release: str, app: Celery) -> Finding:
    """Judge the broker's release against what is known not to work.

    Quorum queues came with RabbitMQ 3.8, their at-least-once dead letters with 3.10 (its release notes). RabbitMQ 4.3
    refuses transient queues that are not exclusive, which Celery's control queues are before 5.7, and with
    `control_queue_exclusive` off.
    """
    if product != "RabbitMQ":
        return warned("version", f"{product or 'the broker'} {release} is not RabbitMQ", "a RabbitMQ of 3.10 or newer")
    numbers = tuple(int(number) for number in re.findall(r"\d+", release)[:2])
    if numbers < (3, 10):
        lacks = "quorum queues" if numbers < (3, 8) else "dead letters at least once (x-dead-letter-strategy)"
        return failed("version", f"RabbitMQ {release} has no {lacks}", "RabbitMQ 3.10 or newer")
    own = tuple(int(number) for number in re.findall(r"\d+", celery.__version__)[:2])
    if numbers >= (4, 3) and (own < (5, 7) or not app.conf.control_queue_exclusive):
        cause = f"RabbitMQ {release} refuses control queues that are not exclusive: workers cannot be asked anything"
        return failed("version", cause, "celery 5.7 or newer, and control_queue_exclusive = True")
    return good("version", f"RabbitMQ {release} works with Celery {celery.__version__}")


# --- whether it takes messages --------------------------------------------------------------------


def takes_messages(app: Celery) -> bool | None:
    """Return whether the broker takes messages; None where this user may not publish any.

    In an alarm RabbitMQ stops to read from a connection after the first message that is published there: that one it
    still confirms, the second one not. Both go to no queue.

    Raises:
        UnavailableError: The broker does not answer, or does not let us in.
    """
    blocked: list[str] = []
    with broker.connect(app) as connection, broker.said_plainly(app):
        connection.connection.on_blocked = blocked.append
        channel = connection.channel()
        nowhere = f"doctor-{uuid.uuid4()}"
        try:
            for _ in range(2):
                message = channel.prepare_message(b"")
                channel.basic_publish_confirm(message, routing_key=nowhere, confirm_timeout=CONFIRM_S)
        except TimeoutError:
            blocked.append("it confirms none")
        except AccessRefused:
            return None
        if blocked:
            connection.collect()  # without goodbye: nobody reads it
    return not blocked


def alarms(takes: bool | None, told: Administered | UnavailableError) -> Finding:
    """Judge memory and disk: in an alarm the broker takes no messages from anybody.

    Args:
        takes: As of `takes_messages`.
        told: Which alarm it is.
    """
    if takes is None:
        return unknown("alarms", "this user may publish no message to try it with", "./setup.sh")
    if takes:
        return good("alarms", "the broker takes messages: neither memory nor disk is short")
    mends = {
        "memory": "rabbitmqctl set_vm_memory_high_watermark 0.4, or consume what is queued",
        "disk": "make room on the broker's disk, or rabbitmqctl set_disk_free_limit 50MB",
    }
    known = [] if isinstance(told, UnavailableError) else sorted(set(told.alarms))
    cause = f"the broker takes no messages: {' and '.join(known) or 'memory or disk'} is short"
    fixes = [mends[alarm] for alarm in known if alarm in mends] or ["rabbitmq-diagnostics alarms says which"]
    return failed("alarms", cause, "; ".join(fixes))


# --- what its administrator sees ------------------------------------------------------------------


def consumer_timeout(app: Celery, told: Administered) -> Finding:
    """Judge how long a message may be held unacknowledged (RabbitMQ: 30 min unless configured, looked at each minute).

    Beyond it the broker closes the worker's channel, and hands out the task again while it runs.
    """
    limit_s = told.consumer_timeout_s
    if limit_s is None:
        return good("consumer_timeout", "the broker lets a message be held for ever")
    problems = [
        (
            f"{one.task} may be held {'without end' if one.seconds is None else duration_text(one.seconds)} "
            f"({one.reason}), and the broker takes it back after {duration_text(limit_s)}",
            f"{one.reason} below {limit_s:g} s, or consumer_timeout = MILLISECONDS in rabbitmq.conf",
        )
        for one in held(app)
        if one.seconds is None or one.seconds >= limit_s
    ]
    return judged("consumer_timeout", problems, f"{duration_text(limit_s)}, longer than any task is held")


def listeners(told: Administered, needed: bool) -> Finding:
    """Judge the addresses that the broker listens on: a container does not reach its loopback.

    Args:
        needed: Whether workers of ours are in containers of this host, and come from another address than it.
    """
    addresses = ", ".join(told.listeners) or "none"
    if needed and all(address.startswith(_LOOPBACK) for address in told.listeners):
        cause = f"the broker listens on {addresses} alone, which containers do not reach"
        return failed("listeners", cause, "listeners.tcp.default = 5672 in rabbitmq.conf, then restart RabbitMQ")
    return good("listeners", f"AMQP on {addresses}")


def guest_from_a_container(told: Administered, worker_url: str, needed: bool) -> Finding:
    """Judge the user of the workers: RabbitMQ lets `guest` in from its own host only (loopback_users).

    Args:
        worker_url: The broker as the workers in containers see it.
        needed: As of `listeners`.
    """
    user = user_of(worker_url)
    if needed and user in told.loopback_users:
        cause = f"the workers log in as {user} from containers, and RabbitMQ lets {user} in from its own host only"
        return failed("guest from a container", cause, "./setup.sh makes users; or WORKER_BROKER_URL=amqp://USER:...")
    return good("guest from a container", f"the workers' user is {user}" if needed else "no worker is in a container")


def one_virtual_host(vhost: str, worker_url: str, contained: bool) -> Finding:
    """Judge whether containers consume on the virtual host to which this command publishes.

    Args:
        contained: Whether there are containers of workers at all.
    """
    theirs = unquote(urlsplit(worker_url).path[1:]) or "/"
    if not contained:
        return good("one virtual host", "no worker is in a container")
    if theirs != vhost:
        cause = f"BROKER_URL leads to the virtual host {vhost}, WORKER_BROKER_URL to {theirs}: no worker gets a task"
        return failed("one virtual host", cause, "make them the same in .env; then docker compose up --detach --wait")
    return good("one virtual host", f"workers and dispatcher meet on {vhost}")


#: The checks for which Docker has to say whether there are containers, by name.
OF_CONTAINERS = ("listeners", "guest from a container", "one virtual host")
#: The checks that only an administrator can carry out, by name, beside permissions of other users than ours.
ADMINISTRATORS = (*OF_CONTAINERS, "consumer_timeout")
