"""Faults on a RabbitMQ node as a client of it sees them, and the nodes that no fault is made on."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import amqp
import pytest
from amqp.exceptions import AMQPError, ConnectionForced

from harness.broker_node import BrokerNode
from harness.broker_process import BrokerProcess
from harness.errors import ExitCode, UnavailableError
from tests.acceptance.proxy import Proxy
from tests.acceptance.rabbit import closed_port
from tests.conftest import ROOT, eventually, load_app
from tests.own_broker import OwnBroker, own_broker
from worker.topology import declare

#: Time in which a healthy broker would have answered, in seconds.
SILENCE_S = 1.0
QUEUE = "kept"


@pytest.fixture(scope="module")
def broker(needs_rabbitmq: None) -> Iterator[OwnBroker]:
    with own_broker() as node:
        yield node


@pytest.fixture(scope="module")
def found(broker: OwnBroker) -> Iterator[BrokerNode]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RABBITMQ_NODENAME", broker.name)
        yield BrokerNode.find(load_app(broker.url()))


@pytest.fixture
def node(found: BrokerNode) -> Iterator[BrokerNode]:
    """The node of a run on virtual host `/`, one for all tests; as it was again after each."""
    yield found
    found.thaw()
    found.start()
    found.clear_memory_alarm()


@dataclass
class Client:
    """A plain AMQP client of a virtual host."""

    broker: OwnBroker
    vhost: str = "/"
    confirmed: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # blocked, unblocked

    def __post_init__(self) -> None:
        self.connection = amqp.Connection(
            f"localhost:{self.broker.port}",
            virtual_host=self.vhost,
            confirm_publish=True,
            connect_timeout=SILENCE_S,
            read_timeout=SILENCE_S,
            on_blocked=lambda _reason: self.said.append("blocked"),
            on_unblocked=lambda: self.said.append("unblocked"),
        )
        self.connection.connect()
        self.channel = self.connection.channel()
        self.channel.confirm_select()
        self.channel.events["basic_ack"].add(lambda tag, _multiple: self.confirmed.append(tag))
        # classic: RabbitMQ 3.10 forgets a quorum queue of the half second before it is killed (rabbitmq/ra#443)
        self.channel.queue_declare(QUEUE, durable=True, auto_delete=False)

    def publish(self) -> None:
        """Publish without waiting for the confirm."""
        self.channel._basic_publish(amqp.Message("x", delivery_mode=2), routing_key=QUEUE)

    def depth(self) -> int:
        return int(self.channel.queue_declare(QUEUE, passive=True).message_count)

    def hears(self, condition: Callable[[], object]) -> bool:
        """Read from the broker until `condition`; false once it was silent for a while, or the connection ended."""
        with suppress(OSError):
            while not condition():
                self.connection.drain_events(timeout=SILENCE_S)
        return bool(condition())

    def close(self) -> None:
        with suppress(OSError, AMQPError):
            self.connection.close()


@pytest.fixture
def client(broker: OwnBroker) -> Iterator[Client]:
    """A client with nothing in its queue."""
    with closing(Client(broker)) as client:
        client.channel.queue_purge(QUEUE)
        yield client


def refused(run: Callable[[], object]) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        run()
    assert caught.value.exit_code is ExitCode.UNAVAILABLE
    return caught.value


def memory_limit(broker: OwnBroker) -> str:
    return broker.evaluate("{vm_memory_monitor:get_vm_memory_high_watermark(), rabbit_alarm:get_alarms()}.")


def open_files(broker: OwnBroker) -> set[str]:
    limits = Path(f"/proc/{broker_pid(broker)}/limits").read_text().splitlines()
    return {line for line in limits if line.startswith("Max open files")}


def tracked(broker: OwnBroker, vhost: str) -> int:
    """Return how many connections to `vhost` the broker counts."""
    return int(broker.evaluate(f'length(rabbit_connection_tracking:list(<<"{vhost}">>)).'))


def broker_pid(broker: OwnBroker) -> int:
    return int(broker.evaluate("os:getpid().").strip().strip('"'))


# --- faults, and their undoing --------------------------------------------------------------------


def test_a_stopped_broker_says_goodbye_and_refuses_connections_until_it_is_started(
    broker: OwnBroker, node: BrokerNode, client: Client
) -> None:
    client.publish()
    assert client.hears(lambda: client.confirmed)
    node.stop()
    # RabbitMQ resets the connection at once, so that py-amqp's answer fails before it raises what it read
    assert b"CONNECTION_FORCED" in client.connection.transport.sock.recv(4096)
    with pytest.raises(ConnectionRefusedError):
        Client(broker)
    node.start()
    with closing(Client(broker)) as after:
        assert after.depth() == 1


def test_a_killed_broker_says_nothing_and_refuses_connections_until_it_is_started(
    broker: OwnBroker, node: BrokerNode, client: Client
) -> None:
    client.publish()
    assert client.hears(lambda: client.confirmed)
    node.kill()
    with suppress(ConnectionResetError):
        assert client.connection.transport.sock.recv(4096) == b""
    with pytest.raises(ConnectionRefusedError):
        Client(broker)
    node.start()
    with closing(Client(broker)) as after:
        assert after.depth() == 1


def test_a_node_is_started_with_the_settings_and_the_open_files_that_it_had(
    broker: OwnBroker, node: BrokerNode
) -> None:
    before, directory = open_files(broker), broker.evaluate("rabbit_mnesia:dir().")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        node.kill()
        node.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert open_files(broker) == before
    assert broker.evaluate("rabbit_mnesia:dir().") == directory


def test_a_frozen_broker_is_silent_and_goes_on_where_it_was(
    broker: OwnBroker, node: BrokerNode, client: Client
) -> None:
    node.freeze()
    client.publish()
    assert not client.hears(lambda: client.confirmed)
    with pytest.raises(TimeoutError):  # and not refused
        Client(broker)
    node.thaw()
    assert client.hears(lambda: client.confirmed)
    assert client.depth() == 1


def test_a_memory_alarm_blocks_publishing_until_it_is_cleared(
    broker: OwnBroker, node: BrokerNode, client: Client
) -> None:
    before = memory_limit(broker)
    node.raise_memory_alarm()
    client.publish()
    assert client.hears(lambda: client.said == ["blocked"])
    assert not client.hears(lambda: client.confirmed)
    node.clear_memory_alarm()
    assert client.hears(lambda: client.said == ["blocked", "unblocked"])
    assert client.hears(lambda: client.confirmed)
    assert memory_limit(broker) == before


def test_who_asks_for_the_nodes_meanwhile_is_answered(broker: OwnBroker, node: BrokerNode, user: Any) -> None:
    """The question is a message, and not taken either: it must not be waited for."""
    url = broker.make_vhost("alarmed")
    app = load_app(url)
    with app.connection_for_write() as connection, connection.channel() as channel:
        declare(channel, list(app.amqp.queues.values()))
        channel.basic_consume("queue_a")  # somebody to be asked for
        node.raise_memory_alarm()
        asked = user("scale.py", "status", BROKER_URL=url, timeout_s=30)
    assert asked.returncode == ExitCode.UNAVAILABLE
    assert asked.stderr == (
        f"error: the broker at {url.replace(':guest@', '@')} takes no messages\n"
        "  why: its memory or disk alarm is on, and it blocks who publishes\n"
        "  try: free memory or disk there; rabbitmqctl status shows its alarms and limits\n"
    )


@pytest.mark.parametrize("limit", ["{absolute, 100000000000}", "0.123"])
def test_a_memory_limit_of_the_users_own_is_put_back(broker: OwnBroker, node: BrokerNode, limit: str) -> None:
    broker.evaluate(f"vm_memory_monitor:set_vm_memory_high_watermark({limit}).")
    before = memory_limit(broker)
    of_limit = BrokerNode.find(load_app(broker.url()))
    of_limit.raise_memory_alarm()
    assert memory_limit(broker) != before
    of_limit.clear_memory_alarm()
    assert memory_limit(broker) == before


def test_an_alarm_that_somebody_left_is_not_taken_for_the_usual(broker: OwnBroker, node: BrokerNode) -> None:
    node.raise_memory_alarm()
    error = refused(BrokerNode.find(load_app(broker.url())).raise_memory_alarm)
    assert error.what == "the broker's memory limit is zero already"


def test_connections_to_the_runs_virtual_host_are_closed_by_the_broker_and_no_others(
    broker: OwnBroker, node: BrokerNode, client: Client
) -> None:
    broker.make_vhost("another")
    with closing(Client(broker)) as second, closing(Client(broker, "another")) as stranger:
        eventually(lambda: tracked(broker, "/") == 2, "the broker has seen earlier ones end")
        assert node.close_connections() == 2
        for one in (client, second):
            with pytest.raises(ConnectionForced, match=r"320.*fault injection"):
                one.connection.drain_events(timeout=SILENCE_S)
        stranger.publish()
        assert stranger.hears(lambda: stranger.confirmed)
    eventually(lambda: tracked(broker, "/") == 0, "the broker has seen these end")
    assert node.close_connections() == 0


def test_undoing_what_was_not_done_or_is_undone_changes_nothing(
    broker: OwnBroker, node: BrokerNode, client: Client
) -> None:
    before = broker_pid(broker), memory_limit(broker)
    for undo in (node.start, node.thaw, node.clear_memory_alarm) * 2:
        undo()
    assert (broker_pid(broker), memory_limit(broker)) == before
    client.publish()
    assert client.hears(lambda: client.confirmed)  # on the connection that it had
    node.kill()
    node.thaw()  # of a process that is no more
    node.start()
    after = broker_pid(broker)
    node.start()
    assert broker_pid(broker) == after != before[0]


def test_a_fault_on_a_node_that_something_else_ended_is_refused(broker: OwnBroker, node: BrokerNode) -> None:
    node.kill()
    assert "has ended" in refused(node.freeze).what
    assert "has ended" in refused(node.kill).what
    node.start()


# --- starting it in another way -------------------------------------------------------------------


def test_a_command_of_the_users_own_starts_the_broker(
    broker: OwnBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in broker.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BROKER_START", f"rabbitmq-server -detached && touch {tmp_path}/started")
    node = BrokerNode.find(load_app(broker.url()))
    node.kill()
    node.start()
    assert (tmp_path / "started").exists()
    assert broker.accepts()


def test_a_broker_that_cannot_be_started_is_an_error_that_names_the_command(
    broker: OwnBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_NODENAME", broker.name)
    monkeypatch.setenv("BROKER_START", "echo no such service >&2; exit 5")
    node = BrokerNode.find(load_app(broker.url()))
    try:
        node.kill()
        error = refused(node.start)
        assert "exit 5" in error.what
        assert error.why == "no such service"
    finally:
        broker.start()


# --- nodes that no fault is made on ---------------------------------------------------------------


def test_a_broker_that_somebody_else_is_connected_to_is_refused(broker: OwnBroker, node: BrokerNode) -> None:
    broker.make_vhost("theirs")
    with closing(Client(broker, "theirs")), closing(Client(broker, "theirs")), closing(Client(broker)):
        error = refused(lambda: BrokerNode.find(load_app(broker.url())))
    assert "somebody else uses the broker" in error.what
    assert error.why == "beside this run's virtual host '/', connections are open to others: 2 to 'theirs'"
    eventually(lambda: BrokerNode.find(load_app(broker.url())), "they are gone")


def test_a_broker_behind_a_proxy_is_known_all_the_same(broker: OwnBroker, node: BrokerNode) -> None:
    proxy = Proxy(target=("127.0.0.1", broker.port))
    with closing(proxy):
        assert BrokerNode.find(load_app(f"amqp://guest:guest@localhost:{proxy.port}//")).name == broker.name


def test_the_node_of_rabbitmqctl_has_to_be_that_of_the_url(broker: OwnBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RABBITMQ_NODENAME", raising=False)
    error = refused(lambda: BrokerNode.find(load_app(broker.url())))
    assert f"which is not the broker at amqp://guest@localhost:{broker.port}" in error.what
    assert error.fix.startswith("RABBITMQ_NODENAME=")


def test_a_node_that_rabbitmqctl_does_not_reach_is_refused(broker: OwnBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_NODENAME", "nobody")
    error = refused(lambda: BrokerNode.find(load_app(broker.url())))
    assert "rabbitmqctl" in error.what
    assert "unable to perform an operation on node 'nobody@" in error.why


def test_a_broker_that_is_away_is_refused(broker: OwnBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_NODENAME", broker.name)
    url = f"amqp://guest:guest@localhost:{closed_port()}//"
    assert "no broker answers" in refused(lambda: BrokerNode.find(load_app(url))).what


def test_a_cluster_is_refused(broker: OwnBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    with own_broker() as second:
        for step in (["stop_app"], ["join_cluster", broker.name], ["start_app"]):
            second.rabbitmqctl(*step)
        try:
            for one in (broker, second):
                monkeypatch.setenv("RABBITMQ_NODENAME", one.name)
                error = refused(partial(BrokerNode.find, load_app(one.url())))
                assert f"is a cluster of 2 nodes: {', '.join(sorted([broker.name, second.name]))}" in error.what
        finally:
            second.rabbitmqctl("stop_app")
            broker.rabbitmqctl("forget_cluster_node", second.name)


def test_who_may_not_administrate_the_broker_is_refused(broker: OwnBroker) -> None:
    if os.geteuid() != 0:
        pytest.skip("this user administrates the broker, and cannot become one who may not")
    script = f"""
        import os
        from harness import broker
        from harness.broker_node import BrokerNode
        from harness.errors import UnavailableError
        from tests.conftest import load_app
        app = load_app({broker.url()!r})
        with broker.connect(app):
            pass  # so that every module is loaded: the user below may be unable to read them
        os.setgroups([])
        os.setuid(65534)
        try:
            BrokerNode.find(app)
        except UnavailableError as error:
            print(error)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert "sudo" in done.stdout, done.stderr


def test_a_node_that_is_no_process_of_this_host_is_refused() -> None:
    error = refused(lambda: BrokerProcess(os.getpid()))
    assert "is not RabbitMQ's" in error.what
    assert "container" in error.why


def test_a_process_that_only_waits_to_be_reaped_has_ended(needs_rabbitmq: None) -> None:
    with subprocess.Popen(["beam", "60"], executable=shutil.which("sleep")) as process:
        seen = BrokerProcess(process.pid)
        assert seen.is_alive
        seen.signal("KILL")
        seen.wait_until_gone(5)
        assert not seen.is_alive
        assert "has ended" in refused(lambda: seen.signal("STOP")).what
        assert process.wait() == -signal.SIGKILL
