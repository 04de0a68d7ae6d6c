"""The result backend: a final state is confirmed by the broker before the task is acknowledged."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from typing import Any

from amqp.exceptions import ChannelError, MessageNacked
from celery import states
from celery._state import get_current_task
from celery.backends.rpc import RPCBackend
from celery.signals import worker_init
from kombu import Producer

from worker.evidence import evidence
from worker.topology import RESULTS_DEAD

logger = logging.getLogger(__name__)

#: How long one publish, and its confirm, may take, in seconds.
PUBLISH_TIMEOUT_S = 5.0
#: The wait between two tries while the broker is away grows to this, in seconds.
MAX_BACKOFF_S = 2.0

_in_worker = False


@worker_init.connect
def _note_worker(**_: object) -> None:
    global _in_worker
    _in_worker = True  # the pool's children inherit it


class ConfirmedRPC(RPCBackend):
    """Celery's `rpc://`, with results that are not lost and a worker that is never wedged by one.

    Three kinds of publish:
    - a final state, from the process that executes the task: mandatory and confirmed; an outage is waited
      out, since the task is acknowledged only after this returns. Where the reply queue is gone nobody
      waits: one more try, then `results.dead`;
    - a final state from the worker's main process (a task that timed out, was revoked or whose process died): the same,
      tried once, because waiting here would stop the consumer;
    - STARTED and RETRY: one publish, neither mandatory nor confirmed; losing one costs a line in a timeline.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._local = threading.local()  # a connection serves one thread of one process

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Declare the caller's reply queue; a worker that publishes a retry is no caller."""
        if not _in_worker:
            super().on_task_call(producer, task_id)

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
        try:
            self._producer(confirmed=False).publish(
                meta, routing_key=reply_to, timeout=PUBLISH_TIMEOUT_S, **properties
            )
        except self._outages as exc:
            self._disconnect()
            logger.warning("state not published", extra={"state": meta["status"], "reason": repr(exc)})

    def _publish_confirmed(
        self, meta: dict[str, Any], reply_to: str, properties: dict[str, Any], *, patient: bool
    ) -> None:
        destinations = itertools.chain([reply_to, reply_to], [RESULTS_DEAD.name])
        destination = next(destinations)
        backoff_s = 0.1
        while True:
            try:
                self._producer(confirmed=True).publish(
                    meta,
                    routing_key=destination,
                    mandatory=True,
                    timeout=PUBLISH_TIMEOUT_S,
                    confirm_timeout=PUBLISH_TIMEOUT_S,
                    **properties,
                )
                return
            except MessageNacked as exc:  # a ChannelError too, but the queue is there: an outage
                reason: Exception = exc
            except ChannelError as exc:  # 312 NO_ROUTE: the reply queue is gone
                self._disconnect()  # the confirm of the returned message is still under way on this channel
                following = next(destinations, None)
                if following is None:
                    logger.error("result not published: no queue takes it", extra={"reason": repr(exc)})
                    return
                destination = following
                continue
            except self._outages as exc:
                reason = exc
            self._disconnect()
            if not patient:
                logger.error("result not published", extra={"state": meta["status"], "reason": repr(reason)})
                return
            logger.warning("result waits for the broker", extra={"reason": repr(reason)})
            time.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)

    @property
    def _outages(self) -> tuple[type[BaseException], ...]:
        connection = self.app.connection_for_write()
        return (*connection.connection_errors, *connection.channel_errors, OSError)

    def _producer(self, *, confirmed: bool) -> Producer:
        """Return this thread's producer, on a connection of this process: a forked one is the parent's."""
        if getattr(self._local, "pid", None) != os.getpid():
            connection = self.app.connection_for_write(connect_timeout=PUBLISH_TIMEOUT_S)
            connection.connect()
            quick = connection.channel()
            if hasattr(quick, "basic_publish_confirm"):
                # `confirm_publish` makes every publish of a py-amqp channel wait: undone for this one channel
                quick.basic_publish = quick._basic_publish
            self._local.producers = {True: Producer(connection.channel()), False: Producer(quick)}
            self._local.connection = connection
            self._local.pid = os.getpid()
        producer: Producer = self._local.producers[confirmed]
        return producer

    def _disconnect(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None and self._local.pid == os.getpid():
            connection.collect()  # close without waiting for a broker that may be gone
        self._local.pid = self._local.connection = None
