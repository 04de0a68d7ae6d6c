"""A run's append-only record on disk: what a later process needs to finish the run, and to judge all of it.

One JSON object a line. Ids are a run's random bits and an index (`ledger.TaskIds`), so a batch is a pair of numbers:

    {"run": "eb71590413d1", "scenario": "basic", ...}    first line: what was asked
    {"began": 1758137336.0}                               the run's clock starts
    {"attempted": [0, 1024]}                              these may be published from here on
    {"sent": [0, 64], "at": 1758137336.1}                 these are
    {"confirmed": [0, 64], "at": 1758137336.2}            the broker has them
    {"refused": 7, "reason": "..."}                       the broker has not, and will not
    {"again": [5, 6]}                                     never confirmed, so published again
    {"at": 1758137336.4, "got": {...}}                    a state of a task, as its worker reported it
    {"fault": {"number": 1, "undone": false, ...}}        is about to be applied, with the command that undoes it
    {"fault": {"number": 1, "undone": true, ...}}         nothing of it is left
    {"resumed": 1758137390.2}                             another process took over

A process that is killed loses nothing of what it wrote; a host that crashes, nothing written before the last `sync`.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from harness.errors import UsageError

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Journal:
    """Writes the record. It is locked as long as its process lives: a run is written by one."""

    #: Whether another process can finish the run.
    resumable = True

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.path = path
        self._file = file
        self._unflushed = self._unsynced = False
        self._confirmed: list[int] = []  # not noted yet
        self._confirmed_at = 0.0
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    @classmethod
    def create(cls, directory: Path, run_id: str, header: Mapping[str, Any]) -> Journal:
        """Create the file and write its first line.

        Raises:
            UsageError: The directory cannot be made or written.
        """
        path = directory / f"{run_id}.jsonl"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            journal = cls(path, path.open("x", encoding="utf-8"))
        except OSError as exc:
            raise UsageError(
                f"the run journal {path} cannot be written",
                why=exc.strerror or str(exc),
                fix=f"make {directory} writable: a run notes its ids there before it publishes them",
            ) from exc
        journal.note({"run": run_id, **header})
        journal.flush()
        return journal

    @classmethod
    def take_over(cls, path: Path) -> Journal:
        """Go on with the record of a process that has ended.

        Raises:
            UsageError: There is none, or its process still writes it.
        """
        try:
            file = path.open("r+", encoding="utf-8")
        except OSError as exc:
            raise _missing(path, exc) from exc
        try:
            journal = cls(path, file)
        except BlockingIOError as exc:
            file.close()
            raise UsageError(
                f"the run {path.stem} is still going on", why="another process writes its journal"
            ) from exc
        _cut_torn_line(file)
        journal.note({"resumed": time.time()})
        return journal

    def note(self, record: Mapping[str, Any]) -> None:
        self._write(_encode(record))

    def attempted(self, start: int, stop: int) -> None:
        """Note that the ids from `start` up to, not including, `stop` are about to be published."""
        self.note({"attempted": [start, stop]})

    def sent(self, start: int, stop: int, at: float) -> None:
        self.note({"sent": [start, stop], "at": at})

    def confirmed(self, index: int, at: float) -> None:
        """Note that the broker has a message. Those that come together, of several queues, are noted as ranges.

        What happens next is noted after it: a replay sees all in the order in which it was.
        """
        self._confirmed.append(index)
        self._confirmed_at = at

    def refused(self, index: int, reason: str) -> None:
        self.note({"refused": index, "reason": reason})

    def got(self, body: str, at: float) -> None:
        """Note a state, as it arrived.

        Args:
            body: A JSON object.
        """
        self._write(f'{{"at":{at!r},"got":{body if chr(10) not in body else _encode(json.loads(body))}}}')

    def _write(self, line: str) -> None:
        self._note_confirmed()
        self._file.write(line + "\n")
        self._unflushed = self._unsynced = True

    def _note_confirmed(self) -> None:
        confirmed, self._confirmed = sorted(self._confirmed), []
        first = 0
        for at, index in enumerate(confirmed):
            if at + 1 == len(confirmed) or confirmed[at + 1] != index + 1:
                self.note({"confirmed": (confirmed[first], index + 1), "at": self._confirmed_at})
                first = at + 1

    def flush(self) -> None:
        """Hand everything noted so far to the operating system: it outlives this process, though not the host."""
        self._note_confirmed()
        if self._unflushed:
            self._file.flush()
            self._unflushed = False

    def sync(self) -> None:
        """Put everything noted so far on disk."""
        self.flush()
        if self._unsynced:
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


class Unrecorded(Journal):
    """Notes nothing: of a run that is not resumed, as a load is not, which must not measure this disk."""

    resumable = False

    def __init__(self) -> None:
        pass

    def note(self, record: Mapping[str, Any]) -> None:
        pass

    def confirmed(self, index: int, at: float) -> None:
        pass

    def got(self, body: str, at: float) -> None:
        pass

    def flush(self) -> None:
        pass

    def sync(self) -> None:
        pass

    def close(self, *, complete: bool) -> None:
        pass


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records, without a last line that was cut off when its process was killed.

    Raises:
        UsageError: The file cannot be read, or is no journal.
    """
    try:
        with path.open("rb") as file:  # lines end where a record does, and a last one may end within a character
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                record = json.loads(line)
                if not isinstance(record, dict) or (number == 1 and "run" not in record):
                    raise ValueError("no record of a run")
                yield record
    except OSError as exc:
        raise _missing(path, exc) from exc
    except ValueError as exc:
        raise UsageError(f"the run journal {path} cannot be read", why=f"line {number}: {exc}") from exc


def in_use(path: Path) -> bool:
    """Return whether the process that writes the record is still there.

    Raises:
        UsageError: It has completed its run, and the record is gone.
    """
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as exc:
        raise _missing(path, exc) from exc
    return False


def _missing(path: Path, exc: OSError) -> UsageError:
    return UsageError(f"no unfinished run {path.stem}", why=f"{path}: {exc.strerror}", fix="operate.py runs lists them")


def _cut_torn_line(file: IO[str]) -> None:
    """Remove what follows the last line end, and stand there."""
    with open(file.fileno(), "rb+", closefd=False) as raw:
        end = raw.seek(0, os.SEEK_END)
        while end > 0:
            start = max(end - 65_536, 0)
            raw.seek(start)
            if (at := raw.read(end - start).rfind(b"\n")) >= 0:
                end = start + at + 1
                break
            end = start
        raw.truncate(end)
    file.seek(0, os.SEEK_END)
