"""What a measurement comes to, and how two sides are compared on a noisy machine: in turns, by medians."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    what: str
    measured: str
    must: str = ""  # empty: told, not judged
    reached: bool | None = None  # None: not judged, or not measured
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)  # every single value, for the JSON

    @property
    def verdict(self) -> str:
        if self.reached is None:
            return "not measured" if self.must else "-"
        return "reached" if self.reached else "NOT REACHED"


def at_most(what: str, seconds: float, most_s: float, measured: str, samples: Mapping[str, Sequence[float]]) -> Row:
    """Return the row of something that may take `most_s`."""
    return Row(what=what, measured=measured, must=f"at most {most_s:g} s", reached=seconds <= most_s, samples=samples)


class Failed(Exception):
    """A side did not do its work, so its figures mean nothing."""


def in_turns(rounds: int, warm_ups: int = 1, **sides: Callable[[], float]) -> dict[str, list[float]]:
    """Return what each side measured, `rounds` times: A B, B A, A B, ... after `warm_ups` turns that do not count.

    The machine's bad moments then fall on all sides alike, and none always comes after the same other.
    """
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(-warm_ups, rounds):
        for name in sides if turn % 2 == 0 else reversed(sides):
            value = sides[name]()
            if turn >= 0:
                samples[name].append(value)
    return samples


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def rate(per_second: float) -> str:
    return f"{per_second:,.0f}/s"
