"""When things ran: how long at least one did, and how many did at a time. 16 bytes an interval."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator


class Intervals:
    """Beginnings and ends, in seconds on one clock."""

    def __init__(self) -> None:
        self._begun = array("d")
        self._ended = array("d")

    def append(self, interval: tuple[float, float]) -> None:
        begun, ended = interval
        self._begun.append(begun)
        self._ended.append(ended)

    def __len__(self) -> int:
        return len(self._begun)

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return zip(self._begun, self._ended, strict=True)

    def peak(self) -> int:
        """Return how many were open at the same time at most; one that begins as another ends is not."""
        changes = sorted([*((at, 1) for at in self._begun), *((at, -1) for at in self._ended)])
        now = peak = 0
        for _, change in changes:
            now += change
            peak = max(peak, now)
        return peak


def union_s(several: Iterable[Intervals]) -> float:
    """Return how long at least one interval was open: a wait in which nothing ran does not count."""
    total_s, reach = 0.0, float("-inf")
    for begun, ended in sorted(interval for intervals in several for interval in intervals):
        total_s += max(ended - max(begun, reach), 0.0)
        reach = max(reach, ended)
    return total_s
