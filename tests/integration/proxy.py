"""A TCP proxy between workers and the broker, which a test can cut, close or make swallow what the broker says."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass

BROKER = ("localhost", 5672)


@dataclass(eq=False)
class _Pair:
    """The two sockets of one connection through the proxy."""

    worker: socket.socket
    broker: socket.socket
    heard: bool = True  # False: what the broker says does not arrive; the worker still speaks to it

    def close(self) -> None:
        for side in (self.worker, self.broker):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


class Proxy:
    """Listens on a port of its own; each connection is forwarded by two threads."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open = True
        self._pairs: set[_Pair] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, broker_url: str) -> str:
        """Return `broker_url` by way of this proxy."""
        return broker_url.replace(":5672/", f":{self.port}/")

    def connections(self) -> set[_Pair]:
        return set(self._pairs)

    def deafen(self, pairs: set[_Pair]) -> None:
        """Keep what the broker says from the workers on these connections: confirms, that is."""
        for pair in pairs:
            pair.heard = False

    def cut(self) -> None:
        """Close every connection, and every new one at once, until `mend`."""
        self._open = False
        for pair in self.connections():
            pair.close()

    def mend(self) -> None:
        self._open = True

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                worker, _ = self._listener.accept()
            except OSError:
                return
            if not self._open:
                worker.close()
                continue
            pair = _Pair(worker, socket.create_connection(BROKER))
            self._pairs.add(pair)
            for source, target in ((pair.worker, pair.broker), (pair.broker, pair.worker)):
                threading.Thread(target=self._forward, args=(pair, source, target), daemon=True).start()

    def _forward(self, pair: _Pair, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source is pair.worker or pair.heard:
                    target.sendall(data)
        pair.close()
        self._pairs.discard(pair)
