"""Where the promise matrix runs its workers: containers of the user's image, or processes of this Python."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from harness.docker_cli import TIMEOUT_S, DockerCli, refusal
from harness.errors import UnavailableError
from harness.process_group import ProcessGroup

#: The app under test, run with `python -c`.
SOURCE = Path(__file__).with_name("matrix_app.py").read_text(encoding="utf-8")
#: What marks the containers; its value is the run's own.
LABEL = "distributed-test.matrix"
#: Where a container has the authorities of `BROKER_CA`, as in docker-compose.yml.
_CA_INSIDE = "/run/broker-ca.pem"
#: How long Docker has to create and start a container, in seconds: several do at once.
_START_S = 60.0


class Node(Protocol):
    """A worker. What cannot be done raises an `UnavailableError`."""

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to one process, by the id that it knows itself by."""
        ...

    def terminate(self) -> None:
        """Ask the worker to end, as an orchestrator does: SIGTERM to its main process."""
        ...

    def kill(self) -> None:
        """Send SIGKILL to everything in it."""
        ...

    def runs(self) -> bool:
        """Return whether its main process is there."""
        ...

    def complaint(self) -> str:
        """Return the last line of its log: of what has ended, why; empty where there is none."""
        ...

    def remove(self) -> None:
        """End what is left of it, and leave nothing behind."""
        ...


class Place(Protocol):
    """Where nodes run."""

    name: str
    way_on: str  # what to do where a worker does not start

    def start(self, given: Mapping[str, Any]) -> Node:
        """Start a worker; that it consumes, it tells itself.

        Args:
            given: of (what it is to call itself in its reports), acks, queue, queue_type, reports (the queue of its
                reports), relay (whether it reaches the broker through one), concurrency.
        """
        ...

    def close(self) -> None:
        """Remove every node that is left."""
        ...


class Processes:
    """Processes of this Python, with the packages that are installed here."""

    name = "processes on this machine"
    way_on = "./setup.sh doctor"

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._directory = Path(tempfile.mkdtemp(prefix="matrix-"))
        self._nodes: list[_Process] = []

    def start(self, given: Mapping[str, Any]) -> Node:
        environment = {
            **os.environ,
            "MATRIX": json.dumps(given),
            "MATRIX_BROKER_URL": self._broker_url,
            "TMPDIR": str(self._directory),
        }
        log = self._directory / f"{len(self._nodes)}.log"
        command = [sys.executable, "-c", SOURCE]
        node = _Process(ProcessGroup(command, cwd=self._directory, env=environment, log=log), log)
        self._nodes.append(node)
        return node

    def close(self) -> None:
        for node in self._nodes:
            node.remove()
        shutil.rmtree(self._directory, ignore_errors=True)


class _Process:
    def __init__(self, group: ProcessGroup, log: Path) -> None:
        self._group = group
        self._log = log

    def signal(self, pid: int, number: signal.Signals) -> None:
        try:
            if os.getpgid(pid) != self._group.pid:
                raise ProcessLookupError
            os.kill(pid, number)
        except ProcessLookupError as exc:
            raise UnavailableError(f"process {pid} of a worker is gone") from exc

    def terminate(self) -> None:
        self._group.terminate_main()

    def kill(self) -> None:
        self._group.kill_all()

    def runs(self) -> bool:
        return self._group.runs

    def complaint(self) -> str:
        return _last_line(self._log.read_text(encoding="utf-8", errors="replace"))

    def remove(self) -> None:
        self._group.kill_all()


class Containers:
    """Containers of the image of the first Compose service, which find the host, and trust the broker, as it does."""

    way_on = "./setup.sh, for a broker user that may come from a container; or --local"

    def __init__(self, directory: Path, broker_url: str, environ: Mapping[str, str]) -> None:
        """Args:
            directory: Where docker-compose.yml is.
            broker_url: The dispatcher's: the matrix's queues are its own, so its user and virtual host are taken.
            environ: `WORKER_BROKER_URL` says under which name a container finds the broker, `HOST_GATEWAY` where the
                host is; `BROKER_CA` and `BROKER_TLS_NAME` are the dispatcher's own.

        Raises:
            UnavailableError: There is no Docker, or no such image.
        """
        self._docker = DockerCli(directory)
        self._run = uuid.uuid4().hex[:12]
        self._gateway = environ.get("HOST_GATEWAY") or "host-gateway"
        self._tls = ["--env", f"BROKER_TLS_NAME={environ.get('BROKER_TLS_NAME', '')}"]
        if authorities := environ.get("BROKER_CA"):
            self._tls += ["--env", f"BROKER_CA={_CA_INSIDE}"]
            self._tls += ["--mount", f"type=bind,source={authorities},target={_CA_INSIDE},readonly"]
        os.environ["MATRIX_BROKER_URL"] = from_inside(broker_url, environ.get("WORKER_BROKER_URL", ""))  # not in `ps`
        self._image = min(self._docker.compose("config", "--images").split())
        if self._docker.run(["docker", "image", "inspect", self._image]).returncode:
            raise UnavailableError(
                f"there is no image {self._image}", why="nobody has built it", fix="docker compose build; or --local"
            )
        self.name = f"containers of the image {self._image}"

    def start(self, given: Mapping[str, Any]) -> Node:
        command = [
            *("docker", "run", "--detach", "--init", "--label", f"{LABEL}={self._run}"),
            *("--add-host", f"host.docker.internal:{self._gateway}"),
            *("--env", "MATRIX_BROKER_URL", "--env", f"MATRIX={json.dumps(given)}", *self._tls),
            *("--entrypoint", "python", self._image, "-c", SOURCE),
        ]
        started = self._docker.run(command, _START_S)
        if started.returncode:
            raise UnavailableError(f"no container of {self._image} starts", why=refusal(started.stderr))
        return _Container(self._docker, started.stdout.strip())

    def close(self) -> None:
        left = self._docker.docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={self._run}").split()
        if left:
            self._docker.run(["docker", "rm", "--force", "--volumes", *left], _START_S)


class _Container:
    def __init__(self, docker: DockerCli, container: str) -> None:
        self._docker = docker
        self._id = container

    def signal(self, pid: int, number: signal.Signals) -> None:
        script = f"kill -{int(number)} {pid}"
        done = self._docker.run(["docker", "exec", self._id, "sh", "-c", script], TIMEOUT_S)
        if done.returncode not in (0, 137):  # 137: it was killed with what it killed
            raise UnavailableError(f"process {pid} of a worker is gone", why=refusal(done.stderr))

    def terminate(self) -> None:
        self._docker.docker("kill", "--signal", "TERM", self._id)

    def kill(self) -> None:
        self._docker.docker("kill", self._id)

    def runs(self) -> bool:
        return self._docker.docker("inspect", "--format", "{{.State.Running}}", self._id).strip() == "true"

    def complaint(self) -> str:
        log = self._docker.run(["docker", "logs", "--tail", "200", self._id])
        return _last_line(log.stdout + log.stderr)

    def remove(self) -> None:
        self._docker.run(["docker", "rm", "--force", "--volumes", self._id], _START_S)


def from_inside(broker_url: str, worker_broker_url: str) -> str:
    """Return the dispatcher's broker URL with the host that the workers' containers find the broker at."""
    ours = urlsplit(broker_url)
    port = f":{ours.port}" if ours.port else ""
    theirs = urlsplit(worker_broker_url or f"{ours.scheme}://host.docker.internal{port}")
    user, at, _ = ours.netloc.rpartition("@")
    host = theirs.netloc.rpartition("@")[2]
    return ours._replace(netloc=f"{user}{at}{host}", scheme=theirs.scheme).geturl()


def _last_line(log: str) -> str:
    return log.strip().rpartition("\n")[2]
