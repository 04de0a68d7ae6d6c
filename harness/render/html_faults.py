"""What the HTML report shows of faults: what each did and how it was recovered from, and what ran twice by it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model.fault import FaultRecord
from harness.model.report import Report
from harness.render.fault_text import trouble_text
from harness.render.figures import duration_text
from harness.render.html_parts import percent, table, text

#: Faults that are drawn: each crosses every node's lane.
_MOST_DRAWN = 20


def faults(report: Report) -> str:
    """Return a row for each time that a fault struck, or could not; durations are from when it did."""
    columns = ("#At", "Fault", "~Done to", "#Undone at", "#Tasks back", "#Running again", "#First ended", "#Last ended")
    return table("Faults", columns, map(_row, report.faults))


def _row(fault: FaultRecord) -> tuple[str, ...]:
    trouble = trouble_text(fault)
    mark = f'<br/><span class="mark bad">✕</span> {text(trouble, 500)}' if trouble else ""
    recovery = fault.recovery
    back = "" if recovery is None else f"{recovery.ended:,} of {recovery.tasks:,}"
    after_s = (None, None, None) if recovery is None else (recovery.rerun_s, recovery.first_s, recovery.last_s)
    return (
        duration_text(fault.at_s),
        text(fault.what),
        text(fault.hit, 500) + mark,
        _duration(fault.undone_at_s),
        back,
        *map(_duration, after_s),
    )


def _duration(value_s: float | None) -> str:
    return "" if value_s is None else duration_text(value_s)


def duplicates(report: Report) -> str:
    """Return the ids that ran or ended more than once, each with its cause."""
    rows = (
        (f'<span class="id">{text(one.task_id)}</span>', text(one.cause.value), text(one.evidence, 500))
        for one in report.duplicates
    )
    shown = table("Duplicates", ("Ran or ended more than once", "Cause", "~Seen"), rows)
    more = report.ledger.duplicated - len(report.duplicates)
    return shown + (f"<p>{more:,} more were counted.</p>" if more > 0 else "")


def strikes(report: Report, length_s: float, height_px: int) -> Iterator[str]:
    """Yield a line for each fault that struck, and a band until it was undone, as they cross a lane."""
    drawn = [fault for fault in report.faults if fault.recovery is not None and 0 <= fault.at_s <= length_s]
    for fault in drawn[:_MOST_DRAWN]:
        x = percent(fault.at_s, length_s)
        if fault.undone_at_s is not None:
            width = percent(min(fault.undone_at_s, length_s) - fault.at_s, length_s)
            yield f'<rect class="z" x="{x}" width="{width}" height="{height_px}"/>'
        words = f"{fault.what}: {fault.hit}"
        yield f'<line class="v" x1="{x}" x2="{x}" y2="{height_px}"><title>{text(words, 500)}</title></line>'
