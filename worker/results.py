"""The result backend: a final state is confirmed by the broker before the task is acknowledged."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any

from amqp.exceptions import MessageNacked
from celery import Celery, states
from celery._state import get_current_task
from celery.backends.rpc import RPCBackend
from kombu import Producer

from worker.evidence import evidence
from worker.topology import RESULTS_DEAD

logger = logging.getLogger(__name__)

#: How long one publish, and its confirm, may take, in seconds.
PUBLISH_TIMEOUT_S = 5.0
#: The wait between two tries while the broker is away grows to this, in seconds.
MAX_BACKOFF_S = 2.0


class ConfirmedRPC(RPCBackend):
    """Celery's `rpc://`, with results that are not lost and a worker that is never wedged by one.

    Three kinds of publish:
    - a final state, from the process that executes the task: mandatory and confirmed; an outage is waited
      out, since the task is acknowledged only after this returns. Where the reply queue is gone nobody
      waits: one more try, then `results.dead`;
    - a final state from the worker's main process (a task that timed out, was revoked or whose process died): the same,
      without waiting, because that would stop the consumer;
    - STARTED and RETRY: one publish, neither mandatory nor confirmed; losing one costs a line in a timeline.

    A connection that was used before may have died unnoticed since, so what fails on one is tried on a new one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._local = threading.local()  # a connection serves one thread of one process

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        reply_to, correlation_id = self.destination_for(task_id, request)
        if not reply_to:
            return result
        if state == states.STARTED:
            request.started_at = time.time()
        meta = self._to_result(task_id, state, result, traceback, request)
        meta["evidence"] = evidence(request)
        properties = {
            "correlation_id": correlation_id,
            "serializer": self.serializer,
            "delivery_mode": 2,
        }
        if state not in states.READY_STATES:
            self._publish_once(meta, reply_to, properties)
        else:
            # a current task means that this process executes it; the main process has none
            self._publish_confirmed(meta, reply_to, properties, patient=get_current_task() is not None)
        return result

    def _publish_once(self, meta: dict[str, Any], reply_to: str, properties: dict[str, Any]) -> None:
        used = self._has_link()
        try:
            self._link().publish(meta, reply_to, properties, mandatory=False)
        except self._outages as exc:
            self._disconnect()
            if used:
                return self._publish_once(meta, reply_to, properties)
            logger.warning("state not published", extra={"state": meta["status"], "reason": repr(exc)})

    def _publish_confirmed(
        self, meta: dict[str, Any], reply_to: str, properties: dict[str, Any], *, patient: bool
    ) -> None:
        destinations = iter([reply_to, reply_to, RESULTS_DEAD.name])
        destination: str | None = next(destinations)
        backoff_s = 0.1
        while destination is not None:
            used = self._has_link()
            try:
                link = self._link()
                link.publish(meta, destination, properties, mandatory=True)
                if link.confirmed():
                    return
                destination = next(destinations, None)  # no such queue: nobody waits there
                continue
            except self._outages as exc:
                self._disconnect()
                if used:
                    continue
                if not patient:
                    logger.error("result not published", extra={"state": meta["status"], "reason": repr(exc)})
                    return
                logger.warning("result waits for the broker", extra={"reason": repr(exc)})
            time.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)
        logger.error("result not published: no queue takes it", extra={"state": meta["status"]})

    @property
    def _outages(self) -> tuple[type[BaseException], ...]:
        connection = self.app.connection_for_write()
        return (*connection.connection_errors, *connection.channel_errors, MessageNacked, OSError)

    def _has_link(self) -> bool:
        return getattr(self._local, "pid", None) == os.getpid()

    def _link(self) -> _Link:
        """Return this thread's connection, made in this process: a forked one is the parent's."""
        if not self._has_link():
            self._local.link = _Link(self.app)
            self._local.pid = os.getpid()
        link: _Link = self._local.link
        return link

    def _disconnect(self) -> None:
        if self._has_link():
            self._local.link.abandon()
        self._local.pid = self._local.link = None


class _Link:
    """One connection, one channel: so states of a task arrive in the order in which they were published.

    On a connection with `confirm_publish`, py-amqp waits after every publish for the next confirm, whichever
    it is. Here confirms are counted by delivery tag: STARTED does not wait, and a final state waits for its own.
    """

    def __init__(self, app: Celery) -> None:
        options = {**app.conf.broker_transport_options, "confirm_publish": False}
        self._connection = app.connection_for_write(connect_timeout=PUBLISH_TIMEOUT_S, transport_options=options)
        self._channel = self._connection.channel()
        self._producer = Producer(self._channel)
        self._published = 0  # the delivery tag of the last message
        self._waiting: set[int] = set()
        self._returned = self._refused = False
        self._confirms = self._connection.transport.driver_type == "amqp"
        if self._confirms:
            self._channel.confirm_select()
            self._channel.events["basic_ack"].add(self._on_ack)
            self._channel.events["basic_nack"].add(self._on_nack)
            self._channel.events["basic_return"].add(self._on_return)

    def publish(self, meta: dict[str, Any], queue: str, properties: dict[str, Any], *, mandatory: bool) -> None:
        self._returned = self._refused = False
        self._producer.publish(meta, routing_key=queue, mandatory=mandatory, timeout=PUBLISH_TIMEOUT_S, **properties)
        self._published += 1
        if self._confirms:
            self._waiting.add(self._published)

    def confirmed(self) -> bool:
        """Wait for the confirm of the last message; False where no queue took it.

        Raises:
            MessageNacked: The broker refused it.
            OSError: No answer within `PUBLISH_TIMEOUT_S`, or the connection is gone.
        """
        deadline = time.monotonic() + PUBLISH_TIMEOUT_S
        while self._published in self._waiting:
            self._connection.drain_events(timeout=max(deadline - time.monotonic(), 0.001))
        if self._refused:
            raise MessageNacked
        return not self._returned

    def abandon(self) -> None:
        """Close without waiting for a broker that may be gone."""
        self._connection.collect()

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._waiting = {waiting for waiting in self._waiting if waiting > tag} if multiple else self._waiting - {tag}

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refused = self._refused or tag == self._published or multiple
        self._on_ack(tag, multiple)

    def _on_return(self, *_: Any) -> None:
        self._returned = True  # arrives before the message's confirm
