"""The rich output once a run has ended: results, details, metrics, checks, verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.model.ledger import LedgerCounts, State
from harness.model.metrics import Summary
from harness.model.outcome import Outcome
from harness.model.report import Report
from harness.render.fault_text import duplicate_text, fault_text
from harness.render.gantt import gantt
from harness.render.style import WIDTH, Style
from harness.render.verdict import MANY, judged, verdict
from harness.render.visible import message, state_text, utc_text, visible
from harness.stats import percentile

#: Outcomes that did not succeed, shown one by one after many tasks; and nodes, and duplicates.
_SHOWN = 10

#: The ledger's columns as they add up to `attempted`, with their words.
_COLUMNS = (
    ("succeeded", "succeeded"),
    ("failed", "failed"),
    ("unfinished", "unfinished"),
    ("lost", "lost"),
    ("unacknowledged", "unacknowledged"),
    ("dead_lettered", "dead-lettered"),
)


def rich_report(report: Report, results_path: Path | str | None, style: Style) -> str:
    """Return everything from EXECUTION RESULTS to the last line."""
    lines = [
        "",
        style.thick_rule,
        style.tint(style.strong, f"{style.chart} EXECUTION RESULTS"),
        style.thick_rule,
        *_totals(report),
        "",
        *_section("DETAILED RESULTS", style),
        "",
        *(_summaries(report, style) if report.outcome_count > MANY else _each(report.outcomes, style)),
    ]
    if metrics := list(_metrics(report)):
        lines += [*_section("PERFORMANCE METRICS", style), *metrics, ""]
    if timeline := gantt(report, style, WIDTH):
        lines += [*_section("TIMELINE", style), *timeline.splitlines(), ""]
    if report.faults:
        lines += [*_section("FAULTS", style), *_faults(report, style), ""]
    lines += [*_section("CHECKS", style), *_checks(report, style), "", style.thick_rule]
    if results_path is not None:
        lines.append(f"{style.page} Results saved to: {visible(str(results_path), 1000)}")
    return "\n".join(lines) + "\n" + verdict(report, style)


def ledger_text(ledger: LedgerCounts) -> str:
    """Return the ledger as a sum, without the columns that are zero, then what is counted across them."""
    columns = [f"{n:,} {word}" for field, word in _COLUMNS if (n := getattr(ledger, field))]
    sign = "=" if ledger.balanced else "does not add up to"
    text = f"{ledger.attempted:,} attempted {sign} {' + '.join(columns) or '0'}"
    across = [f"{ledger.acknowledged:,} acknowledged"]
    if ledger.duplicated:
        unexplained = f" ({ledger.unexplained:,} unexplained)" if ledger.unexplained else ""
        across.append(f"{ledger.duplicated:,} duplicated{unexplained}")
    across += [f"{n:,} {word}" for word in ("recovered", "unexpected") if (n := getattr(ledger, word))]
    return f"{text}; {', '.join(across)}"


def _section(name: str, style: Style) -> tuple[str, ...]:
    return style.thin_rule, style.tint(style.strong, name), style.thin_rule


def _totals(report: Report) -> Iterator[str]:
    ledger = report.ledger
    yield f"Total Execution Time: {report.metrics.wall_s:.3f}s"
    yield f"Successful Tasks: {ledger.succeeded:,}"
    yield f"Failed Tasks: {ledger.failed:,}"
    for field, word in _COLUMNS[2:]:
        if count := getattr(ledger, field):
            yield f"{word.capitalize()} Tasks: {count:,}"


def _each(outcomes: Sequence[Outcome], style: Style) -> Iterator[str]:
    """Yield a block an outcome: those that did not succeed first, then as declared."""
    if not outcomes:
        yield from ("No outcomes.", "")
    for outcome in sorted(outcomes, key=lambda outcome: (outcome.state is State.SUCCEEDED, outcome.index)):
        yield from _block(outcome, style)


def _block(outcome: Outcome, style: Style) -> Iterator[str]:
    succeeded = outcome.state is State.SUCCEEDED
    mark, color = (style.ok, style.good) if succeeded else (style.failed, style.bad)
    yield style.tint(color, f"{mark} {visible(outcome.task.upper())}")
    for label, value in _rows(outcome, succeeded):
        if value is not None:
            yield f"   {label}: {value}"
    yield ""


def _rows(outcome: Outcome, succeeded: bool) -> Iterator[tuple[str, str | None]]:
    if succeeded:
        yield "Message", message(outcome.result)
    else:
        yield "Error", visible(outcome.error or "not known")
        yield "State", state_text(outcome.state)
        yield "Where", None if outcome.where is None else visible(outcome.where)
    yield "Worker", None if outcome.worker is None else visible(outcome.worker)
    yield "Queue", _queue(outcome)
    yield "Task ID", visible(outcome.task_id)
    yield "Execution Time", None if outcome.run_time_s is None else f"{outcome.run_time_s:.3f}s"
    yield "Retries", str(outcome.retries) if outcome.retries else None
    yield "Redelivered", "yes" if outcome.redelivered else None
    ended_at = outcome.replied_at if outcome.finished_at is None else outcome.finished_at
    yield "Timestamp", None if ended_at is None else utc_text(ended_at)


def _queue(outcome: Outcome) -> str:
    declared = visible(outcome.declared_queue)
    if outcome.queue == outcome.declared_queue:
        return declared
    return f"{'not seen' if outcome.queue is None else visible(outcome.queue)} (declared: {declared})"


def _summaries(report: Report, style: Style) -> Iterator[str]:
    """Yield the first outcomes that did not succeed, a table of the tasks, and the nodes that ran them."""
    outcomes = report.outcomes
    wrong = [outcome for outcome in outcomes if outcome.state is not State.SUCCEEDED]
    for outcome in wrong[:_SHOWN]:
        yield from _block(outcome, style)
    total_wrong = max(len(wrong), report.ledger.attempted - report.ledger.succeeded)
    if total_wrong > _SHOWN or len(wrong) < total_wrong:
        yield from (f"... and {total_wrong - min(len(wrong), _SHOWN):,} more that did not succeed", "")
    if len(outcomes) < report.outcome_count:
        yield f"The first {len(outcomes):,} of {report.outcome_count:,} outcomes; the results file has all."
    names = sorted({outcome.task for outcome in outcomes})
    width = max([10, *(len(visible(name)) for name in names)])
    yield style.tint(style.strong, f"{'Task':<{width}} {'Count':>7} {'OK':>7} {'Failed':>7} {'p50':>9} {'p95':>9}")
    for name in names:
        of_task = [outcome for outcome in outcomes if outcome.task == name]
        ok = sum(outcome.state is State.SUCCEEDED for outcome in of_task)
        run_times_s = [outcome.run_time_s for outcome in of_task if outcome.run_time_s is not None]
        p50, p95 = (f"{percentile(run_times_s, rank):.3f}s" if run_times_s else "-" for rank in (50, 95))
        yield f"{visible(name):<{width}} {len(of_task):>7,} {ok:>7,} {len(of_task) - ok:>7,} {p50:>9} {p95:>9}"
    yield ""
    by_node = Counter(outcome.node for outcome in outcomes if outcome.node is not None)
    yield f"Nodes: {len(by_node)}"
    yield from (f"   {style.bullet} {visible(node)}: {by_node[node]:,} tasks" for node in sorted(by_node)[:_SHOWN])
    if len(by_node) > _SHOWN:
        yield f"   ... and {len(by_node) - _SHOWN:,} more"
    yield ""


def _metrics(report: Report) -> Iterator[str]:
    """Yield what was measured; the distributions only where there are enough tasks for one."""
    metrics, ledger = report.metrics, report.ledger
    if (run_time := metrics.run_time) is not None:
        yield f"Average Task Time: {run_time.mean_s:.3f}s"
        yield f"Fastest Task: {run_time.min_s:.3f}s"
        yield f"Slowest Task: {run_time.max_s:.3f}s"
    if ledger.attempted:
        yield f"Success Rate: {_percent(ledger.succeeded, ledger.attempted)}"
    if metrics.retries:
        yield f"Total Retries: {metrics.retries:,}"
    if report.outcome_count > MANY:
        yield from _distribution("Run Time", metrics.run_time)
        yield from _distribution("Queue Wait", metrics.queue_wait)
        yield from _distribution("Round Trip", metrics.round_trip)
    if metrics.negative_waits:
        yield f"Negative Queue Waits: {metrics.negative_waits:,} (the clocks of two hosts differ)"


def _distribution(name: str, summary: Summary | None) -> Iterator[str]:
    if summary is not None:
        yield (
            f"{name}: p50 {summary.p50_s:.3f}s, p95 {summary.p95_s:.3f}s, p99 {summary.p99_s:.3f}s "
            f"({summary.count:,} measured)"
        )


def _percent(part: int, whole: int) -> str:
    """Return a percentage that is 100.0% only when it is all of it."""
    return f"{100.0 if part == whole else min(99.9, 100 * part / whole):.1f}%"


def _faults(report: Report, style: Style) -> Iterator[str]:
    """Yield a line a fault, with when it struck, in seconds after the run began."""
    for fault in report.faults[:MANY]:
        yield style.tint(style.bad if fault.error else "", f"{fault.at_s:7.3f}s  {fault_text(fault)}")
    if len(report.faults) > MANY:
        yield f"... and {len(report.faults) - MANY:,} more"


def _checks(report: Report, style: Style) -> Iterator[str]:
    if not report.checks:
        yield "Nothing was judged."
    yield from judged(report.checks, report.thresholds, style)
    yield f"Ledger: {ledger_text(report.ledger)}"
    shown = report.duplicates[:_SHOWN]
    yield from (f"Duplicate: {duplicate_text(duplicate)}" for duplicate in shown)
    if shown and len(shown) < report.ledger.duplicated:
        yield f"... and {report.ledger.duplicated - len(shown):,} more duplicates"
    evidence = {outcome.queue_evidence for outcome in report.outcomes} - {None, "consumer"}
    if evidence:
        yield f"Queue evidence: {', '.join(sorted(visible(kind) for kind in evidence))}"
    yield from (f"Note: {visible(note, 500)}" for note in report.notes)
