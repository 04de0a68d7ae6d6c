"""The product's workers on tasks that do nothing: what remains is the cost of the way there and back."""

from __future__ import annotations

import os

from celery import Celery

from harness.model.topology import WorkerSpec
from worker import publishing, settings
from worker.topology import task_queue

QUEUES = ("noop_1", "noop_2")  # the task of a queue has its name
WORKERS = tuple(WorkerSpec(service=f"worker-{queue}", queue=queue) for queue in QUEUES)


def noop() -> None:
    pass


def noop_celery(broker_url: str) -> Celery:
    """Return an app of such tasks."""
    made = Celery("noop_app", amqp=publishing.ConfirmedAMQP)
    settings.apply(made, broker_url)
    made.conf.task_routes = {queue: {"queue": queue} for queue in QUEUES}
    made.conf.task_queues = [task_queue(queue) for queue in QUEUES]
    for queue in QUEUES:
        made.task(noop, name=queue, shared=False)
    return made


app = noop_celery(os.environ["BROKER_URL"])
