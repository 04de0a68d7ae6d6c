"""What the checks judge: asked of Docker, of the broker, of its administrator and of the nodes, at the same time."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from celery import Celery
from kombu import Queue

from harness import broker as broker_link
from harness.compose import ComposeFleet
from harness.docker_cli import DockerCli
from harness.doctor import broker, environment, topology, workers
from harness.doctor.administration import Administered, administered
from harness.doctor.nodes import AnsweringNode, answering
from harness.errors import UnavailableError
from harness.finding import Finding, unknown
from harness.model import Config
from harness.scaling import Scaling
from harness.service_status import Container, Status

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is examined."""

    app: Celery
    declared: Sequence[Queue]  # all that the workers declare: of tasks, dead letters and unread results
    config: Config
    root: Path  # where docker-compose.yml, celery_app.py and requirements.txt are
    exported: Mapping[str, str]  # the shell's own environment, for Docker: it beats .env
    worker_url: str  # the broker as containers see it


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What the broker tells whoever may connect, and its administrator."""

    vhost: str
    about_broker: tuple[Finding, ...]
    about_topology: tuple[Finding, ...]
    takes_messages: bool | None  # None: not known
    told: Administered | UnavailableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Answers, or why there is none."""

    engine: Mapping[str, Any] | UnavailableError  # what Docker says of itself
    engine_at: float  # when, in seconds since the epoch
    compose: Finding
    containers: Sequence[Container] | UnavailableError  # of the workers
    image: Finding
    link: Link | UnavailableError
    status: Status | UnavailableError
    nodes: Sequence[AnsweringNode] | UnavailableError


def gather(deployment: Deployment) -> Facts:
    """Return all facts; takes a second or two, of which one is waited for nodes that consume nothing."""
    cli = DockerCli(deployment.root, deployment.exported)
    fleet = ComposeFleet(deployment.root, deployment.exported)
    with ThreadPoolExecutor() as threads:
        engine = threads.submit(_engine, cli)
        compose = threads.submit(environment.compose, cli)
        containers = threads.submit(_or_why, _containers, fleet, deployment.config)
        image = threads.submit(lambda: _image(cli, deployment.root, containers.result()))
        takes = _or_why(broker.takes_messages, deployment.app)
        if isinstance(takes, UnavailableError):
            link: Link | UnavailableError = takes
            status: Status | UnavailableError = takes
            nodes: Sequence[AnsweringNode] | UnavailableError = takes
        elif takes is False:  # a question is a message too, and would wait until the alarm is over
            link = _or_why(_link, deployment, takes)
            status = nodes = UnavailableError("the broker takes no messages")
        else:
            later_status = threads.submit(_or_why, _status, deployment, fleet)
            later_nodes = threads.submit(_or_why, answering, deployment.app)
            link = _or_why(_link, deployment, takes)
            status, nodes = later_status.result(), later_nodes.result()
        return Facts(
            engine=engine.result()[0],
            engine_at=engine.result()[1],
            compose=compose.result(),
            containers=containers.result(),
            image=image.result(),
            link=link,
            status=status,
            nodes=nodes,
        )


def _or_why(ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | UnavailableError:
    """Return what `ask` does, or why it could not be had."""
    try:
        return ask(*args, **kwargs)
    except UnavailableError as exc:
        return exc


# --- Docker ---------------------------------------------------------------------------------------


def _engine(cli: DockerCli) -> tuple[Mapping[str, Any] | UnavailableError, float]:
    """Return what the Docker engine says, and when that was."""
    return _or_why(environment.docker_info, cli), time.time()


def _containers(fleet: ComposeFleet, config: Config) -> list[Container]:
    """Return the containers of the workers: the project may have others, such as a monitor's."""
    services = {worker.service for worker in config.workers}
    return [container for container in fleet.containers() if container.service in services]


def _image(cli: DockerCli, root: Path, containers: Sequence[Container] | UnavailableError) -> Finding:
    if isinstance(containers, UnavailableError):
        return unknown("image", containers)
    try:
        return workers.image(cli, root, containers)
    except UnavailableError as exc:
        return unknown("image", exc)


# --- broker, nodes --------------------------------------------------------------------------------


def _link(deployment: Deployment, takes_messages: bool | None) -> Link:
    app, declared = deployment.app, deployment.declared
    mark = f"doctor-{uuid.uuid4()}"
    with broker_link.connect(app, connection_name=mark) as connection, broker_link.said_plainly(app):
        vhost = str(connection.virtual_host)
        return Link(
            vhost=vhost,
            about_broker=tuple(broker.reached(app, connection)),
            about_topology=(
                topology.queues(connection, declared),
                topology.exchanges(connection, declared),
                topology.dead_letters(app, connection),
            ),
            takes_messages=takes_messages,
            told=_or_why(administered, vhost, mark),
        )


def _status(deployment: Deployment, fleet: ComposeFleet) -> Status:
    return Scaling(
        deployment.app,
        fleet,
        deployment.config.workers,
        env_file=deployment.root / ".env",
        exported=deployment.exported,
        note=lambda _: None,
    ).status()
