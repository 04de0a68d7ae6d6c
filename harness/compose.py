"""The fleet of docker-compose.yml: what it is asked, and what is done to its containers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.compose_project import ComposeProject
from harness.docker_cli import TIMEOUT_S, DockerCli, refusal
from harness.errors import UnavailableError
from harness.fleet import Unit, last_complaint
from harness.model.fault import FaultKind
from harness.model.topology import WorkerSpec
from harness.service_status import Container

#: How long Docker has to create and start containers, or to stop them beyond their own grace period, in seconds.
DOCKER_WORK_S = 60.0
#: How long something that was done may take to show, in seconds; and the pause between two looks.
_SHOWN_S = 5.0
_LOOK_INTERVAL_S = 0.02

#: The main process of a container, as $main: the first child of its init (`init: true`). The list has no line end,
#: for which `read` answers 1.
_MAIN = "read main others </proc/1/task/1/children"
_KILL_MAIN = f'{_MAIN}; kill -KILL "$main"'
_KILL_CHILD = f'{_MAIN}; grep -qs "^PPid:[[:space:]]*$main\\$" "/proc/$1/status" && kill -KILL "$1"'

#: Of a container, what makes a `Container`.
_LISTED = '{{.Label "com.docker.compose.service"}}\t{{.ID}}\t{{.Names}}\t{{.State}}\t{{.Status}}'


class ComposeFleet:
    """The services of docker-compose.yml. Needs Docker only where somebody asks it something."""

    origin = "docker-compose.yml"
    remedy = "docker compose up -d"

    def __init__(self, directory: Path, environ: Mapping[str, str] | None = None) -> None:
        """Args:
        environ: The environment for Docker, such as that of the shell: it beats .env. None: this process's.
        """
        self._cli = DockerCli(directory, environ)
        self.project = ComposeProject(self._cli)
        self._cut_off: dict[str, dict[str, list[str]]] = {}  # container -> network -> its aliases there

    def start(self) -> None:
        self._cli.compose("up", "--detach")

    def stop(self) -> None:
        self._cli.compose("stop")

    def explain(self, worker: WorkerSpec) -> str:
        try:
            containers = [one for one in self.containers() if one.service == worker.service]
            complaints = filter(None, map(self.last_words, reversed(containers)))
            complaint = next(complaints, "")
        except UnavailableError:
            return ""  # no Docker here: the workers may run anywhere
        if not containers:
            return f"{worker.service} has no container: docker compose up -d"
        states = ", ".join(f"{one.name} is {one.state} ({one.status})" for one in containers)
        return f"{states}{': ' + complaint if complaint else ''}"

    # --- which run --------------------------------------------------------------------------------

    def units(self, service: str) -> list[Unit]:
        self.project.require([service])
        return [unit for unit in self._running() if unit.service == service]

    def counts(self) -> Mapping[str, int]:
        running = self._running()
        return {service: sum(unit.service == service for unit in running) for service in self.project.services}

    def scale(self, counts: Mapping[str, int]) -> None:
        self.project.require(counts)
        services = sorted(counts)
        wanted = [f"--scale={service}={counts[service]}" for service in services]
        # naming the services, and leaving out what they depend on, leaves the others alone
        self._cli.compose(
            *("up", "--detach", "--no-build", "--no-recreate", "--no-deps", *wanted, *services),
            timeout_s=DOCKER_WORK_S + self._grace_s([u for u in self._running() if u.service in counts]),
        )
        if short := [f"{s}: {n} of {counts[s]}" for s, n in self.counts().items() if n != counts.get(s, n)]:
            raise UnavailableError(
                f"not as many containers run as were asked for: {', '.join(short)}",
                why="they ended as soon as they had started",
                fix=f"docker compose logs --tail 20 {services[0]}",
            )

    def replicas(self) -> Mapping[str, int]:
        return self.project.replicas()

    def keep(self, counts: Mapping[str, int], env_file: Path, exported: Mapping[str, str]) -> list[str]:
        """Write the choice where the next `docker compose up` reads it."""
        return self.project.keep(counts, env_file, exported)

    def containers(self) -> list[Container]:
        """Return the containers of all services, also those that do not run, oldest first."""
        listed = self._cli.docker(
            *("ps", "--all", "--no-trunc", "--filter", f"label=com.docker.compose.project={self.project.name}"),
            *("--filter", "label=com.docker.compose.oneoff=False"),
            *("--format", _LISTED),
        )
        rows = [line.split("\t") for line in reversed(listed.splitlines())]  # Docker lists the youngest first
        return [
            Container(service=service, id=id_[:12], name=name, state=state, status=status)
            for service, id_, name, state, status in rows
        ]

    def last_words(self, container: Container) -> str:
        """Return the last error in a container's log since it was last started; empty where there is none."""
        started = self._cli.run(["docker", "inspect", "--format", "{{.State.StartedAt}}", container.id]).stdout.strip()
        done = self._cli.run(["docker", "logs", "--since", started, "--tail", "200", container.id])
        return last_complaint(done.stdout + done.stderr)

    def _running(self) -> list[Unit]:
        return [
            Unit(service=one.service, id=one.id, node=one.node, name=f"container {one.name}")
            for one in self.containers()
            if one.state in ("running", "paused")
        ]

    # --- done to one ------------------------------------------------------------------------------

    def kill(self, unit: Unit) -> None:
        """End the container with SIGKILL. Whatever its restart policy, Docker leaves down what was killed by hand."""
        self._do(unit, "be killed", "kill", unit.id)
        self._shown(unit, "be killed", lambda state: not state["Running"])

    def kill_main(self, unit: Unit) -> None:
        """End the worker's main process alone with SIGKILL.

        Its init ends with it, and so does the container with the pool in it: a process that outlives its worker
        is not to be had here. The restart policy `unless-stopped` brings the same container back, under the same
        node name, in some 0.4 s (Docker 20.10).
        """
        before = self._state(unit)["Pid"]
        self._inside(unit, "have its main process killed", _KILL_MAIN)
        self._shown(unit, "have its main process killed", lambda state: state["Pid"] != before)

    def kill_child(self, unit: Unit, pid: int) -> None:
        self._inside(unit, f"have process {pid} of its pool killed", _KILL_CHILD, str(pid))

    def halt(self, unit: Unit, grace_s: float | None) -> None:
        """Stop the container; without `grace_s`, Docker grants what docker-compose.yml says (stop_grace_period)."""
        if not self._state(unit)["Running"]:
            raise _failed(unit, "be stopped", "it does not run")
        grace = [] if grace_s is None else ["-t", str(math.ceil(grace_s))]
        limit_s = DOCKER_WORK_S + (self._grace_s([unit]) if grace_s is None else grace_s)
        self._do(unit, "be stopped", "stop", *grace, unit.id, timeout_s=limit_s)
        self._shown(unit, "be stopped", lambda state: not state["Running"])

    def revive(self, unit: Unit) -> None:
        self._do(unit, "be started", "start", unit.id, timeout_s=DOCKER_WORK_S)
        self._shown(unit, "be started", lambda state: state["Running"])

    def pause(self, unit: Unit) -> None:
        self._do(unit, "be paused", "pause", unit.id)
        self._shown(unit, "be paused", lambda state: state["Paused"])

    def resume(self, unit: Unit) -> None:
        self._do(unit, "be resumed", "unpause", unit.id)
        self._shown(unit, "be resumed", lambda state: not state["Paused"])

    def disconnect(self, unit: Unit) -> None:
        """Take the container off its networks: what it sends, and what is sent to it, gets no answer."""
        (container,) = json.loads(self._cli.docker("inspect", unit.id))
        networks = container["NetworkSettings"]["Networks"]
        if not networks or not container["State"]["Running"]:
            raise _failed(unit, "be disconnected", "it does not run" if networks else "it is on no network")
        self._cut_off[unit.id] = {name: at["Aliases"] or [] for name, at in networks.items()}
        for name in networks:
            self._do(unit, "be disconnected", "network", "disconnect", name, unit.id)

    def reconnect(self, unit: Unit) -> None:
        """Put the container on its networks again, under the names that it had there.

        Docker gives it an address as to a new container, so connections that stood before do not always go on:
        with Docker 20.10 they were reset.
        """
        if unit.id not in self._cut_off:
            raise _failed(unit, "be reconnected", "it was not disconnected")
        for name, aliases in self._cut_off.pop(unit.id).items():
            names = [f"--alias={alias}" for alias in aliases]
            self._do(unit, "be reconnected", "network", "connect", *names, name, unit.id)

    def command_to_undo(self, kind: FaultKind, unit: Unit) -> str:
        if kind is FaultKind.PAUSE:
            return f"docker unpause {unit.id}"
        if kind is FaultKind.DISCONNECT:  # another container, on all its networks
            return f"docker compose up --detach --force-recreate {unit.service}"
        return f"docker start {unit.id}"

    def command_to_scale(self, counts: Mapping[str, int]) -> str:
        wanted = " ".join(f"--scale={service}={count}" for service, count in counts.items())
        return f"docker compose up --detach --no-recreate --no-deps {wanted} {' '.join(counts)}"

    def _do(self, unit: Unit, what: str, *arguments: str, timeout_s: float = TIMEOUT_S) -> None:
        done = self._cli.run(["docker", *arguments], timeout_s)
        if done.returncode:
            raise _failed(unit, what, refusal(done.stderr))

    def _inside(self, unit: Unit, what: str, script: str, *arguments: str) -> None:
        """Run a shell script in the container; it may be killed with what it kills."""
        done = self._cli.run(["docker", "exec", unit.id, "sh", "-c", script, "sh", *arguments])
        if done.returncode not in (0, 137):
            raise _failed(unit, what, refusal(done.stderr) or "its pool has no such process")

    def _state(self, unit: Unit) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._cli.docker("inspect", "--format", "{{json .State}}", unit.id))
        return state

    def _shown(self, unit: Unit, what: str, holds: Callable[[dict[str, Any]], bool]) -> None:
        deadline = time.monotonic() + _SHOWN_S
        while not holds(state := self._state(unit)):
            if time.monotonic() > deadline:
                raise _failed(unit, what, f"Docker agreed, and {_SHOWN_S:.0f} s later it is {state['Status']}")
            time.sleep(_LOOK_INTERVAL_S)

    def _grace_s(self, units: Sequence[Unit]) -> float:
        """Return the longest that one of `units` may take to stop, in seconds; Docker's default is 10."""
        if not units:
            return 0.0
        said = self._cli.docker("inspect", "--format", "{{.Config.StopTimeout}}", *(unit.id for unit in units))
        return max(float(line) if line.isdigit() else 10.0 for line in said.split())


def _failed(unit: Unit, what: str, why: str) -> UnavailableError:
    return UnavailableError(f"{unit.name} could not {what}", why=why, fix="docker compose ps --all")
