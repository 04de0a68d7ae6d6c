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
from kombu import Connection, Queue

from harness import broker as broker_link
from harness.app_facts import task_queues
from harness.compose import ComposeFleet
from harness.docker_cli import DockerCli
from harness.doctor import broker, containers, environment, hung, permissions, topology, workers
from harness.doctor.administration import Administered, administered
from harness.doctor.nodes import AnsweringNode, answering
from harness.doctor.permissions import Role, user_of
from harness.errors import UnavailableError
from harness.finding import Finding, unknown
from harness.model.config import Config
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
    monitor_url: str  # as Flower sees it; empty: there is no monitor

    def role(self, name: str, url: str) -> Role:
        """Return the role of who connects with a broker URL."""
        return Role(name=name, user=user_of(url), sends_events=bool(self.app.conf.worker_send_task_events))


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What the broker tells whoever may connect, and its administrator."""

    vhost: str
    about_broker: tuple[Finding, ...]
    about_topology: tuple[Finding, ...]
    queues: Mapping[str, tuple[int, int]]  # of tasks: messages ready, consumers
    own_permissions: Mapping[str, Finding]  # of this connection's user, by role; empty where an administrator told
    takes_messages: bool | None  # None: not known
    told: Administered | UnavailableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Answers, or why there is none."""

    engine: Mapping[str, Any] | UnavailableError  # what Docker says of itself
    engine_at: float  # when, in seconds since the epoch
    compose: Finding
    containers: Sequence[Container] | UnavailableError  # of the workers
    about_containers: tuple[Finding, ...]
    link: Link | UnavailableError
    status: Status | UnavailableError
    nodes: Sequence[AnsweringNode] | UnavailableError
    hung: Finding


def gather(deployment: Deployment) -> Facts:
    """Return all facts; takes a second or two, of which one is waited for nodes that consume nothing."""
    cli = DockerCli(deployment.root, deployment.exported)
    fleet = ComposeFleet(deployment.root, deployment.exported)
    with ThreadPoolExecutor(max_workers=8) as threads:  # each question has one, also on a machine with one core
        engine = threads.submit(_engine, cli)
        compose = threads.submit(environment.compose, cli)
        listed = threads.submit(_or_why, fleet.containers)
        about_containers = threads.submit(lambda: _about_containers(cli, deployment, listed.result()))
        takes = _or_why(broker.takes_messages, deployment.app)
        stuck = unknown(hung.CHECK, "see broker")
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
            later_hung = threads.submit(lambda: _hung(deployment.app, later_nodes.result()))
            link = _or_why(_link, deployment, takes)
            status, nodes, stuck = later_status.result(), later_nodes.result(), later_hung.result()
        return Facts(
            engine=engine.result()[0],
            engine_at=engine.result()[1],
            compose=compose.result(),
            containers=_or_why(_of_workers, listed.result(), deployment.config),
            about_containers=about_containers.result(),
            link=link,
            status=status,
            nodes=nodes,
            hung=stuck,
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


def _of_workers(listed: Sequence[Container] | UnavailableError, config: Config) -> list[Container]:
    """Return the containers of the workers: the project may have others, such as a monitor's.

    Raises:
        UnavailableError: `listed` is one.
    """
    if isinstance(listed, UnavailableError):
        raise listed
    services = {worker.service for worker in config.workers}
    return [container for container in listed if container.service in services]


def _about_containers(
    cli: DockerCli, deployment: Deployment, listed: Sequence[Container] | UnavailableError
) -> tuple[Finding, ...]:
    """Return what is found of the workers' containers, within a second."""
    if isinstance(listed, UnavailableError):
        return tuple(unknown(check, listed) for check in ("image", *containers.OF_CONTAINERS))
    own = _of_workers(listed, deployment.config)
    monitored = containers.monitored(listed)
    monitoring = DockerCli(deployment.root, {**deployment.exported, "WORKER_EVENTS": "1"}) if monitored else None
    image = _or_why(workers.image, cli, deployment.root, own)
    found = image if isinstance(image, Finding) else unknown("image", image)
    try:
        made = containers.made(cli, own)
        return found, containers.settings(cli, monitoring, made)
    except UnavailableError as exc:
        return found, *(unknown(check, exc) for check in containers.OF_CONTAINERS)


# --- broker, nodes --------------------------------------------------------------------------------


def _link(deployment: Deployment, takes_messages: bool | None) -> Link:
    app, declared = deployment.app, deployment.declared
    mark = f"doctor-{uuid.uuid4()}"
    with broker_link.connect(app, connection_name=mark) as connection, broker_link.said_plainly(app):
        vhost = str(connection.virtual_host)
        told = _or_why(administered, vhost, mark)
        return Link(
            vhost=vhost,
            about_broker=tuple(broker.reached(app, connection)),
            about_topology=(
                topology.queues(connection, declared),
                topology.exchanges(connection, declared),
                topology.dead_letters(app, connection, declared),
            ),
            queues={name: broker_link.count(connection, name) for name in task_queues(app)},
            own_permissions=_tried(deployment, connection, takes_messages is not None)
            if isinstance(told, UnavailableError)
            else {},
            takes_messages=takes_messages,
            told=told,
        )


def _tried(deployment: Deployment, connection: Connection, may_publish: bool) -> dict[str, Finding]:
    """Return what this connection's user may do of each role: all are one user's where others run the broker."""
    own_url = str(deployment.app.conf.broker_url)
    roles = [deployment.role("dispatcher", own_url), deployment.role("worker", own_url)]
    if deployment.monitor_url:
        roles.append(deployment.role("monitor", own_url))
    return {
        role.name: permissions.as_tried(role, connection, deployment.declared, may_publish=may_publish)
        for role in roles
    }


def _hung(app: Celery, nodes: Sequence[AnsweringNode] | UnavailableError) -> Finding:
    if isinstance(nodes, UnavailableError):
        return unknown(hung.CHECK, nodes)
    if not nodes:
        return unknown(hung.CHECK, "no node answers")
    found = _or_why(hung.hung, app, nodes)
    return found if isinstance(found, Finding) else unknown(hung.CHECK, found)


def _status(deployment: Deployment, fleet: ComposeFleet) -> Status:
    return Scaling(
        deployment.app,
        fleet,
        deployment.config.workers,
        env_file=deployment.root / ".env",
        exported=deployment.exported,
        note=lambda _: None,
    ).status()
