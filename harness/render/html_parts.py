"""The pieces that the HTML report is made of: escaped text, tables, lists of figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from harness.render.visible import visible

#: Rows of a table that are shown; the results file has all.
MOST_ROWS = 50


def text(value: object, limit: int = 200) -> str:
    """Return `value` as one line that HTML shows as it is, also in an attribute."""
    return escape(visible(value, limit))


def code(value: object, limit: int = 200) -> str:
    """Return `value` as a name or a value of the system's, not ours; empty where there is none."""
    return "" if value is None else f"<code>{text(value, limit)}</code>"


def table(label: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, most: int = MOST_ROWS) -> str:
    """Return a table, and how many rows there are beyond `most`.

    Args:
        label: What the table is, for those who hear it.
        columns: Their heads; one that begins with `#` holds figures, with `~` long words.
        rows: Cells that are HTML already.
    """
    classes = [{"#": ' class="n"', "~": ' class="words"'}.get(column[:1], "") for column in columns]
    heads = [column.lstrip("#~") for column in columns]
    rows = list(rows)
    lines = [
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(label)}"><table>',
        "<thead><tr>"
        + "".join(f'<th scope="col"{kind}>{text(head)}</th>' for kind, head in zip(classes, heads, strict=True))
        + "</tr></thead>",
        "<tbody>",
    ]
    for row in rows[:most]:
        cells = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(classes, row, strict=True))
        lines.append(f"<tr>{cells}</tr>")
    lines.append("</tbody></table></div>")
    if len(rows) > most:
        lines.append(f"<p>The first {most:,} of {len(rows):,}.</p>")
    return "\n".join(lines)


def pairs(kind: str, items: Iterable[tuple[str, str]]) -> str:
    """Return names with their values, which are HTML already, as a list of class `kind`."""
    return f'<dl class="{kind}">' + "".join(f"<div><dt>{text(n)}</dt><dd>{v}</dd></div>" for n, v in items) + "</dl>"


def items(lines: Iterable[str]) -> str:
    """Return a list; the lines are HTML already."""
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def percent(part: float, whole: float) -> str:
    """Return a coordinate: SVG's own percentages keep text and heights as they are at every width."""
    return f"{100 * part / whole:.2f}".rstrip("0").rstrip(".") + "%"
