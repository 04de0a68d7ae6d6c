"""Checks of the worker nodes: that the right ones run the right code, in the way that the app is set up for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from celery import Celery
from celery.concurrency import get_implementation

from harness.docker_cli import DockerCli
from harness.doctor.environment import CLOCK_S, pins
from harness.doctor.nodes import AnsweringNode
from harness.finding import Finding, Level, Problem, failed, good, judged, unknown
from harness.render.figures import duration_text
from harness.service_status import Container, ServiceStatus

#: Run in a container: what it holds of ours, by path and checksum, and its packages.
_HOLDS = """
import hashlib, json
from importlib.metadata import distributions
from pathlib import Path
files = [Path("celery_app.py"), *Path("worker").rglob("*.py")]
print(json.dumps([
    {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.exists()},
    {one.metadata["Name"].lower(): one.version for one in distributions()},
]))
"""


def service(status: ServiceStatus) -> Finding:
    """Judge whether exactly as many nodes as wanted consume a service's queue, by count and by name.

    Where the project has no containers, workers were started by hand, and there may be more of them.
    """
    check = f"worker {status.service}"
    by_hand = not status.containers and len(status.nodes) == status.consumers >= max(status.wanted, 1)
    if status.complete or by_hand:
        where = " (in no container)" if by_hand else ""
        return good(check, f"{', '.join(node.name for node in status.nodes)} consumes {status.queue}{where}")
    cause = f"{len(status.nodes)} of {status.wanted} nodes consume {status.queue}"
    fix = f"docker compose up --detach --wait {status.service}; docker compose logs {status.service}"
    return failed(check, "; ".join([cause, *status.problems]), fix)


def idle(nodes: Sequence[AnsweringNode]) -> Finding:
    """Judge whether each node that lives consumes: one can answer and take no task, as after `cancel_consumer`."""
    problems: list[Problem] = [
        (f"{node.name} is alive and consumes nothing", f"docker compose restart {node.name.partition('@')[0]}")
        for node in nodes
        if node.queues is not None and not node.queues
    ]
    silent = [node.name for node in nodes if node.queues is None]
    if silent and not problems:
        return unknown("alive and idle", f"{', '.join(silent)} did not say what it consumes")
    return judged("alive and idle", problems, f"each of the {len(nodes)} nodes that answer consumes")


def names(nodes: Sequence[AnsweringNode]) -> Finding:
    """Judge whether a name is one node's: what is asked of it reaches either of two, and revokes and counts go astray.

    Since Celery 5.7 a second node of a name is refused its control queue (405 RESOURCE_LOCKED), and tries again for
    ever: it does not answer, and `service` shows what its log says.
    """
    problems: list[Problem] = [
        (f"{node.namesakes + 1} nodes answer to {node.name}", "a name of its own for each, such as -n worker-a@%h")
        for node in nodes
        if node.namesakes
    ]
    return judged("node names", problems, f"each of the {len(nodes)} is one node's")


def prefetch(nodes: Sequence[AnsweringNode], multiplier: int) -> Finding:
    """Judge how many messages each node takes, against what the app's setting comes to."""
    problems: list[Problem] = []
    for node in nodes:
        if node.prefetch is None or node.concurrency is None:
            continue
        wanted = multiplier * node.concurrency
        if wanted and (node.prefetch == 0 or node.prefetch > wanted):
            amount = f"{node.prefetch} messages" if node.prefetch else "every message there is"
            cause = f"{node.name} takes {amount} for {node.concurrency} processes"
            problems.append((f"{cause}, and {wanted} is what the app says", "start it without --prefetch-multiplier"))
    return judged("prefetch", problems, f"as the app says: {multiplier} for each process", Level.WARNING)


def pool(app: Celery, nodes: Sequence[AnsweringNode]) -> Finding:
    """Judge what executes tasks: another pool than the app's treats time limits and lost processes in another way."""
    wanted = get_implementation(app.conf.worker_pool)
    ours = f"{wanted.__module__}:{wanted.__name__}"
    problems: list[Problem] = [
        (f"{node.name} executes tasks with {node.pool}, and the app says {ours}", "start it without --pool")
        for node in nodes
        if node.pool and node.pool != ours
    ]
    return judged("pool", problems, ours)


def clocks(nodes: Sequence[AnsweringNode]) -> Finding:
    """Judge each node's clock against this host's: queue waits are counted from one to the other."""
    problems: list[Problem] = [
        (f"the clock of {node.name} is {duration_text(node.clock_ahead_s)} ahead of this host's", "set both by NTP")
        for node in nodes
        if node.clock_ahead_s is not None and abs(node.clock_ahead_s) - node.clock_known_to_s > CLOCK_S
    ]
    untold = [node.name for node in nodes if node.clock_ahead_s is None]
    if untold and not problems:
        return unknown("node clocks", f"{', '.join(untold)} did not tell the time: its code is older", "make build up")
    return judged("node clocks", problems, "each agrees with this host's to a second", Level.WARNING)


# --- image ----------------------------------------------------------------------------------------


def image(cli: DockerCli, root: Path, containers: Sequence[Container]) -> Finding:
    """Judge whether containers run the code and the packages that are here: asked in one container of each image.

    Raises:
        UnavailableError: Docker does not answer.
    """
    running = [one for one in containers if one.state == "running"]
    if not running:
        return unknown("image", "no container of a worker runs")
    images = cli.docker("inspect", "--format", "{{.Image}}", *(one.id for one in running)).split()
    one_of_each = dict(zip(images, running, strict=True))
    problems: list[Problem] = []
    for container in one_of_each.values():
        files, installed = json.loads(cli.docker("exec", container.id, "python", "-c", _HOLDS))
        if differing := [*_other_files(root, files), *_other_packages(root, installed)]:
            problems.append((f"{container.name} has another {', '.join(differing)}", "make build up"))
    return judged("image", problems, "containers run the celery_app.py, worker/ and requirements.txt that are here")


def _other_files(root: Path, held: Mapping[str, str]) -> list[str]:
    paths = [root / "celery_app.py", *(root / "worker").rglob("*.py")]
    ours = {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    return sorted(path for path in ours.keys() | held.keys() if ours.get(path) != held.get(path))


def _other_packages(root: Path, installed: Mapping[str, Any]) -> list[str]:
    pinned = pins(root / "requirements.txt")
    return [f"{name} ({installed.get(name)})" for name, release in pinned.items() if installed.get(name) != release]


#: The checks that only nodes can answer, by name.
OF_NODES = ("alive and idle", "node names", "prefetch", "pool", "node clocks")
