"""The system under test: the app, its queues and routes, its retry policy, task_a and task_b."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Any

from celery import Celery, Task
from kombu import Queue

# All of worker/ is imported here and now: the celery command takes the working directory off sys.path
# once the app is loaded, so a module that Celery only knows by name could not be imported later.
from worker import control, logs, publishing, settings
from worker.evidence import evidence
from worker.topology import task_queue

#: Which queue each task belongs to. The one place where these names are written.
ROUTES = {
    "task_a": "queue_a",
    "task_b": "queue_b",
}

BROKER_URL = os.environ.get("BROKER_URL") or "pyamqp://guest@localhost//"


class TransientError(Exception):
    """A failure that another attempt may not meet, as of a service that is briefly away."""


#: Real Celery settings: `task_max_retries` and `task_retry_backoff` are none, and silently ignored.
RETRY_POLICY: dict[str, Any] = {
    "autoretry_for": (TransientError,),
    "max_retries": 3,
    "retry_backoff": 1,  # seconds: 1, 2, 4
    "retry_backoff_max": 8,
    "retry_jitter": True,  # each wait is drawn up to its backoff, in whole seconds, and is at least 1
    "default_retry_delay": 1,  # after a pool process died; Celery's default is three minutes
}

app = Celery("celery_app", amqp=publishing.ConfirmedAMQP)
settings.apply(app, BROKER_URL)
app.conf.task_routes = {task: {"queue": queue} for task, queue in ROUTES.items()}
app.conf.task_queues = [
    Queue(queue, routing_key=queue) if BROKER_URL.startswith("filesystem://") else task_queue(queue)
    for queue in sorted(set(ROUTES.values()))
]


def work(task: Task, message: str, work_s: float, fail_times: int) -> dict[str, Any]:
    """Sleep for `work_s` seconds and return the evidence of this execution.

    Args:
        work_s: Simulated work, in seconds; 0 or more.
        fail_times: Fail the first so many attempts with a `TransientError`.
    """
    started_at = datetime.now(UTC)
    start = time.perf_counter()
    if work_s:
        time.sleep(work_s)
    seen = evidence(task.request)
    if seen["attempt"] <= fail_times:
        raise TransientError(f"attempt {seen['attempt']} of the {fail_times} that were told to fail")
    return {
        "message": message,
        "task": task.name,
        "task_id": task.request.id,
        "worker": str(seen["node"]).partition("@")[0],
        "node": seen["node"],
        "queue": seen["queue"],
        "attempt": seen["attempt"],
        "retries": seen["retries"],
        "redelivered": seen["redelivered"],
        "execution_time": round(time.perf_counter() - start, 6),
        "started_at": started_at.isoformat(),
        "timestamp": datetime.now(UTC).isoformat(),
    }


@app.task(bind=True, name="task_a", **RETRY_POLICY)
def task_a(self: Task, work_s: float = 0.5, fail_times: int = 0) -> dict[str, Any]:
    return work(self, "Hello from Task A", work_s, fail_times)


@app.task(bind=True, name="task_b", **RETRY_POLICY)
def task_b(self: Task, work_s: float = 0.7, fail_times: int = 0) -> dict[str, Any]:
    return work(self, "Hello from Task B", work_s, fail_times)


__all__ = ["BROKER_URL", "ROUTES", "app", "control", "logs"]
