"""A dispatcher that is there to be killed: a process of its own begins the run, and this one finishes it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import interrupts
from harness.errors import UnavailableError
from harness.model.fault import DISPATCHER, Fault, FaultKind
from harness.model.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """The dispatcher that was killed."""

    fault: Fault
    hit: str  # for people: "dispatcher process 4711"
    at: float  # ours: it was gone
    journal: Path  # what it left


def fatal(scenario: Scenario) -> Fault | None:
    """Return the fault that kills the dispatcher, if there is one."""
    return next((one for one in scenario.faults if (one.kind, one.target) == (FaultKind.KILL, DISPATCHER)), None)


def sacrifice(fault: Fault, journal: Path, run: Callable[[], object]) -> Killed:
    """Let a forked process do `run`, in which it comes to its end by `fault`.

    Args:
        journal: What it will leave.
        run: Called there.

    Raises:
        UnavailableError: It ended in another way: the run was over before the fault was due, or could not be made.
    """
    pid = os.fork()
    if pid == 0:
        try:
            interrupts.deadly()
            run()
        finally:
            os._exit(1)
    try:
        _, status = os.waitpid(pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    at = time.time()
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL or not journal.exists():
        raise UnavailableError(
            f"the fault could not be applied: {fault.words}",
            why="the dispatcher that was to be killed had ended before",
            fix="more tasks, or longer ones, so that the run lasts until then",
        )
    return Killed(fault=fault, hit=f"dispatcher process {pid}", at=at, journal=journal)
