"""Signals that ask a command to end in good order: Ctrl-C, a service manager's SIGTERM, a closed terminal's SIGHUP."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any


def raised() -> None:
    """Let each of them raise KeyboardInterrupt from here on, so that what was started is not left behind."""
    _install(signal.default_int_handler)


def deadly() -> None:
    """Let each of them end this process at once, from here on."""
    _install(signal.SIG_DFL)


def last(code: int) -> int:
    """Let none of them change how this process ends: with the exit code, which is returned."""
    _install(signal.SIG_IGN)
    return code


@contextmanager
def handled(handler: Callable[[], None]) -> Iterator[None]:
    """Call `handler` for each of them instead, while the block runs."""
    before = _install(lambda *_: handler())
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def held() -> Iterator[list[int]]:
    """Let none of them break into the block; give the list that those which come are added to, for the caller to heed.

    For what must not be left half done, and takes a limited time.
    """
    came: list[int] = []

    def take(number: int, _: FrameType | None) -> None:
        came.append(number)

    before = _install(take)
    try:
        yield came
    finally:
        _restore(before)


def _install(handler: Any) -> Mapping[int, Any]:
    """Set the handler of each, but of a SIGHUP that this process was told to ignore, as by nohup; return the former."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    numbers = [signal.SIGINT, signal.SIGTERM, *([] if ignored else [signal.SIGHUP])]
    return {number: signal.signal(number, handler) for number in numbers}


def _restore(handlers: Mapping[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
