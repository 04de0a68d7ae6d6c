"""The rich output while a run happens: banner, workers, one line an event, progress."""

from __future__ import annotations

from datetime import datetime

from harness.model.event import Event, Moment
from harness.model.topology import Roster
from harness.render.style import Style
from harness.render.visible import visible

#: What embedded mode says of itself, in the banner.
EMBEDDED = "embedded broker: a demonstration, it says nothing about your deployment"

#: Columns that progress text needs beside a bar; below this there is none.
_NARROWEST_BAR = 8


def rich_banner(started_at: float, broker: str, style: Style, embedded: bool = False) -> str:
    """Return the head of the output, in local time. `broker` is a URL that has lost its password already."""
    return banner("DISPATCHER", started_at, broker, style, embedded=embedded)


def banner(command: str, started_at: float, broker: str, style: Style, *more: str, embedded: bool) -> str:
    """Return the head of a command's output, as `rich_banner` does; `more` are further lines of it."""
    lines = [
        style.thick_rule,
        style.tint(style.strong, f"{style.launch} DISTRIBUTED TASK SYSTEM {command}"),
        style.thick_rule,
        f"Timestamp: {datetime.fromtimestamp(started_at):%Y-%m-%d %H:%M:%S}",
        f"Broker: {visible(broker)}",
    ]
    if embedded:
        lines.append(style.tint(style.warn, EMBEDDED))
    return "\n".join([*lines, *more, style.thick_rule, "", ""])


def rich_connected(roster: Roster, style: Style) -> str:
    """Return that the broker answered, and the nodes that did."""
    lines = [
        style.tint(style.good, f"{style.ok} Broker connection successful"),
        f"Active workers: {len(roster.nodes)}",
        *(f"   {style.bullet} {visible(name)}" for name in sorted(node.name for node in roster.nodes)),
    ]
    return "\n".join([*lines, "", ""])


def rich_dispatching(style: Style) -> str:
    """Return the head of the timeline."""
    return f"{style.tint(style.strong, f'{style.aim} DISPATCHING TASKS CONCURRENTLY...')}\n{style.thin_rule}\n"


def rich_event(event: Event, style: Style) -> str:
    """Return an event's line of the timeline, in local time; empty for a start, which has none."""
    if event.moment is Moment.STARTED:
        return ""
    at = datetime.fromtimestamp(event.at)
    stamp = f"[{at:%H:%M:%S}.{at.microsecond // 1000:03d}]"
    word = style.tint(_color(event.moment, style), f"{event.moment.value:<8}")
    return f"{stamp} {word} {visible(event.task):<10} {visible(event.detail)}".rstrip() + "\n"


def progress_text(done: int, total: int, failed: int, elapsed_s: float, style: Style, width: int = 79) -> str:
    """Return progress as one line of at most `width` columns, without a line end."""
    words = f"{done:,}/{total:,}  {100 * done // total if total else 0:3d}%"
    if failed:
        words += f"  {failed:,} failed"
    words += f"  {elapsed_s:.1f}s"
    bar_width = min(30, width - len(words) - 4)
    if not total or bar_width < _NARROWEST_BAR:
        return words[:width]
    filled = bar_width * min(max(done, 0), total) // total
    return f"[{style.bar_done * filled}{style.bar_left * (bar_width - filled)}]  {words}"


def _color(moment: Moment, style: Style) -> str:
    if moment is Moment.SUCCESS:
        return style.good
    if moment in (Moment.FAILED, Moment.LOST):
        return style.bad
    return style.warn if moment is Moment.RETRY else ""
