"""The results file: reserved before anything is published, written whole at the end, never over an older one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO

from harness.errors import UsageError
from harness.model.outcome import Outcome
from harness.model.report import Report
from harness.render.outcome_json import outcome_line
from harness.render.results_json import pieces

#: Ending of the files that a run in progress keeps beside its results.
PART = ".part"
#: An empty one that is older is of no run that is just beginning, in seconds.
STALE_S = 60.0


class ResultsFile:
    """Where a run's results go. `reserve` makes one; end it with `finish`, or with `discard`, as `kept` does."""

    def __init__(self, wanted: Path, part: Path, stream: IO[str]) -> None:
        self.wanted = wanted  # the name, unless another run takes it first
        self.streamed = 0  # outcomes that `add` wrote
        self._part = part
        self._stream = stream
        self._error: OSError | None = None

    @classmethod
    def reserve(
        cls, path: str | Path | None, started_at: float, directory: str | Path = ".", kind: str = "dispatch"
    ) -> ResultsFile:
        """Make sure that results can be written, before anything is published.

        A `.part` file beside the results is really created: a permission that only looks right is found here.

        Args:
            path: The file that the user asked for; None for `dispatch_results_YYYYMMDD_HHMMSS.json`.
            started_at: Gives the default name its local time.
            directory: Where the default name goes.
            kind: What the default name begins with.

        Raises:
            UsageError: `path` exists already, or cannot be written.
        """
        if path is None:
            name = f"{kind}_results_{datetime.fromtimestamp(started_at):%Y%m%d_%H%M%S}.json"
            wanted = _first_free(Path(directory) / name)
        else:
            wanted = Path(path)
            if os.path.isdir(wanted):
                raise UsageError(f"{wanted}: is a directory", fix=f"name a file in it: -o {wanted / 'results.json'}")
            if os.path.lexists(wanted):
                raise UsageError(
                    f"{wanted}: exists already",
                    why="results are never written over an older file",
                    fix=f"give another name: -o {_first_free(wanted)}",
                )
        try:
            part, stream = _create_part(wanted)
        except OSError as exc:
            raise _unwritable(wanted, exc) from exc
        _remove_stale(wanted.parent)
        return cls(wanted, part, stream)

    @contextlib.contextmanager
    def kept(self) -> Iterator[ResultsFile]:
        """Leave nothing behind where the block raises: then there are no results."""
        try:
            yield self
        except BaseException:
            self.discard()
            raise

    def add(self, outcome: Outcome) -> None:
        """Stream an outcome that the report will not hold. A full disk is told by `finish`, not here."""
        if self._error is not None:
            return
        try:
            self._stream.write(outcome_line(outcome) + "\n")
        except OSError as exc:
            self._error = exc
        else:
            self.streamed += 1

    def finish(self, report: Report) -> Path:
        """Write the whole document of a run, as `write` does. What `add` streamed is read back line by line."""
        return self.write(pieces(report, self._lines()))

    def write(self, document: Iterable[str]) -> Path:
        """Write a document under a name that nobody has, and return that; it appears at once and complete.

        Raises:
            UsageError: The disk is full or the directory went away; the `.part` file with the streamed
                outcomes is left, and named.
        """
        try:
            path = self._write(document)
        except OSError as exc:
            with contextlib.suppress(OSError):
                self._stream.close()
            left = f"; the outcomes streamed so far are in {self._part}" if self.streamed else ""
            if not self.streamed:
                self.discard()
            raise UsageError(
                f"{self.wanted}: the results cannot be written{left}",
                why=exc.strerror or str(exc),
                fix="free some space or use another directory (-o), then run again",
            ) from exc
        self.discard()
        return path

    def discard(self) -> None:
        """Leave nothing behind: the run published nothing, or its results are written."""
        with contextlib.suppress(OSError):
            self._stream.close()
        with contextlib.suppress(OSError):
            self._part.unlink()

    def _write(self, document: Iterable[str]) -> Path:
        if self._error is not None:
            raise self._error
        self._stream.close()  # flushes
        part, stream = _create_part(self.wanted)
        try:
            with stream:
                stream.writelines(document)
                stream.flush()
                os.fsync(stream.fileno())
            path = _publish(part, self.wanted)
        finally:
            part.unlink(missing_ok=True)
        _sync_directory(path.parent)
        return path

    def _lines(self) -> Iterator[str]:
        with self._part.open(encoding="utf-8") as lines:
            yield from lines


def _candidates(wanted: Path) -> Iterator[Path]:
    """Yield a name, then the same with _2, _3 and so on before its ending."""
    yield wanted
    number = 2
    while True:
        yield wanted.with_name(f"{wanted.stem}_{number}{wanted.suffix}")
        number += 1


def _first_free(wanted: Path) -> Path:
    return next(path for path in _candidates(wanted) if not os.path.lexists(path))


def _create_part(wanted: Path) -> tuple[Path, IO[str]]:
    """Create a file of our own beside `wanted`, for this run alone, and lock it as long as it is open."""
    part = wanted.with_name(f"{wanted.name}.{os.urandom(4).hex()}{PART}")
    stream = part.open("x", encoding="utf-8", newline="\n")
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return part, stream


def _remove_stale(directory: Path) -> None:
    """Remove the `.part` files that killed runs left, but for those that hold outcomes.

    One that is empty, not locked and older than `STALE_S` is nobody's.
    """
    for part in directory.glob(f"*.json.????????{PART}"):
        with contextlib.suppress(OSError), part.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen = os.fstat(stream.fileno())
            if seen.st_size == 0 and time.time() - seen.st_mtime > STALE_S:
                part.unlink()


def _publish(part: Path, wanted: Path) -> Path:
    """Give a written file the first free name, also while other runs do the same."""
    for path in _candidates(wanted):
        try:
            _take_name(part, path)
        except FileExistsError:
            continue
        return path
    raise AssertionError("there is always a further name")


def _take_name(part: Path, path: Path) -> None:
    """Move `part` to `path`.

    Raises:
        FileExistsError: Somebody has `path`.
    """
    try:
        os.link(part, path)  # unlike a rename, never replaces
    except FileExistsError:
        raise
    except OSError:  # a file system without links: claim the name, then fill it in one step
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            part.replace(path)
        except OSError:
            path.unlink()
            raise
    else:
        part.unlink()


def _sync_directory(directory: Path) -> None:
    """Make the new name survive a power cut, where the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unwritable(wanted: Path, exc: OSError) -> UsageError:
    directory = wanted.parent
    if isinstance(exc, FileNotFoundError):
        return UsageError(f"{wanted}: there is no directory {directory}", fix=f"mkdir -p {directory}")
    return UsageError(
        f"{wanted}: the results could not be written there",
        why=exc.strerror or str(exc),
        fix="use a directory that you can write to: -o ~/results.json",
    )
