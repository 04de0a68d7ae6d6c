#!/usr/bin/env python
"""Run the commands and draw what they print as docs/*.svg: every character comes from the run.

    python docs/terminal_picture.py                     all of them, on the broker of BROKER_URL or .env
    python docs/terminal_picture.py dispatch --local    one of them; further arguments go to its command

Nothing is drawn of a command that does not end with 0. The standard library is enough here; the commands need their
packages.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
#: The pictures by name, docs/NAME.svg, each with the command that it shows.
PICTURES = {
    "dispatch": ("dispatch.py",),
    "doctor": ("operate.py", "doctor"),
    "sweep": (
        *("load_test.py", "--sweep", "1,2", "--in-flight", "64", "--duration", "10s", "--work", "50ms"),
        *("--mix", "task_a", "--local"),
    ),
}

#: Columns of the terminal; a longer line is broken there, as a terminal does.
COLUMNS = 110
#: Size of a character cell and of the room around the text, in SVG's units.
CELL, LINE, MARGIN, TITLE = 8, 17, 20, 34

_SGR = re.compile(r"\x1b\[([0-9;]*)m")
#: The escape sequences that harness/render/style.py writes. Any other one is an error, not a guess.
_CLASSES = {"1": "strong", "2": "faint", "31": "bad", "32": "good", "33": "warn"}

_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_STYLE = """
    text { white-space: pre }
    .back { fill: #ffffff; stroke: #d0d7de } .bar { fill: #f6f8fa } text { fill: #1f2328 }
    .strong { font-weight: 700 } .faint { fill: #6e7781 }
    .good { fill: #116329 } .bad { fill: #b3261e } .warn { fill: #7d4e00 }
    @media (prefers-color-scheme: dark) {
      .back { fill: #0d1117; stroke: #30363d } .bar { fill: #161b22 } text { fill: #e6edf3 }
      .faint { fill: #8b949e } .good { fill: #3fb950 } .bad { fill: #ff7b72 } .warn { fill: #d29922 }
    }
"""


@dataclass(frozen=True, slots=True)
class Piece:
    """Characters of one look that stand side by side."""

    column: int
    columns: int  # how many the text fills
    text: str
    look: str  # a class of `_STYLE`, or nothing


def is_wide(character: str) -> bool:
    """Return whether a terminal gives `character` two columns, as it does an emoji."""
    return unicodedata.east_asian_width(character) in "WF"


def looks(line: str) -> Iterator[tuple[str, str]]:
    """Yield each character of `line` with its look.

    Raises:
        ValueError: The line holds an escape sequence that this picture cannot show.
    """
    look = ""
    for index, part in enumerate(_SGR.split(line)):
        if index % 2:
            if part not in ("", "0") and part not in _CLASSES:
                raise ValueError(f"cannot draw the escape sequence {part!r}")
            look = _CLASSES.get(part, "")
            continue
        for character in part:
            if not character.isprintable():
                raise ValueError(f"cannot draw {character!r}")
            yield character, look


def rows(output: str) -> Iterator[list[Piece]]:
    """Yield what stands on each row of the terminal."""
    for line in output.splitlines():
        row: list[Piece] = []
        column = 0
        for character, look in looks(line):
            width = 2 if is_wide(character) else 1
            if column + width > COLUMNS:
                yield row
                row, column = [], 0
            last = row[-1] if row else None
            if last and last.look == look and width == 1 and last.columns == len(last.text):
                row[-1] = Piece(last.column, last.columns + 1, last.text + character, look)
            else:
                row.append(Piece(column, width, character, look))
            column += width
        yield row


def drawn(piece: Piece, row: int) -> str:
    """Return the element that shows a piece, without the blanks around it."""
    text = piece.text.strip()
    x = MARGIN + (piece.column + piece.text.index(text)) * CELL
    length = (piece.columns - len(piece.text) + len(text)) * CELL  # holds the columns in line whatever the font
    look = f' class="{piece.look}"' if piece.look else ""
    return (
        f'  <text x="{x:g}" y="{TITLE + MARGIN + (row + 0.75) * LINE:g}" textLength="{length:g}"'
        f' lengthAdjust="spacingAndGlyphs"{look}>{escape(text)}</text>'
    )


def svg(output: str, title: str) -> str:
    """Return a picture of a terminal that shows `output`."""
    lines = list(rows(output))
    width, height = COLUMNS * CELL + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN + TITLE
    text = [drawn(piece, row) for row, pieces in enumerate(lines) for piece in pieces if piece.text.strip()]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
            f' height="{height:g}" font-family="{_FONT}" font-size="13" xml:space="preserve" role="img"'
            ' aria-labelledby="title">',
            f'  <title id="title">{escape(title)}</title>',
            f"  <style>{_STYLE}  </style>",
            f'  <rect class="back" x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="8"/>',
            f'  <path class="bar" d="M1 {TITLE} V9 a8 8 0 0 1 8 -8 H{width - 9:g} a8 8 0 0 1 8 8 V{TITLE} Z"/>',
            f'  <text class="faint" x="{width / 2:g}" y="22" text-anchor="middle">{escape(title)}</text>',
            *text,
            "</svg>",
            "",
        ]
    )


def draw(name: str, further: Sequence[str] = ()) -> int:
    """Run the command of a picture, draw what it prints to stdout, and return its exit code."""
    command = [*PICTURES[name], *further]
    picture = ROOT / "docs" / f"{name}.svg"
    with tempfile.TemporaryDirectory() as directory:  # the results file goes there
        done = subprocess.run(
            [sys.executable, str(ROOT / command[0]), *command[1:]],
            cwd=directory,
            env={**os.environ, "PYTHONUTF8": "1", "FORCE_COLOR": "1"},
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=False,
        )
    if done.returncode:
        print(f"{command[0]} ended with {done.returncode}: {picture.name} is left as it was", file=sys.stderr)
    else:
        picture.write_text(svg(done.stdout, f"python {' '.join(command)}"), encoding="utf-8")
    return done.returncode


def main(arguments: Sequence[str]) -> int:
    """Draw the pictures that are asked for, and return the worst exit code."""
    if not arguments:
        return max([draw(name) for name in PICTURES])
    name, *further = arguments
    if name not in PICTURES:
        print(f"no picture {name}: there are {', '.join(PICTURES)}", file=sys.stderr)
        return 2
    return draw(name, further)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
