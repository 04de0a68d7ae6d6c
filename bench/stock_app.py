"""Celery as it comes: classic queues, early acknowledgements, publishing and results that nobody confirms."""

from __future__ import annotations

import os

from celery import Celery
from kombu import Queue

from bench.plain_app import noop
from harness.model.topology import WorkerSpec

QUEUES = ("stock_1", "stock_2")  # the task of a queue has its name
WORKERS = tuple(WorkerSpec(service=f"worker-{queue}", queue=queue) for queue in QUEUES)

app = Celery("stock_app", broker=os.environ["BROKER_URL"], backend="rpc://", set_as_current=False)
app.conf.task_routes = {queue: {"queue": queue} for queue in QUEUES}
app.conf.task_queues = [Queue(queue) for queue in QUEUES]
app.conf.broker_connection_retry_on_startup = True
for queue in QUEUES:
    app.task(noop, name=queue, shared=False)
