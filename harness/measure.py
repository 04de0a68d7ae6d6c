"""An earlier run that this one is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from harness.baseline import Baseline
from harness.baseline_rules import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A baseline, and how much worse than it a run may be."""

    baseline: Baseline
    rules: tuple[Rule, ...]
