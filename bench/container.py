"""How long the containers of the real Compose file take to their first answer through the broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psutil

from bench.deployment import ROOT, environment
from bench.measure import Failed, Row, at_most, in_turns, median
from celery_app import ROUTES, app

ROUNDS = 3
MOST_S = 2.0
#: How long all containers may take to answer, in seconds.
READY_S = 60.0
#: How long one ping waits for answers, in seconds: an answer is seen at most this late.
PING_S = 0.1


@dataclass(frozen=True, slots=True)
class Stack:
    """The services of docker-compose.yml under a name of their own, on the measurements' virtual host."""

    name: str

    def compose(self, *arguments: str) -> str:
        return _output("docker", "compose", "--project-name", self.name, *arguments)

    def containers(self) -> list[dict[str, Any]]:
        """Return `docker inspect` of each container."""
        found: list[dict[str, Any]] = json.loads(_output("docker", "inspect", *self.compose("ps", "-q").split()))
        return found


@contextmanager
def stack() -> Iterator[Stack]:
    """Build the image, give the stack, and remove its containers, network and image at the end."""
    made = Stack(f"bench-{os.getpid()}")
    try:
        made.compose("build", "--quiet")
        yield made
    finally:
        made.compose("down", "--timeout", "0", "--rmi", "local")


def answer_times() -> dict[str, float]:
    """Ping until every service has answered; return when each node first did, by the id of its container."""
    first: dict[str, float] = {}
    deadline = time.monotonic() + READY_S
    with app.connection_for_write() as connection:
        while len(first) < len(ROUTES):
            if time.monotonic() > deadline:
                raise Failed(f"only {sorted(first)} answer within {READY_S:.0f} s")
            for answer in app.control.ping(timeout=PING_S, limit=len(ROUTES), connection=connection):
                for node in answer:
                    first.setdefault(node.rpartition("@")[2], time.time())
    return first


def measure() -> Iterator[Row]:
    since_up_s: list[float] = []
    with stack() as made:

        def since_start() -> float:
            """Return how long after its start the slower container answered."""
            called_at = time.time()
            made.compose("up", "--detach", "--no-build")
            answered = answer_times()
            started = {one["Config"]["Hostname"]: started_at(one["State"]) for one in made.containers()}
            made.compose("down", "--timeout", "0")
            since_up_s.append(max(answered[name] for name in started) - called_at)
            return max(answered[name] - started[name] for name in started)

        samples = in_turns(ROUNDS, start=since_start)
    start_s = median(samples["start"])
    measured = f"{start_s:.2f} s, the slower of two; {median(since_up_s):.2f} s from docker compose up"
    samples = {**samples, "since_up": since_up_s}
    yield at_most("container, from its start to answering a ping", start_s, MOST_S, measured, samples)


def started_at(state: Mapping[str, Any]) -> float:
    """Return when a container's first process began, which Linux shows; Docker notes the start some 0.2 s later."""
    noted_at = _epoch_s(state["StartedAt"])
    return min(noted_at, psutil.Process(state["Pid"]).create_time()) if sys.platform == "linux" else noted_at


def _epoch_s(text: str) -> float:
    return datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00").timestamp()  # Docker gives nanoseconds


def settings(**more: str) -> dict[str, str]:
    """Return the environment for Docker, and for commands, with the broker of the measurements."""
    worker_url = os.environ["BROKER_URL"].replace("@localhost:", "@host.docker.internal:")
    replicas = {"WORKER_A_REPLICAS": "1", "WORKER_B_REPLICAS": "1"}
    return environment(WORKER_BROKER_URL=worker_url, **{**replicas, **more})


def _output(*command: str) -> str:
    """Return what a command prints, run as `make up` does it."""
    done = subprocess.run(command, cwd=ROOT, env=settings(), capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise Failed(f"{' '.join(command[:3])}: {done.stderr.strip()[-300:]}")
    return done.stdout
