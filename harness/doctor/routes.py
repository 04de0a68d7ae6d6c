"""Checks of the configuration: tasks that are routed to a queue that is not there, routes that are no task's."""

from __future__ import annotations

from celery import Celery
from celery.app.routes import MapRoute
from celery.exceptions import QueueNotFound

from harness.app_facts import registered
from harness.finding import Finding, Level, Problem, judged
from harness.spelling import hint


def declared(app: Celery) -> Finding:
    """Judge whether each task is routed to a queue that the app declares: publishing it fails otherwise.

    With `task_create_missing_queues`, Celery's default, the app makes any queue, and `topology.consumers` finds it.
    """
    problems: list[Problem] = []
    for task in registered(app):
        try:
            app.amqp.router.route({}, task)
        except QueueNotFound as exc:
            fix = f"a queue of that name in task_queues, or a route of {task} to one of: {', '.join(app.amqp.queues)}"
            problems.append((f"{task} cannot be published: {exc.args[0]}", fix))
    return judged("routes", problems, "each task is routed to a queue that the app declares")


def known(app: Celery) -> Finding:
    """Judge whether each name in `task_routes` is a task's. Another app's is none here: a warning, not a mistake."""
    problems: list[Problem] = []
    for router in app.amqp.routes:
        if not isinstance(router, MapRoute):
            continue  # a function or a class: what it routes, only it knows
        problems += [
            (f"{name} is routed, and no task has that name{hint(name, registered(app))}", f"rename or remove {name}")
            for name in router.map
            if name not in app.tasks
        ]
        problems += [
            (f"what matches {pattern.pattern} is routed, and no task does", "mend or remove that pattern")
            for pattern in router.patterns
            if not any(map(pattern.match, app.tasks))
        ]
    return judged("routed tasks", problems, "each name in task_routes is a task's", Level.WARNING)
