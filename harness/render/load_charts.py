"""The pictures of a load report: lines over time, percentile curves, shares, as SVG that is drawn to scale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.load_report import Latency, LoadReport, NodeShare
from harness.render.figures import duration_text, marks
from harness.render.html_parts import percent, text
from harness.render.load_words import METRICS

_HEIGHT_PX, _AXIS_PX = 180, 20
#: Coordinates across a picture and down; the browser stretches them.
_WIDE, _HIGH = 1000, 100
#: How lines are told apart, by colour and by dash; more lines than these are not drawn.
_KINDS = ("c", "c c2", "c c3", "c c4")
#: Percentiles that the axis names.
_RANKS = (0, 50, 90, 99, 99.9, 99.99, 99.999)
_MOST_NODES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    name: str
    points: Sequence[tuple[float, float]]  # across, and upwards, in the units of the picture


def over_time(report: LoadReport) -> str:
    """Return what was published and what ended, and what was ready in the queues, on one scale of time."""
    slices, window = report.slices, report.window
    length_s = slices.slice_s * len(slices.sent)
    if not length_s:
        return "<p>Nothing was published.</p>"
    per_slice = (
        ("published", slices.sent),
        ("succeeded", slices.succeeded),
        ("failed", slices.failed if any(slices.failed) else ()),
    )
    rates = [
        Line(
            name=name,
            points=[((number + 0.5) * slices.slice_s, count / slices.slice_s) for number, count in enumerate(counts)],
        )
        for name, counts in per_slice
        if counts
    ]
    band = (window.begin_s, min(window.end_s, length_s))
    times = [(at_s / length_s, words) for at_s, words in marks(length_s)]
    pictures = [
        picture(
            "Throughput",
            f"tasks a second, the mean of every {duration_text(slices.slice_s)}; shaded: the measured window",
            rates,
            length_s,
            times,
            band=band,
        )
    ]
    queues = sorted((one for one in report.backlog if one.looks), key=lambda one: -one.most)
    lines = [Line(name=one.queue, points=one.looks) for one in queues[: len(_KINDS)]]
    if lines:
        more = f"; the {len(lines)} longest of {len(queues)}" if len(queues) > len(lines) else ""
        about = f"messages ready in each queue{more}"
        pictures.append(picture("Backlog", about, lines, length_s, times, band=band))
    return "".join(pictures)


def percentile_curves(report: LoadReport) -> str:
    """Return latency against percentile; equal steps across are each a tenfold fewer tasks above."""
    lines = []
    most = 0.0
    for metric, name in METRICS:
        latency: Latency | None = report.latencies.get(metric)
        if latency is None:
            continue
        points = [(_tenfolds(rank), value_s) for rank, value_s in latency.curve]
        most = max(most, points[-1][0])
        lines.append(Line(name=name, points=points))
    if not most:
        return ""
    axis = [(_tenfolds(rank) / most, f"p{rank:g}") for rank in _RANKS if _tenfolds(rank) <= most]
    about = "so many of the tasks took at most so long; each step across leaves a tenth of them above"
    return picture("Percentiles", about, lines, most, axis, durations=True)


def node_shares(shares: Sequence[NodeShare]) -> str:
    """Return a bar for each node: its share of what its service ran."""
    return "".join(map(_bar, shares[:_MOST_NODES]))


def _bar(share: NodeShare) -> str:
    words = f"{share.tasks:,} tasks, {share.share:.1%} of {text(share.service)}"
    return (
        f'<div class="lane"><p><b>{text(share.node)}</b><span> · {text(share.queue)} · {words}</span></p>'
        f'<svg role="img" aria-label="{text(share.node)}: {words}" height="12">'
        '<rect class="b" width="100%" height="12"/>'
        f'<rect class="r" width="{percent(share.share, 1)}" height="12" rx="2"/></svg></div>'
    )


def _tenfolds(rank: float) -> float:
    """Return log10(1 / (1 - p))."""
    return -math.log10(1 - rank / 100)


# --- a picture ------------------------------------------------------------------------------------


def picture(
    title: str,
    about: str,
    lines: Sequence[Line],
    length: float,
    axis: Sequence[tuple[float, str]],
    *,
    band: tuple[float, float] | None = None,
    durations: bool = False,
) -> str:
    """Return lines over an axis.

    Args:
        length: How far the axis reaches, in the units of the lines.
        axis: Its marks: where they are, 0 to 1, and their words.
        band: A part of the axis that is shaded.
        durations: Upwards are seconds.
    """
    most = max((value for line in lines for _, value in line.points), default=0.0)
    top = ceiling(most)
    values = [(share, duration_text(top * share) if durations else f"{top * share:,.10g}") for share in (1.0, 0.5)]
    names = ", ".join(line.name for line in lines)
    told = f"{title}: {names}, at most {duration_text(most) if durations else f'{most:,.1f}'}"
    shapes = [
        *([_shade(band, length)] if band else []),
        *_grid(axis, values),
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" width="100%" height="{_HEIGHT_PX}" preserveAspectRatio="none">',
        *(_path(line, kind, length, top) for line, kind in zip(lines, _KINDS, strict=False)),
        "</svg>",
        *(f'<text class="l" x="0" y="{_HEIGHT_PX * (1 - share) + 13:g}">{words}</text>' for share, words in values),
    ]
    return (
        f'<figure class="chart"><figcaption><b>{title}</b><span>{about}</span></figcaption>{_legend(lines)}'
        f'<svg role="img" aria-label="{text(told, 500)}" height="{_HEIGHT_PX}">{"".join(shapes)}</svg>'
        f'<svg aria-hidden="true" height="{_AXIS_PX}">{"".join(_axis(axis))}</svg></figure>'
    )


def ceiling(most: float) -> float:
    """Return the least readable number that is not below `most`; 1 where that is nothing."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(factor * power for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if factor * power >= most * (1 - 1e-9))


def _legend(lines: Sequence[Line]) -> str:
    spans = (
        f'<span><svg aria-hidden="true"><line class="{kind}" y1="6" x2="26" y2="6"/></svg>{text(line.name)}</span>'
        for line, kind in zip(lines, _KINDS, strict=False)
    )
    return f'<div class="legend">{"".join(spans)}</div>'


def _shade(band: tuple[float, float], length: float) -> str:
    begin, end = (min(max(at, 0.0), length) for at in band)
    return (
        f'<rect class="b" x="{percent(begin, length)}" width="{percent(end - begin, length)}" height="{_HEIGHT_PX}"/>'
    )


def _path(line: Line, kind: str, length: float, top: float) -> str:
    places = (f"{_WIDE * at / length:.1f} {_HIGH * (1 - value / top):.2f}" for at, value in line.points)
    return f'<path class="{kind}" d="M{"L".join(places)}"/>'


def _grid(axis: Sequence[tuple[float, str]], values: Sequence[tuple[float, str]]) -> Iterator[str]:
    for share, _ in axis:
        x = percent(share, 1)
        yield f'<line class="g" x1="{x}" x2="{x}" y2="{_HEIGHT_PX}"/>'
    for share in (*(share for share, _ in values), 0.0):
        y = _HEIGHT_PX * (1 - share)
        yield f'<line class="g" x2="100%" y1="{y:g}" y2="{y:g}"/>'


def _axis(axis: Sequence[tuple[float, str]]) -> Iterator[str]:
    for share, words in axis:
        anchor = "start" if not share else "end" if share > 0.96 else "middle"
        yield f'<text x="{percent(share, 1)}" y="14" text-anchor="{anchor}">{words}</text>'
