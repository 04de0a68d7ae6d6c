"""What a run publishes to one destination: a channel of its own, with pipelined confirms."""

from __future__ import annotations

from typing import Any

from amqp import AMQPError, Channel, ChannelError, Connection, Message, spec
from amqp.exceptions import error_for_code

from harness.link import Callbacks, Destination


class Outgoing:
    """The channel of the messages to one queue: in which order they went out, what the broker said of each.

    One for each destination, because RabbitMQ introduces a channel to a quorum queue at its first message there,
    waits until that is on the queue's disk (`register_enqueuer` in rabbit_fifo_client), and takes nothing else
    from the channel meanwhile: the second of two queues would wait for the first. Also, an error that closes the
    channel (no such exchange, no permission) is of the messages of this destination alone.
    """

    def __init__(self, connection: Connection, destination: Destination, told: Callbacks) -> None:
        self._connection = connection
        self._destination = destination
        self._told = told
        self._waiting: dict[int, str] = {}  # delivery tag -> task id, in publishing order
        self._open()

    def _open(self) -> None:
        self._waiting.clear()
        self._tag = 0
        self._channel = _Channel(self._connection)
        self._channel.open()
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)
        self._channel.confirm_select()

    @property
    def unconfirmed(self) -> int:
        return len(self._waiting)

    @property
    def error(self) -> AMQPError | None:
        """Why the broker closed the channel; None where it did not."""
        return self._channel.error

    def renew(self) -> None:
        """Publish on a new channel from now on; of what is unconfirmed on the old one nothing is heard any more."""
        self._channel.close()
        self._open()

    def publish(self, task_id: str, message: Message) -> None:
        self._tag += 1
        self._waiting[self._tag] = task_id
        mandatory, immediate = True, False
        self._channel.send_method(spec.Basic.Publish, "Bssbb", (0, *self._destination, mandatory, immediate), message)

    def refuse(self, reason: str) -> None:
        """Give up on what is unconfirmed."""
        refused, self._waiting = self._waiting, {}
        for task_id in refused.values():
            self._told.on_refusal(task_id, reason)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        for task_id in self._take(tag, multiple):
            self._told.on_confirm(task_id)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for task_id in self._take(tag, multiple):
            self._told.on_nack(task_id)

    def _take(self, tag: int, multiple: bool) -> list[str]:
        if not multiple:
            task_id = self._waiting.pop(tag, None)
            return [] if task_id is None else [task_id]
        tags = []
        for waiting in self._waiting:
            if waiting > tag:
                break
            tags.append(waiting)
        return [self._waiting.pop(waiting) for waiting in tags]

    def _on_return(self, exc: Exception, exchange: str, routing_key: str, message: Any) -> None:
        # the broker confirms a returned message as well, after this
        reason = f"no queue takes it: exchange {exchange!r}, routing key {routing_key!r} (NO_ROUTE)"
        self._told.on_refusal(message.properties["correlation_id"], reason)


class _Channel(Channel):  # type: ignore[misc]  # py-amqp has no types
    """A channel that stays closed when the broker closes it, and keeps the reason.

    py-amqp opens it again, without confirms, and raises out of whatever reads just then: with several channels that is
    another one's business, and of two that the broker closes together one would go unnoticed.
    """

    error: AMQPError | None = None

    def _on_close(self, reply_code: int, reply_text: str, class_id: int, method_id: int) -> None:
        self.send_method(spec.Channel.CloseOk)
        self.error = error_for_code(reply_code, reply_text, (class_id, method_id), ChannelError)
        self.collect()
