"""The last lines of every console format: what was judged, what did not hold, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.errors import ExitCode
from harness.model.report import Check, Report
from harness.render.fault_text import invalid_text
from harness.render.headline import Headline
from harness.render.style import Style
from harness.render.visible import visible

#: Above this many tasks, a format summarises instead of listing each.
MANY = 20
#: Characters of a check's evidence that are shown; the results file has all of it.
EVIDENCE_LIMIT = 500


def verdict(report: Report, style: Style) -> str:
    """Return the closing lines; the success line only when every check held."""
    if report.exit_code is ExitCode.OK:
        return style.tint(style.good, f"{style.cheers} Dispatch completed successfully!") + "\n"
    return failure(report, style)


def failure(report: Report, style: Style) -> str:
    """Return what did not hold, one line a fault or check; empty when every check held."""
    if report.exit_code is ExitCode.OK:
        return ""
    lines = [style.tint(style.bad, f"{style.failed} {_headline(report)}")]
    lines += [f"   {style.bullet} {visible(fault.what)}: {visible(fault.error)}" for fault in report.invalid[:MANY]]
    if len(report.invalid) > MANY:
        lines.append(f"   {style.bullet} and {len(report.invalid) - MANY:,} more faults")
    lines += [f"   {style.bullet} {check_text(check)}" for check in (*report.failed_checks, *report.crossed)]
    return "\n".join(lines) + "\n"


def judged(checks: Iterable[Check], thresholds: Iterable[Check], style: Style) -> Iterator[str]:
    """Yield a line for each, those that did not hold first."""
    for each, failed in ((checks, "FAIL"), (thresholds, "CROSSED")):
        for check in sorted(each, key=lambda check: check.passed):
            word, color = ("PASS", style.good) if check.passed else (failed, style.bad)
            yield f"{style.tint(color, word)}  {check_text(check)}"


def closing(subject: str, said: Headline, results_path: Path | str | None, style: Style) -> Iterator[str]:
    """Yield where the results are, and the verdict in a line.

    Args:
        subject: What passed, if it did: "Sweep".
    """
    yield style.thick_rule
    if results_path is not None:
        yield f"{style.page} Results saved to: {visible(str(results_path), 1000)}"
    if said.tone == "good":
        yield style.tint(style.good, f"{style.cheers} {subject} passed: {said.sentence}")
    else:
        color = style.warn if said.tone == "warn" else style.bad
        yield style.tint(color, f"{style.failed} {said.word}: {said.sentence}")


def check_text(check: Check) -> str:
    """Return a check's name and evidence."""
    return f"{visible(check.name)}: {visible(check.evidence, EVIDENCE_LIMIT)}"


def _headline(report: Report) -> str:
    failed = len(report.failed_checks)
    if report.interrupted:
        succeeded = report.ledger.succeeded
        asked = max(report.scenario.task_count, report.ledger.attempted)
        return f"Dispatch interrupted: {succeeded:,} of {asked:,} tasks succeeded, {asked - succeeded:,} did not"
    if report.invalid:
        return f"Dispatch proves nothing: {invalid_text(report)}"
    if failed:
        return f"Dispatch failed: {failed} of {len(report.checks)} checks did not hold"
    if not report.checks:
        return "Dispatch failed: nothing was judged"
    return f"Dispatch failed: {report.exit_code.meaning}"
