"""The queues, exchanges and dead letters of the app, declared before the first consumer starts."""

from __future__ import annotations

import logging
import time
from typing import Any

from amqp.exceptions import ChannelError
from celery import bootsteps
from celery.worker.consumer.connection import Connection
from celery.worker.consumer.delayed_delivery import DelayedDelivery
from celery.worker.consumer.tasks import Tasks
from kombu import Exchange, Queue

logger = logging.getLogger(__name__)

#: Topic, because native delayed delivery (a retry's wait) binds patterns, which a direct exchange cannot match.
TASKS = Exchange("tasks", type="topic", durable=True)

#: Where rejected, expired and too often delivered messages go, by the routing key `<queue>.dead`.
DEAD = Exchange("dead", type="direct", durable=True)

#: What is looked at in a queue goes back to it, which counts as a failed delivery. RabbitMQ 4 drops a message at
#: the 21st, unless the queue says otherwise; 3.10 has no limit then. The value that RabbitMQ 4 documents for none, -1,
#: is accepted by 3.10 and drops it at the first [tried on 3.10.8 and 4.0.5]. So: the largest that both understand.
NEVER_DROPPED = 2**31 - 1

#: Results that nobody waits for any more. Kept a day and bounded: a script that never reads its
#: results must fill neither the broker's disk nor block a worker.
RESULTS_DEAD = Queue(
    "results.dead",
    exchange=DEAD,
    routing_key="results.dead",
    queue_arguments={
        "x-queue-type": "quorum",
        "x-message-ttl": 86_400_000,
        "x-max-length": 100_000,
        "x-delivery-limit": NEVER_DROPPED,
    },
)

#: A message that came back this often without an acknowledgement is dead-lettered at the next failure:
#: a limit of N gives N + 1 runs.
DELIVERY_LIMIT = 5

#: The wait after the broker refused a declaration, in seconds: nothing here can mend it, and Celery tries
#: again at once.
REFUSED_WAIT_S = 2.0


def dead_name(queue: str) -> str:
    """Return the name of the dead-letter queue of `queue`."""
    return f"{queue}.dead"


def task_queue(name: str) -> Queue:
    """Return a task queue that keeps what it is given: replicated, delivery-limited, with dead letters."""
    return Queue(
        name,
        exchange=TASKS,
        routing_key=name,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD.name,
            "x-dead-letter-routing-key": dead_name(name),
            # at least once, also between queue and dead letters; RabbitMQ requires reject-publish with it
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )


def dead_queue(queue: str) -> Queue:
    """Return the queue that holds the dead letters of `queue`."""
    return Queue(
        dead_name(queue),
        exchange=DEAD,
        routing_key=dead_name(queue),
        queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": NEVER_DROPPED},
    )


def all_queues(queues: list[Queue]) -> list[Queue]:
    """Return the dead letters of `queues`, the queue for unread results, and `queues`, in this order."""
    return [*(dead_queue(queue.name) for queue in queues), RESULTS_DEAD, *queues]


def declare(channel: Any, queues: list[Queue]) -> None:
    """Declare `queues`, their dead letters and the queue for unread results; what exists stays as it is."""
    for queue in all_queues(queues):
        queue.bind(channel).declare()


class Topology(bootsteps.StartStopStep):
    """Consumer step: declare every queue of the app, not only the one this worker consumes.

    Celery binds *all* queues to the delayed-delivery exchange at start and gives that up when one is missing,
    so the worker that happens to start first has to declare them all.
    """

    requires = (Connection,)

    def start(self, c: Any) -> None:
        if c.connection.transport.driver_type != "amqp":
            return  # kombu's virtual transports have neither quorum queues nor dead letters
        try:
            with c.connection.channel() as channel:
                declare(channel, list(c.app.amqp.queues.values()))
        except ChannelError as exc:  # 406 where a queue exists with other arguments, 403 without permission
            logger.error("topology refused by the broker", extra={"reason": str(exc)})
            time.sleep(REFUSED_WAIT_S)
            raise
        logger.info("topology declared", extra={"queues": sorted(c.app.amqp.queues)})


# A consumer step can say what it needs before it, not what must come after it: so the step that starts
# consuming is told to wait for this one.
Tasks.requires = (*Tasks.requires, Topology)

# A URL of several hosts is one cluster here: what delayed delivery needs is declared once, on whichever host answers.
# Celery 5.7 declares it on each of them before it consumes again, and waits some 17 s for one that is down [tried].
DelayedDelivery._validate_broker_urls = lambda self, broker_urls: {broker_urls}
