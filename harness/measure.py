"""An earlier run that this one is compared with, and how much worse than it this one may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.baseline import Baseline, load_baseline
from harness.baseline_rules import Rule, parse_rule
from harness.comparable import refuse_other
from harness.errors import UsageError
from harness.model.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A baseline, and how much worse than it a run may be."""

    baseline: Baseline
    rules: tuple[Rule, ...]


def measured_by(
    baseline: str | None, rules: Sequence[str], scenarios: Sequence[Scenario], *, embedded: bool
) -> Measure | None:
    """Return what the run of `scenarios` is compared with, if anything.

    Args:
        baseline: Path of the results document of the earlier run.
        rules: As written, such as `round_trip.p(95):10%`.
        embedded: Whether this run's broker is the embedded one.

    Raises:
        UsageError: The baseline cannot be used, or says nothing about this run.
    """
    if not baseline and not rules:
        return None
    if not baseline or not rules:
        raise UsageError(
            "--baseline and --fail-on go together",
            fix="--baseline OLD.json --fail-on 'round_trip.p(95):10%'",
        )
    if len(scenarios) > 1:
        raise UsageError("a baseline is the run of one scenario", fix="name one scenario")
    measure = Measure(baseline=load_baseline(baseline), rules=tuple(map(parse_rule, rules)))
    refuse_other(scenarios[0], measure.baseline, measure.rules, embedded=embedded)
    return measure
