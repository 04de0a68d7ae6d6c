"""The page of a load: verdict and figures, what happened over time, how long tasks took, who ran them."""

from __future__ import annotations

from collections.abc import Iterator

from harness.load_report import Latency, LoadReport
from harness.render.figures import duration_text, share_text
from harness.render.html import PATTERNS, page
from harness.render.html_parts import code, items, pairs, table, text
from harness.render.html_run import judged, ledger_sum, opening
from harness.render.load_charts import node_shares, over_time, percentile_curves
from harness.render.load_words import (
    METRICS,
    counted_from,
    fairness_text,
    generator_text,
    load_headline,
    mix_text,
    model_text,
    rate_text,
    rates,
    window_text,
)
from harness.render.timeline import EMBEDDED
from harness.render.visible import second_text


def load_html(report: LoadReport) -> str:
    """Return the document."""
    said = load_headline(report)
    name = report.plan.scenario.name
    body = f"{PATTERNS}\n<main>\n" + "\n".join(_parts(report)) + "\n</main>"
    return page(f"{name}: {said.word.lower()}", body)


def _parts(report: LoadReport) -> Iterator[str]:
    scenario = report.plan.scenario
    yield from opening(load_headline(report), scenario.name, scenario.description, level=1)
    for reason in report.invalid:
        yield f'<p class="banner">{text(reason[:1].upper() + reason[1:], 500)}.</p>'
    if report.run.embedded:
        yield f'<p class="banner">{EMBEDDED[:1].upper()}{EMBEDDED[1:]}.</p>'
    yield pairs("tiles", _tiles(report))
    yield pairs("facts", _facts(report))
    shown = (
        ("Checks", judged("Checks", report.checks, "PASS", "FAIL")),
        ("Thresholds", judged("Thresholds", report.thresholds, "HELD", "CROSSED") if report.thresholds else ""),
        ("Ledger", ledger_sum(report.run)),
        ("Over time", over_time(report)),
        ("Rates", _rates(report)),
        ("Latency", percentile_curves(report) + _latencies(report)),
        ("Backlog", _backlog(report)),
        ("Nodes", node_shares(report.shares) + (f"<p>{text(words)}.</p>" if (words := fairness_text(report)) else "")),
        ("Generator", f"<p>{text(generator_text(report.generator, report.run.ledger.attempted), 500)}.</p>"),
        ("Notes", items(text(note, 500) for note in report.run.notes) if report.run.notes else ""),
    )
    for title, content in shown:
        if content:
            yield f'<section class="part"><h2>{title}</h2>\n{content}\n</section>'
    yield f"<footer>Distributed Test System · load_test.py · times in UTC · run {text(report.run.run_id)}</footer>"


def _tiles(report: LoadReport) -> Iterator[tuple[str, str]]:
    ledger, window, plan = report.run.ledger, report.window, report.plan
    failures = ledger.attempted - ledger.succeeded
    yield "Tasks", f"{ledger.attempted:,}<small>{share_text(failures, ledger.attempted)} did not succeed</small>"
    offered = f"of {rate_text(rate)}/s offered" if (rate := plan.load.rate) is not None else plan.load.model.value
    yield "Published", f"{rate_text(report.achieved_per_s)}/s<small>{offered}</small>"
    yield "Throughput", f"{rate_text(window.throughput_per_s)}/s<small>{window.completed:,} completed</small>"
    for metric, name in (("round_trip", "Round trip"), ("queue_wait", "Queue wait")):
        if latency := report.latencies.get(metric):
            label, value_s = _tail(latency)
            yield f"{name}, {label}", f"{duration_text(value_s)}<small>p50 {duration_text(latency.p50_s)}</small>"
    if lag := report.generator.lag:
        label, value_s = _tail(lag)
        bound = f"at most {duration_text(plan.max_lag_s)}" if plan.max_lag_s is not None else ""
        yield f"Generator lag, {label}", f"{duration_text(value_s)}<small>{bound}</small>"


def _tail(latency: Latency) -> tuple[str, float]:
    """Return the highest percentile that is there, or the maximum."""
    tails = (("p99", latency.p99_s), ("p95", latency.p95_s), ("p90", latency.p90_s))
    return next(((label, value_s) for label, value_s in tails if value_s is not None), ("max", latency.max_s))


def _facts(report: LoadReport) -> Iterator[tuple[str, str]]:
    yield "Model", text(model_text(report.plan), 500)
    yield "Tasks", text(mix_text(report.plan), 500)
    yield "Measured", text(window_text(report), 500)
    yield "Started (UTC)", text(second_text(report.run.started_at))
    yield "Broker", code(report.run.broker, 500)


def _rates(report: LoadReport) -> str:
    rows = [tuple(map(text, row)) for row in rates(report)]
    return table("Rates", ("In the measured window", "#A second", "#Tasks", "Remark"), rows)


def _latencies(report: LoadReport) -> str:
    rows = [(name, report.latencies.get(metric)) for metric, name in METRICS]
    rows.append(("generator lag", report.generator.lag))
    columns = ("Duration", "#Measured", "#Mean", "#p50", "#p90", "#p95", "#p99", "#Most")
    shown = table("Latencies", columns, [_latency(name, latency) for name, latency in rows if latency])
    counted = counted_from(report.plan)
    return shown + f"<p>{counted[:1].upper()}{counted[1:]}; a percentile of too few tasks is left out.</p>"


def _latency(name: str, latency: Latency) -> tuple[str, ...]:
    values = (latency.mean_s, latency.p50_s, latency.p90_s, latency.p95_s, latency.p99_s, latency.max_s)
    return name, f"{latency.count:,}", *("" if value is None else duration_text(value) for value in values)


def _backlog(report: LoadReport) -> str:
    rows = [
        (code(one.queue), f"{one.most:,}", f"{one.mean:,.1f}", f"{one.last:,}", f"{len(one.looks):,}")
        for one in report.backlog
        if one.looks
    ]
    return table("Backlog", ("Queue", "#Most", "#Mean", "#Last", "#Looks"), rows) if rows else ""
