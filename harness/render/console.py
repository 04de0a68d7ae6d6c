"""What the console shows, in its three formats: rich as things happen, basic and plain around a run."""

from harness.render.basic import basic_intro, basic_report, basic_sent, basic_waiting, plain_intro, plain_report
from harness.render.rich_report import ledger_text, rich_report
from harness.render.style import ASCII, PLAIN, Style, style_for
from harness.render.timeline import progress_text, rich_banner, rich_connected, rich_dispatching, rich_event
from harness.render.verdict import MANY, failure, verdict

__all__ = [
    "ASCII",
    "MANY",
    "PLAIN",
    "Style",
    "basic_intro",
    "basic_report",
    "basic_sent",
    "basic_waiting",
    "failure",
    "ledger_text",
    "plain_intro",
    "plain_report",
    "progress_text",
    "rich_banner",
    "rich_connected",
    "rich_dispatching",
    "rich_event",
    "rich_report",
    "style_for",
    "verdict",
]
