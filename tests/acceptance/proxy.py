"""A broker at the end of a bad line: a TCP proxy that can stall, go deaf, cut and refuse connections."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from threading import Event, Lock, Thread


@dataclass
class Proxy:
    """Forwards connections on a port of its own to the broker, as well as it is told to."""

    target: tuple[str, int] = ("127.0.0.1", 5672)
    stall_at: int | None = None  # bytes of a connection that reach the broker; what follows is swallowed
    deaf_at: int | None = None  # once so many have, what the broker says is swallowed
    deaf: Container[int] = ()  # connections of these numbers, counted from 1, hear nothing
    refuses: bool = False  # a new connection is closed at once
    accepted: int = 0
    reached: Event = field(default_factory=Event)  # a connection came to `stall_at` or `deaf_at`
    heard_at: float = 0.0  # when the broker last said something
    _pairs: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()

    def url(self, broker_url: str) -> str:
        """Return a URL of the same virtual host, through here."""
        return broker_url.replace("localhost:5672", f"127.0.0.1:{self.port}")

    def cut(self) -> float:
        """Reset every connection, as a firewall does; returns when."""
        with self._lock:
            at = time.time()
            for pair in self._pairs:
                for side in pair:
                    with contextlib.suppress(OSError):
                        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        side.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
                    side.close()
            self._pairs.clear()
        return at

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.refuses:
                client.close()
                continue
            broker = socket.create_connection(self.target)
            with self._lock:
                self._pairs.append((client, broker))
            Thread(target=self._forward, args=(client, broker, self.accepted), daemon=True).start()

    def _forward(self, client: socket.socket, broker: socket.socket, number: int) -> None:
        sent = 0
        with contextlib.suppress(OSError, ValueError):  # cut, or either side has ended
            while True:
                readable, _, _ = select.select([client, broker], [], [])
                if client in readable:
                    if not (data := client.recv(65536)):
                        break
                    allowed = data if self.stall_at is None else data[: max(self.stall_at - sent, 0)]
                    broker.sendall(allowed)
                    sent += len(data)
                    if any(limit is not None and sent >= limit for limit in (self.stall_at, self.deaf_at)):
                        self.reached.set()
                if broker in readable:
                    if not (data := broker.recv(65536)):
                        break
                    self.heard_at = time.monotonic()
                    if number not in self.deaf and (self.deaf_at is None or sent < self.deaf_at):
                        client.sendall(data)
        client.close()
        broker.close()


@contextlib.contextmanager
def proxied() -> Iterator[Proxy]:
    proxy = Proxy()
    try:
        yield proxy
    finally:
        proxy.close()
