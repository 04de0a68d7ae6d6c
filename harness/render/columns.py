"""A table of plain text: aligned, uncut, one line a row, for a terminal and for `awk` alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.render.style import Style

#: Between two columns.
_GAP = "  "


def columns(heads: Sequence[str], rows: Iterable[Sequence[str]], style: Style) -> str:
    """Return lines: the heads, then the rows.

    Args:
        heads: One that begins with `#` holds figures, which stand at the right.
        rows: Cells without colours and line breaks; an empty one is shown as `-`, so that each row has all its words.
    """
    figures = [head.startswith("#") for head in heads]
    lines = [[head.lstrip("#") for head in heads], *([cell or "-" for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        _GAP.join(
            cell.rjust(width) if figure else cell.ljust(width)
            for cell, width, figure in zip(line, widths, figures, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join([style.tint(style.strong, aligned[0]), *aligned[1:], ""])
