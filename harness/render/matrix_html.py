"""The promise matrix as one HTML file, in the style of the run's report."""

from __future__ import annotations

from collections.abc import Sequence

from harness.matrix import Account, Acks, Kill, Matrix
from harness.render.html import page
from harness.render.html_parts import code, items, pairs, table, text
from harness.render.matrix import HEADS, circumstances, figures, findings, title, unmeasured
from harness.render.visible import second_text


def matrix_html(matrix: Matrix) -> str:
    """Return the document: in short, in sentences, and every figure."""
    setting = matrix.setting
    facts = [
        ("Measured", text(second_text(setting.started_at))),
        ("Where", text(setting.where)),
        ("RabbitMQ", text(setting.rabbitmq)),
        ("Celery", text(setting.celery)),
        ("Python", text(setting.python)),
    ]
    parts = [
        "<h1>Promise matrix</h1>",
        f'<p class="about">What plain Celery loses, repeats and recovers. {text(circumstances(matrix))}.</p>',
        pairs("facts", facts),
    ]
    if matrix.accounts:
        parts += [
            _part("In short", _short(matrix.accounts)),
            _part("As measured", items(text(sentence, 1000) for sentence in findings(matrix.accounts))),
            _part("Every combination", _every(matrix.accounts)),
        ]
    if matrix.unmeasured:
        parts.append(_part("Not measured", items(text(line, 1000) for line in unmeasured(matrix))))
    parts.append("<footer>Distributed Test System · operate.py matrix · times in UTC</footer>")
    return page(title(matrix), "<main>\n" + "\n".join(parts) + "\n</main>")


def _part(name: str, content: str) -> str:
    return f'<section class="part"><h2>{name}</h2>\n{content}</section>'


def _short(accounts: Sequence[Account]) -> str:
    """Return a table of kills and acknowledgement modes."""
    heads = ("Worker", *Acks)
    rows = [
        (
            text(kill.words),
            *(
                _cell([a for a in accounts if (a.combination.kill, a.combination.acks) == (kill, acks)])
                for acks in Acks
            ),
        )
        for kill in Kill
        if any(account.combination.kill is kill for account in accounts)
    ]
    return table("Kills and acknowledgement modes", heads, rows)


def _cell(accounts: Sequence[Account]) -> str:
    """Return what was lost and repeated, for each type of queue where they differ."""
    said = [(account.combination.queue, _verdict(account)) for account in accounts]
    if len({verdict for _, verdict in said}) == 1:
        return said[0][1]
    return "<br/>".join(f"{queue}: {verdict}" for queue, verdict in said)


def _verdict(account: Account) -> str:
    told = [
        f'<span class="{tone}">{count} {word}</span>'
        for count, word, tone in (
            (account.lost, "lost", "bad"),
            (account.held, "held", "bad"),
            (account.repeated, "repeated", "warn"),
        )
        if count
    ]
    return ", ".join(told) or '<span class="good">each once</span>'


def _every(accounts: Sequence[Account]) -> str:
    heads = ("Worker", "Acknowledged", "Queue", *(head[0] + head[1:].capitalize() for head in HEADS))
    rows = [
        (
            text(account.combination.kill.words),
            code(account.combination.acks),
            code(account.combination.queue),
            *map(text, figures(account)),
        )
        for account in accounts
    ]
    return table("Every combination", heads, rows)
