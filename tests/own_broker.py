"""A RabbitMQ node of a test's own, which it may stop, freeze and kill: own name, ports and data; gone after it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kombu import Connection

from harness.broker import dial
from tests.conftest import eventually
from tests.erlang import erlang

#: Where RabbitMQ's packages install it.
INSTALLED = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
#: Ports outside the range that Linux gives to connections: free again after a restart.
PORTS = range(21000, 31000, 2)

_SUDO = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
#: Once its standard input ends, which it does with this process at the latest: kill the node of the directory $0 and
#: remove its files. epmd, which the node may have started, serves all nodes of this host.
_REAP = """
cat
node() {
  for environment in $(grep -lszxF "RABBITMQ_MNESIA_BASE=$0" /proc/[0-9]*/environ); do
    process=${environment%/environ}
    [ "$(cat "$process/comm")" = epmd ] || echo "${process#/proc/}"
  done
}
while pids=$(node 2>/dev/null) && [ -n "$pids" ]; do
  kill -KILL $pids 2>/dev/null
  sleep 0.05
done
rm -rf -- "$0"
"""


def as_root(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = [f"--preserve-env={','.join(environment)}"] if _SUDO and environment else []
    return subprocess.run(
        [*_SUDO, *kept, *command],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass(frozen=True)
class OwnBroker:
    """A node that runs; its user `guest` may do everything."""

    directory: Path
    port: int
    tls_port: int | None = None

    @property
    def name(self) -> str:
        return f"test-{os.getpid()}-{self.port}@{socket.gethostname().partition('.')[0]}"

    def url(self, vhost: str = "%2F") -> str:
        return f"amqp://guest:guest@localhost:{self.port}/{vhost}"

    def tls_url(self, vhost: str = "%2F", host: str = "localhost") -> str:
        return f"amqps://guest:guest@{host}:{self.tls_port}/{vhost}"

    def make_vhost(self, name: str) -> str:
        """Make an empty virtual host and return its URL."""
        self.evaluate(
            f'rabbit_vhost:add(<<"{name}">>, <<"test">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, '
            f'<<".*">>, <<".*">>, <<".*">>, <<"test">>).'
        )
        return self.url(name)

    def rabbitmqctl(self, *arguments: str) -> str:
        done = as_root("rabbitmqctl", "--silent", "--node", self.name, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def evaluate(self, expression: str) -> str:
        """Evaluate an Erlang expression in the node."""
        return erlang(expression, self.name)

    def environment(self) -> dict[str, str]:
        """Return the node's settings, as its own variables."""
        return {
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.port + 1),
            "RABBITMQ_MNESIA_BASE": str(self.directory),
            "RABBITMQ_LOG_BASE": str(self.directory),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "no-plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.directory / "advanced.config"),
            "RABBITMQ_SCRIPTS_DIR": str(self.directory / "home" / "sbin"),
            "RABBITMQ_PLUGINS_DIR": str(self.directory / "home" / "plugins"),
        }

    def start(self) -> None:
        """Start the node, with as many open files as this user may have; returns once it accepts connections."""
        # not by root: its rabbitmq-server goes through `su`, which sets the limit back to 1,024
        line = "ulimit -S -n $(ulimit -H -n); exec rabbitmq-server -detached"
        started = as_root("su", "rabbitmq", "-s", "/bin/sh", "-c", line, **self.environment())
        assert started.returncode == 0, started.stdout + started.stderr
        eventually(self.accepts, f"the node {self.name} accepts connections: {self.directory}", within_s=60)

    def join(self, other: OwnBroker) -> None:
        """Make this node one of the other's cluster; what it holds is lost (rabbitmqctl join_cluster resets it)."""
        self.rabbitmqctl("stop_app")
        self.rabbitmqctl("join_cluster", other.name)
        self.rabbitmqctl("start_app")

    def kill(self) -> None:
        """End the node with SIGKILL; `start` starts it again, with what is on its disk."""
        killed = as_root("kill", "-KILL", self.evaluate("os:getpid().").strip().strip('"'))
        assert killed.returncode == 0, killed.stderr

    def accepts(self) -> bool:
        try:
            with Connection(self.url(), connect_timeout=2, transport_options={"read_timeout": 2}) as connection:
                dial(connection)
        except OSError:
            return False
        return True


def _free_port(least: int = 0) -> int:
    """Return a port of at least `least` that is free, with the one after it."""
    first = os.getpid() * 2 % len(PORTS)
    for port in [port for port in [*PORTS[first:], *PORTS[:first]] if port >= least]:
        try:
            for number in (port, port + 1):
                socket.create_server(("", number)).close()
        except OSError:
            continue
        return port
    raise AssertionError("no free port")


def _lay_out_home(home: Path) -> None:
    """Link RabbitMQ's installation without its 40 plugins: Erlang looks for every module in each of them, for 2 s."""
    installed = INSTALLED.resolve().parent.parent
    (home / "plugins").mkdir(parents=True)
    for name in ("sbin", "escript"):
        (home / name).symlink_to(installed / name)
    for library in (installed / "plugins").iterdir():
        if not library.name.startswith("rabbitmq_") or library.name.startswith("rabbitmq_prelaunch"):
            (home / "plugins" / library.name).symlink_to(library)


def _lay_out_tls(directory: Path, certificate: Path, port: int) -> None:
    for name in ("ca.pem", "server.pem", "server.key"):
        shutil.copy(certificate / name, directory)
        (directory / name).chmod(0o644)  # the node runs as another user
    (directory / "rabbitmq.conf").write_text(
        f"listeners.ssl.1 = 0.0.0.0:{port}\n"
        f"ssl_options.cacertfile = {directory}/ca.pem\n"
        f"ssl_options.certfile = {directory}/server.pem\n"
        f"ssl_options.keyfile = {directory}/server.key\n"
    )


@contextmanager
def own_broker(certificate: Path | None = None) -> Iterator[OwnBroker]:
    """Start a node and end it whatever happened to it, or to this process. Takes about 5 s.

    Commands find it by `RABBITMQ_NODENAME`, which is `name`, and by `BROKER_URL`, which is `url()`.

    Args:
        certificate: A directory as `tests.certificates` makes one: listen with TLS too, for any host.
    """
    directory = Path(tempfile.mkdtemp(prefix="own-broker-"))
    reaper = subprocess.Popen(
        [*_SUDO, "sh", "-c", _REAP, str(directory)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        _lay_out_home(directory / "home")
        port = _free_port()
        tls_port = _free_port(port + 2) if certificate else None
        if certificate and tls_port:
            _lay_out_tls(directory, certificate, tls_port)
        as_root("chown", "rabbitmq", str(directory))
        node = OwnBroker(directory, port, tls_port)
        node.start()
        yield node
    finally:
        reaper.communicate(timeout=60)


@contextmanager
def own_cluster(size: int) -> Iterator[tuple[OwnBroker, ...]]:
    """Start `size` nodes and make them one cluster, on this host's disk and processors. Takes about 8 s a node."""
    with ExitStack() as started:
        nodes = tuple(started.enter_context(own_broker()) for _ in range(size))
        for node in nodes[1:]:
            node.join(nodes[0])
        yield nodes
