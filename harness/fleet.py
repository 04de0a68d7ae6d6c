"""Where workers run: Compose services, or processes on this host started with the same command line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from harness.errors import UnavailableError
from harness.model import WorkerSpec

#: How long a stopping worker may finish its task before it is killed, in seconds.
STOP_GRACE_S = 20.0
#: How long Docker has to answer a question, in seconds.
DOCKER_TIMEOUT_S = 10.0


#: A terminal's control sequence.
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: What Celery says after a worker has lost its connection several times: the line before it says why.
_CONSEQUENCE = "Frequent restarts detected"


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


class Fleet(Protocol):
    """What a command asks of the place where the workers run."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def explain(self, worker: WorkerSpec) -> str:
        """Return in a line why `worker` is missing, as far as this place knows; empty where it does not."""
        ...


class ComposeFleet:
    """The services of docker-compose.yml. Needs Docker only where somebody asks it something."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def start(self) -> None:
        self._compose("up", "--detach")

    def stop(self) -> None:
        self._compose("stop")

    def explain(self, worker: WorkerSpec) -> str:
        try:
            listed = self._compose("ps", "--all", "--format", "json", worker.service)
        except UnavailableError:
            return ""  # no Docker here: the workers may run anywhere
        # one object a line; Compose before 2.21 printed one array
        rows = [json.loads(line) for line in listed.splitlines() if line.strip()]
        containers = [row for item in rows for row in (item if isinstance(item, list) else [item])]
        if not containers:
            return f"{worker.service} has no container: docker compose up -d"
        states = ", ".join(f"{row['Name']} is {row['State']} ({row.get('Status', '')})" for row in containers)
        complaint = self._complaint(worker.service)
        return f"{states}{': ' + complaint if complaint else ''}"

    def _complaint(self, service: str) -> str:
        """Return the last error in a service's log."""
        try:
            log = self._compose("logs", "--no-color", "--no-log-prefix", "--tail", "200", service)
        except UnavailableError:
            return ""
        return last_complaint(log)

    def _compose(self, *arguments: str) -> str:
        command = ["docker", "compose", *arguments]
        if shutil.which("docker") is None:
            command = ["docker-compose", *arguments]
        try:
            done = subprocess.run(
                command, cwd=self._directory, capture_output=True, text=True, timeout=DOCKER_TIMEOUT_S, check=True
            )
        except FileNotFoundError as exc:
            raise UnavailableError("Docker Compose is not installed", fix="./setup.sh") from exc
        except subprocess.CalledProcessError as exc:
            raise UnavailableError(f"{' '.join(command)} failed", why=exc.stderr.strip().rpartition("\n")[2]) from exc
        except subprocess.TimeoutExpired as exc:
            raise UnavailableError(f"{' '.join(command)} did not answer in {DOCKER_TIMEOUT_S:.0f} s") from exc
        return done.stdout


def last_complaint(log: str) -> str:
    """Return the last line of a worker's log that tells of an error, shortened; empty where none does."""
    for line in reversed(log.splitlines()):
        line = _ESCAPE.sub("", line)  # Compose clears the line before each, also in a pipe
        try:
            record = json.loads(line)
        except ValueError:
            if "Error" in line:
                return line.strip()[:200]
            continue
        told = isinstance(record, dict) and record.get("level") in ("ERROR", "CRITICAL")
        if told and not str(record.get("message")).startswith(_CONSEQUENCE):
            return str(record.get("message", "")).strip().splitlines()[0][:200]
    return ""


class LocalFleet:
    """Worker processes on this host, in process groups of their own: a Ctrl-C at the terminal is not theirs."""

    def __init__(
        self, directory: Path, workers: Sequence[WorkerSpec], broker_url: str, *, abrupt: bool = False
    ) -> None:
        """Args:
        directory: Where celery_app.py is.
        abrupt: End the workers at once instead of letting them finish: for a broker that is thrown away.
        """
        self._directory = directory
        self._workers = workers
        self._broker_url = broker_url
        self._abrupt = abrupt
        self._processes: list[tuple[WorkerSpec, subprocess.Popen[bytes]]] = []
        self._logs = Path(tempfile.mkdtemp(prefix="workers-"))

    def start(self) -> None:
        """Start the nodes of every service; that they consume is for the health check to see."""
        # what a killed worker's pool leaves in the temporary directory goes with the logs
        environment = {**os.environ, "BROKER_URL": self._broker_url, "TMPDIR": str(self._logs)}
        for worker in self._workers:
            for replica in range(1, worker.replicas + 1):
                command = worker_command(worker)
                if worker.replicas > 1:
                    name = command.index("-n") + 1
                    command[name] = f"{worker.service}@{replica}.%h"
                with self._log(worker).open("ab") as log:
                    process = subprocess.Popen(
                        [sys.executable, "-m", *command],
                        cwd=self._directory,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                self._processes.append((worker, process))

    def stop(self, *, at_once: bool = False) -> None:
        """End every process that was started: SIGTERM is Celery's warm shutdown, SIGKILL comes `STOP_GRACE_S` later.

        Args:
            at_once: Kill them now. So does an exception, such as a Ctrl-C while this waits: no process is left.
        """
        try:
            if not (at_once or self._abrupt):
                self._finish_tasks()
        finally:
            for _, process in self._processes:
                self._signal(process, signal.SIGKILL)
                process.wait()
            self._processes.clear()
            shutil.rmtree(self._logs, ignore_errors=True)

    def _finish_tasks(self) -> None:
        for _, process in self._processes:
            self._signal(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE_S
        for _, process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(deadline - time.monotonic(), 0.1))

    def explain(self, worker: WorkerSpec) -> str:
        log = self._log(worker)
        complaint = last_complaint(log.read_text(errors="replace")) if log.exists() else ""
        ended = [
            f"{worker.service} ended with code {process.returncode}"
            for started, process in self._processes
            if started == worker and process.poll() is not None
        ]
        return ": ".join([*ended[:1], *([complaint] if complaint else [])])

    def _log(self, worker: WorkerSpec) -> Path:
        return self._logs / f"{worker.service}.log"

    def _signal(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        if process.poll() is not None:
            return
        if number is signal.SIGKILL:
            os.killpg(process.pid, number)  # the pool's children too
        else:
            process.send_signal(number)
