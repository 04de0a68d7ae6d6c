"""The result backend: a final state is confirmed by the broker before the task is acknowledged."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
#: STARTED is published once a task has run this long, in seconds: the state that ends a shorter one tells its start.
TELLING_S = 0.02


class ConfirmedRPC(RPCBackend):
    """Celery's `rpc://`, with results that are not lost and a worker that is never wedged by one.

    Three kinds of publish:
    - a final state, from the process that executes the task: mandatory and confirmed; an outage is waited
      out, since the task is acknowledged only after this returns. Where the reply queue is gone nobody
      waits: one more try, then `results.dead`;
    - a final state from the worker's main process (a task that timed out, was revoked or whose process died): the same,
      without waiting, because that would stop the consumer;
    - STARTED and RETRY: one publish, neither mandatory nor confirmed; losing one costs a line in a timeline.
      STARTED is held back for `TELLING_S`: each is a message to a replicated queue, and every later state says
      when its attempt began.

    A connection that was used before may have died unnoticed since, so what fails on one is tried on a new one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._local = threading.local()  # a connection serves one thread of one process
        self._teller: _Teller | None = None

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
        outbox = self._outbox()
        if state == states.STARTED:
            self._tell_later(outbox, lambda: self._publish_once(outbox, meta, reply_to, properties))
            return result
        with outbox.taken():
            if state not in states.READY_STATES:
                self._publish_once(outbox, meta, reply_to, properties)
            else:
                # a current task means that this process executes it; the main process has none
                patient = get_current_task() is not None
                self._publish_confirmed(outbox, meta, reply_to, properties, patient=patient)
        return result

    def _publish_once(self, outbox: _Outbox, meta: dict[str, Any], reply_to: str, properties: dict[str, Any]) -> None:
        used = outbox.link is not None
        try:
            outbox.connected(self.app).publish(meta, reply_to, properties, mandatory=False)
        except self._outages as exc:
            outbox.disconnect()
            if used:
                return self._publish_once(outbox, meta, reply_to, properties)
            logger.warning("state not published", extra={"state": meta["status"], "reason": repr(exc)})

    def _publish_confirmed(
        self, outbox: _Outbox, meta: dict[str, Any], reply_to: str, properties: dict[str, Any], *, patient: bool
    ) -> None:
        destinations = iter([reply_to, reply_to, RESULTS_DEAD.name])
        destination: str | None = next(destinations)
        backoff_s = 0.1
        while destination is not None:
            used = outbox.link is not None
            try:
                link = outbox.connected(self.app)
                link.publish(meta, destination, properties, mandatory=True)
                if link.confirmed():
                    return
                destination = next(destinations, None)  # no such queue: nobody waits there
                continue
            except self._outages as exc:
                outbox.disconnect()
                meta["evidence"]["repeated"] = True  # the broker may have this one: what was lost can be its confirm
                if used:
                    continue
                if not patient:
                    logger.error("result not published", extra={"state": meta["status"], "reason": repr(exc)})
                    return
                logger.warning("result waits for the broker", extra={"reason": repr(exc)})
            time.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)
        logger.error("result not published: no queue takes it", extra={"state": meta["status"]})

    def _outbox(self) -> _Outbox:
        """Return this thread's way out, made in this process: a forked one's connection is the parent's."""
        outbox: _Outbox | None = getattr(self._local, "outbox", None)
        if outbox is None or outbox.pid != os.getpid():
            self._local.outbox = outbox = _Outbox()
        return outbox

    def _tell_later(self, outbox: _Outbox, tell: Callable[[], None]) -> None:
        if self._teller is None or self._teller.pid != os.getpid():
            self._teller = _Teller()
        self._teller.hold(outbox, tell)

    @property
    def _outages(self) -> tuple[type[BaseException], ...]:
        connection = self.app.connection_for_write()
        return (*connection.connection_errors, *connection.channel_errors, MessageNacked, OSError)


class _Outbox:
    """What one thread of one process publishes through: its connection, and the STARTED that is held back."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.link: _Link | None = None
        self.held: Callable[[], None] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Publish alone, and what was held back no more: what is published now says it too."""
        with self._lock:
            self.held = None
            yield

    def tell(self, held: Callable[[], None]) -> None:
        """Publish `held`, unless its task has said more by now."""
        with self._lock:
            if self.held is held:
                self.held = None
                held()

    def connected(self, app: Celery) -> _Link:
        if self.link is None:
            self.link = _Link(app)
        return self.link

    def disconnect(self) -> None:
        if self.link is not None:
            self.link.abandon()
        self.link = None


class _Teller:
    """The thread that publishes STARTED for the tasks that still run after `TELLING_S`.

    It is woken only where it has nothing in hand: tasks shorter than `TELLING_S`, one after the other, cost a
    wake-up every `TELLING_S` and not one each.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._held: deque[tuple[float, _Outbox, Callable[[], None]]] = deque()
        self._wake = threading.Semaphore(0)
        threading.Thread(target=self._run, name="tells-started", daemon=True).start()

    def hold(self, outbox: _Outbox, tell: Callable[[], None]) -> None:
        outbox.held = tell
        self._held.append((time.monotonic() + TELLING_S, outbox, tell))
        if len(self._held) == 1:
            self._wake.release()

    def _run(self) -> None:
        while True:
            while self._held:
                due, outbox, tell = self._held[0]
                if outbox.held is tell:
                    time.sleep(max(due - time.monotonic(), 0))
                    outbox.tell(tell)
                self._held.popleft()
            self._wake.acquire()


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
