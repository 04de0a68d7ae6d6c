"""RabbitMQ's process on this host: commands as its administrator, its signals, and what starts it again."""

from __future__ import annotations

import contextlib
import os
import platform
import pwd
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from harness.errors import UnavailableError

#: How long a command on the broker may take, in seconds. One that asks a frozen node gives up after 17 [tried].
COMMAND_TIMEOUT_S = 30.0
#: The pause between two looks at a process, in seconds.
LOOK_INTERVAL_S = 0.05

#: Stands for the command line of a process that has none any more, and may still hold its port.
_EXITING = "exiting"

_UNIT = re.compile(r"/system\.slice/(\S*rabbitmq\S*\.service)$", re.MULTILINE)
_OPEN_FILES = re.compile(r"^Max open files +(\d+)", re.MULTILINE)


def administer(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout_s: float = COMMAND_TIMEOUT_S
) -> str:
    """Run a command as who administrates RabbitMQ, and return what it prints.

    That is root on Linux, also by `sudo` where it asks for no password, and the user on macOS, whose Homebrew runs
    the broker as that user. A Ctrl-C at the terminal does not reach it.

    Args:
        environment: Variables of the command, beside those of this process.

    Raises:
        UnavailableError: It is not installed, not permitted, fails, or does not end within `timeout_s` seconds.
    """
    added = dict(environment or {})
    words = list(command)
    if os.geteuid() != 0 and platform.system() != "Darwin":
        words = ["sudo", "--non-interactive", *([f"--preserve-env={','.join(added)}"] if added else []), *words]
    # files, not pipes: a broker that the command starts keeps a pipe open
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                words,
                env={**os.environ, **added},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=complaints,
                start_new_session=True,
            )
        except OSError as exc:  # not installed, or of a directory that is not for this user
            raise UnavailableError(
                f"{words[0]} cannot be run here",
                why=f"{exc.strerror}; faults on the broker are made by its administrator, on the host where it runs",
            ) from exc
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired as exc:
            with contextlib.suppress(PermissionError):  # sudo is root's own
                process.terminate()
            raise UnavailableError(f"{shlex.join(command)} did not end within {timeout_s:.0f} s") from exc
        if process.returncode != 0:
            why = _first_line(complaints) or _first_line(output) or f"exit code {process.returncode}"
            raise UnavailableError(f"{shlex.join(command)} failed", why=why)
        output.seek(0)
        return output.read().decode(errors="replace")


def _first_line(file: BinaryIO) -> str:
    file.seek(0)
    return next((line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()), "")


class BrokerProcess:
    """The Erlang virtual machine of a RabbitMQ node on this host."""

    def __init__(self, pid: int) -> None:
        """Args:
            pid: As the node itself says.

        Raises:
            UnavailableError: No process of this host with that id is an Erlang virtual machine.
        """
        self.pid = pid
        self._arguments = _arguments(pid)
        if "beam" not in self._arguments:
            raise UnavailableError(
                f"process {pid} of this host is not RabbitMQ's",
                why="the node that rabbitmqctl reaches runs in a container, or on another host",
            )

    @property
    def is_alive(self) -> bool:
        return _arguments(self.pid) == self._arguments

    def signal(self, name: str) -> None:
        """Send a signal: STOP, CONT, TERM, KILL.

        Raises:
            UnavailableError: The process has ended, or may not be signalled.
        """
        if not self.is_alive:
            raise UnavailableError(f"RabbitMQ's process {self.pid} has ended", why="something else ended it")
        administer(["kill", f"-{name}", str(self.pid)])

    def wait_until_gone(self, within_s: float) -> None:
        """Raises:
        UnavailableError: The process has not ended after `within_s` seconds.
        """
        deadline = time.monotonic() + within_s
        while _arguments(self.pid) in (self._arguments, _EXITING):
            if time.monotonic() > deadline:
                raise UnavailableError(f"RabbitMQ's process {self.pid} did not end within {within_s:.0f} s")
            time.sleep(LOOK_INTERVAL_S)


def _arguments(pid: int) -> str:
    """Return the command line of a process; empty where it has ended, `_EXITING` where it is about to."""
    try:
        state, _, arguments = administer(["ps", "-ww", "-o", "stat=,args=", "-p", str(pid)]).strip().partition(" ")
    except UnavailableError as exc:
        if exc.why == "exit code 1":  # ps found none, and says no more
            return ""
        raise
    if state.startswith("Z") and "l" not in state:  # it waits to be reaped; with an l, threads of it have not ended
        return ""
    arguments = arguments.strip()
    return _EXITING if arguments.startswith("[") else arguments  # [beam.smp]: its memory is freed, its port not yet


class StartCommand:
    """What starts the broker of a process again once it is gone, taken from the process while it runs.

    $BROKER_START, a line for the shell, goes first. A systemd unit is started as such: beside a broker of another
    making, its own restart after a crash would fight for the port. Else it is `rabbitmq-server -detached` with the
    user, the RABBITMQ_* variables and the open files that the process has: the node's name, port and data.
    """

    def __init__(self, process: BrokerProcess) -> None:
        self.environment: dict[str, str] = {}
        if line := os.environ.get("BROKER_START"):
            self.words = ["sh", "-c", line]
        elif unit := systemd_unit(_proc(process.pid, "cgroup")):
            self.words = ["systemctl", "start", unit]
        else:
            variables = _proc(process.pid, "environ").split("\0")
            self.environment = dict(v.split("=", 1) for v in variables if v.startswith("RABBITMQ_") and "=" in v)
            files = _OPEN_FILES.search(_proc(process.pid, "limits"))
            # with fewer open files than before it may stand still; a limit that cannot be had is no reason to give up
            limit = f"ulimit -S -n {files[1]} 2>/dev/null; " if files else ""
            self.words = ["sh", "-c", f"{limit}exec rabbitmq-server -detached"]
            owner = int(administer(["ps", "-o", "uid=", "-p", str(process.pid)]))
            if owner != os.geteuid():
                # in the new user's shell: `su` sets the limit back to 1,024, as it does in Debian's rabbitmq-server
                self.words = ["su", pwd.getpwuid(owner).pw_name, "-s", "/bin/sh", "-c", self.words[-1]]

    def __str__(self) -> str:
        return self.words[-1] if "-c" in self.words else shlex.join(self.words)

    def run(self, timeout_s: float) -> None:
        administer(self.words, environment=self.environment, timeout_s=timeout_s)


def systemd_unit(cgroup: str) -> str | None:
    """Return RabbitMQ's unit out of a /proc/PID/cgroup; None where it was started by hand, or by another service."""
    unit = _UNIT.search(cgroup)
    return unit[1] if unit else None


def _proc(pid: int, name: str) -> str:
    """Return a file of /proc about a process; empty where the system has none."""
    return administer(["cat", f"/proc/{pid}/{name}"]) if os.path.isdir("/proc") else ""
