"""What a load shows on the console: what is asked, then rates, latencies, backlog, nodes, ledger and verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.errors import ExitCode
from harness.load_plan import LoadPlan
from harness.load_report import Latency, LoadReport
from harness.render.columns import columns
from harness.render.figures import duration_text, share_text
from harness.render.load_words import (
    METRICS,
    counted_from,
    fairness_text,
    generator_text,
    load_headline,
    mix_text,
    model_text,
    rates,
    window_text,
)
from harness.render.rich_report import ledger_text
from harness.render.style import Style
from harness.render.timeline import banner
from harness.render.verdict import check_text, closing, judged
from harness.render.visible import visible

_LATENCY = ("LATENCY", "#COUNT", "#MEAN", "#P50", "#P90", "#P95", "#P99", "#MAX")


def load_banner(plan: LoadPlan, started_at: float, broker: str, style: Style, *, embedded: bool) -> str:
    """Return the head of the output, in local time. `broker` is a URL that has lost its password already."""
    about = f" - {visible(plan.scenario.description)}" if plan.scenario.description else ""
    asked = [f"Load: {visible(plan.scenario.name)}{about}", f"Model: {model_text(plan)}", f"Tasks: {mix_text(plan)}"]
    return banner("LOAD TEST", started_at, broker, style, *asked, embedded=embedded)


def load_text(report: LoadReport, results_path: Path | str | None, style: Style) -> str:
    """Return everything from LOAD RESULTS to the last line."""
    sections = [
        "\n".join(_head(report, style)) + "\n",
        columns(("RATE", "#A SECOND", "#TASKS", "REMARK"), rates(report), style),
        _latencies(report, style),
        _backlog(report, style),
        _shares(report, style),
        "\n".join(_figures(report)) + "\n",
        "\n".join(_judged(report, style)) + "\n",
        "\n".join(_verdict(report, results_path, style)) + "\n",
    ]
    return "\n" + "\n".join(filter(None, sections))


def _head(report: LoadReport, style: Style) -> Iterator[str]:
    yield style.thick_rule
    yield style.tint(style.strong, f"{style.chart} LOAD RESULTS")
    yield style.thick_rule
    yield from _invalid(report, style)
    yield f"Model: {model_text(report.plan)}"
    yield f"Steady window: {window_text(report)}"


def _invalid(report: LoadReport, style: Style) -> Iterator[str]:
    if report.exit_code is ExitCode.UNAVAILABLE:
        yield style.tint(style.bad, f"{style.failed} INVALID: {load_headline(report).sentence}")
        yield from (f"   {style.bullet} {reason}" for reason in report.invalid)


def _latencies(report: LoadReport, style: Style) -> str:
    rows = [_latency(name, report.latencies.get(metric)) for metric, name in METRICS]
    if report.generator.lag is not None:
        rows.append(_latency("generator lag", report.generator.lag))
    return columns(_LATENCY, rows, style) + f"{counted_from(report.plan)}\n"


def _latency(name: str, latency: Latency | None) -> tuple[str, ...]:
    if latency is None:
        return name, "0", *[""] * 6
    values = (
        *(latency.mean_s, latency.p50_s, latency.p90_s),
        *(latency.p95_s, latency.p99_s, latency.max_s),
    )
    return name, f"{latency.count:,}", *("" if value is None else duration_text(value) for value in values)


def _backlog(report: LoadReport, style: Style) -> str:
    rows = [
        (visible(one.queue), f"{one.most:,}", f"{one.mean:,.1f}", f"{one.last:,}", f"{len(one.looks):,}")
        for one in report.backlog
        if one.looks
    ]
    return columns(("BACKLOG", "#MOST", "#MEAN", "#LAST", "#LOOKS"), rows, style) if rows else ""


def _shares(report: LoadReport, style: Style) -> str:
    rows = [
        (visible(share.node), visible(share.queue), f"{share.tasks:,}", f"{share.share:.1%}") for share in report.shares
    ]
    fairness = fairness_text(report)
    return columns(("NODE", "QUEUE", "#TASKS", "#OF ITS SERVICE"), rows, style) + (f"{fairness}\n" if fairness else "")


def _figures(report: LoadReport) -> Iterator[str]:
    ledger = report.run.ledger
    yield f"Generator: {generator_text(report.generator, ledger.attempted)}"
    failures = ledger.attempted - ledger.succeeded
    yield f"Failures: {share_text(failures, ledger.attempted)} of all {ledger.attempted:,} tasks, warm-up included"
    yield f"Ledger: {ledger_text(ledger)}"


def _judged(report: LoadReport, style: Style) -> Iterator[str]:
    yield from judged(report.checks, report.thresholds, style)
    yield from (f"Note: {visible(note, 500)}" for note in report.run.notes)


def _verdict(report: LoadReport, results_path: Path | str | None, style: Style) -> Iterator[str]:
    yield from closing("Load test", load_headline(report), results_path, style)
    if report.exit_code is not ExitCode.OK:
        yield from (f"   {style.bullet} {reason}" for reason in report.invalid)
        yield from (f"   {style.bullet} {check_text(check)}" for check in (*report.failed_checks, *report.crossed))
