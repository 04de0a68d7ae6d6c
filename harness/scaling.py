"""Sets how many containers each service has, waits until exactly their nodes consume, and says why one does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from celery import Celery
from kombu import Connection

from harness import broker
from harness.errors import UnavailableError, UsageError
from harness.fleet import ContainerFleet
from harness.model.topology import Node, Roster, WorkerSpec
from harness.roster import LOOK_INTERVAL_S, roster
from harness.service_status import ConsumingNode, Container, Scaled, ServiceStatus, Status
from harness.unacked import unacked


class Scaling:
    """The worker services of a deployment, as containers and as nodes."""

    def __init__(
        self,
        app: Celery,
        fleet: ContainerFleet,
        workers: Sequence[WorkerSpec],
        *,
        env_file: Path,
        exported: Mapping[str, str],
        note: Callable[[str], None],
    ) -> None:
        """Args:
        env_file: Where the choice is kept.
        exported: The variables of the shell, which beat those of `env_file`.
        note: Told what a reader must know meanwhile.
        """
        self._app = app
        self._fleet = fleet
        self._workers = {worker.service: worker for worker in workers}
        self._env_file = env_file
        self._exported = exported
        self._note = note

    # --- set ----------------------------------------------------------------------------------------

    def running(self, services: Mapping[str, int]) -> Mapping[str, int]:
        """Return how many containers run of each of our services; `services` must be among those deployed.

        Raises:
            UsageError: One is not.
            UnavailableError: Docker does not answer.
        """
        counts = self._fleet.counts()
        if absent := [service for service in services if service not in counts]:
            raise UsageError(f"{absent[0]} is no service of {self._fleet.origin}", why=f"that has {', '.join(counts)}")
        return {service: number for service, number in counts.items() if service in self._workers}

    def set(self, counts: Mapping[str, int], wait_s: float, *, keep: bool = True) -> Scaled:
        """Have exactly `counts` containers run; return when exactly their nodes consume.

        Containers that are too many finish their tasks before they go.

        Args:
            keep: Let the next deployment have as many. The choice is kept first, so that it holds also where
                this is interrupted.

        Raises:
            UsageError: The choice cannot be kept; nothing was changed.
            UnavailableError: Docker or the broker does not answer, or the nodes do not consume within `wait_s`.
        """
        before = self.running(counts)
        with broker.connect(self._app):
            pass  # it would be missed later, and by then containers have changed
        if keep:
            for line in self._fleet.keep(counts, self._env_file, self._exported):
                self._note(line)
        begun = time.monotonic()
        self._fleet.scale(counts)
        changed = time.monotonic()
        # connected again: nobody answered the broker's heartbeats meanwhile
        with broker.connect(self._app) as connection, broker.said_plainly(self._app):
            self._wait(connection, counts, wait_s)
        return Scaled(
            before={service: before[service] for service in counts},
            after=dict(counts),
            containers_s=changed - begun,
            consuming_s=time.monotonic() - changed,
        )

    def _wait(self, connection: Connection, counts: Mapping[str, int], wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        told = ""
        while late := [f"{s}: {seen} of {counts[s]}" for s, seen in self._consuming(connection, counts).items()]:
            words = f"waiting until exactly these nodes consume: {', '.join(late)}"
            if words != told:
                told = words
                self._note(words)
            if time.monotonic() >= deadline:
                raise self._late(counts, wait_s)
            time.sleep(LOOK_INTERVAL_S)

    def _consuming(self, connection: Connection, counts: Mapping[str, int]) -> Mapping[str, int]:
        """Return how many consume, of each service of which these are not exactly the nodes of its containers."""
        queues = {service: self._workers[service].queue for service in counts}
        seen = {service: broker.count(connection, queue)[1] for service, queue in queues.items()}
        late = {service: number for service, number in seen.items() if number != counts[service]}
        if late:
            return late
        nodes = roster(self._app, connection, list(queues.values())).nodes
        for service, queue in queues.items():
            names = {node.name for node in nodes if queue in node.queues}
            own = {unit.node for unit in self._fleet.units(service)}
            if names != own or len(own) != counts[service]:
                late[service] = len(names & own)
        return late

    def _late(self, counts: Mapping[str, int], wait_s: float) -> UnavailableError:
        wrong = [
            service for service in self.status(counts).services if service.service in counts and not service.complete
        ]
        found = [f"{len(one.nodes)} of {one.wanted} nodes of {one.service} consume {one.queue}" for one in wrong]
        return UnavailableError(
            f"after {wait_s:g} s, {', '.join(found) or 'the nodes only just consume'}",
            why="; ".join(problem for service in wrong for problem in service.problems),
            fix="scale.py status shows how it goes on; --wait-workers 2m waits longer",
            see="replica-missing",
        )

    # --- status -------------------------------------------------------------------------------------

    def status(self, asked: Mapping[str, int] | None = None) -> Status:
        """Return what runs and works now. Without Docker: the nodes, and at least as many as test-config.yml says.

        Args:
            asked: The replicas that were just asked for: the shell's own may differ.

        Raises:
            UnavailableError: The broker does not answer.
        """
        containers: list[Container] = []
        wanted: Mapping[str, int] = {}
        unknown = ""
        try:
            containers = self._fleet.containers()
            wanted = {**self._fleet.replicas(), **(asked or {})}
        except UnavailableError as exc:
            unknown = f"{exc.what}{': ' + exc.why if exc.why else ''}"
        with broker.connect(self._app) as connection, broker.said_plainly(self._app):
            seen = roster(self._app, connection, [worker.queue for worker in self._workers.values()])
            held = unacked(self._app, connection, [node.name for node in seen.nodes])
        return Status(
            at=time.time(),
            broker=broker.public_url(str(self._app.conf.broker_url)),
            services=tuple(
                self._service(worker, wanted.get(worker.service), containers, seen, held)
                for worker in self._workers.values()
            ),
            containers_unknown=unknown,
        )

    def _service(
        self,
        worker: WorkerSpec,
        wanted: int | None,
        containers: Sequence[Container],
        seen: Roster,
        held: Mapping[str, int],
    ) -> ServiceStatus:
        """Args:
        wanted: What Compose says of it; None where it is not one of its services, or nobody could be asked.
        """
        own = [container for container in containers if container.service == worker.service]
        by_node = {container.node: container.name for container in own}
        status = ServiceStatus(
            service=worker.service,
            queue=worker.queue,
            wanted=worker.replicas if wanted is None else wanted,
            exact=wanted is not None,
            containers=tuple(own),
            nodes=tuple(
                ConsumingNode(name=node.name, container=by_node.get(node.name), unacked=held.get(node.name))
                for node in seen.nodes
                if worker.queue in node.queues
            ),
            consumers=seen.consumers[worker.queue],
            backlog=seen.backlog[worker.queue],
        )
        return status if status.complete else replace(status, problems=tuple(self._problems(status, seen.nodes)))

    def _problems(self, status: ServiceStatus, answered: Sequence[Node]) -> list[str]:
        """Return why not exactly as many nodes consume as are wanted."""
        consuming = {node.name for node in status.nodes}
        elsewhere = {node.name: node.queues for node in answered if node.name not in consuming}
        problems = []
        for container in status.containers:
            if container.node in consuming:
                continue
            if container.node in elsewhere:
                found = f"{container.name} consumes {', '.join(elsewhere[container.node]) or 'nothing'}"
            elif container.state == "running":
                found = f"{container.name} runs ({container.status}), and its node does not answer"
            else:
                found = f"{container.name} is {container.state} ({container.status})"
            said = "" if container.state == "paused" else self._fleet.last_words(container)  # nothing of it runs
            problems.append(f"{found}: {said}" if said else found)
        if status.exact and len(status.containers) < status.wanted:
            absent = status.wanted - len(status.containers)
            problems.append(f"{absent} of {status.wanted} containers were not made: {self._fleet.remedy}")
        if status.exact and status.running > status.wanted:
            problems.append(f"{status.running} containers run, and {status.wanted} are wanted: scale.py set")
        problems += [f"{node.name} is in no container of this project" for node in status.nodes if not node.container]
        if status.consumers > len(status.nodes):
            silent = status.consumers - len(status.nodes)
            problems.append(f"{silent} of {status.consumers} consumers of {status.queue} do not say who they are")
        return problems
