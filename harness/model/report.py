"""What a run produced, how it was judged, and its verdict."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import ExitCode
from harness.model.dead_letter import DeadLetter
from harness.model.fault import FaultRecord
from harness.model.ledger import Duplicate, LedgerCounts
from harness.model.metrics import Metrics
from harness.model.outcome import Outcome
from harness.model.scenario import Scenario
from harness.model.topology import Roster

SCHEMA_VERSION = 1
#: Outcomes that a Report holds in memory; further ones stream to the results file.
MAX_HELD = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One judged statement about the run."""

    name: str  # "every task succeeded"
    passed: bool
    evidence: str  # what was seen, with numbers; for a failure the first offenders by name


def not_held(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    return tuple(check for check in checks if not check.passed)


def verdict(*, interrupted: bool, invalid: bool, checks: tuple[Check, ...], thresholds: tuple[Check, ...]) -> ExitCode:
    """Return the one verdict, of a run as of a load: exit code, last line and JSON all come from here.

    Args:
        invalid: Whether it was not what was asked for; then its checks and figures mean nothing.
        checks: Without any, nothing was proved, and that is a failure.
    """
    if interrupted:
        return ExitCode.INTERRUPTED
    if invalid:
        return ExitCode.UNAVAILABLE
    if not_held(checks) or not checks:
        return ExitCode.CHECK_FAILED
    return ExitCode.THRESHOLD if not_held(thresholds) else ExitCode.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a run produced; every output is rendered from this one value."""

    run_id: str
    scenario: Scenario
    started_at: float  # ours: the first publish
    broker: str  # URL without its password
    embedded: bool
    roster: Roster
    outcomes: tuple[Outcome, ...]  # in order of completion; at most MAX_HELD, some places kept for late failures
    outcome_count: int  # all of them: what is not held here is in the results file
    ledger: LedgerCounts
    metrics: Metrics
    checks: tuple[Check, ...]
    thresholds: tuple[Check, ...] = ()  # limits on figures: crossing one is exit 99, not a failed check
    dead_letters: tuple[DeadLetter, ...] = ()  # of this run, where they were looked for; at most MAX_HELD
    duplicates: tuple[Duplicate, ...] = ()  # in the order in which they were seen; at most MAX_HELD
    interrupted: bool = False
    faults: tuple[FaultRecord, ...] = ()  # in the order in which they struck
    notes: tuple[str, ...] = ()  # what a reader must know: reconnects, missing confirms, clock differences
    schema_version: int = SCHEMA_VERSION

    @property
    def failed_checks(self) -> tuple[Check, ...]:
        return not_held(self.checks)

    @property
    def crossed(self) -> tuple[Check, ...]:
        return not_held(self.thresholds)

    @property
    def invalid(self) -> tuple[FaultRecord, ...]:
        """Faults that were not what was asked: whatever the run showed, it is not what it was made for."""
        return tuple(fault for fault in self.faults if fault.error)

    @property
    def exit_code(self) -> ExitCode:
        return verdict(
            interrupted=self.interrupted, invalid=bool(self.invalid), checks=self.checks, thresholds=self.thresholds
        )
