"""The ledger: whatever happens to the ids, in whatever order, each ends in one column and the columns add up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.in_flight import Entry
from harness.ledger import Ledger
from harness.model.ledger import Cause, Duplicate, LedgerCounts, State
from harness.model.outcome import Outcome
from harness.model.scenario import TaskSpec
from harness.reply import Reply
from harness.task_ids import TaskIds

SPEC = TaskSpec(task="task_a")
IDS = TaskIds("0123456789ab")


def ledger(attempted: int = 1, confirmed: bool = True) -> Ledger:
    made = Ledger(IDS, {"task_a": "queue_a"})
    for index in range(attempted):
        made.attempt(index, SPEC, 1.0)
        if confirmed:
            made.confirm(index, 1.1)
    return made


def reply(state: str, index: int = 0, **evidence: Any) -> Reply:
    return Reply(task_id=IDS.at(index), state=state, at=2.0, evidence=evidence, result="result")


def lost(entry: Entry) -> tuple[State, str]:
    return State.LOST, "found nowhere"


def test_an_id_is_a_uuid_that_tells_its_run_and_its_index() -> None:
    assert IDS.at(10) == "01234567-89ab-8000-8000-00000000000a"
    assert IDS.index(IDS.at(10)) == 10


def test_an_id_of_another_run_has_no_index() -> None:
    assert IDS.index(TaskIds("ffffffffffff").at(0)) is None
    assert IDS.index("01234567-89ab-8000-8000-zzz") is None
    assert IDS.index("") is None


def test_two_runs_have_different_ids() -> None:
    assert TaskIds().at(0) != TaskIds().at(0)


def test_a_success_is_an_outcome_with_the_evidence_of_its_last_attempt() -> None:
    book = ledger()
    assert book.receive(reply("STARTED", node="worker-a@h", queue="queue_a", started_at=1.5)) is None
    outcome = book.receive(
        reply("SUCCESS", node="worker-a@h", queue="queue_a", queue_evidence="consumer", started_at=1.5, at=1.9)
    )
    assert outcome == Outcome(
        task_id=IDS.at(0),
        index=0,
        task="task_a",
        declared_queue="queue_a",
        state=State.SUCCEEDED,
        published_at=1.0,
        confirmed_at=1.1,
        replied_at=2.0,
        first_started_at=1.5,
        started_at=1.5,
        finished_at=1.9,
        node="worker-a@h",
        queue="queue_a",
        queue_evidence="consumer",
        attempts=1,
        result="result",
    )
    assert book.counts == LedgerCounts(attempted=1, acknowledged=1, succeeded=1)
    assert not book.in_flight


def test_a_retry_between_two_starts_is_no_duplicate() -> None:
    book = ledger()
    for state, retries in (("STARTED", 0), ("RETRY", 0), ("STARTED", 1)):
        book.receive(reply(state, retries=retries))
    outcome = book.receive(reply("SUCCESS", retries=1))
    assert outcome is not None
    assert (outcome.attempts, outcome.retries, book.counts.duplicated) == (2, 1, 0)


def test_a_start_that_overtakes_the_retry_before_it_is_no_duplicate_and_its_wait_is_known() -> None:
    book = ledger()
    book.receive(reply("STARTED", retries=0, started_at=1.0))
    book.receive(reply("STARTED", retries=1, started_at=3.5))
    book.receive(reply("RETRY", retries=0, at=3.0))
    outcome = book.receive(reply("SUCCESS", retries=1, started_at=3.5))
    assert outcome is not None
    assert (outcome.waits_s, outcome.attempts, book.counts.duplicated) == ((0.5,), 2, 0)


def test_the_same_attempt_started_twice_after_a_retry_is_a_duplicate() -> None:
    book = ledger()
    for state, retries in (("STARTED", 0), ("RETRY", 0), ("STARTED", 1), ("STARTED", 1)):
        book.receive(reply(state, retries=retries))
    assert book.counts.duplicated == 1


def test_a_second_start_without_a_retry_is_a_duplicate_and_a_redelivered_one_that_completes_is_recovered() -> None:
    book = ledger()
    book.receive(reply("STARTED"))
    book.receive(reply("STARTED", redelivered=True))
    outcome = book.receive(reply("SUCCESS", redelivered=True))
    assert outcome is not None
    assert outcome.redelivered
    assert outcome.attempts == 2
    assert (book.counts.duplicated, book.counts.recovered) == (1, 1)


def test_a_second_final_state_is_a_duplicate_of_an_id_and_not_another_outcome() -> None:
    book = ledger()
    assert book.receive(reply("SUCCESS")) is not None
    assert book.receive(reply("FAILURE")) is None
    assert book.receive(reply("SUCCESS")) is None
    assert book.counts == LedgerCounts(attempted=1, acknowledged=1, succeeded=1, duplicated=1, unexplained=1)


def test_a_task_too_short_for_a_start_of_its_own_has_one_told_by_its_end() -> None:
    book = ledger()
    outcome = book.receive(reply("SUCCESS", retries=0, started_at=1.5, at=1.51))
    assert outcome is not None
    assert (outcome.attempts, outcome.first_started_at, book.counts.duplicated) == (1, 1.5, 0)


def test_an_end_that_tells_of_another_start_than_was_seen_is_a_duplicate() -> None:
    book = ledger()
    book.receive(reply("STARTED", retries=0, started_at=1.0))
    outcome = book.receive(reply("SUCCESS", retries=0, started_at=5.0, redelivered=True, node="worker-a@other"))
    assert outcome is not None
    assert (outcome.attempts, outcome.first_started_at, outcome.started_at) == (2, 1.0, 5.0)
    assert book.duplicates == [
        Duplicate(task_id=IDS.at(0), cause=Cause.REDELIVERED, evidence="attempt 1 began again on worker-a@other")
    ]


def test_a_redelivered_execution_that_tells_its_start_and_its_end_is_counted_once() -> None:
    book = ledger()
    book.receive(reply("STARTED", retries=0, started_at=1.0))
    book.receive(reply("STARTED", retries=0, started_at=5.0, redelivered=True))
    outcome = book.receive(reply("SUCCESS", retries=0, started_at=5.0, redelivered=True))
    assert outcome is not None
    assert (outcome.attempts, book.counts.duplicated) == (2, 1)


def test_retries_whose_starts_are_only_told_by_their_ends_are_no_duplicates() -> None:
    book = ledger()
    book.receive(reply("RETRY", retries=0, started_at=1.0, at=1.01))
    book.receive(reply("RETRY", retries=1, started_at=2.0, at=2.01))
    outcome = book.receive(reply("SUCCESS", retries=2, started_at=4.0, at=4.01))
    assert outcome is not None
    assert (outcome.attempts, book.counts.duplicated) == (3, 0)
    assert outcome.waits_s == pytest.approx((0.99, 1.99))


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        ({"redelivered": True}, Cause.REDELIVERED),
        ({"repeated": True}, Cause.REPEATED),
        ({}, Cause.UNEXPLAINED),
    ],
)
def test_a_duplicate_has_the_cause_that_its_worker_tells(told: dict[str, bool], cause: Cause) -> None:
    book = ledger()
    book.receive(reply("SUCCESS"))
    book.receive(reply("SUCCESS", node="worker-a@h", **told))
    (duplicate,) = book.duplicates
    assert (duplicate.cause, duplicate.evidence) == (cause, "SUCCESS after its final state on worker-a@h")
    assert book.counts.unexplained == (cause is Cause.UNEXPLAINED)


def test_a_message_published_again_explains_its_duplicate() -> None:
    book = ledger(confirmed=False)
    book.republish(0)
    book.receive(reply("SUCCESS"))
    book.receive(reply("SUCCESS"))
    assert [duplicate.cause for duplicate in book.duplicates] == [Cause.REPUBLISHED]


def test_an_original_that_ends_after_its_redelivered_copy_is_explained_by_the_copy() -> None:
    book = ledger()
    book.receive(reply("SUCCESS", redelivered=True))
    book.receive(reply("SUCCESS"))
    assert [duplicate.cause for duplicate in book.duplicates] == [Cause.REDELIVERED]


def test_a_start_after_the_final_state_is_a_duplicate() -> None:
    book = ledger()
    book.receive(reply("SUCCESS"))
    book.receive(reply("STARTED"))
    assert book.counts.duplicated == 1


def test_a_reply_for_an_id_that_was_never_attempted_is_unexpected() -> None:
    book = ledger()
    book.receive(reply("SUCCESS", index=1))
    book.receive(Reply(task_id="somebody-elses", state="SUCCESS", at=2.0, evidence={}))
    assert book.counts == LedgerCounts(attempted=1, acknowledged=1, unexpected=2)


def test_a_failure_and_a_revocation_are_completed_as_failed() -> None:
    book = ledger(2)
    failed, revoked = book.receive(reply("FAILURE")), book.receive(reply("REVOKED", index=1))
    assert failed is not None
    assert revoked is not None
    assert (failed.state, failed.error, revoked.state) == (State.FAILED, "result", State.FAILED)
    assert book.counts.completed == 2


def test_a_returned_message_is_unacknowledged_although_the_broker_confirms_it_afterwards() -> None:
    book = ledger(confirmed=False)
    outcome = book.refuse(0, "no queue takes it")
    assert outcome is not None
    assert book.confirm(0, 1.2) is None
    assert (outcome.state, outcome.error) == (State.UNACKNOWLEDGED, "no queue takes it")
    assert book.counts == LedgerCounts(attempted=1, unacknowledged=1)


def test_a_message_confirmed_twice_is_acknowledged_once() -> None:
    book = ledger()
    assert book.confirm(0, 1.3) is None
    assert book.counts.acknowledged == 1


def test_only_what_was_neither_confirmed_nor_heard_of_is_published_again() -> None:
    book = ledger(3, confirmed=False)
    book.confirm(0, 1.1)
    book.receive(reply("STARTED", index=1))
    assert [entry.index for entry in book.unconfirmed] == [2]


def test_what_was_heard_of_was_confirmed_though_its_confirm_was_lost() -> None:
    book = ledger(4, confirmed=False)
    book.receive(reply("SUCCESS", index=0))
    book.receive(reply("STARTED", index=1))
    book.refuse(2, "returned")
    book.vouch(2.0)
    assert book.acknowledged == 2
    assert [entry.index for entry in book.unconfirmed] == [3]


def test_what_is_open_at_the_end_goes_where_it_was_found() -> None:
    book = ledger(2)
    places = {0: (State.UNFINISHED, "queued in queue_a"), 1: (State.LOST, "found nowhere")}
    queued, gone = book.close(lambda entry: places[entry.index])
    assert (queued.state, queued.where, gone.state, gone.error) == (
        State.UNFINISHED,
        "queued in queue_a",
        State.LOST,
        "found nowhere",
    )
    assert book.counts == LedgerCounts(attempted=2, acknowledged=2, unfinished=1, lost=1)


def test_a_time_that_is_no_finite_number_is_not_believed() -> None:
    book = ledger()
    outcome = book.receive(reply("SUCCESS", started_at="soon", at=float("nan")))
    assert outcome is not None
    assert (outcome.started_at, outcome.finished_at, outcome.run_time_s) == (None, None, None)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["confirm", "refuse", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED", "alien"]),
        st.integers(min_value=0, max_value=4),
    ),
    max_size=60,
)


@given(EVENTS)
def test_columns_add_up_whatever_happens_in_whatever_order(events: list[tuple[str, int]]) -> None:
    book = ledger(5, confirmed=False)
    outcomes = []
    for what, index in events:
        if what == "confirm":
            book.confirm(index, 1.1)
        elif what == "refuse":
            outcomes.append(book.refuse(index, "returned"))
        elif what == "alien":
            book.receive(reply("SUCCESS", index=9))
        else:
            outcomes.append(book.receive(reply(what, index=index)))
    outcomes += book.close(lost)
    ended = [outcome.index for outcome in outcomes if outcome is not None]
    assert sorted(ended) == [0, 1, 2, 3, 4]
    assert book.counts.balanced
    assert book.counts.attempted == 5
    assert book.counts.unexpected == sum(what == "alien" for what, _ in events)
    assert not book.in_flight


def test_what_comes_after_the_end_of_a_run_moves_no_id_to_another_column() -> None:
    book = ledger(attempted=2)
    book.attempt(2, SPEC, 1.0)
    book.receive(reply("SUCCESS"))
    closed = book.close(lambda entry: (State.UNFINISHED, "queued"))
    assert [outcome.index for outcome in closed] == [1, 2]

    before = book.counts
    assert book.receive(reply("STARTED", 1)) is None
    assert book.receive(reply("SUCCESS", 1)) is None
    assert book.confirm(2, 9.0) is None
    assert book.counts == before
