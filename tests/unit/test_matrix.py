"""The promise matrix without a broker: each task ends in one column, and what is shown is what was measured."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.matrix import (
    FEWEST_TASKS,
    WORK_S,
    Account,
    Acks,
    Combination,
    Kill,
    Ledger,
    Matrix,
    QueueType,
    Setting,
    combinations,
)
from harness.render.columns import columns
from harness.render.matrix import matrix_document, matrix_text
from harness.render.matrix_html import matrix_html
from harness.render.style import PLAIN, style_for

CELL = Combination(kill=Kill.CONTAINER, acks=Acks.LATE, queue=QueueType.QUORUM)
AT = 1758137336.0


def told(what: str, task_id: str, pid: int, at: float, redelivered: bool = False) -> dict[str, Any]:
    return {"what": what, "id": task_id, "pid": pid, "at": at, "redelivered": redelivered}


def account(reports: Sequence[dict[str, Any]], found: Sequence[str] = (), task_ids: str = "abc") -> Account:
    ledger = Ledger(task_ids)
    for report in reports:
        ledger.take(report)
    return ledger.account(CELL, AT, found)


# --- the account ----------------------------------------------------------------------------------


def test_each_way_that_a_task_can_go_has_its_column() -> None:
    seen = account(
        [
            told("began", "a", 1, AT - 1),
            told("ended", "a", 1, AT + 1),
            told("began", "b", 2, AT - 1),
            told("began", "b", 1, AT + 3, redelivered=True),
            told("ended", "b", 1, AT + 5, redelivered=True),
            told("began", "c", 3, AT - 1),
            told("began", "e", 4, AT + 1, redelivered=True),
            told("ended", "e", 4, AT + 2, redelivered=True),
        ],
        found=["d"],
        task_ids="abcde",
    )
    assert (seen.sent, seen.once, seen.repeated, seen.lost, seen.held) == (5, 2, 1, 1, 1)
    assert (seen.recovered, seen.recovery_s) == (2, 5.0)


def test_what_had_ended_before_its_redelivery_was_not_recovered_by_it() -> None:
    first = [told("began", "a", 1, AT - 1), told("ended", "a", 1, AT + 1)]
    again = [told("began", "a", 1, AT + 2, redelivered=True), told("ended", "a", 1, AT + 3, redelivered=True)]
    seen = account(first + again, task_ids="a")
    assert (seen.once, seen.repeated, seen.recovered, seen.recovery_s) == (0, 1, 0, None)


def test_the_same_process_id_in_another_container_is_another_execution() -> None:
    ledger = Ledger("a")
    for report in [told("began", "a", 9, AT), told("began", "a", 9, AT + 1, redelivered=True)]:
        ledger.take(report)
    assert ledger.running(AT + 2) == {"a"}
    ledger.take(told("ended", "a", 9, AT + 3, redelivered=True))
    seen = ledger.account(CELL, AT, [])
    assert (seen.repeated, seen.recovered) == (1, 1)


def test_an_execution_that_is_late_has_died_with_its_process() -> None:
    ledger = Ledger("a")
    ledger.take(told("began", "a", 9, AT))
    assert ledger.running(AT + WORK_S) == {"a"}
    assert ledger.running(AT + WORK_S + 10) == set()
    assert ledger.unfinished == {"a"}


def test_what_is_not_of_this_combination_is_not_counted() -> None:
    assert account([told("began", "z", 1, AT), told("ended", "z", 1, AT)]).lost == 3


@given(st.data())
def test_the_columns_always_add_up(data: st.DataObject) -> None:
    reports = []
    for task_id in "abcdef":
        for pid in range(data.draw(st.integers(0, 3))):
            redelivered = data.draw(st.booleans())
            reports.append(told("began", task_id, pid, AT + pid, redelivered))
            if data.draw(st.booleans()):
                reports.append(told("ended", task_id, pid, AT + pid + 0.5, redelivered))
    seen = account(reports, found=data.draw(st.lists(st.sampled_from("abcdef"))), task_ids="abcdef")
    assert seen.sent == seen.once + seen.repeated + seen.lost + seen.held == 6
    assert seen.recovered <= seen.once + seen.repeated
    assert min(seen.once, seen.repeated, seen.lost, seen.held) >= 0


# --- combinations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("*", 36),
        ("late", 12),
        ("late+reject", 12),
        ("quorum", 18),
        ("stop", 6),
        ("stop*", 12),
        ("stop/late/quorum", 1),
        ("*/early/quorum", 6),
        ("nothing", 0),
    ],
)
def test_a_pattern_chooses_combinations(pattern: str, count: int) -> None:
    assert len(combinations(pattern)) == count


# --- what is shown --------------------------------------------------------------------------------


def cell(name: str, *, repeated: int = 0, lost: int = 0, held: int = 0, recovery_s: float | None = None) -> Account:
    (combination,) = combinations(name)
    return Account(
        combination=combination,
        sent=12,
        once=12 - repeated - lost - held,
        repeated=repeated,
        lost=lost,
        held=held,
        recovered=0 if recovery_s is None else 8,
        recovery_s=recovery_s,
    )


@pytest.fixture
def matrix() -> Matrix:
    setting = Setting(
        where="processes on this machine", rabbitmq="3.10.8", celery="5.7.0", python="3.11.7", tasks=12, started_at=AT
    )
    accounts = (
        cell("container-kill/early/classic", lost=2, recovery_s=4.2),
        cell("container-kill/early/quorum", lost=1, recovery_s=4.3),
        cell("container-kill/late/classic", repeated=2, recovery_s=5.25),
        cell("child-kill/early/quorum", lost=1),
        cell("stop/late/quorum", held=1),
    )
    return Matrix(setting=setting, accounts=accounts, unmeasured={"stop/early/quorum": "no\x1b Docker"})


def test_the_table_and_what_it_says_in_short(matrix: Matrix) -> None:
    assert matrix_text(matrix, PLAIN) == (
        "Plain Celery 5.7.0 on RabbitMQ 3.10.8: processes on this machine, Python 3.11.7\n"
        "12 tasks each: 2 run (2 s each) when the worker is hit, the others (0.2 s each) are prefetched or wait\n"
        "\n"
        "KILL            ACKNOWLEDGED  QUEUE    SENT  ONCE  REPEATED  LOST  HELD  RECOVERED  RECOVERED IN\n"
        "container-kill  early         classic    12    10         0     2     0          8        4.20 s\n"
        "container-kill  early         quorum     12    11         0     1     0          8        4.30 s\n"
        "container-kill  late          classic    12    10         2     0     0          8        5.25 s\n"
        "child-kill      early         quorum     12    11         0     1     0          0             -\n"
        "stop            late          quorum     12    11         0     0     1          0             -\n"
        "\n"
        "early (task_acks_late = False, Celery's default) lost 2 (container killed, classic queue), "
        "1 (container killed, quorum queue; pool child killed); repeated none\n"
        "late (task_acks_late = True) lost none; repeated 2 (container killed)\n"
        "\n"
        "not measured:\n"
        "  stop/early/quorum: no\\x1b Docker\n"
    )


def test_the_document_says_the_same(matrix: Matrix) -> None:
    told = json.loads(matrix_document(matrix))
    assert told["schema_version"] == 1
    assert told["versions"] == {"rabbitmq": "3.10.8", "celery": "5.7.0", "python": "3.11.7"}
    assert told["started_at"] == "2025-09-17T19:28:56Z"
    assert (told["tasks"], told["running_at_kill"], told["prefetch"]) == (12, 2, 8)
    assert len(told["combinations"]) == 5
    assert told["combinations"][2] == {
        "kill": "container-kill",
        "acks": "late",
        "queue": "classic",
        "sent": 12,
        "once": 10,
        "repeated": 2,
        "lost": 0,
        "held": 0,
        "recovered": 8,
        "recovery_s": 5.25,
    }
    assert told["not_measured"] == [{"combination": "stop/early/quorum", "why": "no\x1b Docker"}]
    assert told["findings"][1] == "late (task_acks_late = True) lost none; repeated 2 (container killed)"


def test_the_html_says_the_same_and_needs_nothing_else(matrix: Matrix) -> None:
    page = matrix_html(matrix)
    short, every = re.findall(r"<table>.*?</table>", page, re.DOTALL)
    words = re.sub(r"<[^>]+>", " ", short)
    assert re.findall(r"container killed\s+classic: +2 lost +quorum: +1 lost +2 repeated", words)
    assert "1 held" in words
    assert every.count("<tr>") == 6
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "no\\x1b Docker" in page
    assert "task_acks_late = False, Celery&#x27;s default" in page


def test_nothing_measured_is_no_table(matrix: Matrix) -> None:
    empty = Matrix(setting=matrix.setting, accounts=(), unmeasured={"stop/early/quorum": "because"})
    assert "KILL" not in matrix_text(empty, PLAIN)
    assert "<table>" not in matrix_html(empty)


def test_the_fewest_tasks_leave_some_waiting_with_each_acknowledgement() -> None:
    assert FEWEST_TASKS == 2 + 8 + 2


def test_columns_are_aligned_and_every_row_has_all_its_words() -> None:
    rows = [("one", "1", ""), ("seventeen", "17", "x")]
    assert columns(("NAME", "#COUNT", "REST"), rows, PLAIN) == (
        "NAME       COUNT  REST\none            1  -\nseventeen     17  x\n"
    )
    coloured = columns(("NAME",), [("one",)], style_for(color=True, signs=True))
    assert coloured == "\x1b[1mNAME\x1b[0m\none\n"
