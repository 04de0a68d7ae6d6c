"""A task consumer that dead-letters what Celery's own would lose, crash on or run in the wrong place."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from celery.worker.consumer import Consumer
from vine import promise

from worker.evidence import CONSUMED_QUEUE
from worker.guard import Guard, WrongQueue

logger = logging.getLogger(__name__)


class TrustedConsumer(Consumer):
    """Celery's consumer, with three of its answers changed.

    Celery 5.7 acknowledges a body that it cannot decode, so the message is gone (`Consumer.on_decode_error`);
    a body such as `[1]` or a message without an `id` raises out of its event loop, which ends the worker,
    and then its replacement (`Request.__init__`); and it runs a task from whichever queue it came. Here all
    of these are rejected without requeueing: the broker moves them to the queue's dead letters.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = Guard(self.app)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._reject(message, "undecodable message", exc)

    def create_task_handler(self, promise: Any = promise) -> Callable[[Any], None]:
        handle = super().create_task_handler(promise)

        def on_task_received(message: Any) -> None:
            try:
                if self._admits(message):
                    handle(message)
            except (*self.connection_errors, *self.channel_errors):
                raise  # the connection's trouble, not the message's: Celery reconnects
            except Exception as exc:
                self._reject(message, "malformed message", exc)

        return on_task_received

    def _admits(self, message: Any) -> bool:
        """Note on the message whose consumer received it, and reject it where the guard refuses it."""
        queue = self._queue_of(message)
        if queue is None:
            return True  # a virtual transport names no consumer: there is nothing to compare with
        headers = message.headers
        headers[CONSUMED_QUEUE] = queue
        task = headers.get("task") or message.payload["task"]  # the second is protocol 1
        if task not in self.app.tasks:
            return True  # Celery's own answer: a NotRegistered result and a reject
        reason = self._guard.refusal(task, queue)
        if reason is None:
            return True
        self._reject(message, "wrong queue", WrongQueue(reason))
        self._report_refusal(message, WrongQueue(reason))
        return False

    def _queue_of(self, message: Any) -> str | None:
        """Return the queue whose consumer got this: the consumer tag is ours, the routing key the publisher's."""
        tag = message.delivery_info.get("consumer_tag")
        for queue, active in self.task_consumer._active_tags.items():
            if active == tag:
                return str(queue)
        return None

    def _report_refusal(self, message: Any, exc: WrongQueue) -> None:
        """Tell whoever waits for the result, as Celery does for an unregistered task."""
        headers, properties = message.headers, message.properties
        request = SimpleNamespace(
            reply_to=properties.get("reply_to"),
            correlation_id=properties.get("correlation_id"),
            hostname=self.hostname,
            retries=headers.get("retries") or 0,
            delivery_info=message.delivery_info,
            consumed_queue=headers[CONSUMED_QUEUE],
            errbacks=None,
            chord=None,
            root_id=headers.get("root_id"),
        )
        self.app.backend.mark_as_failure(headers["id"], exc, request=request)

    def _reject(self, message: Any, what: str, exc: Exception) -> None:
        headers = message.headers if isinstance(message.headers, dict) else {}
        logger.error(
            what + ", rejected to the dead letters",
            extra={
                "task_id": headers.get("id"),
                "task": headers.get("task"),
                "queue": headers.get(CONSUMED_QUEUE),
                "node": self.hostname,
                "reason": f"{type(exc).__name__}: {exc}",
            },
        )
        if not message.acknowledged:
            message.reject_log_error(logger, self.connection_errors)
