"""What `operate.py doctor` shows: a line for each check, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from harness.finding import Examined, Finding, Level
from harness.render.figures import duration_text
from harness.render.style import Style
from harness.render.visible import visible

_MARKS = {Level.OK: "[ok]", Level.WARNING: "[!] ", Level.FAILED: "[x] "}
#: Characters of a cause or a fix that are shown; the document has all of them.
_LIMIT = 1000


def examined_text(examined: Sequence[Examined], style: Style) -> str:
    """Return a line for each check: `[ok]`, `[!]` or `[x]`, its name, what was seen, and `->` what mends it."""
    return "".join(f"{_line(finding, style)}\n" for one in examined for finding in one.findings)


def _line(finding: Finding, style: Style) -> str:
    colors = {Level.OK: style.good, Level.WARNING: style.warn, Level.FAILED: style.bad}
    mark = style.tint(colors[finding.level], _MARKS[finding.level])
    text = f"{mark} {finding.check}: {visible(finding.cause, _LIMIT)}"
    return f"{text} -> {visible(finding.fix, _LIMIT)}" if finding.fix else text


def summary(examined: Sequence[Examined], took_s: float) -> str:
    """Return how many checks came out how, in a line."""
    levels = [finding.level for one in examined for finding in one.findings]
    counts = (
        f"{levels.count(Level.OK)} ok, {levels.count(Level.WARNING)} to look at, {levels.count(Level.FAILED)} failed"
    )
    return f"{len(levels)} check{'' if len(levels) == 1 else 's'} in {duration_text(took_s)}: {counts}"


def examined_document(examined: Sequence[Examined], took_s: float) -> str:
    """Return the same as JSON: `level` is ok, warning or failed."""
    content = {
        "schema_version": 1,
        "passed": not any(one.failed for one in examined),
        "took_s": round(took_s, 3),
        "checks": [{"subject": one.subject, **asdict(finding)} for one in examined for finding in one.findings],
    }
    return json.dumps(content, indent=2) + "\n"
