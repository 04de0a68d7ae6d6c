"""A TCP relay on this host that can stop passing anything on: a network partition without rights over the network."""

from __future__ import annotations

import contextlib
import socket
from threading import Event, Lock, Thread
from urllib.parse import urlsplit

from harness.errors import UnavailableError

#: Bytes taken from a socket at a time.
_CHUNK_BYTES = 64 * 1024
#: Where AMQP listens when the URL does not say, without and with TLS.
_PORTS = {"amqp": 5672, "pyamqp": 5672, "amqps": 5671}


class Relay:
    """Passes connections to its own port on 127.0.0.1 on to `host` and `port`, two threads each.

    An end is passed on like data, and a reset as an end: while it is cut, neither side learns what became of the
    other.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self._target = (host, port)
        self._open = Event()
        self._open.set()
        self._closed = False
        self._lock = Lock()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Let nothing pass either way, and close nothing: a blackhole. New connections hang."""
        self._open.clear()

    def heal(self) -> None:
        """Let pass what waited, and what comes."""
        self._open.set()

    def close(self) -> None:
        """End every connection, and take no more."""
        with self._lock:
            self._closed = True
            for one in (self._listener, *self._sockets):
                _shut(one, socket.SHUT_RDWR)  # wakes the thread that waits for it
        self._listener.close()
        self._open.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._forget, client)
            if not self._keep(client):
                return
            self._open.wait()
            try:
                server = socket.create_connection(self._target)
            except OSError:
                return  # nobody there: the client sees its connection end
            stack.callback(self._forget, server)
            if not self._keep(server):
                return
            back = Thread(target=self._pass_on, args=(server, client), daemon=True)
            back.start()
            self._pass_on(client, server)
            back.join()

    def _keep(self, one: socket.socket) -> bool:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets.add(one)
            return not self._closed

    def _forget(self, one: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(one)
        one.close()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        """Pass on what `source` says until it ends; after an error neither side is heard any more."""
        chunk = memoryview(bytearray(_CHUNK_BYTES))
        try:
            while size := source.recv_into(chunk):
                self._open.wait()
                target.sendall(chunk[:size])
            self._open.wait()
            _shut(target, socket.SHUT_WR)
        except OSError:
            self._open.wait()
            _shut(source, socket.SHUT_RDWR)
            _shut(target, socket.SHUT_RDWR)


def address(url: str) -> tuple[str, int]:
    """Return the host and port of a broker URL.

    Raises:
        UnavailableError: It has no one such address: a directory as broker, or several brokers.
    """
    parts = urlsplit(url)
    if ";" in url or parts.scheme not in _PORTS:
        raise UnavailableError(
            "the connection to the broker cannot be cut",
            why="BROKER_URL names several brokers" if ";" in url else f"a {parts.scheme}:// broker has no connection",
            fix="BROKER_URL=amqp://USER:PASSWORD@HOST:5672/VHOST",
        )
    return parts.hostname or "localhost", parts.port or _PORTS[parts.scheme]


def through(url: str, relay: Relay) -> str:
    """Return a broker URL that reaches the same virtual host by way of `relay`.

    Also with `amqps`: TLS passes through unread, and the app's TLS settings name the broker of the certificate.
    """
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}127.0.0.1:{relay.port}").geturl()


def _shut(one: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(how)
