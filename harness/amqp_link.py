"""The courier's connection to RabbitMQ: pipelined confirms, mandatory messages, a reply queue of the run's own."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from amqp import Message, spec
from celery import Celery

from harness.broker import SILENCE_S, dial
from harness.link import Callbacks, Destination, text_of
from harness.outgoing import Outgoing

#: How long a connection may take to come up, in seconds.
CONNECT_TIMEOUT_S = 4.0
#: How long a message may wait for the network to take it, in seconds.
WRITE_TIMEOUT_S = 5.0
#: States handled in one look at most, so that publishing has its turn.
LOOK_LIMIT = 512
#: Replies that the broker sends ahead of their acknowledgement.
REPLY_PREFETCH = 1000


class AmqpLink(Callbacks):
    """RabbitMQ: mandatory messages, confirms counted as they arrive, replies from a durable queue of the run's own.

    With `confirm_publish`, py-amqp waits for each confirm before the next publish (some 800 a second); its
    `basic_publish` also looks for `connection.blocked` each time. So the connection is made without the
    option, and messages are sent as frames: confirms and blocks are read where everything else is, in `drain`.
    """

    confirms = True

    def __init__(
        self, app: Celery, reply_queue: str, reply_ttl_s: float, expires_s: float, url: str | None = None
    ) -> None:
        super().__init__()
        self._app = app
        self._reply_queue = reply_queue
        self._reply_ttl_ms = int(reply_ttl_s * 1000)
        self._expiration_ms = str(int(expires_s * 1000))
        self._heartbeat_s = float(app.conf.broker_heartbeat or 0)
        options = {
            **app.conf.broker_transport_options,
            "confirm_publish": False,
            # a broker that stops reading, or owes an answer, must not hold the loop
            "write_timeout": WRITE_TIMEOUT_S,
            "read_timeout": SILENCE_S,
        }
        self._connection = app.connection_for_write(
            url, connect_timeout=CONNECT_TIMEOUT_S, transport_options=options, heartbeat=self._heartbeat_s
        )
        self.outages = (*self._connection.connection_errors, *self._connection.channel_errors, OSError)
        self._destinations: list[Destination] = []
        self._outgoing: dict[Destination, Outgoing] = {}
        # the last replies taken: all that the broker may send again, since an acknowledgement can get lost
        self._handled: dict[tuple[Any, ...], None] = {}
        self._reply_tag = self._settled_tag = 0  # the last reply taken, and the last one acknowledged
        self._beat_at = 0.0

    def open(self, destinations: Iterable[Destination]) -> None:
        """Connect, open a channel for each destination, declare and consume the reply queue."""
        self._destinations = list(destinations)
        dial(self._connection)
        self._amqp = self._connection.connection
        self._amqp.on_blocked = self._block
        self._amqp.on_unblocked = self._unblock
        self._outgoing = {where: Outgoing(self._amqp, where, self) for where in self._destinations}
        self._in = self._connection.channel()
        self._in.queue_declare(
            queue=self._reply_queue,
            durable=True,
            auto_delete=False,
            arguments={"x-queue-type": "quorum", "x-expires": self._reply_ttl_ms},
        )
        self._in.basic_qos(0, REPLY_PREFETCH, False)
        self._in.basic_consume(self._reply_queue, callback=self._on_message)

    def reopen(self) -> None:
        self._connection.collect()
        self._reply_tag = self._settled_tag = 0
        self.blocked = False
        self.open(self._destinations)

    def renew(self) -> None:
        """Publish on new channels from now on. Only while nothing is unconfirmed: confirms come on the old ones.

        RabbitMQ 3.10.8 answers `basic.nack` to all that is published on some channels that were opened while a queue
        of a cluster had no leader, for as long as the channel is open; on a new one it confirms.
        """
        for outgoing in self._outgoing.values():
            outgoing.renew()

    @property
    def unconfirmed(self) -> int:
        return sum(outgoing.unconfirmed for outgoing in self._outgoing.values())

    @property
    def unsettled(self) -> int:
        return self._reply_tag - self._settled_tag

    def publish(self, task_id: str, headers: dict[str, Any], body: bytes, destination: Destination) -> None:
        message = Message(
            body,
            application_headers=headers,
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=2,
            correlation_id=task_id,
            reply_to=self._reply_queue,
            expiration=self._expiration_ms,
        )
        self._outgoing[destination].publish(task_id, message)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send what is published inside in as few packets as it fits in, at the end at the latest.

        The broker then writes messages of several quorum queues to its disk at once, instead of one sync after the
        other: each queue's members share one write-ahead log. Linux only; elsewhere each goes at once.
        """
        if not hasattr(socket, "TCP_CORK"):
            yield
            return
        sock = self._amqp.sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        try:
            yield
        finally:
            with suppress(OSError):  # the connection is gone: whoever uses it next is told
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    def drain(self, timeout_s: float) -> None:
        """Handle what has arrived; wait up to `timeout_s` for the first of it."""
        self._beat()
        try:
            for _ in range(LOOK_LIMIT):
                self._amqp.drain_events(timeout=timeout_s)
                timeout_s = 0
        except TimeoutError as exc:
            if exc.errno is not None:  # not ours: the operating system gave the connection up
                raise
        self._refuse_closed()

    def _refuse_closed(self) -> None:
        """Refuse what waits on channels that the broker closed: publishing it again would end the same way."""
        while closed := [(outgoing, outgoing.error) for outgoing in self._outgoing.values() if outgoing.error]:
            for outgoing, error in closed:
                if error.method_sig != spec.Basic.Publish:
                    raise error
                outgoing.refuse(str(error))  # no such exchange, or no permission to publish there
            for outgoing, _ in closed:
                outgoing.renew()  # which may read that another one is closed

    def settle(self) -> None:
        self._in.basic_ack(self._reply_tag, multiple=True)
        self._settled_tag = self._reply_tag

    def close(self, *, delete_replies: bool) -> None:
        try:
            if self.unsettled:
                self.settle()
            if delete_replies:
                self._in.queue_delete(self._reply_queue)
            self._connection.close()
        except self.outages:
            self.abandon()

    def abandon(self) -> None:
        """Close without a goodbye that nobody may answer."""
        self._connection.collect()

    # --- what the broker says -----------------------------------------------------------------------

    def _on_message(self, message: Any) -> None:
        self._reply_tag = message.delivery_tag
        try:
            meta = json.loads(message.body)
        except ValueError:
            return  # not a state; acknowledged with the rest
        if not isinstance(meta, dict):
            return
        if message.delivery_info.get("redelivered") and _key(meta) in self._handled:
            return  # taken before the connection was lost, and sent again because its acknowledgement was
        self.known(meta)
        self.on_reply(meta, text_of(message.body))

    def claim(self, meta: Mapping[str, Any], body: str) -> bool:
        """Take a state that came another way, unless it is known."""
        if _key(meta) in self._handled:
            return False
        self.known(meta)
        self.on_reply(meta, body)
        return True

    def known(self, meta: Mapping[str, Any]) -> None:
        """Note a state as taken: where the broker delivers it again, it is dropped."""
        self._handled[_key(meta)] = None
        if len(self._handled) > REPLY_PREFETCH:
            del self._handled[next(iter(self._handled))]

    def _block(self, reason: str) -> None:
        self.blocked = True
        self.on_block(reason)

    def _unblock(self) -> None:
        self.blocked = False

    def _beat(self) -> None:
        """Send and check heartbeats; py-amqp wants this called about twice an interval."""
        if self._heartbeat_s and time.monotonic() - self._beat_at > self._heartbeat_s / 4:
            self._beat_at = time.monotonic()
            self._connection.heartbeat_check(rate=2)


def _key(meta: Mapping[str, Any]) -> tuple[Any, ...]:
    evidence = meta.get("evidence")
    return meta.get("task_id"), meta.get("status"), evidence.get("at") if isinstance(evidence, dict) else None
