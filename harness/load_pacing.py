"""Pure: when each task of a load is due, and of which kind it is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from harness.model.load import Load
from harness.model.scenario import TaskSpec


def schedule(tasks: Sequence[TaskSpec], shares: Sequence[int], load: Load) -> Iterator[tuple[float, int, TaskSpec]]:
    """Yield for each task when it is due, in seconds after the run began, its entry's number and the entry.

    Without a rate all are due at once, and the window decides. Kinds take turns by their shares, spread evenly; an
    entry whose tasks are used up is passed over.

    Args:
        shares: Of each entry, 1 or more.
    """
    left = [spec.count for spec in tasks]
    position = 0
    for number in itertools.cycle(turns(shares)):
        if not any(left):
            return
        if left[number]:
            left[number] -= 1
            due_s = 0.0 if load.rate is None else due_at(position, load.rate, load.ramp_s)
            yield due_s, number, tasks[number]
            position += 1


def turns(shares: Sequence[int]) -> tuple[int, ...]:
    """Return one round of turns: each number as often as its share, as far apart as possible.

    Smooth weighted round robin, as nginx balances: whoever is owed most has the next turn.
    """
    owed = [0] * len(shares)
    total = sum(shares)
    round_ = []
    for _ in range(total):
        owed = [before + share for before, share in zip(owed, shares, strict=True)]
        number = max(range(len(shares)), key=lambda one: (owed[one], -one))
        owed[number] -= total
        round_.append(number)
    return tuple(round_)


def due_at(position: int, rate: float, ramp_s: float) -> float:
    """Return when the task at `position`, counted from 0, is due, in seconds.

    The rate grows in a straight line from 0 to `rate` within `ramp_s`, and stays there: until t in the ramp,
    rate * t^2 / (2 * ramp_s) tasks have been due.
    """
    in_ramp = rate * ramp_s / 2
    if position < in_ramp:
        return math.sqrt(2 * position * ramp_s / rate)
    return position / rate + ramp_s / 2


def due_within(duration_s: float, rate: float, ramp_s: float) -> int:
    """Return how many tasks are due before `duration_s` have passed; that is longer than the ramp."""
    return math.ceil(round(rate * (duration_s - ramp_s / 2), 6))  # 2.9999999999999996 tasks are three
