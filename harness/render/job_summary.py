"""What a GitHub Actions job shows on its page: a run in GitHub's markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.model.fault import FaultRecord
from harness.model.metrics import Summary, TaskTally
from harness.model.report import Check, Report
from harness.render.fault_text import recovery_text, trouble_text
from harness.render.figures import duration_text
from harness.render.headline import NotRun, headline
from harness.render.rich_report import ledger_text
from harness.render.timeline import EMBEDDED
from harness.render.visible import visible

#: Rows of a table that are shown: GitHub takes a megabyte from each step.
_MOST = 50
_SIGNS = {"good": "✅", "warn": "⚠️", "bad": "❌"}
#: What markdown or HTML could read as more than itself.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+.!|~&$@^:-])")


def job_summary(run: Report | NotRun) -> str:
    """Return verdict, what did not hold, thresholds, tasks and ledger; to append to the summary file."""
    return "\n".join([*_blocks(run), ""])  # an empty line ends it: what follows is markdown again


def _blocks(run: Report | NotRun) -> Iterator[str]:
    said = headline(run)
    name = run.scenario if isinstance(run, NotRun) else run.scenario.name
    yield f"## {_SIGNS[said.tone]} {_plain(name)}: {said.word.lower()}"
    yield ""
    if isinstance(run, NotRun):
        yield f"{_plain(run.what)}\\"
        yield f"{_plain(run.why or 'The cause is not known.')}"
        if run.fix:
            yield f"\nTry: {_plain(run.fix)}"
        yield ""
        return
    yield f"{said.sentence[0].upper()}{said.sentence[1:]}. {_measured(run)}"
    yield ""
    if run.embedded:
        yield from (f"> {_plain(EMBEDDED)}", "")
    if run.faults:
        yield from _table(("At", "Fault", "Done to", "What came of it"), ":---", map(_fault_row, run.faults))
    if run.failed_checks:
        yield from _table(("Check that did not hold", "Evidence"), "--", map(_check_row, run.failed_checks))
    if run.thresholds:
        rows = (
            (_word(threshold, "held", "crossed"), *_check_row(threshold))
            for threshold in sorted(run.thresholds, key=lambda threshold: threshold.passed)
        )
        yield from _table(("", "Threshold", "Measured"), "---", rows)
    if run.metrics.tallies:
        header = ("Task", "Count", "Succeeded", "Failed", "Retries", "Run time p50", "p95", "Nodes")
        yield from _table(header, "-:::::::"[: len(header)], map(_tally_row, run.metrics.tallies))
    yield f"Ledger: {_plain(ledger_text(run.ledger))}"
    yield ""
    for note in run.notes[:_MOST]:
        yield f"- {_plain(note)}"
    if run.notes:
        yield ""
    if run.checks:
        yield f"<details><summary>All {len(run.checks):,} checks</summary>"
        yield ""
        rows = ((_word(check, "held", "did not hold"), *_check_row(check)) for check in run.checks)
        yield from _table(("", "Check", "Evidence"), "---", rows)
        yield from ("</details>", "")


def _measured(report: Report) -> str:
    metrics = report.metrics
    text = f"{report.ledger.attempted:,} tasks in {duration_text(metrics.wall_s)}"
    if metrics.round_trip is not None:
        p50, p95 = duration_text(metrics.round_trip.p50_s), duration_text(metrics.round_trip.p95_s)
        text += f"; round trip p50 {p50}, p95 {p95}"
    return f"{text}."


def _table(header: Sequence[str], align: str, rows: Iterator[Sequence[str]] | map[tuple[str, ...]]) -> Iterator[str]:
    """Yield a table and an empty line. `align` has a character a column: `-` left, `:` right."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'|'.join('--:' if side == ':' else '---' for side in align)}|"
    for number, row in enumerate(rows):
        if number == _MOST:
            yield f"| … {'| ' * (len(header) - 1)}|"
            break
        yield f"| {' | '.join(row)} |"
    yield ""


def _check_row(check: Check) -> tuple[str, ...]:
    return _plain(check.name), _plain(check.evidence, 500)


def _fault_row(fault: FaultRecord) -> tuple[str, ...]:
    came = "; ".join(filter(None, [recovery_text(fault.recovery), trouble_text(fault)]))
    sign = "❌ " if fault.error else ""
    return duration_text(fault.at_s), _plain(fault.what), _plain(fault.hit), f"{sign}{_plain(came, 500)}"


def _word(check: Check, held: str, broke: str) -> str:
    return f"✅ {held}" if check.passed else f"❌ {broke}"


def _tally_row(tally: TaskTally) -> tuple[str, ...]:
    return (
        _plain(tally.task),
        f"{tally.count:,}",
        f"{tally.succeeded:,}",
        f"{tally.failed:,}",
        f"{tally.retries:,}",
        *_percentiles(tally.run_time),
        f"{len(tally.nodes):,}",
    )


def _percentiles(summary: Summary | None) -> tuple[str, str]:
    return ("", "") if summary is None else (duration_text(summary.p50_s), duration_text(summary.p95_s))


def _plain(text: str, limit: int = 200) -> str:
    """Return text that markdown and HTML leave as it is: what they could read as more than itself is escaped."""
    return _MARKUP.sub(r"\\\1", visible(text, limit))
