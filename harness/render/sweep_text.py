"""What a sweep shows on the console: a line for each number of replicas, then the curve and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness.errors import ExitCode
from harness.render.columns import columns
from harness.render.load_words import rate_text
from harness.render.style import Style
from harness.render.sweep_words import HEADS, finding, legend, rows, step_sentence, sweep_headline, why
from harness.render.verdict import check_text, closing
from harness.render.visible import visible
from harness.sweep import Step, Sweep

#: Columns of the longest bar.
_BAR = 40


def step_text(step: Step, style: Style) -> str:
    """Return what one number of replicas came to, as soon as it is known."""
    report = step.report
    good = step.exit_code is ExitCode.OK
    words = f"{rate_text(step.throughput_per_s)} tasks a second, {step_sentence(step)}"
    lines = [f"{style.tint(style.good if good else style.bad, style.ok if good else style.failed)} {words}"]
    lines += [f"   {style.bullet} {visible(reason, 500)}" for reason in step.invalid]
    lines += [f"   {style.bullet} {check_text(check)}" for check in (*report.failed_checks, *report.crossed)]
    return "\n".join([*lines, "", ""])


def replicas_text(number: int, style: Style) -> str:
    """Return the head of a step."""
    return style.tint(style.strong, f"{number} {'replica' if number == 1 else 'replicas'} of each service") + "\n"


def sweep_text(sweep: Sweep, results_path: Path | str | None, style: Style) -> str:
    """Return everything from SCALING CURVE to the last line."""
    head = [style.thick_rule, style.tint(style.strong, f"{style.chart} SCALING CURVE"), style.thick_rule]
    sections = [
        "\n".join(head) + "\n",
        columns(HEADS, rows(sweep), style) + f"{legend(sweep)}\n",
        "\n".join(_bars(sweep, style)) + "\n",
        "\n".join(_why(sweep, style)) + "\n",
        "\n".join(_verdict(sweep, results_path, style)) + "\n",
    ]
    return "\n" + "\n".join(sections)


def _bars(sweep: Sweep, style: Style) -> Iterator[str]:
    """Yield a bar for each step: its throughput, and what is missing of the ideal."""
    steps = sorted(sweep.steps, key=lambda step: step.replicas)
    most = max(max(step.throughput_per_s, sweep.ideal_per_s(step)) for step in steps) or 1.0
    width = len(str(steps[-1].replicas))
    for step in steps:
        done = round(_BAR * step.throughput_per_s / most)
        left = max(round(_BAR * sweep.ideal_per_s(step) / most) - done, 0)
        bar = style.bar_done * done + style.bar_left * left
        yield f"{step.replicas:>{width}}  {bar}  {rate_text(step.throughput_per_s)}/s"


def _why(sweep: Sweep, style: Style) -> Iterator[str]:
    for step in sorted(sweep.steps, key=lambda step: step.replicas):
        yield f"{style.bullet} with {step.replicas}: {why(step)}"


def _verdict(sweep: Sweep, results_path: Path | str | None, style: Style) -> Iterator[str]:
    said = sweep_headline(sweep)
    return closing("Sweep", replace(said, sentence=f"{said.sentence}; {finding(sweep)}"), results_path, style)
