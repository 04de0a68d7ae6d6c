"""The edge to the reader: colour decided once, text to stdout, notes, errors and logs to stderr."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from harness.errors import HarnessError
from harness.render.visible import visible
from harness.results_file import ResultsFile
from harness.terminal import ColorChoice, Terminal

__all__ = ["ColorChoice", "Console", "ProgressLine", "ResultsFile", "Terminal", "configure_logging", "print_error"]

#: Seconds between two drawings of the progress line on a terminal.
REDRAW_S = 0.1
#: Seconds between two progress lines where each one stays, as in a CI log.
PIPE_INTERVAL_S = 5.0
#: The page of symptoms, which errors point to.
TROUBLESHOOTING = "docs/troubleshooting.md"
#: Characters of a file that are held while it is shown.
_CHUNK = 65_536


class ProgressLine:
    """How far a run is: one line that is drawn again on a terminal, a plain line now and then elsewhere.

    Args:
        stream: Where to draw: stderr.
        clock: Seconds that only grow; injected for tests.
        live: Whether `stream` is a terminal on which a line can be drawn again.
    """

    def __init__(self, stream: TextIO | None, *, clock: Callable[[], float], live: bool) -> None:
        self._sink = _Sink(stream)
        self._clock = clock
        self._live = live
        self._interval_s = REDRAW_S if live else PIPE_INTERVAL_S
        self._next_at = clock() + (0.0 if live else PIPE_INTERVAL_S)
        self._drawn = 0  # characters that stand on the terminal's line

    @property
    def due(self) -> bool:
        """Whether `show` would draw now: ask before building an expensive text."""
        return self._clock() >= self._next_at

    def show(self, text: str) -> None:
        """Draw `text`, unless the line was drawn a moment ago."""
        if not self.due:
            return
        self._next_at = self._clock() + self._interval_s
        if self._live:
            self._sink.write("\r" + text + " " * (self._drawn - len(text)))
            self._drawn = len(text)
        else:
            self._sink.write(text + "\n")

    def clear(self) -> None:
        """Take the line off the terminal."""
        if self._drawn:
            self._sink.write("\r" + " " * self._drawn + "\r")
            self._drawn = 0


class Console:
    """Where a command prints: results to stdout, notes to stderr.

    A reader that goes away (`| head`) silences the stream and nothing else: the run goes on to its own exit
    code. So does a stream that cannot be written, which is said once on stderr.

    Args:
        stdout: Where results go; None where the process was started without one.
        stderr: Where notes go.
        quiet: Print only what is marked `always`.
        progress: A line to take off the terminal before anything else is printed there.
    """

    def __init__(
        self,
        stdout: TextIO | None,
        stderr: TextIO | None,
        *,
        quiet: bool = False,
        progress: ProgressLine | None = None,
    ) -> None:
        self._out = _Sink(stdout)
        self._err = _Sink(stderr)
        self._quiet = quiet
        self._progress = progress

    def write(self, text: str, *, always: bool = False) -> None:
        """Print a piece of the results, at once."""
        if text and (always or not self._quiet) and not self._out.gone:
            self._clear_progress()
            self._out.write(text)
            if self._out.trouble:
                self._err.write(f"warning: standard output: {self._out.trouble}; the rest is not shown\n")
                self._out.trouble = ""

    def note(self, text: str) -> None:
        """Print one line that is not a result."""
        if text and not self._quiet:
            self._clear_progress()
            self._err.write(text.rstrip("\n") + "\n")

    def write_file(self, path: Path) -> None:
        """Print a file, such as the results document: also with `quiet`, and however large it is."""
        with path.open(encoding="utf-8") as file:
            while chunk := file.read(_CHUNK):
                self.write(chunk, always=True)

    def _clear_progress(self) -> None:
        if self._progress is not None:
            self._progress.clear()


class _Sink:
    """A text stream that is written to until that fails, and never raises."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.gone = stream is None
        self.trouble = ""  # why, where it is not just that the reader went away

    def write(self, text: str) -> None:
        if self._stream is None or self.gone:
            return
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()
        except BrokenPipeError:
            self._give_up(self._stream)
        except OSError as exc:
            self.trouble = exc.strerror or str(exc)
            self._give_up(self._stream)

    def _give_up(self, stream: TextIO) -> None:
        """Point the descriptor at nothing: the interpreter flushes what is left when it ends, and would complain."""
        self.gone = True
        with contextlib.suppress(OSError, ValueError):  # not a real file: then nothing is flushed either
            nothing = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nothing, stream.fileno())
            finally:
                os.close(nothing)


def print_error(error: HarnessError, stream: TextIO | None = None) -> None:
    """Print an error's three lines to stderr; where there is more to read of it, as a shell's comment on the last."""
    lines = "\n".join(visible(line, 1000) for line in str(error).splitlines())
    more = f"  # {TROUBLESHOOTING}#{error.see}" if error.see else ""
    _Sink(sys.stderr if stream is None else stream).write(f"error: {lines}{more}\n")


def configure_logging(level: str = "WARNING", stream: TextIO | None = None) -> None:
    """Send every log record of this process to stderr, one JSON object a line."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)


class _JsonLines(logging.Formatter):
    """JSON made by python-json-logger, which is only imported once there is something to log."""

    _made: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if self._made is None:
            from pythonjsonlogger.json import JsonFormatter

            self._made = JsonFormatter(
                "%(asctime)s %(levelname)s %(name)s %(message)s",
                rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            )
        return self._made.format(record)
