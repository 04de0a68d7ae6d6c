"""The check of what worker containers were made with: the settings of now, or older ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from harness.docker_cli import DockerCli
from harness.finding import Finding, Problem, good, judged
from harness.service_status import Container

#: The monitor, as docker-compose.yml calls it.
MONITOR = "flower"
#: Compose's own checksum of what a container was made with, without build and replicas (`compose.ServiceHash`).
_HASH = "com.docker.compose.config-hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A container of a worker that runs, as it was made."""

    container: Container
    settings: str  # the checksum


def made(cli: DockerCli, containers: Sequence[Container]) -> list[Made]:
    """Return how the containers that run were made.

    Raises:
        UnavailableError: Docker does not answer.
    """
    running = [one for one in containers if one.state == "running"]
    if not running:
        return []
    told = cli.docker("inspect", "--format", "{{json .Config}}", *(one.id for one in running)).splitlines()
    return [
        Made(container=container, settings=config["Labels"].get(_HASH, ""))
        for container, config in zip(running, map(json.loads, told), strict=True)
    ]


def monitored(listed: Sequence[Container]) -> bool:
    """Return whether the project's monitor runs."""
    return any(one.service == MONITOR and one.state == "running" for one in listed)


def settings(cli: DockerCli, monitoring: DockerCli | None, there: Sequence[Made]) -> Finding:
    """Judge whether containers were made with what docker-compose.yml, .env and the shell say now.

    Args:
        monitoring: Has the environment of `make monitoring`, where the monitor runs: then either may be meant.

    Raises:
        UnavailableError: Compose does not answer.
    """
    if not there:
        return good("container settings", "no worker is in a container that runs")
    wanted = [_checksums(cli)]
    if monitoring and any(one.settings != wanted[0].get(one.container.service) for one in there):
        wanted.append(_checksums(monitoring))
    fix = "make monitoring" if monitoring else "docker compose up --detach --wait"
    problems: list[Problem] = [
        (f"{one.container.name} was made with other settings than docker-compose.yml, .env and this shell have", fix)
        for one in there
        if one.settings not in [checksums.get(one.container.service) for checksums in wanted]
    ]
    return judged("container settings", problems, "as docker-compose.yml, .env and this shell say")


def _checksums(cli: DockerCli) -> dict[str, str]:
    """Return the checksum of each service that a container made now would have."""
    lines = cli.compose("config", "--hash", "*").splitlines()
    return {line.split()[0]: line.split()[1] for line in lines}


#: The checks for which Docker has to tell of containers, by name.
OF_CONTAINERS = ("container settings",)
