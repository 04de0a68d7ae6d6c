"""A main process on this host with the processes that it starts, in a group of their own: signals to all or one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


class ProcessGroup:
    """A command that runs; a Ctrl-C at the terminal is not for it.

    Signals go to what runs: where the main process has ended, they are not sent.
    """

    def __init__(self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as stream:
            self._main = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self.pid = self._main.pid

    @property
    def exit_code(self) -> int | None:
        """The main process's, negative where a signal ended it; None: it runs."""
        return self._main.poll()

    @property
    def runs(self) -> bool:
        return self.exit_code is None

    def signal_all(self, number: signal.Signals) -> None:
        if self.runs:  # until its end was seen, the group's id is given to no other
            os.killpg(self.pid, number)

    def terminate_main(self) -> None:
        """Ask the main process to end with SIGTERM, also one that was stopped."""
        self._main.terminate()
        self.signal_all(signal.SIGCONT)

    def kill_main(self) -> None:
        self._main.kill()
        self._main.wait()

    def kill_child(self, pid: int) -> None:
        """Kill one of the group that is not its main process.

        Raises:
            ProcessLookupError: There is none with this id in the group.
        """
        if pid == self.pid or os.getpgid(pid) != self.pid:
            raise ProcessLookupError
        os.kill(pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill the main process and all others, also those that have outlived it."""
        if not self.runs and _exists(self.pid):
            return  # another's: while one of a group lives, the group's id is given to no other
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM where all are zombies
            os.killpg(self.pid, signal.SIGKILL)
        self._main.wait()

    def wait(self, timeout_s: float) -> None:
        """Return when the main process has ended, or after `timeout_s`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._main.wait(timeout=timeout_s)


def finish(groups: Sequence[ProcessGroup], grace_s: float) -> None:
    """Ask every main process to end, and give them `grace_s` together to do so."""
    for group in groups:
        group.terminate_main()
    deadline = time.monotonic() + grace_s
    for group in groups:
        group.wait(max(deadline - time.monotonic(), 0))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
