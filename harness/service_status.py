"""Frozen values: what runs of each worker service, and what of it works, at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of a service, running or not."""

    service: str
    id: str  # 12 digits
    name: str
    state: str  # Docker's word: created, running, paused, restarting, exited, dead
    status: str  # Docker's words: Up 3 minutes (healthy)

    @property
    def node(self) -> str:
        """How the node in it calls itself."""
        return f"{self.service}@{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumingNode:
    """A node that consumes a service's queue."""

    name: str
    container: str | None  # its name; None: it is in no container of this project
    unacked: int | None  # messages that it holds, running or not; None: it did not say


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One service: how many there should be, how many there are, and what waits for them."""

    service: str
    queue: str
    wanted: int
    exact: bool  # whether these are containers of ours, and no more
    containers: tuple[Container, ...]
    nodes: tuple[ConsumingNode, ...]  # those that answer
    consumers: int  # as the broker counts them
    backlog: int  # messages ready in the queue
    problems: tuple[str, ...] = ()  # why it is not complete

    @property
    def complete(self) -> bool:
        """Whether as many nodes consume the queue as should, by count and by name, and where they should be."""
        if len(self.nodes) != self.consumers:
            return False
        if not self.exact:
            return self.consumers >= self.wanted
        return self.consumers == self.wanted and all(node.container for node in self.nodes)

    @property
    def running(self) -> int:
        return sum(container.state in ("running", "paused") for container in self.containers)

    @property
    def unacked(self) -> int | None:
        """Messages that its nodes hold; None where one of them did not say."""
        held = [node.unacked for node in self.nodes]
        return None if None in held else sum(number for number in held if number is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All services of a deployment."""

    at: float  # seconds since the epoch
    broker: str  # URL without its password
    services: tuple[ServiceStatus, ...]
    containers_unknown: str = ""  # why Docker did not tell of containers

    @property
    def complete(self) -> bool:
        return all(service.complete for service in self.services)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """What a change of scale came to."""

    before: Mapping[str, int]  # containers that ran, by service
    after: Mapping[str, int]
    containers_s: float  # until Docker had started and stopped containers
    consuming_s: float  # from then until exactly their nodes consumed
