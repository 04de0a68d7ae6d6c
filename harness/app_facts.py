"""What a Celery app says of its own tasks: where it routes them, and how it retries them."""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery
from celery.exceptions import QueueNotFound

from harness.errors import ConfigError
from harness.expected import RetryPolicy
from harness.model.scenario import TaskSpec
from harness.model.topology import Route


def registered(app: Celery) -> list[str]:
    """Return the names of the app's tasks, without Celery's own."""
    return sorted(name for name in app.tasks if not name.startswith("celery."))


def route(app: Celery, task: str) -> Route | None:
    """Return where the app's router sends `task`; None where it sends it nowhere."""
    try:
        routed = app.amqp.router.route({}, task)
        queue = routed["queue"]
    except (QueueNotFound, KeyError):
        return None
    return Route(
        exchange=queue.exchange.name, routing_key=routed.get("routing_key") or queue.routing_key, queue=queue.name
    )


def routes(app: Celery) -> dict[str, Route | None]:
    """Return the route of every registered task."""
    return {task: route(app, task) for task in registered(app)}


def task_queues(app: Celery) -> dict[str, list[str]]:
    """Return every queue that the app declares or routes a task to, each with the tasks that are routed there."""
    found = routes(app)  # first: where the app makes missing queues, a route to one adds it to the declared
    queues: dict[str, list[str]] = {name: [] for name in app.amqp.queues}
    for task, to in found.items():
        if to is not None:
            queues.setdefault(to.queue, []).append(task)
    return queues


def declared_queue(app: Celery, spec: TaskSpec) -> str:
    """Return the queue that a task belongs to; one that the app does not know belongs where it is published.

    Raises:
        ConfigError: The app routes it nowhere, and the scenario names no queue.
    """
    found = route(app, spec.task)
    if found is not None:
        return found.queue
    if spec.queue is not None:
        return spec.queue
    raise ConfigError(
        f"task {spec.task!r} is routed to no queue",
        why=f"the app knows: {', '.join(registered(app))}",
        fix="see task_routes in celery_app.py",
    )


def declared_queues(app: Celery, tasks: Sequence[TaskSpec]) -> dict[str, str]:
    """Return the queue of every task of a scenario, by name; raises as `declared_queue`."""
    return {spec.task: declared_queue(app, spec) for spec in tasks}


def retry_policies(app: Celery, tasks: Sequence[TaskSpec]) -> dict[str, RetryPolicy]:
    """Return the retry settings of a scenario's tasks, those that the app knows.

    What `retry_kwargs` says is said to `Task.retry`, so it goes before the attributes of the task; its countdown is not
    used beside a backoff (`celery.app.autoretry`).
    """
    policies = {}
    for name in {spec.task for spec in tasks} & set(app.tasks):
        task = app.tasks[name]
        said = getattr(task, "retry_kwargs", {}) if getattr(task, "autoretry_for", ()) else {}
        max_retries, countdown_s = said.get("max_retries"), said.get("countdown")
        policies[name] = RetryPolicy(
            max_retries=task.max_retries if max_retries is None else max_retries,
            backoff_s=float(getattr(task, "retry_backoff", False)),
            backoff_max_s=float(getattr(task, "retry_backoff_max", 600)),
            jitter=bool(getattr(task, "retry_jitter", True)),
            delay_s=float(task.default_retry_delay if countdown_s is None else countdown_s),
        )
    return policies
