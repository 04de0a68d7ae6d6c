"""What `operate.py dead-letters` shows: a table, a JSON document, a line for each letter that was moved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.model.dead_letter import DeadLetter, ListedLetter
from harness.render.columns import columns
from harness.render.figures import duration_text
from harness.render.style import Style
from harness.render.visible import second_text, visible

#: Characters of a name or an id that are shown; the document has all of them.
_LIMIT = 100


def table(letters: Sequence[ListedLetter], now: float, style: Style) -> str:
    """Return a table of dead letters, each with the first and the last time that it became one.

    Args:
        now: The age is counted from the last time to here; both in seconds since the epoch.
    """
    heads = ("TASK", "ID", "QUEUE", "CAME FROM", "REASON", "#TIMES", "FIRST (UTC)", "LAST (UTC)", "#AGE")
    return columns(heads, (_row(listed, now) for listed in letters), style)


def _row(listed: ListedLetter, now: float) -> tuple[str, ...]:
    letter = listed.letter
    return (
        *(visible(word, _LIMIT) for word in (letter.task, letter.task_id, letter.queue, letter.came_from)),
        visible(letter.reason, _LIMIT),
        str(letter.times) if letter.reason else "",
        _time_text(listed.first_at),
        _time_text(listed.last_at),
        "" if listed.last_at is None else _age_text(_age_s(listed.last_at, now)),
    )


def document(letters: Sequence[ListedLetter], there: Mapping[str, int], now: float, broker: str) -> str:
    """Return the same as JSON; `there` is how many messages each queue holds, listed or not."""
    content: dict[str, Any] = {
        "schema_version": 1,
        "broker": broker,
        "at": second_text(now),
        "queues": [{"queue": queue, "messages": count} for queue, count in there.items()],
        "dead_letters": [
            {
                "task": listed.letter.task or None,
                "id": listed.letter.task_id or None,
                "queue": listed.letter.queue,
                "came_from": listed.letter.came_from or None,
                "reason": listed.letter.reason or None,
                "times": listed.letter.times if listed.letter.reason else None,
                "first_at": _time_text(listed.first_at) or None,
                "last_at": _time_text(listed.last_at) or None,
                "age_s": None if listed.last_at is None else _age_s(listed.last_at, now),
            }
            for listed in letters
        ],
    }
    return json.dumps(content, indent=2) + "\n"


def moved_line(did: str, letter: DeadLetter, trouble: str) -> str:
    """Return a line that says what became of a letter: `redriven`, `purged`, or `left` and why."""
    name = f"{visible(letter.task or '-', _LIMIT)}  {visible(letter.task_id or '-', _LIMIT)}"
    if trouble:
        return f"left      {name}  in {letter.queue}: {trouble}\n"
    if did == "redriven":
        return f"redriven  {name}  {letter.queue} -> {visible(letter.came_from, _LIMIT)}\n"
    return f"{did:<8}  {name}  {letter.queue}\n"


def _time_text(at: float | None) -> str:
    return "" if at is None else second_text(at)


def _age_s(at: float, now: float) -> int:
    """Return an age in seconds, as whole as the broker's times are; its clock may be ahead of ours."""
    return max(int(now - at), 0)


def _age_text(age_s: int) -> str:
    return f"{age_s} s" if age_s < 100 else duration_text(age_s)
