"""Real parts for the tests: virtual hosts on a live RabbitMQ, workers as processes, commands as a user runs them.

A service that is missing skips the tests that need it, with the command that would enable them, and the last line
says what is not proved. With `CI=true` it fails them.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from harness import broker, roster
from harness.fleet import worker_command
from harness.model.topology import Roster, WorkerSpec
from tests.erlang import erlang

pytest_plugins = ["tests.parallel"]

ROOT = Path(__file__).resolve().parent.parent
# a make that a test runs is a user's own, not a part of `make test`; and Python keeps what it compiled, as for a user
for _name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ARGS", "PYTHONDONTWRITEBYTECODE"):
    os.environ.pop(_name, None)
#: How long a worker may take to consume, or to stop, in seconds.
READY_S = 30.0

WORKER_A = WorkerSpec(service="worker-a", queue="queue_a")
WORKER_B = WorkerSpec(service="worker-b", queue="queue_b")


def eventually(look: Callable[[], Any], what: str, within_s: float = READY_S) -> Any:
    """Return `look()` as soon as it is true; fail once `within_s` have passed."""
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:.0f} s: {what}")
        time.sleep(0.05)


# --- services -------------------------------------------------------------------------------------


def _answers(command: list[str]) -> str:
    """Return why `command` does not succeed; empty where it does."""
    if shutil.which(command[0]) is None:
        return f"{command[0]} is not installed"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return f"{' '.join(command)} does not answer"
    return "" if done.returncode == 0 else (done.stderr.strip() or done.stdout.strip() or "failed").splitlines()[-1]


@pytest.fixture(scope="session")
def needs_rabbitmq(missing: Callable[[str, str, str], None]) -> None:
    """A RabbitMQ on this host that this user administrates."""
    if why := _answers([*_admin(), "--quiet", "eval", "ok."]):
        missing("RabbitMQ", why, "./setup.sh, or rabbitmq-server -detached; tests administrate it with rabbitmqctl")


@pytest.fixture(scope="session")
def needs_docker(missing: Callable[[str, str, str], None]) -> None:
    """A Docker engine and Compose v2."""
    if why := _answers(["docker", "info"]) or _answers(["docker", "compose", "version"]):
        missing("Docker", why, "./setup.sh")


# --- RabbitMQ -------------------------------------------------------------------------------------


def _admin() -> list[str]:
    return ["rabbitmqctl"] if os.geteuid() == 0 else ["sudo", "--non-interactive", "rabbitmqctl"]


class Vhosts:
    """Virtual hosts made for tests, and deleted after them."""

    def __init__(self) -> None:
        self._made: list[str] = []
        self._numbers = itertools.count(1)

    def make(self) -> str:
        """Make one and return its URL; `guest` may do everything there."""
        name = f"test-{os.getpid()}-{next(self._numbers)}"
        self._made.append(name)
        erlang(
            f'rabbit_vhost:add(<<"{name}">>, <<"test">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, '
            f'<<".*">>, <<".*">>, <<".*">>, <<"test">>).'
        )
        return f"amqp://guest:guest@localhost:5672/{name}"

    def delete(self, url: str) -> None:
        """Delete the one of `url`; not at the end of all: a broker with 1,024 file handles has room for about 13.

        Each has some 33 quorum queues, 28 of them for Celery's delayed delivery. Past the limit RabbitMQ 3.10
        hangs, instead of refusing.
        """
        name = url.rpartition("/")[2]
        self._made.remove(name)
        erlang(f'catch rabbit_vhost:delete(<<"{name}">>, <<"test">>).')

    def delete_all(self) -> None:
        if self._made:
            erlang(", ".join(f'catch rabbit_vhost:delete(<<"{name}">>, <<"test">>)' for name in self._made) + ".")


@pytest.fixture(scope="session")
def vhosts(needs_rabbitmq: None) -> Iterator[Vhosts]:
    made = Vhosts()
    yield made
    made.delete_all()


@pytest.fixture
def broker_url(vhosts: Vhosts) -> Iterator[str]:
    """The URL of an empty virtual host of this test's own."""
    url = vhosts.make()
    yield url
    vhosts.delete(url)


def load_app(url: str) -> Celery:
    """Return the project's app on `url`: a fresh one, since an app keeps the connections of its first URL."""
    before = os.environ.get("BROKER_URL")
    os.environ["BROKER_URL"] = url
    try:
        spec = importlib.util.spec_from_file_location("celery_app", ROOT / "celery_app.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        if before is None:
            del os.environ["BROKER_URL"]
        else:
            os.environ["BROKER_URL"] = before
    app: Celery = module.app
    return app


# --- workers --------------------------------------------------------------------------------------


@dataclass
class Workers:
    """Worker nodes as processes of their own, started with the product's command line."""

    url: str
    app: Celery
    logs: Path
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, spec: WorkerSpec, *more: str, wait: bool = True, cwd: Path = ROOT, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a node of `spec` with `more` arguments; returns once it consumes, unless told not to wait."""
        log = self.logs / f"{spec.service}-{len(self._processes)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", *worker_command(spec), *more],
                cwd=cwd,
                env={**os.environ, "BROKER_URL": self.url, **environment},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self._processes.append(process)
        if wait:
            eventually(
                lambda: process.poll() is not None or any(n.service == spec.service for n in self.roster().nodes),
                f"{spec.service} consumes: {log.read_text()[-2000:]}",
            )
            assert process.poll() is None, log.read_text()[-2000:]
        return process

    def roster(self) -> Roster:
        with broker.connect(self.app) as connection:
            return roster.roster(self.app, connection, ["queue_a", "queue_b"])

    def log(self, service: str) -> str:
        return "".join(path.read_text() for path in sorted(self.logs.glob(f"{service}-*.log")))

    def records(self, service: str) -> list[dict[str, Any]]:
        """Return the log of a service, as the objects that its lines hold."""
        return [json.loads(line) for line in self.log(service).splitlines() if line.startswith("{")]

    def kill_all(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def workers(broker_url: str, tmp_path: Path) -> Iterator[Workers]:
    """Nothing started yet, on this test's own virtual host."""
    started = Workers(broker_url, load_app(broker_url), tmp_path)
    yield started
    started.kill_all()


@pytest.fixture(scope="module")
def deployment(vhosts: Vhosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """worker-a and worker-b as they should be, shared by the tests of a module that leave them so."""
    url = vhosts.make()
    started = Workers(url, load_app(url), tmp_path_factory.mktemp("workers"))
    try:
        started.start(WORKER_A, wait=False)
        started.start(WORKER_B, wait=False)
        eventually(lambda: len(started.roster().nodes) == 2, "both workers consume")
        yield started
    finally:
        started.kill_all()
        vhosts.delete(url)


# --- commands -------------------------------------------------------------------------------------


@dataclass
class Command:
    """Runs a command of the project in an empty directory, as a user does."""

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    root: Path = ROOT  # where the commands are

    def __call__(self, name: str, *arguments: str, timeout_s: float = 90, **environment: str) -> Any:
        """Run `name` to its end and return the finished process, its output as text."""
        return subprocess.run(
            [sys.executable, str(self.root / name), *arguments],
            cwd=self.directory,
            env=self.env(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(self.root / name), *arguments],
            cwd=self.directory,
            env=self.env(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def dispatch(self, *arguments: str, **environment: str) -> Any:
        return self("dispatch.py", *arguments, **environment)

    def config(self, scenarios: dict[str, Any], **settings: Any) -> str:
        """Write a configuration and return its name; a scenario is its tasks, or all of it."""
        full = {
            name: {"description": name, "tasks": scenario} if isinstance(scenario, list) else scenario
            for name, scenario in scenarios.items()
        }
        workers = {"worker-a": {"queue": "queue_a"}, "worker-b": {"queue": "queue_b"}}
        path = self.directory / "scenarios.yml"
        path.write_text(json.dumps({"version": 1, "settings": settings, "workers": workers, "scenarios": full}))
        return path.name

    def journals(self) -> list[str]:
        """Return the ids of the runs that are noted as unfinished."""
        return sorted(path.stem for path in (self.root / ".runs").glob("*.jsonl"))

    def env(self, **more: str) -> dict[str, str]:
        return {**os.environ, **self.environment, **more}

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.directory.glob("dispatch_results_*.json"))]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    directory = tmp_path / "cwd"
    directory.mkdir()
    return Command(directory)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project: without the .env that this machine may have, and with run journals of its own."""
    from tests.acceptance.stack import copy_project

    return copy_project(tmp_path_factory.mktemp("project")).root


@pytest.fixture
def user(project: Path, tmp_path: Path) -> Iterator[Command]:
    """A user of that copy, in an empty directory; the journals of a test's unfinished runs are removed after it."""
    directory = tmp_path / "user"
    directory.mkdir()
    environment = {
        "NO_COLOR": "",
        "FORCE_COLOR": "",
        "TERM": "xterm",
        "LC_ALL": "C.UTF-8",
    }
    yield Command(directory, environment, project)
    for path in (project / ".runs").glob("*.jsonl"):
        path.unlink()
