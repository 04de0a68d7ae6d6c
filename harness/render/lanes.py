"""What each task did when, on the node that ran it: the one reading of times behind every timeline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.model.outcome import Outcome
from harness.model.report import Report


class Phase(StrEnum):
    """What a task was doing."""

    WAIT = "wait"  # published, not started
    TRIED = "tried"  # an attempt that asked for a retry
    BACKOFF = "backoff"  # between two attempts, or until its message was delivered again
    RUN = "run"  # the last attempt
    OPEN = "open"  # no end was seen


@dataclass(frozen=True, slots=True)
class Span:
    """A phase, in seconds since the run began; within the run."""

    phase: Phase
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One task's spans, in order."""

    outcome: Outcome
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Lane:
    """A node and what it ran, by start. `node` is None for tasks that no node is known to have run."""

    node: str | None
    queues: tuple[str, ...]
    bars: tuple[Bar, ...]


def lanes(report: Report) -> tuple[Lane, ...]:
    """Return a lane for each node by name; last, one for what never ran."""
    by_node: dict[str | None, list[Bar]] = {}
    for outcome in report.outcomes:
        bar = Bar(outcome, tuple(_spans(outcome, report.started_at, report.metrics.wall_s)))
        by_node.setdefault(outcome.node, []).append(bar)
    return tuple(
        Lane(node, _queues(bars), tuple(sorted(bars, key=_order)))
        for node, bars in sorted(by_node.items(), key=lambda item: (item[0] is None, item[0] or ""))
    )


def _queues(bars: Sequence[Bar]) -> tuple[str, ...]:
    return tuple(sorted({bar.outcome.queue for bar in bars if bar.outcome.queue is not None}))


def _order(bar: Bar) -> tuple[float, int]:
    started_s = next((span.begin_s for span in bar.spans if span.phase is not Phase.WAIT), math.inf)
    return started_s, bar.outcome.index


def _spans(outcome: Outcome, run_started_at: float, wall_s: float) -> Iterator[Span]:
    """Yield what is known. Of several attempts before the last only the sum is: they are taken as equally long."""

    def within(at: float | None) -> float | None:
        """Return seconds since the run began, kept inside it: a node's clock can say anything."""
        return None if at is None or not math.isfinite(at) else min(max(at - run_started_at, 0.0), wall_s)

    published_s = within(outcome.published_at) or 0.0
    last_s = within(outcome.started_at)
    first_s = within(outcome.first_started_at)
    if first_s is None:
        first_s = last_s
    if first_s is None:
        yield Span(Phase.OPEN, published_s, wall_s)
        return
    if first_s > published_s:
        yield Span(Phase.WAIT, published_s, first_s)
    if last_s is None:
        last_s = first_s
    yield from _earlier(outcome.waits_s, first_s, last_s)
    finished_s = within(outcome.finished_at)
    if finished_s is None:
        yield Span(Phase.OPEN, last_s, wall_s)
    else:
        yield Span(Phase.RUN, last_s, max(finished_s, last_s))


def _earlier(waits_s: Sequence[float], first_s: float, last_s: float) -> Iterator[Span]:
    """Yield the attempts before the last and the waits after them."""
    if last_s <= first_s:
        return
    spent_s = last_s - first_s - sum(waits_s)
    if not waits_s or not (spent_s >= 0 and min(waits_s) >= 0):  # redelivered, or clocks that do not agree
        yield Span(Phase.BACKOFF, first_s, last_s)
        return
    attempt_s = spent_s / len(waits_s)
    at_s = first_s
    for wait_s in waits_s:
        yield Span(Phase.TRIED, at_s, at_s + attempt_s)
        yield Span(Phase.BACKOFF, at_s + attempt_s, at_s + attempt_s + wait_s)
        at_s += attempt_s + wait_s
