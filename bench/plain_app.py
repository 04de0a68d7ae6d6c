"""The rival: plain Celery with confirmed publishing, stock results and consumer, on queues with the same arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping

from celery import Celery

from harness.model.topology import WorkerSpec
from worker.topology import task_queue

QUEUES = ("plain_1", "plain_2")  # the task of a queue has its name
WORKERS = tuple(WorkerSpec(service=f"worker-{queue}", queue=queue) for queue in QUEUES)


def noop(**_: object) -> None:
    pass


def plain_celery(routes: Mapping[str, str], *, confirmed: bool) -> Celery:
    """Return an app that knows no more than which task goes to which queue.

    Args:
        confirmed: Publish with `confirm_publish`; without it, Celery's default, nothing says that a message arrived.
    """
    app = Celery("plain_app", broker=os.environ["BROKER_URL"], backend="rpc://", set_as_current=False)
    app.conf.task_routes = {task: {"queue": queue} for task, queue in routes.items()}
    app.conf.task_queues = [task_queue(queue) for queue in routes.values()]
    app.conf.broker_transport_options = {"confirm_publish": confirmed}
    app.conf.broker_connection_retry_on_startup = True
    for task in routes:
        if task not in app.tasks:  # celery_app's are there: a Celery app shares its tasks with those made after it
            app.task(noop, name=task, shared=False)
    return app


app = plain_celery({queue: queue for queue in QUEUES}, confirmed=True)
