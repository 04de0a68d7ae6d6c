"""A state of a task as the result backend writes it: read as it is, whoever wrote it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reply import Reply

EVIDENCE = {"node": "worker-a@h", "queue": "queue_a", "retries": 0, "started_at": 1.5}


def reply(**meta: Any) -> Reply:
    return Reply.of({"task_id": "id-1", "evidence": EVIDENCE, **meta}, 2.0)


def test_a_start_tells_the_process_that_executes_the_task() -> None:
    assert reply(status="STARTED", result={"pid": 4711, "hostname": "worker-a@h"}) == Reply(
        task_id="id-1",
        state="STARTED",
        at=2.0,
        evidence=EVIDENCE,
        result="{'pid': 4711, 'hostname': 'worker-a@h'}",
        pid=4711,
    )


def test_a_success_has_what_the_task_returned_also_where_that_looks_like_an_error_or_a_start() -> None:
    for returned in ({"exc_type": "ValueError", "exc_message": ["no"]}, {"pid": 1}, None, [1], "text"):
        read = reply(status="SUCCESS", result=returned)
        assert (read.result, read.pid) == (returned, None)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"exc_type": "ValueError", "exc_message": ["a < 0", 7], "exc_module": "builtins"}, "ValueError: a < 0, 7"),
        ({"exc_type": "ValueError", "exc_message": "amount < 0"}, "ValueError: amount < 0"),
        ({"exc_type": "Retry", "exc_message": []}, "Retry: "),
        ({"exc_type": "KeyError"}, "KeyError: None"),
        ("terminated", "terminated"),
        (None, "None"),
    ],
)
@pytest.mark.parametrize("state", ["FAILURE", "RETRY", "REVOKED"])
def test_an_error_is_told_in_words(state: str, stored: Any, words: str) -> None:
    assert reply(status=state, result=stored).result == words


def test_a_worker_with_another_result_backend_gives_no_evidence() -> None:
    assert Reply.of({"task_id": "id-1", "status": "SUCCESS", "result": 3}, 2.0) == Reply(
        task_id="id-1", state="SUCCESS", at=2.0, evidence={}, result=3
    )


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = st.sampled_from(["task_id", "status", "result", "evidence", "other"])


@given(meta=st.dictionaries(KEYS, ANYTHING | st.sampled_from(["STARTED", "SUCCESS", "FAILURE"])))
def test_whatever_a_message_says_it_is_read(meta: dict[str, Any]) -> None:
    read = Reply.of(meta, 2.0)
    assert isinstance(read.task_id, str)
    assert isinstance(read.state, str)
    assert (read.at, dict(read.evidence)) == (2.0, meta["evidence"] if isinstance(meta.get("evidence"), dict) else {})
