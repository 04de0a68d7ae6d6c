"""The fleet of a stack on Docker Swarm (deploy/swarm/stack.yml), on whichever machines its containers are."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.docker_cli import DockerCli
from harness.errors import UnavailableError
from harness.fleet import Unit, last_complaint
from harness.service_status import Container

#: How long the swarm has to start containers, or to stop them beyond their own grace period, in seconds.
SWARM_WORK_S = 60.0
_LOOK_INTERVAL_S = 0.25
#: States of a task in which its container runs. Swarm calls it running once its health check has passed.
#: https://docs.docker.com/engine/swarm/how-swarm-mode-works/swarm-task-states/
_LIVE = ("starting", "running")
#: What Swarm wants of a task that it has replaced or no longer needs.
_OVER = ("shutdown", "remove")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """Swarm's own word: one container of a service, planned, running or ended."""

    id: str
    service: str  # worker-a
    slot: str  # which of the service's replicas it is or was: STACK_worker-a.1
    machine: str  # empty: assigned to none
    wanted: str  # running, shutdown, remove
    state: str
    error: str
    container_id: str  # empty: none was made
    created_at: str

    @property
    def live(self) -> bool:
        return self.state in _LIVE

    @property
    def container(self) -> Container:
        where = f" on {self.machine}" if self.machine else ""
        return Container(
            service=self.service,
            id=self.container_id[:12],
            name=f"{self.slot}.{self.id}",
            state="running" if self.live else self.state,
            status=f"{self.state}{where}",
        )


class SwarmFleet:
    """The services of a stack, asked through a manager of the swarm."""

    def __init__(self, directory: Path, stack: str) -> None:
        self._cli = DockerCli(directory)
        self._stack = stack
        self.origin = f"stack {stack}"
        self.remedy = f"docker stack ps --no-trunc {stack}"

    def require(self) -> None:
        """Raises:
        UnavailableError: No swarm is active here, this machine does not manage it, or it has no such stack.
        """
        swarm = self._cli.docker("info", "--format", "{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}").strip()
        if not swarm.startswith("active"):
            raise UnavailableError(
                "no swarm is active on this machine",
                why=f"Docker calls its swarm {swarm.partition(' ')[0]}",
                fix=f"docker swarm init, then docker stack deploy -c deploy/swarm/stack.yml {self._stack}",
            )
        if swarm != "active true":
            raise UnavailableError(
                "this machine is no manager of its swarm",
                why="only a manager tells of services and scales them",
                fix="DOCKER_HOST=ssh://USER@MANAGER scale.py status --engine swarm",
            )
        if not self._services():
            stacks = ", ".join(self._cli.docker("stack", "ls", "--format", "{{.Name}}").split())
            raise UnavailableError(
                f"there is no stack {self._stack}",
                why=f"the swarm has {stacks or 'none'}",
                fix=f"docker stack deploy -c deploy/swarm/stack.yml {self._stack}, or --stack NAME",
            )

    # --- which run --------------------------------------------------------------------------------

    def units(self, service: str) -> list[Unit]:
        return [
            Unit(
                service=service, id=task.container.id, node=task.container.node, name=f"container {task.container.name}"
            )
            for task in self._tasks()
            if task.live and task.service == service
        ]

    def counts(self) -> Mapping[str, int]:
        tasks = self._tasks()
        return {one: sum(task.live and task.service == one for task in tasks) for one in self._services()}

    def replicas(self) -> Mapping[str, int]:
        return {name: spec["Mode"]["Replicated"]["Replicas"] for name, spec in self._services().items()}

    def keep(self, counts: Mapping[str, int], env_file: Path, exported: Mapping[str, str]) -> list[str]:
        """Leave it to the swarm, which keeps the number itself, until a stack is deployed over it."""
        return [f"{', '.join(counts)}: the next `docker stack deploy` sets the replicas of stack.yml anew"]

    def scale(self, counts: Mapping[str, int]) -> None:
        """Have exactly so many containers run; those that go have ended when this returns.

        Raises:
            UnavailableError: Docker refuses, or a container cannot be started, or it takes longer than `SWARM_WORK_S`
                and the grace period.
        """
        specs = self._services()
        grace_s = max(specs[service]["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] for service in counts) / 1e9
        known = {task.id for task in self._tasks()}
        deadline = time.monotonic() + SWARM_WORK_S + grace_s
        numbers = [f"{self._stack}_{service}={number}" for service, number in counts.items()]
        self._cli.docker("service", "scale", "--detach", *numbers)
        while short := [
            f"{one}: {now} of {counts[one]}" for one, now in self.counts().items() if now != counts.get(one, now)
        ]:
            failed = [task for task in self._tasks() if task.service in counts and task.error and task.id not in known]
            if failed or time.monotonic() > deadline:
                raise UnavailableError(
                    f"not as many containers run as were asked for: {', '.join(short)}",
                    why="; ".join(f"{task.container.name} is {task.state}: {task.error}" for task in failed),
                    fix=self.remedy,
                )
            time.sleep(_LOOK_INTERVAL_S)

    def containers(self) -> list[Container]:
        """Return those that run, and those that should and do not yet, oldest first."""
        return [task.container for task in self._tasks() if task.live or task.wanted not in _OVER]

    def last_words(self, container: Container) -> str:
        """Return the last error that its log or Swarm tells, or else those of its predecessors in the same slot."""
        slot = container.name.rpartition(".")[0]
        for task in reversed([task for task in self._tasks() if task.slot == slot]):
            said = ""
            if task.container_id:
                logs = self._cli.run(["docker", "service", "logs", "--raw", "--tail", "200", task.id])
                said = last_complaint(logs.stdout + logs.stderr)
            if said or task.error:
                return said or task.error
        return ""

    # --- what the swarm tells ---------------------------------------------------------------------

    def _services(self) -> dict[str, dict[str, Any]]:
        """Return what is declared of each service with a number of replicas."""
        label = f"label=com.docker.stack.namespace={self._stack}"
        ids = self._cli.docker("service", "ls", "--quiet", "--filter", label).split()
        listed = json.loads(self._cli.docker("service", "inspect", *ids)) if ids else []
        specs = [service["Spec"] for service in listed if "Replicated" in service["Spec"]["Mode"]]
        return {spec["Name"].removeprefix(f"{self._stack}_"): spec for spec in specs}

    def _tasks(self) -> list[_Task]:
        """Return the tasks of all services, oldest first; the swarm keeps some that have ended."""
        names = [f"{self._stack}_{service}" for service in self._services()]
        listed = self._cli.docker(
            "service", "ps", "--no-trunc", "--format", "{{.ID}}\t{{.Name}}\t{{.Node}}", *names
        ).splitlines()
        rows = {id_: (name.split()[-1], machine) for id_, name, machine in (line.split("\t") for line in listed)}
        if not rows:
            return []
        # one that has gone meanwhile is missing in the answer, which ends with 1 then
        inspected = json.loads(self._cli.run(["docker", "inspect", "--type", "task", *rows]).stdout or "[]")
        return sorted((self._task(one, *rows[one["ID"]]) for one in inspected), key=lambda task: task.created_at)

    def _task(self, inspected: Mapping[str, Any], name: str, machine: str) -> _Task:
        status = inspected["Status"]
        return _Task(
            id=inspected["ID"],
            service=name.removeprefix(f"{self._stack}_").rpartition(".")[0],
            slot=name,
            machine=machine,
            wanted=inspected["DesiredState"],
            state=status["State"],
            error=status.get("Err", ""),
            container_id=status.get("ContainerStatus", {}).get("ContainerID", ""),
            created_at=inspected["CreatedAt"],
        )
