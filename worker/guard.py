"""Decides whether a task may run where it arrived: on its own queue or not at all."""

from __future__ import annotations

from celery import Celery
from celery.exceptions import NotRegistered, QueueNotFound


class WrongQueue(Exception):
    """A task arrived on a queue that is not its own; it was not executed."""


class Guard:
    """Compares the queue that delivered a task with the one the app routes it to."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._own: dict[str, str | None] = {}

    def own_queue(self, task: str) -> str | None:
        """Return the queue that the app's router gives `task`; None where it gives none."""
        if task not in self._own:
            try:
                self._own[task] = self._app.amqp.router.route({}, task)["queue"].name
            except (QueueNotFound, KeyError):
                self._own[task] = None
        return self._own[task]

    def refusal(self, task: str, queue: str | None) -> Exception | None:
        """Return why `task` may not run from `queue`, or None where it may.

        Args:
            queue: None where the transport does not tell; then only an unregistered task is refused.
        """
        if task not in self._app.tasks:
            unknown: Exception = NotRegistered(task)
            return unknown
        own = self.own_queue(task)
        if queue is None or own == queue:
            return None
        if own is None:
            return WrongQueue(f"{task} is routed to no queue, and arrived on {queue}")
        return WrongQueue(f"{task} belongs to {own}, and arrived on {queue}")
