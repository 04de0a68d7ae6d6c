"""What goes wrong during a run on purpose, and how the tasks that it hit came back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What a fault does. Its target is a service, `broker`, `dispatcher`, or a queue."""

    KILL = "kill"  # SIGKILL: a container, a process group, the broker, this dispatcher
    KILL_MAIN = "kill_main"  # SIGKILL of the worker's main process only
    KILL_CHILD = "kill_child"  # SIGKILL of a pool child that executes a task
    STOP = "stop"  # SIGTERM: a warm shutdown
    PAUSE = "pause"  # nothing in it runs
    SCALE = "scale"  # so many nodes of the service
    DISCONNECT = "disconnect"  # no packet passes, and nobody is told
    RESTART = "restart"  # the broker, gracefully
    FREEZE = "freeze"  # the broker stops answering
    CLOSE_CONNECTIONS = "close_connections"  # the broker closes those of this virtual host
    DELETE_QUEUE = "delete_queue"
    MEMORY_ALARM = "memory_alarm"  # the broker takes no messages
    MALFORMED = "malformed"  # messages that no worker can decode are published to a queue


#: Targets that are no service.
BROKER, DISPATCHER, REPLIES = "broker", "dispatcher", "replies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong during a run, on purpose."""

    kind: FaultKind
    target: str
    at_s: float | None = None  # so long after the run began
    after: float | None = None  # once this share of the tasks has ended, 0 to 1
    on_start: bool = False  # each time a task starts on the target
    times: int = 1  # with on_start: so often at most
    for_s: float | None = None  # undone after so long; None: at the end of the run
    every_node: bool = False  # of the service; otherwise one that executes a task
    count: int = 0  # scale: so many nodes
    grace_s: float | None = None  # stop: SIGKILL after so long; None: the deployment's own

    @property
    def touches_broker(self) -> bool:
        """Whether it reaches beyond what the run made: the broker itself, or a queue that is not the run's own."""
        if self.kind is FaultKind.DELETE_QUEUE:
            return self.target != REPLIES
        return self.target == BROKER

    @property
    def words(self) -> str:
        """What it does, and when: "kill worker-a at 1s"."""
        does = self.kind.value.replace("_", " ")
        target = f"{self.target} to {self.count}" if self.kind is FaultKind.SCALE else self.target
        if self.on_start:
            return f"{does} {target} each time a task starts there, at most {self.times} times"
        when = f"at {self.at_s:g}s" if self.at_s is not None else f"after {self.after or 0:.0%}"
        lasts = f" for {self.for_s:g}s" if self.for_s is not None else ""
        return f"{does} {target} {when}{lasts}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How the tasks that a fault hit came back. Seconds from the fault; None: none of them did."""

    tasks: int  # in flight there when it struck, and not ended by then
    ended: int = 0  # of these, have a final state
    rerun_s: float | None = None  # until the last of them that was executed again began to be
    first_s: float | None = None  # until the first of them had ended
    last_s: float | None = None  # until the last of them had


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRecord:
    """One time that a fault was applied, or could not be."""

    what: str  # as asked: "kill worker-a at 1s"
    hit: str  # what it was done to: "container demo-worker-a-1 (worker-a@12514a296d7c)"
    at_s: float  # after the run began
    undone_at_s: float | None = None  # after the run began; None: nothing to undo
    error: str | None = None  # why it could not be applied or undone: the run proves nothing
    recovery: Recovery | None = None
