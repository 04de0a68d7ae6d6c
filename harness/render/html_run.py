"""One run in the HTML report: verdict and figures, then its parts in the order in which a reader asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.model.ledger import State
from harness.model.metrics import Summary
from harness.model.report import Check, Report
from harness.model.scenario import Scenario
from harness.render.figures import duration_text, share_text
from harness.render.headline import Headline, NotRun, headline
from harness.render.html_distributions import distributions
from harness.render.html_faults import duplicates, faults
from harness.render.html_outcomes import dead_letters, every_outcome, not_succeeded, retried, tallies
from harness.render.html_parts import code, items, pairs, percent, table, text
from harness.render.html_timeline import timeline
from harness.render.rich_report import ledger_text
from harness.render.timeline import EMBEDDED
from harness.render.visible import state_text, utc_text
from harness.stats import throughput_per_s

#: Characters of a check's evidence that are shown.
_EVIDENCE = 2000
_TONES = {State.SUCCEEDED: "good", State.FAILED: "failed", State.LOST: "bad"}


def run_article(run: Report | NotRun, anchor: str, level: int) -> str:
    """Return a run as an article whose heading is of `level` (1 to 5)."""
    parts = _not_run(run, level) if isinstance(run, NotRun) else _parts(run, level)
    return f'<article id="{anchor}">\n' + "\n".join(parts) + "\n</article>"


def _not_run(run: NotRun, level: int) -> Iterator[str]:
    yield _verdict(headline(run), run.scenario, level)
    yield f'<p class="sentence">{text(run.what, _EVIDENCE)}</p>'
    if run.why:
        yield f'<p class="about">{text(run.why, _EVIDENCE)}</p>'
    if run.fix:
        yield f'<p class="about">Try: {code(run.fix, _EVIDENCE)}</p>'


def opening(said: Headline, name: str, description: str, level: int) -> Iterator[str]:
    """Yield the verdict, and under a heading of `level` (1 to 6) what was run."""
    yield _verdict(said, name, level)
    if description:
        yield f'<p class="about quiet">{text(description, 500)}</p>'
    yield f'<p class="sentence">{said.sentence[:1].upper()}{said.sentence[1:]}.</p>'


def _verdict(said: Headline, name: str, level: int) -> str:
    return f'<p class="verdict {said.tone}">{said.sign} {said.word}</p>\n<h{level} class="name">{text(name)}</h{level}>'


def _parts(report: Report, level: int) -> Iterator[str]:
    yield from opening(headline(report), report.scenario.name, report.scenario.description, level)
    if report.embedded:
        yield f'<p class="banner">{EMBEDDED[:1].upper()}{EMBEDDED[1:]}.</p>'
    yield pairs("tiles", _tiles(report))
    yield pairs("facts", _facts(report))
    shown = (
        ("Checks", judged("Checks", report.checks, "PASS", "FAIL")),
        ("Thresholds", judged("Thresholds", report.thresholds, "HELD", "CROSSED") if report.thresholds else ""),
        ("Faults", faults(report) if report.faults else ""),
        ("Did not succeed", not_succeeded(report)),
        ("Dead letters", dead_letters(report.dead_letters) if report.dead_letters else ""),
        ("Ledger", ledger_sum(report)),
        ("Duplicates", duplicates(report) if report.duplicates else ""),
        ("Timeline", timeline(report) + every_outcome(report)),
        ("Durations", distributions(report)),
        ("Tasks", tallies(report) if report.metrics.tallies else ""),
        ("Tried again", retried(report)),
        ("Notes", items(text(note, _EVIDENCE) for note in report.notes) if report.notes else ""),
        ("What was asked", _asked(report)),
    )
    for title, content in shown:
        if content:
            yield f'<section class="part"><h{level + 1}>{title}</h{level + 1}>\n{content}\n</section>'


def _tiles(report: Report) -> Iterator[tuple[str, str]]:
    ledger, metrics = report.ledger, report.metrics
    share = share_text(ledger.succeeded, ledger.attempted)
    yield "Tasks", f"{ledger.attempted:,}<small>{ledger.succeeded:,} succeeded, {share}</small>"
    yield "Wall time", f"{duration_text(metrics.wall_s)}<small>{_in_sequence(report)}</small>"
    if (rate := throughput_per_s(ledger.completed, metrics.wall_s)) is not None:
        yield "Throughput", f"{rate:,.{0 if rate >= 100 else 1}f}/s<small>{ledger.completed:,} completed</small>"
    for name, summary in (("Round trip", metrics.round_trip), ("Queue wait", metrics.queue_wait)):
        if summary is not None:
            yield f"{name}, p95", _p95(summary)
    recovered = f"{ledger.recovered:,} recovered" if ledger.recovered else "over all tasks"
    yield "Retries", f"{metrics.retries:,}<small>{recovered}</small>"


def _in_sequence(report: Report) -> str:
    metrics = report.metrics
    if metrics.sequential_s <= 0:
        return "first publish to last result"
    return f"for {duration_text(metrics.sequential_s)} of work"


def _p95(summary: Summary) -> str:
    return f"{duration_text(summary.p95_s)}<small>p50 {duration_text(summary.p50_s)}</small>"


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    at = utc_text(report.started_at)
    shown = text(at[:19].replace("T", " "))
    yield "Started (UTC)", f'<time datetime="{text(at)}">{shown}</time>'
    yield "Broker", code(report.broker, 500)
    yield "Run", code(report.run_id)


def judged(label: str, checks: Sequence[Check], held: str, broke: str) -> str:
    """Return checks with their evidence; those that do not hold come first."""
    if not checks:
        return "<p>Nothing was judged.</p>"
    rows = []
    for check in sorted(checks, key=lambda check: check.passed):
        mark = f"✓ {held}" if check.passed else f"✕ {broke}"
        rows.append(
            f'<tr><td class="mark {"good" if check.passed else "bad"}">{mark}</td>'
            f'<th scope="row">{text(check.name, 500)}</th><td>{text(check.evidence, _EVIDENCE)}</td></tr>'
        )
    return (
        f'<table class="checks" aria-label="{label}"><thead><tr><th scope="col">Verdict</th>'
        f'<th scope="col">{label[:-1]}</th><th scope="col">Evidence</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def ledger_sum(report: Report) -> str:
    """Return the sum, a bar of it, and what is counted across its columns."""
    ledger = report.ledger
    terms: list[str] = []
    shapes: list[str] = []
    x = 0
    for state in State:
        count: int = getattr(ledger, state.value)
        if not count:
            continue
        kind = f"s-{_TONES.get(state, 'warn')}"
        words = f"{count:,} {state_text(state)}"
        sign = "+ " if terms else ""
        swatch = f'<svg aria-hidden="true"><rect class="{kind}" width="12" height="12" rx="2"/></svg>'
        terms.append(f"<span>{sign}{swatch}{words}</span>")
        shapes.append(
            f'<rect class="{kind}" x="{percent(x, ledger.attempted)}" width="{percent(count, ledger.attempted)}" '
            f'height="10"><title>{words}, {share_text(count, ledger.attempted)}</title></rect>'
        )
        x += count
    equals = "=" if ledger.balanced else "does not add up to"
    bar = f'<svg aria-hidden="true" height="10">{"".join(shapes)}</svg>' if shapes else ""
    across = ledger_text(ledger).partition("; ")[2]
    return (
        f'<div class="sum"><span>{ledger.attempted:,} attempted {equals}</span>{"".join(terms) or "0"}</div>'
        f"{bar}<p>{across}.</p>"
    )


def _asked(report: Report) -> str:
    scenario = report.scenario
    workers = (
        (
            code(worker.service),
            code(worker.queue),
            f"{worker.replicas:,}",
            "" if worker.concurrency is None else f"{worker.concurrency:,}",
            "<br/>".join(_nodes(report, worker.service)) or "none",
        )
        for worker in scenario.workers
    )
    columns = ("Worker", "Queue", "#Replicas", "#Concurrency", "Nodes that answered")
    return _entries(scenario) + table("Workers", columns, workers)


def _nodes(report: Report, service: str) -> list[str]:
    nodes = sorted(node.name for node in report.roster.nodes if node.service == service)
    return [code(name) for name in nodes[:10]] + ([f"and {len(nodes) - 10:,} more"] if len(nodes) > 10 else [])


def _entries(scenario: Scenario) -> str:
    rows = []
    for spec in scenario.tasks:
        given = ", ".join([*map(repr, spec.args), *(f"{name}={value!r}" for name, value in spec.kwargs.items())])
        when = [
            f"after {duration_text(spec.delay_s)}" if spec.delay_s else "",
            f"{spec.rate:g} a second" if spec.rate else "",
            f"to {spec.queue}, which is not its own" if spec.queue else "",
        ]
        rows.append(
            (code(spec.task), f"{spec.count:,}", code(given, 500), text(", ".join(filter(None, when)) or "at once"))
        )
    shown = table("Tasks that were asked for", ("Task", "#Count", "Given", "Published"), rows)
    return f"<p>To be done within {duration_text(scenario.timeout_s)}.</p>{shown}"
