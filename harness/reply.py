"""A state of a task as its worker reported it, read from what the result backend wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Celery's states after which nothing follows.
FINAL = frozenset({"SUCCESS", "FAILURE", "REVOKED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One state of one task."""

    task_id: str
    state: str  # Celery's: STARTED, RETRY, SUCCESS, FAILURE, REVOKED
    at: float  # ours: received
    evidence: Mapping[str, Any]  # worker/evidence.py; empty from a worker without our backend
    result: Any = None  # what the task returned; for a failure, the error in words
    pid: int | None = None  # of the executing process; told by STARTED

    @property
    def final(self) -> bool:
        return self.state in FINAL

    @classmethod
    def of(cls, meta: Mapping[str, Any], at: float) -> Reply:
        """Read a message of Celery's rpc result backend.

        Args:
            at: When it was received, in seconds since the epoch.
        """
        state, result = str(meta.get("status", "")), meta.get("result")
        evidence = meta.get("evidence")
        return cls(
            task_id=str(meta.get("task_id", "")),
            state=state,
            at=at,
            evidence=evidence if isinstance(evidence, Mapping) else {},
            result=result if state == "SUCCESS" else _error(result),
            pid=result.get("pid") if state == "STARTED" and isinstance(result, Mapping) else None,
        )


def _error(result: Any) -> str:
    """Return a failure's result in words; Celery stores an exception as its type and its arguments."""
    if isinstance(result, dict) and "exc_type" in result:
        message = result.get("exc_message")
        words = ", ".join(map(str, message)) if isinstance(message, (list, tuple)) else str(message)
        return f"{result['exc_type']}: {words}"
    return str(result)
