"""The live line of a load: how far it is, and how it goes."""

from __future__ import annotations

from dataclasses import dataclass

from harness.render.figures import duration_text
from harness.render.style import Style


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A load under way."""

    elapsed_s: float
    sent: int
    done: int
    in_flight: int
    failed: int
    backlog: int | None  # ready in all queues together; None: not looked yet
    rate: float | None  # tasks that ended, a second, just now; None: too early to say
    offered: int | None  # tasks in all; None: as many as the duration has room for
    duration_s: float | None


def load_progress(progress: Progress, style: Style, width: int = 79) -> str:
    """Return the line, of at most `width` columns, without a line end."""
    words = [
        f"{progress.elapsed_s:.1f} s",
        f"{progress.done:,}/{progress.offered:,}" if progress.offered is not None else f"{progress.done:,} done",
        f"{progress.rate:,.1f}/s" if progress.rate is not None else "",
        f"{progress.in_flight:,} in flight",
        f"backlog {progress.backlog:,}" if progress.backlog is not None else "",
        f"{progress.failed:,} failed" if progress.failed else "",
        f"ETA {duration_text(left_s)}" if (left_s := _left_s(progress)) is not None else "",
    ]
    return f" {style.bullet} ".join(filter(None, words))[:width]


def _left_s(progress: Progress) -> float | None:
    """Return how long it goes on: to the end of publishing, and until what is in flight has ended."""
    to_come = 0 if progress.offered is None else progress.offered - progress.sent
    publishing_s = 0.0
    if progress.duration_s is not None and (to_come or progress.offered is None):
        publishing_s = max(progress.duration_s - progress.elapsed_s, 0.0)
        to_come = 0
    if not progress.rate:
        return publishing_s or None
    return publishing_s + (to_come + progress.in_flight) / progress.rate
