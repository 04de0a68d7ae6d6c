"""A run's append-only record on disk: which ids it attempted, before they were published, and which ended.

One JSON object a line. Ids are a run's random bits and an index (`ledger.TaskIds`), so a batch is a pair of numbers:

    {"run": "eb71590413d1", "scenario": "basic", ...}    first line: what a resume needs
    {"attempted": [0, 2]}                                 indexes 0 and 1 are about to be published
    {"confirmed": [0, 2]}                                 the broker has them
    {"ended": [1, "succeeded"]}                           a final state was received
    {"end": true}                                         every id is accounted for
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness.errors import UsageError


class Journal:
    """Writes the record; what was noted is on disk once `sync` returns."""

    def __init__(self, directory: Path, run_id: str, header: dict[str, Any]) -> None:
        """Create the file and write its first line.

        Raises:
            UsageError: The directory cannot be made or written.
        """
        self.path = directory / f"{run_id}.jsonl"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("x", encoding="utf-8")
        except OSError as exc:
            raise UsageError(
                f"the run journal {self.path} cannot be written",
                why=exc.strerror or str(exc),
                fix=f"make {directory} writable: a run notes its ids there before it publishes them",
            ) from exc
        self._unsynced = False
        self.note({"run": run_id, **header})

    def note(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record, separators=(",", ":")) + "\n")
        self._unsynced = True

    def attempted(self, start: int, stop: int) -> None:
        """Note that the ids from `start` up to, not including, `stop` are about to be published."""
        self.note({"attempted": [start, stop]})

    def confirmed(self, start: int, stop: int) -> None:
        self.note({"confirmed": [start, stop]})

    def ended(self, index: int, state: str) -> None:
        self.note({"ended": [index, state]})

    def sync(self) -> None:
        """Put everything noted so far on disk."""
        if self._unsynced:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._unsynced = False

    def close(self, *, complete: bool) -> None:
        """Close the record; one in which every id has ended is no longer needed and is removed."""
        if complete:
            self._file.close()
            self.path.unlink(missing_ok=True)
            return
        self.sync()
        self._file.close()
