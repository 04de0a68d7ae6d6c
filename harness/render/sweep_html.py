"""The page of a sweep: the curve against the ideal, where a task's time went, and what held each step back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.load_plan import LoadPlan
from harness.render.html import PATTERNS, page
from harness.render.html_parts import code, items, pairs, table, text
from harness.render.load_charts import Line, picture
from harness.render.load_words import mix_text, model_text, rate_text
from harness.render.sweep_words import HEADS, finding, legend, rows, step_sentence, sweep_headline, why
from harness.render.visible import second_text
from harness.sweep import Step, Sweep


def sweep_html(sweep: Sweep, plan: LoadPlan, started_at: float, broker: str) -> str:
    """Return the document."""
    said = sweep_headline(sweep)
    body = f"{PATTERNS}\n<main>\n" + "\n".join(_parts(sweep, plan, started_at, broker)) + "\n</main>"
    return page(f"{plan.scenario.name}, scaled: {said.word.lower()}", body)


def _parts(sweep: Sweep, plan: LoadPlan, started_at: float, broker: str) -> Iterator[str]:
    said, told = sweep_headline(sweep), finding(sweep)
    steps = sorted(sweep.steps, key=lambda step: step.replicas)
    yield f'<p class="verdict {said.tone}">{said.sign} {said.word}</p>'
    yield f'<h1 class="name">{text(plan.scenario.name)}</h1>'
    yield f'<p class="sentence">{text(told[:1].upper() + told[1:], 500)}.</p>'
    if sweep.error:
        yield f'<p class="banner">{text(said.sentence[:1].upper() + said.sentence[1:], 500)}.</p>'
    yield pairs("tiles", _tiles(sweep))
    yield pairs(
        "facts",
        [
            ("Services", text(", ".join(worker.service for worker in plan.scenario.workers), 500)),
            ("Model", text(model_text(plan), 500)),
            ("Tasks", text(mix_text(plan), 500)),
            ("Started (UTC)", text(second_text(started_at))),
            ("Broker", code(broker, 500)),
        ],
    )
    heads = [head.capitalize() if not head.startswith("#") else f"#{head[1:].capitalize()}" for head in HEADS]
    curve = table("Scaling curve", heads, [tuple(map(text, row)) for row in rows(sweep)])
    about = legend(sweep)
    shown = (
        ("Scaling curve", _curve(sweep, steps) + curve + f"<p>{text(about[:1].upper() + about[1:], 500)}.</p>"),
        ("Where the time went", _times(steps)),
        ("What held it back", items(text(f"With {step.replicas}: {why(step)}.", 500) for step in steps)),
        ("Verdicts", items(text(f"With {step.replicas}: {_verdict(step)}.", 500) for step in steps)),
    )
    for title, content in shown:
        yield f'<section class="part"><h2>{title}</h2>\n{content}\n</section>'
    yield "<footer>Distributed Test System · load_test.py --sweep · times in UTC</footer>"


def _verdict(step: Step) -> str:
    return "; ".join([step_sentence(step), *step.invalid])


def _tiles(sweep: Sweep) -> Iterator[tuple[str, str]]:
    base, last = sweep.base, sweep.last
    for step in (base, last) if base is not last else (base,):
        rate = rate_text(step.throughput_per_s)
        processes = "process" if step.slots == 1 else "processes"
        yield f"With {step.replicas}", f"{rate}/s<small>{step.slots:,} {processes}</small>"
    speedup, efficiency = sweep.speedup(last), sweep.efficiency(last)
    if speedup is not None and efficiency is not None:
        yield "Speed-up", f"{speedup:.2f}<small>of {last.replicas / base.replicas:g}</small>"
        yield "Efficiency", f"{efficiency:.0%}<small>of the ideal</small>"


def _axis(steps: Sequence[Step]) -> list[tuple[float, str]]:
    most = steps[-1].replicas
    return [(0.0, "0"), *((step.replicas / most, str(step.replicas)) for step in steps)]


def _curve(sweep: Sweep, steps: Sequence[Step]) -> str:
    measured = Line(name="measured", points=[(step.replicas, step.throughput_per_s) for step in steps])
    ideal = Line(name="ideal", points=[(0.0, 0.0), *((step.replicas, sweep.ideal_per_s(step)) for step in steps)])
    about = "tasks a second against the replicas of each service"
    return picture("Throughput", about, [measured, ideal], steps[-1].replicas, _axis(steps))


def _times(steps: Sequence[Step]) -> str:
    waits = [(step.replicas, latency.mean_s) for step in steps if (latency := step.report.latencies.get("queue_wait"))]
    lines = [
        Line(name="queue wait", points=waits),
        Line(name="run time", points=[(step.replicas, step.run_s) for step in steps]),
        Line(name="between two tasks", points=[(s.replicas, s.between_s) for s in steps if s.between_s is not None]),
    ]
    drawn = [line for line in lines if line.points]
    return picture("Mean times", "against the replicas", drawn, steps[-1].replicas, _axis(steps), durations=True)
