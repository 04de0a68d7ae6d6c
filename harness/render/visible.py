"""Makes what came from a task, a node or a broker safe to show: one line, of bounded length, no escape sequences."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from datetime import UTC, datetime

from harness.model.ledger import State

#: Characters of a value that are shown.
LIMIT = 200

_repr = reprlib.Repr()
_repr.maxlevel = 4
_repr.maxdict = _repr.maxlist = _repr.maxtuple = _repr.maxset = _repr.maxfrozenset = 20
_repr.maxstring = _repr.maxother = LIMIT


def visible(value: object, limit: int = LIMIT) -> str:
    """Return `value` as one printable line: control characters are spelt out, a long text is cut and says so.

    Anything that could move the cursor, change colours, reorder text or hide in it (control and format
    characters, lone surrogates) becomes its escape, such as `\\x1b`.
    """
    text = value if isinstance(value, str) else _repr.repr(value)
    shown = text[:limit]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
    return shown if len(text) <= limit else f"{shown}... ({len(text):,} characters)"


def message(result: object) -> str:
    """Return what a task said: its result's `message`, or the result itself."""
    if isinstance(result, Mapping) and "message" in result:
        return visible(result["message"])
    return visible(result)


def title(task: str) -> str:
    """Return a task's name as words: `task_a` and `shop.tasks.task_a` are `Task A`."""
    return visible(task.rpartition(".")[2].replace("_", " ").title())


def state_text(state: State) -> str:
    """Return a state in words."""
    return state.value.replace("_", "-")


def utc_text(at: float) -> str:
    """Return a time as ISO 8601 in UTC; as it is where no calendar holds it (a node's clock can say anything)."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat("T", "microseconds")
    except (ValueError, OverflowError, OSError):
        return repr(at)


def second_text(at: float) -> str:
    """Return a time in whole seconds: `2025-09-17T19:28:56Z`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
