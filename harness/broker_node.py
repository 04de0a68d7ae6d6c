"""The RabbitMQ node that a run uses, and the faults that can be made on it: each undone by its counterpart."""

from __future__ import annotations

import json
import os
import re
import socket
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

from celery import Celery

from harness import broker
from harness.broker_process import LOOK_INTERVAL_S, BrokerProcess, StartCommand, administer
from harness.errors import UnavailableError
from harness.model.fault import FaultKind

#: How long a node may take to stop when asked to, in seconds.
STOP_TIMEOUT_S = 30.0
#: How long a node may take from its start until it accepts connections, in seconds.
START_TIMEOUT_S = 60.0


class BrokerNode:
    """The node behind the app's broker URL, through rabbitmqctl and signals of this host.

    Each fault has its undo: `stop` and `kill` have `start`, `freeze` has `thaw`, `raise_memory_alarm` has
    `clear_memory_alarm`. An undo does nothing where nothing is to be undone, so it may be called at any time, again,
    and also where the fault itself raised: that may have happened too late to keep it from taking effect.
    """

    def __init__(self, app: Celery, name: str, vhost: str) -> None:
        """For `find`, which makes sure that this is the right one."""
        status = _ask("status")
        self.name = name
        self.vhost = vhost
        self._app = app
        self._watermark = _watermark(status["vm_memory_high_watermark_setting"])
        self._process = BrokerProcess(status["pid"])
        self._start_command = StartCommand(self._process)
        self._is_down = False

    @classmethod
    def find(cls, app: Celery) -> BrokerNode:
        """Return the node that the app's broker URL leads to, once it is sure that a run may make faults on it.

        The node that rabbitmqctl reaches (of $RABBITMQ_NODENAME, or its own default) has to be the one that has a
        connection just opened through the URL, has to run on this host and alone, and nobody may be connected to
        another of its virtual hosts.

        Raises:
            UnavailableError: One of that does not hold, the broker is away, or this user may not administrate it.
        """
        mark = f"fault-target-{uuid.uuid4()}"
        with broker.connect(app, connection_name=mark):  # its address would be another behind a proxy
            connections = _ask("list_connections", "vhost", "client_properties")
        cluster = _ask("cluster_status")
        nodes = sorted({*cluster["disk_nodes"], *cluster["ram_nodes"]})
        where = broker.public_url(app.conf.broker_url)
        vhost = next((one["vhost"] for one in connections if _name(one) == mark), None)
        if vhost is None:
            raise UnavailableError(
                f"rabbitmqctl administrates {', '.join(nodes)}, which is not the broker at {where}",
                why="a connection opened there is not among the node's own",
                fix="RABBITMQ_NODENAME=NAME@HOST, the node that BROKER_URL leads to",
            )
        if len(nodes) > 1:
            raise UnavailableError(
                f"the broker at {where} is a cluster of {len(nodes)} nodes: {', '.join(nodes)}",
                why="a fault on one of them is made good by the others, or is one on whoever uses them",
                fix="BROKER_URL of a broker of one node, which this run may disturb",
            )
        others = Counter(one["vhost"] for one in connections if one["vhost"] not in ("", vhost))  # "": being opened
        if others:
            seen = ", ".join(f"{count} to {name!r}" for name, count in sorted(others.items()))
            raise UnavailableError(
                f"somebody else uses the broker at {where}",
                why=f"beside this run's virtual host {vhost!r}, connections are open to others: {seen}",
                fix="BROKER_URL of a broker that this run may disturb",
            )
        _refuse_another_host(nodes[0])
        return cls(app, nodes[0], vhost)

    def stop(self) -> None:
        """Shut the node down in good order; returns once it has ended. Undone by `start`.

        SIGTERM is what a service manager sends: RabbitMQ closes connections (320) and its queues, then ends.
        """
        self._is_down = True
        self._process.signal("TERM")
        self._process.wait_until_gone(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the node with SIGKILL, as a crash or an out-of-memory kill does. Undone by `start`."""
        self._is_down = True
        self._process.signal("KILL")
        self._process.wait_until_gone(STOP_TIMEOUT_S)

    def start(self) -> None:
        """Start the node that `stop` or `kill` ended; returns once it accepts the app's connections.

        Raises:
            UnavailableError: It cannot be started, or does not accept connections in time.
        """
        if not self._is_down:
            return
        self._process.wait_until_gone(STOP_TIMEOUT_S)
        deadline = time.monotonic() + START_TIMEOUT_S
        self._start_command.run(START_TIMEOUT_S)
        while not self._accepts():
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"the broker did not come back within {START_TIMEOUT_S:.0f} s",
                    why=f"it was started with: {self._start_command}",
                    fix="BROKER_START='the command that starts this broker'",
                )
            time.sleep(LOOK_INTERVAL_S)
        self._process = BrokerProcess(_ask("status")["pid"])
        self._is_down = False

    def freeze(self) -> None:
        """Halt the node with SIGSTOP: the host still accepts TCP connections for it, and nobody answers on them."""
        self._process.signal("STOP")

    def thaw(self) -> None:
        """Let a frozen node go on."""
        if self._process.is_alive:
            self._process.signal("CONT")

    def close_connections(self) -> int:
        """Have the broker close every connection to the run's virtual host (320 CONNECTION_FORCED); returns how many.

        The run's own are among them, and in the number also one that ended a moment ago. Clients make new ones by
        themselves, so there is nothing to undo.
        """
        said = rabbitmqctl(
            "close_all_connections", "--vhost", self.vhost, "--per-connection-delay", "0", "fault injection"
        )
        closed = re.search(r"Closed (\d+) connections", said)
        if closed is None:
            raise UnavailableError("the connections could not be closed", why=said.strip())
        return int(closed[1])

    def raise_memory_alarm(self) -> None:
        """Leave the broker no memory: it stops reading from every connection that publishes, and says so to it.

        Raises:
            UnavailableError: The limit is zero already, so that what it was before is not known.
        """
        if float(self._watermark[-1]) == 0:
            raise UnavailableError(
                "the broker's memory limit is zero already",
                why="a run that was killed may have left it so",
                fix="rabbitmqctl set_vm_memory_high_watermark 0.4",
            )
        rabbitmqctl("set_vm_memory_high_watermark", "0")

    def clear_memory_alarm(self) -> None:
        """Set the broker's memory limit to what it was."""
        rabbitmqctl("set_vm_memory_high_watermark", *self._watermark)

    def command_to_undo(self, kind: FaultKind) -> str:
        """Return what undoes a fault by hand, for a shell of the broker's administrator; empty where nothing does."""
        if kind in (FaultKind.KILL, FaultKind.RESTART):
            return str(self._start_command)
        if kind is FaultKind.FREEZE:
            return f"kill -CONT {self._process.pid}"
        if kind is FaultKind.MEMORY_ALARM:
            return f"rabbitmqctl --node {self.name} set_vm_memory_high_watermark {' '.join(self._watermark)}"
        return ""

    def _accepts(self) -> bool:
        try:
            with broker.connect(self._app):
                return True
        except UnavailableError:
            return False


def _name(connection: Mapping[str, Any]) -> str:
    """Return the name that a client gave its connection; empty where it gave none, or has not come to it yet."""
    properties = connection["client_properties"]  # [["product", "longstr", "py-amqp"], ...], or "none"
    if not isinstance(properties, list):
        return ""
    return next((value for key, _, value in properties if key == "connection_name"), "")


def _watermark(setting: Mapping[str, Any]) -> list[str]:
    """Return the memory limit as arguments of `set_vm_memory_high_watermark`: a share, or `absolute` and bytes."""
    ((kind, value),) = setting.items()
    return [str(value)] if kind == "relative" else [kind, str(value)]


def _refuse_another_host(node: str) -> None:
    host = node.partition("@")[2].partition(".")[0]
    here = socket.gethostname().partition(".")[0]
    if host not in (here, "localhost"):
        raise UnavailableError(
            f"the broker's node {node} is not of this host, {here}",
            why="faults are made with signals, so it has to run here",
        )


def _ask(*arguments: str) -> Any:
    return json.loads(rabbitmqctl("--formatter", "json", *arguments))


def rabbitmqctl(*arguments: str) -> str:
    """Return what rabbitmqctl says. sudo drops the variable, so the node is named."""
    node = os.environ.get("RABBITMQ_NODENAME")
    return administer(["rabbitmqctl", "--silent", *(["--node", node] if node else []), *arguments])
