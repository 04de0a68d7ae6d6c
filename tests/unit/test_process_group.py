"""Signals to a process and those that it has started: to all of them, and to nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.process_group import ProcessGroup, finish

#: A main process with one child, whose id it tells; both run until they are ended.
WITH_A_CHILD = "sleep 60 & echo $!; wait"
#: The same, and it tells of the SIGTERM that it takes its time to follow.
FINISHES = "trap 'sleep 0.3; echo finished; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
DEAF = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


class Shells:
    """Process groups whose main process is a shell, with what each has said."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._groups: list[ProcessGroup] = []

    def start(self, script: str) -> ProcessGroup:
        """Return once it has said something."""
        log = self.log(len(self._groups))
        group = ProcessGroup(["sh", "-c", script], cwd=self._directory, env=dict(os.environ), log=log)
        self._groups.append(group)
        until(lambda: log.exists() and log.read_text())
        return group

    def log(self, number: int) -> Path:
        return self._directory / f"{number}.log"

    def end(self) -> None:
        for group in self._groups:
            group.kill_all()


@pytest.fixture
def shells(tmp_path: Path) -> Iterator[Shells]:
    made = Shells(tmp_path)
    yield made
    made.end()


@pytest.fixture
def child(shells: Shells) -> tuple[ProcessGroup, int]:
    """A group, and the child of its main process."""
    return shells.start(WITH_A_CHILD), int(shells.log(0).read_text())


def until(condition: Callable[[], object], within_s: float = 5) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def state(pid: int) -> str:
    """Return a process's state as `ps` has it (S, T, ...); empty where there is none, or only its exit code."""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return told.stdout.strip()[:1].replace("Z", "")


def test_all_are_killed(child: tuple[ProcessGroup, int]) -> None:
    group, pid = child
    group.kill_all()
    assert group.exit_code == -signal.SIGKILL
    until(lambda: not state(pid))


def test_a_child_that_outlived_the_main_process_is_killed_too(child: tuple[ProcessGroup, int]) -> None:
    group, pid = child
    group.kill_main()
    assert group.exit_code == -signal.SIGKILL
    assert state(pid) == "S"
    group.kill_all()
    until(lambda: not state(pid))


def test_signals_reach_all(child: tuple[ProcessGroup, int]) -> None:
    group, pid = child
    group.signal_all(signal.SIGSTOP)
    until(lambda: state(group.pid) == state(pid) == "T")
    group.signal_all(signal.SIGCONT)
    until(lambda: state(group.pid) == state(pid) == "S")


def test_a_child_alone_is_killed(child: tuple[ProcessGroup, int]) -> None:
    group, pid = child
    group.kill_child(pid)
    until(lambda: not state(pid))
    group.wait(5)
    assert group.exit_code == 0  # it had nothing left to wait for


def test_no_child_of_another_group_is_killed(shells: Shells, child: tuple[ProcessGroup, int]) -> None:
    group, pid = child
    other = shells.start(WITH_A_CHILD)
    for stranger in (group.pid, other.pid, int(shells.log(1).read_text()), os.getpid(), 2**22):
        with pytest.raises(ProcessLookupError):
            group.kill_child(stranger)
    assert group.runs
    assert other.runs
    assert state(pid)


def test_those_who_finish_have_a_grace_together_and_it_is_not_waited_out(shells: Shells) -> None:
    groups = [shells.start(FINISHES), shells.start(FINISHES)]
    groups[1].signal_all(signal.SIGSTOP)  # it hears of it nevertheless
    begun = time.monotonic()
    finish(groups, grace_s=10)
    assert time.monotonic() - begun < 5
    assert [group.exit_code for group in groups] == [0, 0]
    assert all(shells.log(number).read_text().endswith("finished\n") for number in (0, 1))


def test_those_who_do_not_finish_run_on(shells: Shells) -> None:
    groups = [shells.start(DEAF), shells.start(DEAF)]
    begun = time.monotonic()
    finish(groups, grace_s=0.3)
    assert 0.3 <= time.monotonic() - begun < 0.6  # not for each
    assert all(group.runs for group in groups)


def test_what_has_ended_gets_no_signal(shells: Shells) -> None:
    group = shells.start("echo ready")
    group.wait(5)
    assert group.exit_code == 0
    group.signal_all(signal.SIGKILL)
    group.terminate_main()
    group.kill_main()
    group.kill_all()
    assert group.exit_code == 0
