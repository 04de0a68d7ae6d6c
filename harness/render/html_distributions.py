"""The distributions of the HTML report: how long tasks waited, ran and took, as bars with their percentiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.model.metrics import Bucket, Summary
from harness.model.report import Report
from harness.render.figures import duration_text
from harness.render.html_parts import percent, table, text

_METRICS = (
    ("queue_wait", "Queue wait", "published to first started"),
    ("run_time", "Run time", "last attempt, started to finished"),
    ("round_trip", "Round trip", "published to result received"),
    ("lag", "Lag", "intended to published"),
)
_DRAWN = frozenset({"queue_wait", "run_time", "round_trip"})
_TOP_PX, _HEIGHT_PX = 40, 140
#: Durations that make a picture; fewer are read from the table.
_FEWEST = 10


def distributions(report: Report) -> str:
    """Return a figure for each distribution that was measured, and all figures as a table."""
    figures, rows = [], []
    for name, title, meaning in _METRICS:
        summary: Summary | None = getattr(report.metrics, name)
        if summary is None:
            continue
        rows.append(_row(title, summary))
        if name in _DRAWN and summary.count >= _FEWEST and (buckets := report.metrics.distributions.get(name)):
            figures.append(_figure(title, meaning, summary, buckets))
    if not rows:
        return "<p>Nothing was measured.</p>"
    columns = ("Duration", "#Measured", "#Mean", "#Least", "#p50", "#p95", "#p99", "#Most")
    drawn = f'<div class="bars">{"".join(figures)}</div>' if figures else ""
    return drawn + table("Durations", columns, rows)


def _row(title: str, summary: Summary) -> tuple[str, ...]:
    values = (summary.mean_s, summary.min_s, summary.p50_s, summary.p95_s, summary.p99_s, summary.max_s)
    return title, f"{summary.count:,}", *(duration_text(value_s) for value_s in values)


def _figure(title: str, meaning: str, summary: Summary, buckets: Sequence[Bucket]) -> str:
    low_s, high_s = buckets[0].low_s, buckets[-1].high_s
    told = (
        f"{title} of {summary.count:,} tasks: half within {duration_text(summary.p50_s)}, "
        f"95% within {duration_text(summary.p95_s)}, at most {duration_text(summary.max_s)}"
    )
    if high_s <= low_s:
        shapes = [f'<rect class="r" x="49%" y="{_TOP_PX}" width="2%" height="{_HEIGHT_PX - _TOP_PX}"/>']
    else:
        shapes = [*_bars(buckets, low_s, high_s), *_percentiles(summary, low_s, high_s)]
    return (
        f"<figure><figcaption><b>{title}</b><span>{meaning}</span></figcaption>"
        f'<svg role="img" aria-label="{text(told)}" height="{_HEIGHT_PX}">{"".join(shapes)}'
        f'<line class="g" x2="100%" y1="{_HEIGHT_PX}" y2="{_HEIGHT_PX}"/></svg>'
        f'<div class="ends"><span>{duration_text(low_s)}</span><span>{duration_text(high_s)}</span></div></figure>'
    )


def _bars(buckets: Sequence[Bucket], low_s: float, high_s: float) -> Iterator[str]:
    most = max(bucket.count for bucket in buckets)
    for bucket in buckets:
        if not bucket.count:
            continue
        height = max((_HEIGHT_PX - _TOP_PX) * bucket.count / most, 2)  # one task among many is still seen
        x, width = percent(bucket.low_s - low_s, high_s - low_s), percent(bucket.high_s - bucket.low_s, high_s - low_s)
        words = f"{duration_text(bucket.low_s)} to {duration_text(bucket.high_s)}: {bucket.count:,}"
        yield (
            f'<rect class="r" x="{x}" y="{_HEIGHT_PX - height:.1f}" width="{width}" height="{height:.1f}">'
            f"<title>{words}</title></rect>"
        )


def _percentiles(summary: Summary, low_s: float, high_s: float) -> Iterator[str]:
    """Yield a line for each percentile; their words stand on rows of their own, so that they never overlap."""
    for row, (name, value_s) in enumerate((("p50", summary.p50_s), ("p95", summary.p95_s))):
        share = min(max((value_s - low_s) / (high_s - low_s), 0.0), 1.0)
        x, y = percent(share, 1), 11 + row * 15
        words, side = f"{name} {duration_text(value_s)}", 'text-anchor="end" dx="-4"' if share > 0.5 else 'dx="4"'
        yield f'<line class="m" x1="{x}" x2="{x}" y1="{y - 9}" y2="{_HEIGHT_PX}"/>'
        yield f'<text class="l" x="{x}" y="{y}" {side}>{words}</text>'
