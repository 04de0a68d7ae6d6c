"""What a place where workers run can be asked and told: the same of Compose services and of processes on this host."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.model.fault import FaultKind
from harness.model.topology import WorkerSpec
from harness.service_status import Container

#: A terminal's control sequence.
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: What Celery says after a worker has lost its connection several times: the line before it says why.
_CONSEQUENCE = "Frequent restarts detected"
#: Who tells of a message or a task that failed: it keeps no worker from working.
_OF_MESSAGES = ("celery.app.trace", "worker.consumer")
#: What worker/topology.py says once it is connected, also again, and may declare its queues.
_MENDED = "topology declared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Where one node of a service runs: a container, or a process group on this host."""

    service: str  # worker-a
    id: str  # the container's, 12 digits; or the main process's
    node: str  # how the node calls itself: worker-a@12514a296d7c
    name: str  # for people: "container project-worker-a-1", "process 4711"


class Replicas(Protocol):
    """Worker services, and how many units of each run."""

    def units(self, service: str) -> list[Unit]:
        """Return those that run now, paused ones too, oldest first."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Return how many units of each service run now."""
        ...

    def scale(self, counts: Mapping[str, int]) -> None:
        """Have exactly so many units of each service run, and leave the others alone.

        Those that are too many finish their tasks first (a warm shutdown). Of containers that Compose made and of
        processes the youngest go; Swarm chooses itself.
        """
        ...


class ContainerFleet(Replicas, Protocol):
    """Services of containers, as a container engine runs them: what `scale.py` asks and tells it."""

    origin: str  # where the services are declared, in words: docker-compose.yml
    remedy: str  # the command that makes missing containers, or tells why it cannot

    def replicas(self) -> Mapping[str, int]:
        """Return how many containers of each service there should be."""
        ...

    def keep(self, counts: Mapping[str, int], env_file: Path, exported: Mapping[str, str]) -> list[str]:
        """Let the next deployment have as many containers.

        Args:
            env_file: Where settings are kept.
            exported: The variables of the shell, which beat those of `env_file`.

        Returns:
            A line for each service of which this cannot be promised.

        Raises:
            UsageError: The choice cannot be written.
        """
        ...

    def containers(self) -> list[Container]:
        """Return the containers of all services, also those that do not run, oldest first."""
        ...

    def last_words(self, container: Container) -> str:
        """Return the last error that is known of a container; empty where there is none."""
        ...


class Fleet(Replicas, Protocol):
    """The place where the workers run.

    What returns has happened: a killed unit is down, a paused one has stopped. Everything else raises an
    `UnavailableError` that says what could not be done, and why: no Docker, no such service, the unit is gone.
    """

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def explain(self, worker: WorkerSpec) -> str:
        """Return in a line why `worker` is missing, as far as this place knows; empty where it does not."""
        ...

    def kill(self, unit: Unit) -> None:
        """End everything in it with SIGKILL; it stays down."""
        ...

    def kill_main(self, unit: Unit) -> None:
        """End the worker's main process alone with SIGKILL."""
        ...

    def kill_child(self, unit: Unit, pid: int) -> None:
        """End a process of its pool with SIGKILL: the one that the worker itself knows as `pid`."""
        ...

    def halt(self, unit: Unit, grace_s: float | None) -> None:
        """Stop it with SIGTERM, a warm shutdown, and with SIGKILL `grace_s` later (None: what this place grants)."""
        ...

    def revive(self, unit: Unit) -> None:
        """Start what was killed or stopped again, as the same node; one that runs already is left alone."""
        ...

    def pause(self, unit: Unit) -> None:
        """Let none of its processes run."""
        ...

    def resume(self, unit: Unit) -> None: ...

    def disconnect(self, unit: Unit) -> None:
        """Let no packet in or out, silently: no connection of its is closed or reset."""
        ...

    def reconnect(self, unit: Unit) -> None: ...

    # --- undone by hand, where this process no longer can: a command for a shell, empty where nothing is to be undone

    def command_to_undo(self, kind: FaultKind, unit: Unit) -> str: ...

    def command_to_scale(self, counts: Mapping[str, int]) -> str: ...


def worker_command(worker: WorkerSpec) -> list[str]:
    """Return the arguments that start a node of `worker`: those of docker-compose.yml, which a test compares.

    Without mingle (it costs a second of every start), gossip and event heartbeats: nobody listens to them.
    """
    return [
        "celery",
        "-A",
        "celery_app",
        "worker",
        "-Q",
        worker.queue,
        "-n",
        f"{worker.service}@%h",
        f"--concurrency={os.environ.get('WORKER_CONCURRENCY') or 2}",
        "--without-mingle",
        "--without-gossip",
        "--without-heartbeat",
        f"--loglevel={os.environ.get('LOG_LEVEL') or 'INFO'}",
    ]


def last_complaint(log: str) -> str:
    """Return the last line of a worker's log that tells why it does not work, shortened; empty where that is over."""
    for line in reversed(log.splitlines()):
        line = _ESCAPE.sub("", line)  # Compose clears the line before each, also in a pipe
        try:
            record = json.loads(line)
        except ValueError:
            if "Error" in line:
                return line.strip()[:200]
            continue
        if not isinstance(record, dict) or record.get("logger") in _OF_MESSAGES:
            continue
        message = str(record.get("message", "")).strip()
        if message.startswith(_MENDED):
            return ""
        if record.get("level") in ("ERROR", "CRITICAL") and not message.startswith(_CONSEQUENCE):
            reason = f": {record['reason']}" if record.get("reason") else ""
            return f"{message}{reason}".partition("\n")[0][:200]
    return ""
