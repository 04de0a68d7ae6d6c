"""Docker's own command line: run in the project's directory, with a time limit, its complaints in a line."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from harness.errors import UnavailableError

#: How long Docker has to answer a question, in seconds.
TIMEOUT_S = 10.0
#: How long a command that is told to stop has to do so, in seconds.
GIVE_UP_S = 2.0
_DAEMON = "Error response from daemon: "


class DockerCli:
    """`docker` and `docker compose`, or `docker-compose` where that is what there is."""

    def __init__(self, directory: Path, environ: Mapping[str, str] | None = None) -> None:
        """Args:
        environ: The environment of every command; None: this process's.
        """
        self._directory = directory
        self._environ = environ

    def docker(self, *arguments: str) -> str:
        """Return what `docker` prints.

        Raises:
            UnavailableError: It is not installed, does not answer in time, or refuses.
        """
        return self._output(["docker", *arguments], TIMEOUT_S)

    def compose(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
        """Return what `docker compose` prints; it raises as `docker` does."""
        command = ["docker", "compose"] if shutil.which("docker") else ["docker-compose"]
        return self._output([*command, *arguments], timeout_s)

    def run(self, command: list[str], timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Return how a command ended, whichever way. A Ctrl-C at the terminal is not for it, but for who runs it."""
        try:
            process = subprocess.Popen(
                command,
                cwd=self._directory,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        except FileNotFoundError as exc:
            raise UnavailableError(f"{command[0]} is not installed", fix="./setup.sh") from exc
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as exc:
            _end(process)
            raise UnavailableError(f"{' '.join(command)} did not answer in {timeout_s:.0f} s") from exc
        except BaseException:
            _end(process)
            raise
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)

    def _output(self, command: list[str], timeout_s: float) -> str:
        done = self.run(command, timeout_s)
        if done.returncode:
            words = " ".join(itertools.takewhile(lambda word: not word.startswith("-"), command))
            raise UnavailableError(
                f"{words} failed",
                why=refusal(done.stderr),
                fix="docker compose ps --all, or ./setup.sh doctor",
                see="docker-refuses" if "permission denied" in done.stderr else "",
            )
        return done.stdout


def _end(process: subprocess.Popen[str]) -> None:
    """Have a command stop, with the plugin that works for it (`docker compose`): what it has begun, it gives up."""
    with process:  # closes its pipes
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM of zombies
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GIVE_UP_S)
                return


def refusal(stderr: str) -> str:
    """Return the line in which Docker complains: the daemon's answer, or else the last."""
    lines = stderr.strip().splitlines() or [""]
    return next((line.removeprefix(_DAEMON) for line in lines if line.startswith(_DAEMON)), lines[-1])
