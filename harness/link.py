"""What the courier needs of a broker, said once for RabbitMQ and for kombu's virtual transports.

A link knows task ids and bytes; which id means what is the courier's and the ledger's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol


class Destination(NamedTuple):
    """Where a message is published."""

    exchange: str
    routing_key: str


class Link(Protocol):
    """What the courier asks of a connection. Callbacks run inside whatever reads: `drain`, `renew`, `close`."""

    on_confirm: Callable[[str], None]  # the broker has the message of this task id
    on_refusal: Callable[[str, str], None]  # it has not, and will not: task id, reason
    on_nack: Callable[[str], None]  # it could not take the message on this channel; on another it may: task id
    on_reply: Callable[[Mapping[str, Any], str], None]  # a state of a task, as its worker's backend wrote it; its JSON
    on_block: Callable[[str], None]  # the broker takes nothing for now: reason
    confirms: bool  # whether on_confirm is ever called
    blocked: bool
    outages: tuple[type[BaseException], ...]  # raised when the connection is lost

    @property
    def unconfirmed(self) -> int: ...

    @property
    def unsettled(self) -> int: ...

    def open(self, destinations: Iterable[Destination]) -> None: ...

    def reopen(self) -> None: ...

    def renew(self) -> None: ...

    def publish(self, task_id: str, headers: dict[str, Any], body: bytes, destination: Destination) -> None: ...

    def together(self) -> AbstractContextManager[None]: ...

    def drain(self, timeout_s: float) -> None: ...

    def settle(self) -> None: ...

    def known(self, meta: Mapping[str, Any]) -> None: ...

    def claim(self, meta: Mapping[str, Any], body: str) -> bool: ...

    def close(self, *, delete_replies: bool) -> None: ...

    def abandon(self) -> None: ...


def _nothing(*_: Any) -> None:
    pass


class Callbacks:
    """What a link begins with: nobody listens yet."""

    def __init__(self) -> None:
        self.on_confirm: Callable[[str], None] = _nothing
        self.on_refusal: Callable[[str, str], None] = _nothing
        self.on_nack: Callable[[str], None] = _nothing
        self.on_reply: Callable[[Mapping[str, Any], str], None] = _nothing
        self.on_block: Callable[[str], None] = _nothing
        self.blocked = False


def text_of(body: str | bytes) -> str:
    """Return a message's body as text."""
    return body if isinstance(body, str) else bytes(body).decode()
