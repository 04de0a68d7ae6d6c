"""The last lines of every console format: what did not hold, and why."""

from __future__ import annotations

from harness.errors import ExitCode
from harness.model import Check, Report
from harness.render.fault_text import invalid_text
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
