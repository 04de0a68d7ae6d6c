"""The courier's connection to one of kombu's virtual transports, for the embedded mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from celery import Celery
from kombu import Consumer, Exchange, Producer, Queue

from harness.link import Callbacks, Destination, text_of


class VirtualLink(Callbacks):
    """One of kombu's virtual transports (embedded mode): the same talk, without confirms and redelivery."""

    confirms = False

    def __init__(
        self, app: Celery, reply_queue: str, reply_ttl_s: float, expires_s: float, url: str | None = None
    ) -> None:
        super().__init__()
        self._connection = app.connection_for_write(url)
        self._reply_queue = reply_queue
        self.outages = (*self._connection.connection_errors, *self._connection.channel_errors)
        self.unconfirmed = 0
        self.unsettled = 0

    def open(self, destinations: Iterable[Destination] = ()) -> None:
        channel = self._connection.channel()
        self._producer = Producer(channel)
        queue = Queue(self._reply_queue, Exchange(""), routing_key=self._reply_queue, durable=False)
        self._consumer = Consumer(channel, [queue], callbacks=[self._on_body], no_ack=True, accept=["json"])
        self._consumer.consume()

    def reopen(self) -> None:
        self.open()

    def renew(self) -> None:
        raise NotImplementedError("these transports refuse nothing")

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def publish(self, task_id: str, headers: dict[str, Any], body: bytes, destination: Destination) -> None:
        self._producer.publish(
            body,
            headers=headers,
            content_type="application/json",
            content_encoding="utf-8",
            exchange=destination.exchange,
            routing_key=destination.routing_key,
            correlation_id=task_id,
            reply_to=self._reply_queue,
        )

    def drain(self, timeout_s: float) -> None:
        try:
            self._connection.drain_events(timeout=max(timeout_s, 0.001))
        except TimeoutError:
            return

    def settle(self) -> None:
        pass

    def known(self, meta: Mapping[str, Any]) -> None:
        pass

    def claim(self, meta: Mapping[str, Any], body: str) -> bool:
        raise NotImplementedError("these transports have one way")

    def close(self, *, delete_replies: bool) -> None:
        self.abandon()

    def abandon(self) -> None:
        self._connection.release()

    def _on_body(self, meta: Any, message: Any) -> None:
        if isinstance(meta, dict):
            self.on_reply(meta, text_of(message.body))
