"""Docker's own command line: run in the project's directory, with a time limit, its complaints in a line."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from harness.errors import UnavailableError

#: How long Docker has to answer a question, in seconds.
TIMEOUT_S = 10.0
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
        """Return how a command ended, whichever way."""
        try:
            return subprocess.run(
                command,
                cwd=self._directory,
                env=self._environ,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except FileNotFoundError as exc:
            raise UnavailableError(f"{command[0]} is not installed", fix="./setup.sh") from exc
        except subprocess.TimeoutExpired as exc:
            raise UnavailableError(f"{' '.join(command)} did not answer in {timeout_s:.0f} s") from exc

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


def refusal(stderr: str) -> str:
    """Return the line in which Docker complains: the daemon's answer, or else the last."""
    lines = stderr.strip().splitlines() or [""]
    return next((line.removeprefix(_DAEMON) for line in lines if line.startswith(_DAEMON)), lines[-1])
