"""Pure: what a flag says, or an error that names the flag."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from harness.errors import HarnessError, UsageError

V = TypeVar("V")
T = TypeVar("T")


def read(flag: str, value: V | None, parse: Callable[[V], T]) -> T | None:
    """Return what `parse` makes of a flag's value; None where the flag is not given.

    Raises:
        UsageError: `parse` refuses the value.
    """
    try:
        return None if value is None else parse(value)
    except HarnessError as exc:
        raise UsageError(f"{flag}: {exc.what}", why=exc.why, fix=exc.fix) from exc
