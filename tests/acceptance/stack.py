"""A copy of the project with names of its own on the broker and in Docker, and how to ask about it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Settings of the shell that would lead the copy to another broker or project.
FOREIGN = (
    "BROKER_URL",
    "WORKER_BROKER_URL",
    "MONITOR_BROKER_URL",
    "FLOWER_BASIC_AUTH",
    "WORKER_EVENTS",
    "COMPOSE_PROJECT_NAME",
    "SETUP_VHOST",
    "SETUP_USER_PREFIX",
)


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Return the first true value of `condition`; fail naming `what` when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.1)
    return value


def rabbitmqctl(*arguments: str) -> str:
    """Return what `rabbitmqctl` prints; it is for root alone."""
    sudo = [] if os.getuid() == 0 else ["sudo", "--non-interactive"]
    command = [*sudo, "rabbitmqctl", "--silent", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@dataclass
class Stack:
    """A copy of the project with names of its own on the broker and in Docker."""

    root: Path
    name: str = field(default_factory=lambda: f"dts-{uuid.uuid4().hex[:8]}")

    @property
    def env(self) -> dict[str, str]:
        env = {key: value for key, value in os.environ.items() if key not in FOREIGN}
        return env | {"COMPOSE_PROJECT_NAME": self.name, "SETUP_VHOST": self.name, "SETUP_USER_PREFIX": self.name}

    def run(self, *command: str, timeout_s: float = 240, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the copy, without a terminal; stderr is part of its `stdout`."""
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def output(self, *command: str, **env: str) -> str:
        """Return what a command printed; it must succeed."""
        done = self.run(*command, **env)
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout.strip()

    def compose(self, *arguments: str, **env: str) -> str:
        return self.output("docker", "compose", *arguments, **env)

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """Return `docker inspect` of the containers, stopped ones too."""
        ids = self.compose("ps", "--all", "--quiet", *services).split()
        return json.loads(self.output("docker", "inspect", *ids)) if ids else []

    def container(self, service: str) -> dict[str, Any]:
        (container,) = self.containers(service)
        return container

    def exec(self, service: str, script: str) -> subprocess.CompletedProcess[str]:
        return self.run("docker", "compose", "exec", "-T", service, "sh", "-c", script)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Begin with healthy containers; afterwards one of each service runs, and .env is as it was."""
        self.wait_healthy()
        before = (self.root / ".env").read_bytes()
        yield
        (self.root / ".env").write_bytes(before)
        self.compose("up", "--detach", "--no-build", "--scale=worker-a=1", "--scale=worker-b=1")
        self.wait_healthy()

    def wait_healthy(self, timeout_s: float = 40) -> None:
        def healthy() -> bool:
            states = [container["State"] for container in self.containers()]
            return bool(states) and all(s["Running"] and s["Health"]["Status"] == "healthy" for s in states)

        wait_until(healthy, timeout_s, "every container healthy")

    def clear_queues(self) -> None:
        """Remove what other tests left: dead letters, results that nobody waits for, queues of killed dispatchers."""
        queues = rabbitmqctl("list_queues", "-p", self.name, "name").split()
        for queue in queues:
            if queue.endswith(".dead"):
                rabbitmqctl("purge_queue", "-p", self.name, queue)
            elif queue.startswith("dispatch."):
                rabbitmqctl("delete_queue", "-p", self.name, queue)

    def setting(self, key: str) -> str:
        (value,) = [
            line.partition("=")[2]
            for line in (self.root / ".env").read_text().splitlines()
            if line.startswith(f"{key}=")
        ]
        return value

    def passwords(self) -> list[str]:
        urls = [self.setting(key) for key in ("BROKER_URL", "WORKER_BROKER_URL", "MONITOR_BROKER_URL")]
        return [
            *(url.split("@")[0].rsplit(":", 1)[1] for url in urls),
            self.setting("FLOWER_BASIC_AUTH").partition(":")[2],
        ]

    def on_broker(self) -> dict[str, Any]:
        """Return the users (with the hashes of their passwords), permissions and vhosts that carry our name."""
        # while somebody else makes or deletes a virtual host the command can end in an Erlang error
        told: list[str] = []
        wait_until(lambda: told.append(rabbitmqctl("export_definitions", "-")) or told[-1][:2] == '{"', 20, "an answer")
        definitions = json.loads(told[-1])
        return {
            "users": [user for user in definitions["users"] if user["name"].startswith(self.name)],
            "permissions": [one for one in definitions["permissions"] if one["user"].startswith(self.name)],
            "vhosts": [vhost["name"] for vhost in definitions["vhosts"] if vhost["name"] == self.name],
        }

    def in_docker(self) -> list[str]:
        """Return the containers, images and networks that carry our name."""
        label = f"label=com.docker.compose.project={self.name}"
        found = self.output("docker", "ps", "--all", "--quiet", "--filter", label).split()
        found += self.output("docker", "images", "--all", "--quiet", "--filter", label).split()
        return found + self.output("docker", "network", "ls", "--quiet", "--filter", label).split()

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.root)): p.read_bytes() for p in sorted(self.root.rglob("*")) if p.is_file()}


def copy_project(to: Path) -> Stack:
    """Copy what is, or would be, in version control."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():  # not one that is being deleted
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return Stack(to)


class CommandLines:
    """Every command line that `ps` could have shown while the block ran."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._stop = Event()
        self._thread = Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._stop.is_set():
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    try:
                        self.seen.add((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                    except OSError:
                        continue  # it ended
            self._stop.wait(0.002)

    def __enter__(self) -> CommandLines:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
