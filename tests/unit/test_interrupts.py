"""Ctrl-C, SIGTERM and SIGHUP: real signals, to this process or to one that is started for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.interrupts import handled, held, raised

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_each_is_an_interrupt(number: signal.Signals) -> None:
    raised()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


@pytest.mark.parametrize("number", ENDING)
def test_each_is_handled_while_the_block_runs(number: signal.Signals) -> None:
    raised()
    calls = []
    with handled(lambda: calls.append(number)):
        signal.raise_signal(number)
        signal.raise_signal(number)
    assert calls == [number, number]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_what_is_held_breaks_into_nothing_and_is_told_to_who_held_it() -> None:
    raised()
    calls: list[int] = []
    with handled(lambda: calls.append(1)), held() as came:
        for number in ENDING:
            signal.raise_signal(number)
    assert (came, calls) == (ENDING, [])


def test_a_block_that_raises_ends_what_was_held() -> None:
    raised()
    with pytest.raises(ValueError, match="no"), held():
        raise ValueError("no")
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGHUP)


@pytest.mark.parametrize("use", ["raised()", "context = handled(print); context.__enter__()", "held().__enter__()"])
def test_under_nohup_a_closed_terminal_is_nothing(tmp_path: Path, use: str) -> None:
    script = (
        f"from harness.interrupts import *\n{use}\nimport signal\nsignal.raise_signal(signal.SIGHUP)\nprint('on')\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        ["nohup", sys.executable, "-c", script],
        cwd=root,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "on\n"), done.stderr
