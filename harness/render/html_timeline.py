"""The timeline of the HTML report: each task as a bar on its node's lane, or how busy each node was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.model.ledger import State
from harness.model.metrics import Activity
from harness.model.report import Report
from harness.render.figures import duration_text, marks
from harness.render.html_faults import strikes
from harness.render.html_parts import percent, text
from harness.render.lanes import Bar, Lane, Phase, Span, lanes
from harness.render.visible import state_text, visible

#: Outcomes that are drawn one by one; of more, the activity of each node is.
MOST_BARS = 200
#: Bars that have room for words.
_MOST_LABELLED = 24
_MOST_THICK = 60
#: Nodes whose activity is drawn.
_MOST_NODES = 40
_AXIS_PX = 20
_STRIKE = '<rect class="z" x="1" width="25" height="12"/><line class="v" x1="1" x2="1" y2="12"/>'
_ACTIVITY_PX = 44


def timeline(report: Report) -> str:
    """Return legend, lanes and axis; a sentence where no task was seen."""
    wall_s = report.metrics.wall_s
    if wall_s <= 0 or not (report.outcomes or report.metrics.activity):
        return "<p>No task was seen.</p>"
    if report.outcome_count <= MOST_BARS and len(report.outcomes) == report.outcome_count:
        return "\n".join(_bars(report, wall_s))
    if not report.metrics.activity:
        return "<p>No task was seen to run.</p>"
    return "\n".join(_activity(report, wall_s))


# --- a bar for each task --------------------------------------------------------------------------


def _bars(report: Report, wall_s: float) -> Iterator[str]:
    drawn = lanes(report)
    phases = {span.phase for lane in drawn for bar in lane.bars for span in bar.spans}
    failed = any(bar.outcome.state is State.FAILED for lane in drawn for bar in lane.bars)
    struck = any(strikes(report, wall_s, 0))
    yield _legend(phases, failed=failed, struck=struck)
    if sum(len(bar.spans) > 5 for lane in drawn for bar in lane.bars):
        yield "<p>Of several attempts before the last, the sum is known: they are drawn equally long.</p>"
    yield _axis(wall_s)
    for lane in drawn:
        yield _lane(lane, wall_s, report)
    yield _axis(wall_s)


def _legend(phases: set[Phase], *, failed: bool, struck: bool) -> str:
    kinds = [
        (Phase.WAIT in phases, '<rect class="w" y="4" width="26" height="4"/>', "waits in its queue"),
        (Phase.RUN in phases, '<rect class="r" width="26" height="12" rx="2"/>', "runs"),
        (Phase.TRIED in phases, '<rect class="t" x=".5" y=".5" width="25" height="11"/>', "an attempt that is retried"),
        (Phase.BACKOFF in phases, '<line class="k" y1="6" x2="26" y2="6"/>', "waits for the next attempt"),
        (failed, '<rect class="f" x=".5" y=".5" width="25" height="11"/>', "✕ failed"),
        (Phase.OPEN in phases, '<rect class="o" x=".5" y="2.5" width="25" height="7"/>', "no end was seen"),
        (struck, _STRIKE, "a fault, until it is undone"),
    ]
    spans = (f'<span><svg aria-hidden="true">{swatch}</svg>{words}</span>' for there, swatch, words in kinds if there)
    return f'<div class="legend">{"".join(spans)}</div>'


def _lane(lane: Lane, wall_s: float, report: Report) -> str:
    """Return a node's tasks, one below the other."""
    count = report.outcome_count
    if count <= _MOST_LABELLED:
        label_px, bar_px, pitch_px = 18, 11, 36
    elif count <= _MOST_THICK:
        label_px, bar_px, pitch_px = 0, 8, 11
    else:
        label_px, bar_px, pitch_px = 0, 5, 7
    height_px = len(lane.bars) * pitch_px + 2
    words = f"{len(lane.bars):,} task{'' if len(lane.bars) == 1 else 's'}"
    name = "Not known to have run" if lane.node is None else text(lane.node)
    queue = f" · {text(', '.join(lane.queues))}" if lane.queues else ""
    shapes = [*_grid(wall_s, height_px), *strikes(report, wall_s, height_px)]
    for number, bar in enumerate(lane.bars):
        shapes.append(_bar(bar, wall_s, number * pitch_px, label_px, bar_px))
    return (
        f'<div class="lane"><p><b>{name}</b><span>{queue} · {words}</span></p>'
        f'<svg role="img" aria-label="{name}: {words} over {duration_text(wall_s)}" height="{height_px}">'
        f"{''.join(shapes)}</svg></div>"
    )


def _bar(bar: Bar, wall_s: float, top_px: int, label_px: int, bar_px: int) -> str:
    outcome = bar.outcome
    words = _told(bar)
    y = top_px + label_px
    shapes = [_span(span, wall_s, y, bar_px, failed=outcome.state is State.FAILED) for span in bar.spans]
    if outcome.state is State.FAILED and bar.spans:
        end = bar.spans[-1].end_s / wall_s
        where = f'x="{percent(end, 1)}" dx="4"' if end < 0.97 else 'x="100%" text-anchor="end" dy="-1"'
        shapes.append(f'<text class="x" {where} y="{y + bar_px}">✕</text>')
    label = f'<text class="l" y="{top_px + 13}">{text(words)}</text>' if label_px else ""
    return f"<g><title>{text(f'{words} · {outcome.task_id}', 400)}</title>{label}{''.join(shapes)}</g>"


def _told(bar: Bar) -> str:
    """Return what a bar shows, in words."""
    outcome = bar.outcome
    words = [f"{visible(outcome.task, 60)} #{outcome.index + 1}"]
    if outcome.queue_wait_s is not None:
        words.append(f"waited {duration_text(outcome.queue_wait_s)}")
    if outcome.run_time_s is not None:
        words.append(f"ran {duration_text(outcome.run_time_s)}")
    if outcome.retries:
        words.append(f"{outcome.retries} {'retry' if outcome.retries == 1 else 'retries'}")
    if outcome.redelivered:
        words.append("redelivered")
    if outcome.state is not State.SUCCEEDED:
        words.append(state_text(outcome.state))
    return " · ".join(words)


def _span(span: Span, wall_s: float, y: int, height_px: int, *, failed: bool) -> str:
    x, width = percent(span.begin_s, wall_s), percent(max(span.end_s - span.begin_s, wall_s / 500), wall_s)
    middle = y + height_px / 2
    thin_px = max(2, round(height_px * 0.36))
    if span.phase is Phase.BACKOFF:
        return f'<line class="k" x1="{x}" x2="{percent(span.end_s, wall_s)}" y1="{middle:g}" y2="{middle:g}"/>'
    if span.phase is Phase.WAIT:
        return f'<rect class="w" x="{x}" y="{middle - thin_px / 2:g}" width="{width}" height="{thin_px}"/>'
    if span.phase is Phase.RUN and not failed:
        return (
            f'<rect class="r" x="{x}" y="{y}" width="{width}" height="{height_px}" rx="{2 if height_px > 6 else 1}"/>'
        )
    kind = {Phase.TRIED: "t", Phase.OPEN: "o"}.get(span.phase, "f")
    return f'<rect class="{kind}" x="{x}" y="{y + 0.5:g}" width="{width}" height="{height_px - 1}"/>'


# --- how busy each node was -----------------------------------------------------------------------


def _activity(report: Report, wall_s: float) -> Iterator[str]:
    metrics = report.metrics
    shown = sorted(metrics.activity, key=lambda activity: -activity.tasks)[:_MOST_NODES]
    most = max((max(activity.busy, default=0.0) for activity in shown), default=0.0) or 1.0
    length_s = max(wall_s, metrics.slice_s * max(len(activity.busy) for activity in shown))
    yield f"<p>Tasks running at a time on each node, the mean of every {duration_text(metrics.slice_s)}.</p>"
    if any(strikes(report, length_s, 0)):
        yield _legend(set(), failed=False, struck=True)
    yield _axis(length_s)
    for activity in sorted(shown, key=lambda activity: activity.node):
        yield _node(activity, most, length_s, report)
    yield _axis(length_s)
    if len(shown) < len(metrics.activity):
        yield f"<p>The {len(shown)} busiest of {len(metrics.activity):,} nodes.</p>"


def _node(activity: Activity, most: float, length_s: float, report: Report) -> str:
    slice_s = report.metrics.slice_s
    mean = sum(activity.busy) * slice_s / report.metrics.wall_s
    peak = max(activity.busy, default=0.0)
    words = f"{activity.tasks:,} tasks · {mean:.1f} at a time, {peak:.1f} at most"
    queue = f" · {text(activity.queue)}" if activity.queue else ""
    slices = length_s / slice_s if slice_s else 1.0
    return (
        f'<div class="lane"><p><b>{text(activity.node)}</b><span>{queue} · {words}</span></p>'
        f'<svg role="img" aria-label="{text(activity.node)}: {words}" height="{_ACTIVITY_PX}">'
        f"{''.join(_grid(length_s, _ACTIVITY_PX))}"
        f'<svg viewBox="0 0 {slices:.3f} 100" width="100%" height="{_ACTIVITY_PX}" preserveAspectRatio="none">'
        f'<path class="r" d="{_outline(activity.busy, most)}"/></svg>'
        f"{''.join(strikes(report, length_s, _ACTIVITY_PX))}"
        f'<line class="g" x2="100%" y1="{_ACTIVITY_PX}" y2="{_ACTIVITY_PX}"/></svg></div>'
    )


def _outline(busy: Sequence[float], most: float) -> str:
    """Return the steps of a filled path, a slice wide each."""
    steps = (f"V{100 - 100 * value / most:.1f}h1".replace(".0h", "h") for value in busy)
    return f"M0 100{''.join(steps)}V100z"


# --- time -----------------------------------------------------------------------------------------


def _axis(length_s: float) -> str:
    return f'<svg aria-hidden="true" height="{_AXIS_PX}">{"".join(_mark_texts(length_s))}</svg>'


def _mark_texts(length_s: float) -> Iterator[str]:
    for at_s, words in marks(length_s):
        share = at_s / length_s
        anchor = "start" if not at_s else "end" if share > 0.96 else "middle"
        yield f'<text x="{percent(share, 1)}" y="14" text-anchor="{anchor}">{words}</text>'


def _grid(length_s: float, height_px: int) -> Iterator[str]:
    for at_s, _ in marks(length_s):
        x = percent(at_s, length_s)
        yield f'<line class="g" x1="{x}" x2="{x}" y2="{height_px}"/>'
