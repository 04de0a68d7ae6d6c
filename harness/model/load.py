"""How a load is published: as it was asked for, and as it is going to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.model.expectation import Threshold


class LoadModel(StrEnum):
    """What decides when the next task is published."""

    BURST = "burst"  # nothing: all of them at once
    OPEN = "open"  # the clock: so many a second, whatever comes of the earlier ones
    CLOSED = "closed"  # the end of an earlier one: so many are in flight


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How a load is published, and from when on it counts. Durations are from the start of the run."""

    model: LoadModel
    window: int  # tasks in flight at most; in the closed model so many all the time
    rate: float | None = None  # open: tasks a second, of all kinds together, once the ramp is over
    ramp_s: float = 0.0  # open: the rate grows from 0 to its full height
    duration_s: float | None = None  # publishing ends then; None: with the last task
    warmup_s: float = 0.0  # what is due before is in the ledger, and not in the figures

    @property
    def steady_s(self) -> float:
        """When the figures begin: ramp and warm-up are over."""
        return max(self.ramp_s, self.warmup_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProfile:
    """What load_test.py is asked for, by an entry of `load:` in test-config.yml or by its flags. None: not said."""

    description: str | None = None
    tasks: int | None = None  # of each kind, times its share of the mix
    rate: float | None = None  # a second, all kinds together
    in_flight: int | None = None
    duration_s: float | None = None
    ramp_s: float | None = None
    warmup_s: float | None = None
    mix: Mapping[str, int] | None = None  # task -> its share; None: one of each registered task
    work_s: float | None = None  # None: what the tasks do by themselves
    thresholds: tuple[Threshold, ...] | None = None
    max_error_rate: float | None = None  # 0 to 1: so many may fail
    max_lag_s: float | None = None
    timeout_s: float | None = None
