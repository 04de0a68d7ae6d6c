"""The pages of the documentation, and what is set in them as code, as sections and as tables."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "SECURITY.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
README, SCENARIOS, FAULTS, LOAD = (
    TEXTS[f"{name}.md"] for name in ("README", "docs/scenarios", "docs/faults", "docs/load")
)
#: Of the pages that tell how this project is used: their commands are its own.
GUIDE = "\n".join(text for page, text in TEXTS.items() if page not in ("SECURITY.md", "docs/your-own-app.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets(text: str) -> list[str]:
    """Return what is set as code: each line of a shell block without its comment, and each inline piece."""
    lines = [line for kind, body in BLOCK.findall(text) if kind == "sh" for line in body.splitlines()]
    inline = re.findall(r"`([^`]+)`", BLOCK.sub("", text))
    return [line.partition(" #")[0].strip() for line in lines] + [" ".join(piece.split()) for piece in inline]


def commands(text: str) -> list[list[str]]:
    """Return the words of each command in the snippets, those after a `;` or a `|` as commands of their own."""
    return [command.split() for snippet in snippets(text) for command in re.split(r"[;|]", snippet) if command.strip()]


def section(title: str, page: str = README) -> str:
    """Return what stands under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {title!r}"
    return found[1]


def tables(text: str) -> list[list[list[str]]]:
    """Return the tables in a text: their rows without the head, each as its cells."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [[[cell.strip() for cell in row[1:-1].split("|")] for row in rows.splitlines()[2:]] for rows in found]
