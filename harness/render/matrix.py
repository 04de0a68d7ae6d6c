"""The promise matrix as text and as a document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from harness.matrix import CONCURRENCY, PREFETCH, QUICK_S, WORK_S, Account, Acks, Kill, Matrix
from harness.render.columns import columns
from harness.render.figures import duration_text
from harness.render.style import Style
from harness.render.visible import second_text, visible

SCHEMA_VERSION = 1

#: What each acknowledgement mode is in Celery's settings.
SETTINGS = {
    Acks.EARLY: "task_acks_late = False, Celery's default",
    Acks.LATE: "task_acks_late = True",
    Acks.LATE_REJECT: "task_acks_late = True, task_reject_on_worker_lost = True",
}
#: The columns of a combination's row after its name, by the fields of an account; `#`: figures.
HEADS = ("#SENT", "#ONCE", "#REPEATED", "#LOST", "#HELD", "#RECOVERED", "#RECOVERED IN")


def matrix_text(matrix: Matrix, style: Style) -> str:
    """Return the table, what it says in short, and what could not be measured."""
    parts = [f"{title(matrix)}\n{circumstances(matrix)}\n"]
    if matrix.accounts:
        rows = [
            (str(a.combination.kill), str(a.combination.acks), str(a.combination.queue), *figures(a))
            for a in matrix.accounts
        ]
        parts.append(columns(("KILL", "ACKNOWLEDGED", "QUEUE", *HEADS), rows, style))
        parts.append("".join(f"{line}\n" for line in findings(matrix.accounts)))
    if matrix.unmeasured:
        parts.append(
            style.tint(style.bad, "not measured:") + "\n" + "".join(f"  {line}\n" for line in unmeasured(matrix))
        )
    return "\n".join(parts)


def matrix_document(matrix: Matrix) -> str:
    """Return the matrix as JSON; docs/promise-matrix.md says what each field is."""
    setting = matrix.setting
    content = {
        "schema_version": SCHEMA_VERSION,
        "started_at": second_text(setting.started_at),
        "where": setting.where,
        "versions": {"rabbitmq": setting.rabbitmq, "celery": setting.celery, "python": setting.python},
        "tasks": setting.tasks,
        "running_at_kill": CONCURRENCY,
        "prefetch": PREFETCH,
        "work_s": WORK_S,
        "quick_s": QUICK_S,
        "combinations": [_row(account) for account in matrix.accounts],
        "findings": findings(matrix.accounts),
        "not_measured": [{"combination": name, "why": why} for name, why in matrix.unmeasured.items()],
    }
    return json.dumps(content, indent=2) + "\n"


def title(matrix: Matrix) -> str:
    setting = matrix.setting
    return visible(
        f"Plain Celery {setting.celery} on RabbitMQ {setting.rabbitmq}: {setting.where}, Python {setting.python}"
    )


def circumstances(matrix: Matrix) -> str:
    return (
        f"{matrix.setting.tasks} tasks each: {CONCURRENCY} run ({WORK_S:g} s each) when the worker is hit, "
        f"the others ({QUICK_S:g} s each) are prefetched or wait"
    )


def figures(account: Account) -> tuple[str, ...]:
    """Return the cells of `HEADS`."""
    counts = (account.sent, account.once, account.repeated, account.lost, account.held, account.recovered)
    return *map(str, counts), "" if account.recovery_s is None else duration_text(account.recovery_s)


def findings(accounts: Sequence[Account]) -> list[str]:
    """Return a sentence for each acknowledgement mode: what it lost and repeated, as measured."""
    sentences = []
    for acks in Acks:
        measured = [account for account in accounts if account.combination.acks is acks]
        if measured:
            lost = _when(measured, {id(account): account.lost for account in measured})
            repeated = _when(measured, {id(account): account.repeated for account in measured})
            sentences.append(f"{acks} ({SETTINGS[acks]}) lost {lost}; repeated {repeated}")
    return sentences


def _when(accounts: Sequence[Account], counts: dict[int, int]) -> str:
    """Return how many, and with which kills; the type of queue only where it makes a difference."""
    by_count: dict[int, list[str]] = {}
    for kill in Kill:
        of_kill = [account for account in accounts if account.combination.kill is kill]
        same = len({counts[id(account)] for account in of_kill}) == 1
        for account in of_kill[:1] if same else of_kill:
            label = kill.words if same else f"{kill.words}, {account.combination.queue} queue"
            by_count.setdefault(counts[id(account)], []).append(label)
    told = [f"{count} ({'; '.join(labels)})" for count, labels in sorted(by_count.items(), reverse=True) if count]
    return ", ".join(told) or "none"


def unmeasured(matrix: Matrix) -> list[str]:
    return [f"{name}: {visible(why, 500)}" for name, why in matrix.unmeasured.items()]


def _row(account: Account) -> dict[str, object]:
    row = asdict(account)
    combination = row.pop("combination")
    if account.recovery_s is not None:
        row["recovery_s"] = round(account.recovery_s, 3)
    return {**{name: str(value) for name, value in combination.items()}, **row}
