"""Replicas for a while: as many as before in the end, whatever happens; the signals are real, the fleet is a number."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any, cast

import pytest

from harness.errors import UnavailableError
from harness.fleet import Fleet
from harness.interrupts import raised
from harness.replicas import as_before


class Numbers:
    """A fleet that is its numbers of nodes; what happens while it scales is for the test to say."""

    def __init__(self, **running: int) -> None:
        self.running = running
        self.calls: list[Mapping[str, int]] = []
        self.refuses = False
        self.interrupted_by: signal.Signals | None = None

    def counts(self) -> Mapping[str, int]:
        return dict(self.running)

    def scale(self, counts: Mapping[str, int]) -> None:
        self.calls.append(dict(counts))
        if self.interrupted_by:
            signal.raise_signal(self.interrupted_by)
        if self.refuses:
            raise UnavailableError("docker compose up failed", why="no space left")
        self.running |= counts

    def command_to_scale(self, counts: Mapping[str, int]) -> str:
        return f"scale {dict(counts)}"


@pytest.fixture(autouse=True)
def _handlers() -> Any:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    raised()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def played(numbers: Numbers, error: type[BaseException] | None = None) -> list[str]:
    """Have three of each service for a while; return what was noted."""
    notes: list[str] = []
    fleet = cast(Fleet, numbers)
    with as_before(fleet, ["a", "b"], notes.append) as before:
        assert before == {"a": 1, "b": 0}
        numbers.running |= {"a": 3, "b": 3}
        if error:
            raise error
    return notes


def test_as_many_run_as_before_also_where_that_were_none() -> None:
    numbers = Numbers(a=1, other=7)
    assert played(numbers) == []
    assert numbers.running == {"a": 1, "b": 0, "other": 7}
    assert numbers.calls == [{"a": 1, "b": 0}]


def test_what_did_not_change_is_left_alone() -> None:
    numbers = Numbers(a=1)
    with as_before(cast(Fleet, numbers), ["a"], lambda text: None):
        pass
    assert numbers.calls == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_whatever_ends_the_block_goes_on(error: type[BaseException]) -> None:
    numbers = Numbers(a=1)
    with pytest.raises(error):
        played(numbers, error)
    assert numbers.running == {"a": 1, "b": 0}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_interrupts_it_waits_until_it_is_done(number: signal.Signals) -> None:
    numbers = Numbers(a=1)
    numbers.interrupted_by = number
    with pytest.raises(KeyboardInterrupt):
        played(numbers)
    assert numbers.running == {"a": 1, "b": 0}


def test_what_cannot_be_scaled_back_is_said_with_the_command_that_does_it() -> None:
    numbers = Numbers(a=1)
    numbers.refuses = True
    with pytest.raises(UnavailableError) as caught:
        played(numbers)
    assert str(caught.value) == (
        "there are not as many nodes as before the run: a=1, b=0\n"
        "  why: docker compose up failed; no space left\n"
        "  try: scale {'a': 1, 'b': 0}"
    )


@pytest.mark.parametrize("before_it", [True, False])
def test_an_interrupted_run_stays_one_where_it_cannot_be_scaled_back(before_it: bool) -> None:
    numbers = Numbers(a=1)
    numbers.refuses = True
    if not before_it:
        numbers.interrupted_by = signal.SIGINT
    with pytest.raises(KeyboardInterrupt, match="docker compose up failed; no space left; scale"):
        played(numbers, KeyboardInterrupt if before_it else None)


def test_scaling_back_that_takes_long_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Event

    monkeypatch.setattr("harness.replicas.SAID_AFTER_S", 0.01)
    said = Event()
    numbers = Numbers(a=1)
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        said.set()

    def scale(counts: Mapping[str, int]) -> None:
        assert said.wait(10)

    monkeypatch.setattr(numbers, "scale", scale)
    with as_before(cast(Fleet, numbers), ["a"], note):
        numbers.running["a"] = 2
    assert notes == ["scaling back: a=1"]
