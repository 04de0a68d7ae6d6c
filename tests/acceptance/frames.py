"""A broker that never hears a certain word: a TCP proxy that reads AMQP frames and swallows from one on."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from threading import Event, Thread

#: Class and method of a frame.
BASIC_PUBLISH = (60, 40)
BASIC_ACK = (60, 80)


class Interceptor:
    """Forwards one connection after the other; of what a client says, nothing from the first `method` on."""

    def __init__(self, method: tuple[int, int], target: tuple[str, int] = ("127.0.0.1", 5672)) -> None:
        self._method = method
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.reached = Event()  # the method was said, and swallowed
        Thread(target=self._accept, daemon=True).start()

    def url(self, broker_url: str) -> str:
        return broker_url.replace("localhost:5672", f"127.0.0.1:{self.port}")

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(self._target)
                self._sockets += [client, broker]
                Thread(target=self._back, args=(broker, client), daemon=True).start()
                Thread(target=self._forth, args=(client, broker), daemon=True).start()

    def _back(self, broker: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := broker.recv(65536):
                client.sendall(data)

    def _forth(self, client: socket.socket, broker: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            stream = client.makefile("rb")
            broker.sendall(_exactly(stream, 8))  # AMQP0091
            while True:
                head = _exactly(stream, 7)
                kind, _, size = struct.unpack(">BHI", head)
                rest = _exactly(stream, size + 1)
                if kind == 1 and struct.unpack(">HH", rest[:4]) == self._method:
                    self.reached.set()
                if not self.reached.is_set():
                    broker.sendall(head + rest)


def _exactly(stream: object, size: int) -> bytes:
    data: bytes = stream.read(size)  # type: ignore[attr-defined]
    if len(data) < size:
        raise EOFError
    return data


@contextlib.contextmanager
def intercepted(method: tuple[int, int]) -> Iterator[Interceptor]:
    made = Interceptor(method)
    try:
        yield made
    finally:
        made.close()
