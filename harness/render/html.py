"""The HTML report: one file that needs nothing else, for a browser, a phone, a printer or an archive."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.report import Report
from harness.render.figures import duration_text
from harness.render.headline import NotRun, headline
from harness.render.html_parts import table, text
from harness.render.html_run import run_article
from harness.render.html_style import STYLE_SHEET

#: Nothing is fetched and nothing is executed, also where a task's text found a way out of its quotes.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
#: How a failed task and a retried attempt are filled: hatched, so that colour does not carry it alone.
PATTERNS = (
    '<svg class="defs" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<line class="stripe" y2="5"/></pattern>'
    '<pattern id="tried" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">'
    '<line class="dash" y2="5"/></pattern></defs></svg>'
)


def html(runs: Report | NotRun | Sequence[Report | NotRun]) -> str:
    """Return the document of one run, or of several with an index."""
    several = [runs] if isinstance(runs, Report | NotRun) else list(runs)
    content = run_article(several[0], "run-1", 1) if len(several) == 1 else _runs(several)
    return page(_title(several), f"{PATTERNS}\n<main>\n{content}\n{_footer(several)}\n</main>")


def page(title: str, body: str) -> str:
    """Return a document with the style sheet; `body` is HTML already."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{text(_POLICY)}"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        '<meta name="color-scheme" content="light dark"/>\n'
        f"<title>{text(title)}</title>\n<style>{STYLE_SHEET}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _title(runs: Sequence[Report | NotRun]) -> str:
    if len(runs) == 1:
        return f"{_name(runs[0])}: {headline(runs[0]).word.lower()}"
    return _passed(runs)


def _passed(runs: Sequence[Report | NotRun]) -> str:
    passed = sum(headline(run).tone == "good" for run in runs)
    return f"{passed:,} of {len(runs):,} scenarios passed"


def _name(run: Report | NotRun) -> str:
    return run.scenario if isinstance(run, NotRun) else run.scenario.name


def _runs(runs: Sequence[Report | NotRun]) -> str:
    """Return an index, then each run in the order in which it ran."""
    tone, sign, word = ("good", "✓", "Passed") if all(headline(run).tone == "good" for run in runs) else (
        "bad", "✕", "Not passed",
    )  # fmt: skip
    rows = [
        (headline(run).tone == "good", number, _index_row(run, f"run-{number}"))
        for number, run in enumerate(runs, start=1)
    ]
    index = table(
        "Scenarios",
        ("Verdict", "Scenario", "#Tasks", "#Wall time", "~In short"),
        [r[2] for r in sorted(rows)],
        most=len(rows),
    )
    articles = "\n".join(run_article(run, f"run-{number}", 2) for number, run in enumerate(runs, start=1))
    return (
        f'<p class="verdict {tone}">{sign} {word}</p>\n<h1>{_passed(runs)}</h1>\n'
        f'<div class="index">{index}</div>\n{articles}'
    )


def _index_row(run: Report | NotRun, anchor: str) -> tuple[str, ...]:
    said = headline(run)
    verdict = f'<span class="mark {said.tone}">{said.sign} {said.word}</span>'
    link = f'<a href="#{anchor}">{text(_name(run))}</a>'
    if isinstance(run, NotRun):
        return verdict, link, "", "", text(said.sentence, 500)
    return verdict, link, f"{run.ledger.attempted:,}", duration_text(run.metrics.wall_s), text(said.sentence, 500)


def _footer(runs: Sequence[Report | NotRun]) -> str:
    ids = ", ".join(text(run.run_id) for run in runs if isinstance(run, Report))
    return f"<footer>Distributed Test System · times in UTC{f' · run {ids}' if ids else ''}</footer>"
