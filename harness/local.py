"""The fleet of processes on this host, started with the same command line as the containers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UnavailableError
from harness.fleet import Unit, last_complaint, worker_command
from harness.interrupts import held
from harness.model.fault import FaultKind
from harness.model.topology import WorkerSpec
from harness.process_group import ProcessGroup, finish
from harness.relay import Relay, address, through

#: How long a stopping worker may finish its task before it is killed, in seconds.
STOP_GRACE_S = 20.0


@dataclass(slots=True, eq=False)
class _Node:
    """One node, and the processes that it is now, or was last."""

    worker: WorkerSpec
    name: str
    relay: Relay | None
    group: ProcessGroup

    @property
    def unit(self) -> Unit:
        pid = self.group.pid
        return Unit(service=self.worker.service, id=str(pid), node=self.name, name=f"process {pid}")


class LocalFleet:
    """Worker processes on this host, each with its pool in a process group.

    A unit is known by its node: after `revive` it is another process, and the same node.
    """

    def __init__(
        self,
        directory: Path,
        workers: Sequence[WorkerSpec],
        broker_url: str,
        *,
        abrupt: bool = False,
        relays: bool = False,
    ) -> None:
        """Args:
        directory: Where celery_app.py is.
        abrupt: End the workers at once instead of letting them finish: for a broker that is thrown away.
        relays: Let each reach the broker through a relay of its own, so that it can be disconnected.

        Raises:
            UnavailableError: There can be no relay to this broker.
        """
        self._directory = directory
        self._workers = {worker.service: worker for worker in workers}
        self._broker_url = broker_url
        self._abrupt = abrupt
        self._target = address(broker_url) if relays else None
        self._nodes: dict[str, _Node] = {}
        self._made: Counter[str] = Counter()  # nodes of each service, so that no name is given twice
        self._logs = Path(tempfile.mkdtemp(prefix="workers-"))

    def start(self) -> None:
        """Start the nodes of every service; that they consume is for the health check to see."""
        for worker in self._workers.values():
            for _ in range(worker.replicas):
                self._add(worker)

    def stop(self, *, at_once: bool = False) -> None:
        """End every process that was started: SIGTERM is Celery's warm shutdown, SIGKILL comes `STOP_GRACE_S` later.

        Args:
            at_once: Kill them now. So does an exception, such as a Ctrl-C while this waits: no process is left.
        """
        try:
            if not (at_once or self._abrupt):
                finish([node.group for node in self._nodes.values()], STOP_GRACE_S)
        finally:
            with held() as came:
                for node in self._nodes.values():
                    node.group.kill_all()
                    if node.relay:
                        node.relay.close()
                self._nodes.clear()
                shutil.rmtree(self._logs, ignore_errors=True)
            if came:
                raise KeyboardInterrupt

    def explain(self, worker: WorkerSpec) -> str:
        log = self._log(worker)
        complaint = last_complaint(log.read_text(errors="replace")) if log.exists() else ""
        ended = [
            f"{worker.service} ended with code {node.group.exit_code}"
            for node in self._nodes.values()
            if node.worker == worker and not node.group.runs
        ]
        return ": ".join([*ended[:1], *([complaint] if complaint else [])])

    # --- which run --------------------------------------------------------------------------------

    def units(self, service: str) -> list[Unit]:
        return [node.unit for node in self._running(service)]

    def counts(self) -> Mapping[str, int]:
        return {service: len(self._running(service)) for service in self._workers}

    def scale(self, counts: Mapping[str, int]) -> None:
        running = {service: self._running(service) for service in counts}
        _halt([node for service, nodes in running.items() for node in nodes[counts[service] :]], STOP_GRACE_S)
        for service, nodes in running.items():
            for _ in range(counts[service] - len(nodes)):
                self._add(self._workers[service])

    def _running(self, service: str) -> list[_Node]:
        if service not in self._workers:
            raise UnavailableError(
                f"there is no service {service}",
                why=f"started here are {', '.join(self._workers)}",
                fix="name one of these, or add it to `workers` in test-config.yml",
            )
        return [node for node in list(self._nodes.values()) if node.worker.service == service and node.group.runs]

    # --- done to one ------------------------------------------------------------------------------

    def kill(self, unit: Unit) -> None:
        self._at(unit, "be killed").group.kill_all()

    def kill_main(self, unit: Unit) -> None:
        """End the main process alone with SIGKILL.

        On Linux the kernel kills the pool with it: Celery asks for that (PR_SET_PDEATHSIG, in
        celery/concurrency/prefork.py). Elsewhere a child of the pool finishes its task.
        """
        self._at(unit, "have its main process killed").group.kill_main()

    def kill_child(self, unit: Unit, pid: int) -> None:
        what = f"have process {pid} of its pool killed"
        try:
            self._at(unit, what).group.kill_child(pid)
        except ProcessLookupError as exc:
            raise _failed(unit, what, "its pool has no such process") from exc

    def halt(self, unit: Unit, grace_s: float | None) -> None:
        _halt([self._at(unit, "be stopped")], STOP_GRACE_S if grace_s is None else grace_s)

    def revive(self, unit: Unit) -> None:
        node = self._node(unit, "be started")
        if not node.group.runs:
            node.group.kill_all()  # a pool that outlived its main process would be the same node twice
            node.group = self._launch(node.worker, node.name, node.relay)

    def pause(self, unit: Unit) -> None:
        self._at(unit, "be paused").group.signal_all(signal.SIGSTOP)

    def resume(self, unit: Unit) -> None:
        self._at(unit, "be resumed").group.signal_all(signal.SIGCONT)

    def disconnect(self, unit: Unit) -> None:
        self._relay(self._at(unit, "be disconnected")).cut()

    def reconnect(self, unit: Unit) -> None:
        self._relay(self._node(unit, "be reconnected")).heal()

    def command_to_undo(self, kind: FaultKind, unit: Unit) -> str:
        return f"kill -CONT -{unit.id}" if kind is FaultKind.PAUSE else ""  # all else ends with this process

    def command_to_scale(self, counts: Mapping[str, int]) -> str:
        return ""

    def _relay(self, node: _Node) -> Relay:
        if node.relay is None:
            raise _failed(node.unit, "be disconnected", "it was started without a relay")
        return node.relay

    def _node(self, unit: Unit, what: str) -> _Node:
        try:
            return self._nodes[unit.node]
        except KeyError:
            raise _failed(unit, what, "it was not started here") from None

    def _at(self, unit: Unit, what: str) -> _Node:
        node = self._node(unit, what)
        if not node.group.runs:
            raise _failed(unit, what, f"it ended with code {node.group.exit_code}")
        return node

    # --- starting ---------------------------------------------------------------------------------

    def _add(self, worker: WorkerSpec) -> None:
        """Start one more node: worker-a@HOST, or worker-a@2.HOST where there are, or were, others."""
        self._made[worker.service] += 1
        number = self._made[worker.service]
        host = socket.gethostname()  # as Celery's %h
        alone = number == 1 and worker.replicas == 1
        name = f"{worker.service}@{host}" if alone else f"{worker.service}@{number}.{host}"
        relay = Relay(*self._target) if self._target else None
        self._nodes[name] = _Node(worker, name, relay, self._launch(worker, name, relay))

    def _launch(self, worker: WorkerSpec, node: str, relay: Relay | None) -> ProcessGroup:
        command = worker_command(worker)
        command[command.index("-n") + 1] = node
        url = through(self._broker_url, relay) if relay else self._broker_url
        # what a killed worker's pool leaves in the temporary directory goes with the logs
        env = {**os.environ, "BROKER_URL": url, "TMPDIR": str(self._logs)}
        if relay:  # with TLS, the certificate is still the broker's
            env["BROKER_TLS_NAME"] = os.environ.get("BROKER_TLS_NAME") or relay.host
        python = [sys.executable, "-m"]
        return ProcessGroup([*python, *command], cwd=self._directory, env=env, log=self._log(worker))

    def _log(self, worker: WorkerSpec) -> Path:
        return self._logs / f"{worker.service}.log"


def _halt(nodes: Sequence[_Node], grace_s: float) -> None:
    groups = [node.group for node in nodes]
    try:
        finish(groups, grace_s)
    finally:
        for group in groups:
            group.kill_all()


def _failed(unit: Unit, what: str, why: str) -> UnavailableError:
    return UnavailableError(f"{unit.name} ({unit.node}) could not {what}", why=why, fix="look at it with: ps -ef")
