"""A task consumer that dead-letters what Celery's own would lose, crash on or run in the wrong place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from celery.app.task import Context
from celery.worker.consumer import Consumer
from vine import promise

from worker.envelope import unseal
from worker.evidence import CONSUMED_QUEUE
from worker.guard import Guard
from worker.logs import about

logger = logging.getLogger(__name__)

#: How long the broker may take to accept an event, in seconds.
EVENT_TIMEOUT_S = 5.0


class TrustedConsumer(Consumer):
    """Celery's consumer, with four of its answers changed, and its events bounded.

    Celery 5.7 acknowledges a body that it cannot decode, so the message is gone (`Consumer.on_decode_error`);
    a body such as `[1]` or a message without an `id` raises out of its event loop, which ends the worker,
    and then its replacement (`Request.__init__`); and it runs a task from whichever queue it came. Here all
    of these are rejected without requeueing: the broker moves them to the queue's dead letters. A remote control
    command that cannot be decoded costs Celery the connection, and each task that runs a second run; here a line
    in the log.

    Events are sent where `worker_send_task_events` or `-E` asks for them. A node that sends any sends heartbeats too,
    whatever its command line says: who listens takes one without them for a node that is gone.
    """

    def __init__(self, *args: Any, worker_options: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        options = dict(worker_options or {})
        if kwargs.get("task_events"):
            options["without_heartbeat"] = False
        super().__init__(*args, worker_options=options, **kwargs)
        self._guard = Guard(self.app)

    def connection_for_write(self, url: str | None = None, heartbeat: float | None = None) -> Any:
        """Return the connection that events are sent on, which is all that Celery 5.7 uses this for.

        Not confirmed, and bounded in time: the event loop must not wait for what perhaps nobody reads.
        """
        options = {"confirm_publish": False, "write_timeout": EVENT_TIMEOUT_S}
        made = self.app.connection_for_write(url=url, heartbeat=heartbeat, transport_options=options)
        return self.ensure_connected(made)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        if message.delivery_info.get("consumer_tag") in (message.channel.no_ack_consumers or ()):
            # a remote control command, of which the broker wants to hear nothing more: kombu would reject it, RabbitMQ
            # close the channel (406, unknown delivery tag), and Celery every connection, with all that runs
            reason = f"{type(exc).__name__}: {exc}"
            logger.error("undecodable remote control command, dropped", extra={"reason": reason})
            return
        self._reject(message, "undecodable message", exc)

    def create_task_handler(self, promise: Any = promise) -> Callable[[Any], None]:
        handle = super().create_task_handler(promise)

        def on_task_received(message: Any) -> None:
            queue = self._queue_of(message)
            if queue is not None:
                message.headers[CONSUMED_QUEUE] = queue
            try:
                said = unseal(message)
                if queue is not None:
                    said[CONSUMED_QUEUE] = queue
                with about(said, self.hostname):
                    if self._admits(message, said, queue):
                        handle(message)
            except (*self.connection_errors, *self.channel_errors):
                raise  # the connection's trouble, not the message's: Celery reconnects
            except Exception as exc:
                with about(message.headers, self.hostname):
                    self._reject(message, "malformed message", exc)

        return on_task_received

    def _admits(self, message: Any, said: Mapping[str, Any], queue: str | None) -> bool:
        """Return whether the task may run here; where not, reject the message and tell whoever waits for the result."""
        refusal = self._guard.refusal(said["task"], queue)
        if refusal is None:
            return True
        self._reject(message, "task refused", refusal)
        request = Context(
            {
                **said,
                "reply_to": message.properties.get("reply_to"),
                "correlation_id": message.properties.get("correlation_id"),
                "hostname": self.hostname,
                "delivery_info": message.delivery_info,
            }
        )
        self.app.backend.mark_as_failure(said["id"], refusal, request=request)
        return False

    def _queue_of(self, message: Any) -> str | None:
        """Return the queue whose consumer got this: the consumer tag is ours, the routing key the publisher's."""
        tag = message.delivery_info.get("consumer_tag")
        for queue, active in self.task_consumer._active_tags.items():
            if active == tag:
                return str(queue)
        return None

    def _reject(self, message: Any, what: str, exc: Exception) -> None:
        logger.error(what + ", rejected to the dead letters", extra={"reason": f"{type(exc).__name__}: {exc}"})
        if not message.acknowledged:
            message.reject_log_error(logger, self.connection_errors)
