"""What the timeline shows of a task, as it happens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Moment(StrEnum):
    """What the timeline shows of a task, as it happens."""

    SENT = "SENT"  # handed to the connection
    PENDING = "PENDING"  # confirmed by the broker
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    LOST = "LOST"  # not a final state by the deadline: lost, unfinished or never confirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the timeline."""

    moment: Moment
    at: float  # ours
    task: str
    task_id: str
    detail: str = ""
