"""The promise matrix: ways to end a worker, ways to acknowledge, types of queue; and what became of each task."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

#: Child processes of a worker, which execute tasks.
CONCURRENCY = 2
#: Messages that a worker is sent ahead of their acknowledgement: Celery's `worker_prefetch_multiplier`, 4, for each.
PREFETCH = 4 * CONCURRENCY
#: The fewest tasks of which some run, some are prefetched and some wait in the queue: an early acknowledgement makes
#: room for as many as run.
FEWEST_TASKS = CONCURRENCY + PREFETCH + 2
#: How long a task works, in seconds: one that runs at the kill, and one that waits for its turn.
WORK_S, QUICK_S = 2.0, 0.2
#: How much longer an execution may take before it is one whose process is gone, in seconds.
_MARGIN_S = 3.0


class Kill(StrEnum):
    """What is done to the worker while two tasks run."""

    CONTAINER = "container-kill"  # SIGKILL to everything
    MAIN = "main-kill"  # SIGKILL to the main process
    CHILD = "child-kill"  # SIGKILL to a process that executes a task
    STOP = "stop"  # SIGTERM, and time enough
    STOP_SHORT = "stop-short"  # SIGTERM, and SIGKILL before the tasks are done
    CONNECTION = "connection-lost"  # the broker's side closes the connection; the worker goes on

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    Kill.CONTAINER: "container killed",
    Kill.MAIN: "main process killed",
    Kill.CHILD: "pool child killed",
    Kill.STOP: "stopped with enough grace",
    Kill.STOP_SHORT: "stopped with too little grace",
    Kill.CONNECTION: "broker connection lost",
}


class Acks(StrEnum):
    """When a message is acknowledged, by the settings of Celery that decide it."""

    EARLY = "early"  # Celery's default: when its task begins
    LATE = "late"  # task_acks_late: when it has ended
    LATE_REJECT = "late+reject"  # and task_reject_on_worker_lost: back into the queue when its process dies


class QueueType(StrEnum):
    CLASSIC = "classic"
    QUORUM = "quorum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """A cell of the matrix."""

    kill: Kill
    acks: Acks
    queue: QueueType

    @property
    def name(self) -> str:
        return f"{self.kill}/{self.acks}/{self.queue}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of the tasks of one combination: sent = once + repeated + lost + held."""

    combination: Combination
    sent: int  # confirmed by the broker
    once: int  # ran once, to its end
    repeated: int  # ran to its end, and began more than once
    lost: int  # never ran to its end, and found nowhere: neither queued nor unacknowledged nor running
    held: int  # did not run to its end, and is still in the queue or running
    recovered: int  # of those that ran to their end: first by a redelivered message
    recovery_s: float | None  # from the kill to the end of the last recovered one; None where there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where and with what the matrix was measured."""

    where: str  # "containers of the image distributed-test-worker-a", "processes on this machine"
    rabbitmq: str
    celery: str
    python: str
    tasks: int  # of each combination
    started_at: float  # seconds since the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The accounts in the order of `combinations`, and why others are missing, by name."""

    setting: Setting
    accounts: tuple[Account, ...]
    unmeasured: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class _Execution:
    pid: int
    began_at: float
    redelivered: bool
    ended_at: float | None = None


class Ledger:
    """The executions of each task, as their processes told of them."""

    def __init__(self, task_ids: Iterable[str]) -> None:
        self._of: dict[str, list[_Execution]] = {task_id: [] for task_id in task_ids}

    def take(self, report: Mapping[str, Any]) -> None:
        """Note what a process told: that it began a task, or ended it."""
        executions = self._of.get(report.get("id", ""))
        if executions is None:
            return
        pid, at = report["pid"], report["at"]
        if report["what"] == "began":
            executions.append(_Execution(pid=pid, began_at=at, redelivered=report["redelivered"]))
            return
        # in another container, another process may have the same id: the last one that began
        next(one for one in reversed(executions) if one.pid == pid and one.ended_at is None).ended_at = at

    def began(self) -> list[tuple[float, int]]:
        """Return when each execution began, and in which process, in that order."""
        return sorted((one.began_at, one.pid) for executions in self._of.values() for one in executions)

    def running(self, now: float) -> set[str]:
        """Return the tasks that may be running; an execution that is late has died with its process."""
        return {
            task_id
            for task_id, executions in self._of.items()
            if any(one.ended_at is None and now - one.began_at < WORK_S + _MARGIN_S for one in executions)
        }

    @property
    def unfinished(self) -> set[str]:
        return {task_id for task_id, executions in self._of.items() if not any(one.ended_at for one in executions)}

    def account(self, combination: Combination, killed_at: float, found: Collection[str]) -> Account:
        """Return the account.

        Args:
            found: Tasks that are in the queue after its workers are gone, or still running.
        """
        finished = {
            task_id: min((one for one in executions if one.ended_at), key=lambda one: one.ended_at or 0.0)
            for task_id, executions in self._of.items()
            if task_id not in self.unfinished
        }
        repeated = sum(len(self._of[task_id]) > 1 for task_id in finished)
        recovered = [first.ended_at or 0.0 for first in finished.values() if first.redelivered]
        held = len(self.unfinished & set(found))
        return Account(
            combination=combination,
            sent=len(self._of),
            once=len(finished) - repeated,
            repeated=repeated,
            lost=len(self.unfinished) - held,
            held=held,
            recovered=len(recovered),
            recovery_s=max(recovered) - killed_at if recovered else None,
        )


def combinations(pattern: str = "*") -> list[Combination]:
    """Return those whose name matches `pattern`, or that have it as a part: `late`, `stop/*`, `*/early/quorum`."""
    every = (Combination(kill=kill, acks=acks, queue=queue) for kill, acks, queue in product(Kill, Acks, QueueType))
    return [one for one in every if pattern in one.name.split("/") or fnmatchcase(one.name, pattern)]
