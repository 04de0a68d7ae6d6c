"""Task ids that say which run they belong to, and where in it they stand."""

from __future__ import annotations

import secrets


class TaskIds:
    """The task ids of a run: UUIDs (version 8) of the run's 48 random bits and the task's index.

    So neither the ledger nor the journal has to hold the ids themselves.
    """

    def __init__(self, run_id: str | None = None) -> None:
        self.run_id = run_id or secrets.token_hex(6)
        self._prefix = f"{self.run_id[:8]}-{self.run_id[8:]}-8000-8000-"

    def at(self, index: int) -> str:
        """Return the id of the task at `index`, counted from 0."""
        return f"{self._prefix}{index:012x}"

    def index(self, task_id: str) -> int | None:
        """Return the index of `task_id`, or None where it is not an id of this run."""
        if not task_id.startswith(self._prefix):
            return None
        try:
            return int(task_id[len(self._prefix) :], 16)
        except ValueError:
            return None
