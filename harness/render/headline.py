"""A run's verdict in one word and one sentence, as every report that leaves the terminal begins."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import ExitCode, HarnessError
from harness.model.report import Report
from harness.render.fault_text import invalid_text


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun:
    """A scenario that could not be run: nothing about it was judged."""

    scenario: str  # its name
    what: str
    why: str = ""
    fix: str = ""

    @classmethod
    def of(cls, scenario: str, error: HarnessError) -> NotRun:
        return cls(scenario=scenario, what=error.what, why=error.why, fix=error.fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The word never stands for more than the exit code says."""

    sign: str
    word: str
    tone: str  # good, warn or bad
    sentence: str


def headline(run: Report | NotRun) -> Headline:
    """Return the verdict, from the exit code alone."""
    if isinstance(run, NotRun):
        return Headline(sign="!", word="Not run", tone="bad", sentence=run.what)
    checks, crossed = len(run.checks), len(run.crossed)
    if run.exit_code is ExitCode.OK:
        and_thresholds = f" and {every(len(run.thresholds), 'threshold')}" if run.thresholds else ""
        return Headline(sign="✓", word="Passed", tone="good", sentence=f"{every(checks, 'check')}{and_thresholds} held")
    if run.exit_code is ExitCode.THRESHOLD:
        of = f"of {len(run.thresholds):,} thresholds" if len(run.thresholds) > 1 else "threshold"
        were = f"{crossed:,} {of} {'was' if crossed == 1 else 'were'} crossed"
        return Headline(
            sign="!", word="Threshold crossed", tone="warn", sentence=f"{every(checks, 'check')} held, but {were}"
        )
    if run.exit_code is ExitCode.INTERRUPTED:
        asked = max(run.scenario.task_count, run.ledger.attempted)
        completed = run.ledger.completed
        sentence = f"{completed:,} of {_counted(asked, 'task')} completed, {asked - completed:,} not"
        return Headline(sign="!", word="Interrupted", tone="warn", sentence=sentence)
    if run.exit_code is ExitCode.UNAVAILABLE:
        return Headline(sign="!", word="Invalid", tone="bad", sentence=f"{invalid_text(run)}: the run proves nothing")
    failed = len(run.failed_checks)
    sentence = f"{failed} of {_counted(checks, 'check')} did not hold" if failed else "nothing was judged"
    return Headline(sign="✕", word="Failed", tone="bad", sentence=sentence)


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def every(count: int, word: str) -> str:
    """Return `the one check`, or `all 9 checks`."""
    return f"the one {word}" if count == 1 else f"all {count:,} {word}s"
