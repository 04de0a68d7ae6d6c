"""Which task goes to which queue, and who consumes it: as it should be, and as broker and nodes say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """A worker service as the deployment should have it."""

    service: str  # "worker-a"; a node of it is called worker-a@HOST
    queue: str  # the one queue it consumes
    replicas: int = 1  # at least so many nodes
    concurrency: int | None = None  # executing processes of each node; None: not judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where the app's router sends a task."""

    exchange: str
    routing_key: str
    queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A worker node that answered through the broker, and the queues it really consumes."""

    name: str
    queues: tuple[str, ...]

    @property
    def service(self) -> str:
        return self.name.partition("@")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Who consumes what, as the broker counts and the nodes say, just before the run."""

    nodes: tuple[Node, ...] = ()
    consumers: Mapping[str, int] = field(default_factory=dict)  # queue -> consumers, from the broker
    backlog: Mapping[str, int] = field(default_factory=dict)  # queue -> messages ready before the run
