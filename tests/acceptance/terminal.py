"""A command on a pseudo-terminal: what a user sees there, when, and a Ctrl-C at the keyboard."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Thread
from types import TracebackType

import pytest

CTRL_C = b"\x03"


@dataclass
class OnTerminal:
    """A process whose stdin, stdout and stderr are a terminal of its own; in a `with`, so that it is ended."""

    arguments: list[str]
    directory: str | os.PathLike[str]
    environment: dict[str, str]
    columns: int = 100
    _closed: bool = False
    pieces: list[tuple[float, str]] = field(default_factory=list)  # what arrived, and when (monotonic)

    def __enter__(self) -> OnTerminal:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, self.columns, 0, 0))
        self.process = subprocess.Popen(
            self.arguments,
            cwd=self.directory,
            env=self.environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
        )
        os.close(theirs)
        self._reader = Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        if not self._closed:
            os.close(self._ours)

    def _read(self) -> None:
        while not self._closed:
            if not select.select([self._ours], [], [], 0.05)[0]:
                continue  # nobody closes what is being read
            try:
                piece = os.read(self._ours, 65536)
            except OSError:  # the last one that had it open is gone
                return
            if not piece:
                return
            self.pieces.append((time.monotonic(), piece.decode(errors="replace")))

    @property
    def text(self) -> str:
        return "".join(piece for _, piece in list(self.pieces))

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def hang_up(self) -> None:
        """Close the terminal, as a window is closed: the system sends SIGHUP to who uses it."""
        self._closed = True
        self._reader.join()
        os.close(self._ours)

    def wait_for(self, look: Callable[[str], object], within_s: float = 30) -> None:
        """Wait until `look` is true of what has been shown."""
        deadline = time.monotonic() + within_s
        while not look(self.text):
            if time.monotonic() > deadline or self.process.poll() is not None:
                pytest.fail(f"never shown: {self.text}")
            time.sleep(0.01)

    def end(self, within_s: float = 60) -> int:
        """Wait for the end and return the exit code; all that was shown is in `text` then."""
        code = self.process.wait(within_s)
        self._reader.join(within_s)
        return code
