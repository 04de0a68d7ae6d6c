"""What one run should do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.model.expectation import RunExpectation, TaskExpectation
from harness.model.fault import Fault
from harness.model.topology import WorkerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """One entry of a scenario's `tasks`: the same request, `count` times."""

    task: str  # registered name
    count: int = 1
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    delay_s: float = 0.0  # published this long after the run began
    rate: float | None = None  # published at this rate, per second; None: at once
    queue: str | None = None  # published to this queue instead of the task's own: a negative probe
    expect: TaskExpectation = field(default_factory=TaskExpectation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What one run should do."""

    name: str
    description: str
    workers: tuple[WorkerSpec, ...]
    tasks: tuple[TaskSpec, ...]
    timeout_s: float = 30.0  # first publish to the last final state
    tags: tuple[str, ...] = ()
    expect: RunExpectation = field(default_factory=RunExpectation)
    reconnect: bool = False  # the workers' broker connections are cut, and made again, before the run
    faults: tuple[Fault, ...] = ()

    @property
    def task_count(self) -> int:
        return sum(spec.count for spec in self.tasks)
