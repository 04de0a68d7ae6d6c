"""What runs `docker`: with other programs in its place, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.docker_cli import DockerCli
from harness.errors import UnavailableError

#: A command with a plugin that works for it, whose ids it notes.
WITH_A_PLUGIN = ["sh", "-c", "sleep 60 & echo $$ $! >noted; wait"]


@contextmanager
def interrupted_once(condition: Callable[[], object]) -> Iterator[None]:
    """Raise KeyboardInterrupt in the block once something holds."""

    def look(*_: object) -> None:
        if condition():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ended(pid: int) -> bool:
    """Whether a process is gone, or only waits to be reaped."""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return told.stdout.strip()[:1] in ("", "Z")


def until_ended(pids: list[int]) -> None:
    deadline = time.monotonic() + 5
    while not all(map(ended, pids)):
        assert time.monotonic() < deadline, pids
        time.sleep(0.01)


def test_a_ctrl_c_at_the_terminal_is_not_for_it(tmp_path: Path) -> None:
    done = DockerCli(tmp_path).run(["sh", "-c", "ps -o pgid=,sid= -p $$"])
    group, session = map(int, done.stdout.split())
    assert group == session
    assert group != os.getpgrp()


def test_who_is_interrupted_ends_it_with_its_plugin(tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    with (
        pytest.raises(KeyboardInterrupt),
        interrupted_once(lambda: noted.exists() and noted.read_text().endswith("\n")),
    ):
        DockerCli(tmp_path).run(WITH_A_PLUGIN, timeout_s=60)
    until_ended([int(pid) for pid in noted.read_text().split()])


def test_what_does_not_answer_in_time_is_ended_with_its_plugin(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"sh -c .* did not answer in 1 s"):
        DockerCli(tmp_path).run(WITH_A_PLUGIN, timeout_s=1)
    until_ended([int(pid) for pid in (tmp_path / "noted").read_text().split()])


def test_what_gives_up_nothing_is_killed(tmp_path: Path) -> None:
    deaf = ["sh", "-c", "trap '' TERM; echo $$ >noted; while :; do sleep 0.05; done"]
    with pytest.raises(UnavailableError):
        DockerCli(tmp_path).run(deaf, timeout_s=1)
    until_ended([int((tmp_path / "noted").read_text())])
