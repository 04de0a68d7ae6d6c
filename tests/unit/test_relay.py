"""The relay: it passes everything on, or nothing, and while it passes nothing neither side learns of the other."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import UnavailableError
from harness.relay import Relay, address, through
from tests.conftest import eventually

#: How long an answer may take, and how long silence is listened to, in seconds.
ANSWER_S = 5.0
SILENCE_S = 0.1


class Pair:
    """A client's and a server's end of connections by way of a relay."""

    def __init__(self) -> None:
        self.others = set(threading.enumerate())
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(ANSWER_S)
        self.relay = Relay("127.0.0.1", self._server.getsockname()[1])
        self._ends: list[socket.socket] = []

    def dial(self) -> socket.socket:
        return self._own(socket.create_connection(("127.0.0.1", self.relay.port), timeout=ANSWER_S))

    def accept(self) -> socket.socket:
        end, _ = self._server.accept()
        end.settimeout(ANSWER_S)
        return self._own(end)

    def connect(self) -> tuple[socket.socket, socket.socket]:
        return self.dial(), self.accept()

    def is_left_alone(self) -> bool:
        """Return whether nobody asks the server for a connection."""
        readable, _, _ = select.select([self._server], [], [], SILENCE_S)
        return not readable

    def hang_up(self) -> None:
        """Let nobody be behind the relay."""
        self._server.close()

    def close(self) -> None:
        self.relay.close()
        for end in (self._server, *self._ends):
            end.close()

    def _own(self, end: socket.socket) -> socket.socket:
        self._ends.append(end)
        return end


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def read(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := end.recv(size - len(data))):
        data += more
    return data


def fill(end: socket.socket) -> None:
    """Send until every buffer on the way is full."""
    end.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            end.send(b"x" * 65536)


def is_silent(end: socket.socket) -> bool:
    """Return whether an end hears nothing: neither data, nor that its connection has ended."""
    end.settimeout(SILENCE_S)
    try:
        end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(ANSWER_S)
    return False


def test_it_passes_both_ways(pair: Pair) -> None:
    client, server = pair.connect()
    client.sendall(b"ping")
    assert read(server, 4) == b"ping"
    server.sendall(b"pong")
    assert read(client, 4) == b"pong"


def test_much_passes_unchanged_both_ways_at_once(pair: Pair) -> None:
    client, server = pair.connect()
    there, back = (bytes([number]) * 7 + b"\n" for number in (1, 2))
    times = 500_000
    senders = [
        threading.Thread(target=end.sendall, args=(data * times,)) for end, data in ((client, there), (server, back))
    ]
    received: dict[str, bytes] = {}

    def receive(name: str, end: socket.socket) -> None:
        received[name] = read(end, 8 * times)

    receivers = [
        threading.Thread(target=receive, args=("there", server)),
        threading.Thread(target=receive, args=("back", client)),
    ]
    for thread in (*senders, *receivers):
        thread.start()
    for thread in (*senders, *receivers):
        thread.join()
    assert received == {"there": there * times, "back": back * times}


def test_a_side_that_hears_nothing_holds_up_neither_the_other_direction_nor_another_connection(pair: Pair) -> None:
    client, server = pair.connect()
    fill(server)
    client.sendall(b"ping")
    server.settimeout(ANSWER_S)
    assert read(server, 4) == b"ping"
    other, behind = pair.connect()
    other.sendall(b"ping")
    assert read(behind, 4) == b"ping"


def test_while_it_is_cut_nothing_passes_and_nothing_ends(pair: Pair) -> None:
    client, server = pair.connect()
    pair.relay.cut()
    client.sendall(b"one")
    server.sendall(b"two")
    assert is_silent(server)
    assert is_silent(client)
    client.sendall(b" more")

    pair.relay.heal()
    assert read(server, 8) == b"one more"
    assert read(client, 3) == b"two"


def test_while_it_is_cut_a_new_connection_hangs(pair: Pair) -> None:
    pair.relay.cut()
    client = pair.dial()
    client.sendall(b"ping")
    assert is_silent(client)
    assert pair.is_left_alone()

    pair.relay.heal()
    assert read(pair.accept(), 4) == b"ping"


def reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


@pytest.mark.parametrize("leave", [socket.socket.close, reset])
def test_while_it_is_cut_neither_side_learns_that_the_other_has_left(
    pair: Pair, leave: Callable[[socket.socket], None]
) -> None:
    client, server = pair.connect()
    pair.relay.cut()
    leave(client)
    assert is_silent(server)

    pair.relay.heal()
    assert read(server, 1) == b""


def test_it_can_be_cut_again(pair: Pair) -> None:
    client, server = pair.connect()
    for word in (b"one", b"two", b"three"):
        pair.relay.cut()
        client.sendall(word)
        assert is_silent(server)
        pair.relay.heal()
        assert read(server, len(word)) == word


def test_one_side_may_end_and_still_listen(pair: Pair) -> None:
    client, server = pair.connect()
    client.shutdown(socket.SHUT_WR)
    assert read(server, 1) == b""
    server.sendall(b"goodbye")
    server.close()
    assert read(client, 8) == b"goodbye"


@pytest.mark.parametrize("leave", [socket.socket.close, reset])
def test_a_side_learns_that_the_other_has_left(pair: Pair, leave: Callable[[socket.socket], None]) -> None:
    client, server = pair.connect()
    leave(server)
    assert read(client, 1) == b""


def test_where_nobody_is_behind_it_a_connection_ends_at_once(pair: Pair) -> None:
    pair.hang_up()
    assert read(pair.dial(), 1) == b""


@pytest.mark.parametrize("cut", [False, True])
def test_closed_it_ends_what_stands_and_takes_no_more(pair: Pair, cut: bool) -> None:
    client, server = pair.connect()
    if cut:
        pair.relay.cut()
        client.sendall(b"held back")
    threads = set(threading.enumerate()) - pair.others
    pair.relay.close()
    eventually(lambda: not threads.intersection(threading.enumerate()), "its threads end", ANSWER_S)
    assert read(client, 1) == read(server, 1) == b""
    with pytest.raises(OSError, match=r"refused|reset"):
        pair.dial().recv(1)


def test_tls_passes(pair: Pair, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=broker.example"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate, key)
    ours = ssl.create_default_context(cafile=str(certificate))
    ours.check_hostname = False  # as py-amqp, where the URL is all it knows
    client, server = pair.connect()

    def greet() -> None:
        with theirs.wrap_socket(server, server_side=True) as secure:
            secure.sendall(b"hello")

    greeting = threading.Thread(target=greet)
    greeting.start()
    with ours.wrap_socket(client) as secure:
        assert secure.recv(5) == b"hello"
    greeting.join()


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("amqp://user:secret@broker:5673/vhost", ("broker", 5673)),
        ("pyamqp://guest@localhost//", ("localhost", 5672)),
        ("amqps://broker/vhost", ("broker", 5671)),
        ("amqp://u:p@[::1]:5673/v", ("::1", 5673)),
        ("amqp://", ("localhost", 5672)),
    ],
)
def test_the_address_in_a_url(url: str, where: tuple[str, int]) -> None:
    assert address(url) == where


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("filesystem:///tmp/broker", "a filesystem:// broker has no connection"),
        ("amqp://one//;amqp://two//", "BROKER_URL names several brokers"),
    ],
)
def test_a_broker_without_one_address_is_refused(url: str, why: str) -> None:
    with pytest.raises(UnavailableError) as error:
        address(url)
    assert error.value.why == why


@pytest.mark.parametrize(
    ("url", "by_way_of_it"),
    [
        ("amqp://user:secret@broker:5673/vhost", "amqp://user:secret@127.0.0.1:PORT/vhost"),
        ("pyamqp://guest@localhost//", "pyamqp://guest@127.0.0.1:PORT//"),
        (
            "amqps://us%40er:p%2Fw@[::1]/v%2Fhost?heartbeat=5",
            "amqps://us%40er:p%2Fw@127.0.0.1:PORT/v%2Fhost?heartbeat=5",
        ),
        ("amqp://broker", "amqp://127.0.0.1:PORT"),
        ("amqp://", "amqp://127.0.0.1:PORT"),
    ],
)
def test_a_url_by_way_of_a_relay(pair: Pair, url: str, by_way_of_it: str) -> None:
    assert through(url, pair.relay) == by_way_of_it.replace("PORT", str(pair.relay.port))
