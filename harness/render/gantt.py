"""A run in the terminal: a line for each task over time, grouped by the node that ran it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.model.ledger import State
from harness.model.report import Report
from harness.render.figures import duration_text, marks
from harness.render.lanes import Bar, Lane, Phase, lanes
from harness.render.style import Style
from harness.render.verdict import MANY
from harness.render.visible import state_text, visible

#: Columns of a task's name, at most, and of the bars, at least.
_NAME_WIDTH = 20
_NARROWEST = 20
_VALUE_WIDTH = 10


def gantt(report: Report, style: Style, width: int = 78) -> str:
    """Return who ran what when, with a scale; empty for a run of more than `MANY` tasks, or of nothing.

    A task waits in its queue (`·`), then runs (`█`); blank between two stretches is the wait for a retry.
    """
    if not report.outcomes or report.outcome_count > MANY or report.metrics.wall_s <= 0:
        return ""
    tasks = Counter(outcome.task for outcome in report.outcomes)
    names = {
        outcome.task_id: _name(outcome.task, outcome.index, alone=tasks[outcome.task] == 1)
        for outcome in report.outcomes
    }
    name_width = max(len(name) for name in names.values())
    columns = max(width - name_width - _VALUE_WIDTH - 4, _NARROWEST)
    wait = "." if style.bar_done.isascii() else "·"
    signs = {Phase.WAIT: wait, Phase.BACKOFF: " ", Phase.OPEN: style.bar_left}
    lines: list[str] = []
    for lane in lanes(report):
        lines.append(style.tint(style.strong, _lane_name(lane, width)))
        for bar in lane.bars:
            drawn = "".join(_drawn(bar, columns, report.metrics.wall_s, signs, style.bar_done)).ljust(columns)
            value, color = _value(bar, style)
            name = names[bar.outcome.task_id]
            lines.append(f"  {name:<{name_width}} {style.tint(color, drawn)} {value:>{_VALUE_WIDTH}}".rstrip())
    lines.append(" " * (name_width + 3) + style.tint(style.faint, _scale(columns, report.metrics.wall_s)))
    return "\n".join(lines) + "\n"


def _name(task: str, index: int, *, alone: bool) -> str:
    number = "" if alone else f" #{index + 1}"
    return visible(task, 200)[: _NAME_WIDTH - len(number)] + number


def _lane_name(lane: Lane, width: int) -> str:
    if lane.node is None:
        return "on no node"
    queues = ", ".join(visible(queue) for queue in lane.queues)
    return f"{visible(lane.node)} ({queues})"[:width]


def _drawn(bar: Bar, columns: int, wall_s: float, signs: dict[Phase, str], running: str) -> Iterator[str]:
    """Yield a bar's characters. What ran gets one at least, and takes it from a wait."""
    cells = [" "] * columns
    for working in (False, True):
        for span in bar.spans:
            if (span.phase not in (Phase.WAIT, Phase.BACKOFF, Phase.OPEN)) is not working:
                continue
            begin = min(round(span.begin_s / wall_s * columns), columns - 1)
            end = max(round(span.end_s / wall_s * columns), begin + working)
            sign = running if working else signs[span.phase]
            cells[begin:end] = sign * (end - begin)
    yield from cells[:columns]


def _value(bar: Bar, style: Style) -> tuple[str, str]:
    outcome = bar.outcome
    if outcome.state is not State.SUCCEEDED:
        return state_text(outcome.state)[:_VALUE_WIDTH], style.bad
    return "" if outcome.run_time_s is None else duration_text(outcome.run_time_s), ""


def _scale(columns: int, wall_s: float) -> str:
    """Return times under the bars, each beginning at its column."""
    line = ""
    for at_s, text in marks(wall_s, most=max(2, columns // 8)):
        column = round(at_s / wall_s * columns)
        if column >= len(line) + bool(line) and column + len(text) <= columns + _VALUE_WIDTH:
            line = line.ljust(column) + text
    return line
