"""Replay: a ledger that reads a run's journal stands where the one stood whose process wrote it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.in_flight import Entry
from harness.journal import Journal, read
from harness.ledger import Ledger
from harness.model.ledger import Cause
from harness.model.outcome import Outcome
from harness.model.scenario import TaskSpec
from harness.pacing import schedule
from harness.replay import RECENT, Position, replay
from harness.reply import Reply
from harness.task_ids import TaskIds

IDS = TaskIds("0123456789ab")
TASKS = (TaskSpec(task="task_a", count=4), TaskSpec(task="task_b", count=3, delay_s=0.5, rate=2.0))
TOTAL = 7
DECLARED = {"task_a": "queue_a", "task_b": "queue_b"}
BEGAN = 1000.0


class Dispatcher:
    """What a courier does with its ledger and its journal, in its order: noted first, then taken into account."""

    def __init__(self, directory: Path) -> None:
        self.outcomes: list[Outcome] = []
        self.ledger = Ledger(IDS, DECLARED)
        self.journal = Journal.create(directory, IDS.run_id, {})
        self.journal.note({"began": BEGAN})
        self._plan = schedule(TASKS)
        self._noted = self._maybe_published = 0
        self._waiting: list[int] = []  # for a confirm, as the link has them
        self._now = BEGAN

    def resume(self) -> None:
        """Be killed, and go on in another process."""
        self.journal.close(complete=False)
        ledger, outcomes, position = replayed(self.journal.path)
        assert standing(ledger, outcomes) == standing(self.ledger, self.outcomes)
        assert list(position.plan) == list(schedule(TASKS))[ledger.attempted :]
        self.journal = Journal.take_over(self.journal.path)
        self.ledger, self.outcomes = ledger, outcomes
        self._noted = self._maybe_published = position.attempted
        self.reconnect()

    def reconnect(self) -> None:
        self.ledger.vouch(self._now)
        self._waiting = [entry.index for entry in self.ledger.unconfirmed]
        if self._waiting:
            self.journal.note({"again": self._waiting})
        for index in self._waiting:
            self.ledger.republish(index)

    def publish(self, count: int) -> None:
        first = self.ledger.attempted
        for _ in range(min(count, TOTAL - first)):
            index = self.ledger.attempted
            if index == self._noted:
                self._noted = min(index + 3, TOTAL)
                self.journal.attempted(index, self._noted)
            due_s, number, spec = next(self._plan)
            self.ledger.attempt(index, spec, self._now, number, BEGAN + due_s)
            if index < self._maybe_published:
                self.ledger.republish(index)
            self._waiting.append(index)
        if first < self.ledger.attempted:
            self.journal.sent(first, self.ledger.attempted, self._now)

    def confirm(self, which: int) -> None:
        if self._waiting:
            index = self._waiting.pop(which % len(self._waiting))
            self.journal.confirmed(index, self._now)
            self.ledger.confirm(index, self._now)

    def refuse(self, which: int) -> None:
        if self._waiting:
            index = self._waiting.pop(which % len(self._waiting))
            self.journal.refused(index, "returned")
            self._end(self.ledger.refuse(index, "returned"))

    def receive(self, meta: dict[str, Any]) -> None:
        self.journal.got(json.dumps(meta), self._now)
        self._end(self.ledger.receive(Reply.of(meta, self._now)))

    def tick(self) -> None:
        self._now += 1.0
        self.journal.flush()

    def _end(self, outcome: Outcome | None) -> None:
        if outcome is not None:
            self.outcomes.append(outcome)


def replayed(path: Path) -> tuple[Ledger, list[Outcome], Position]:
    ledger = Ledger(IDS, DECLARED)
    outcomes: list[Outcome] = []
    began: list[float] = []
    position = replay(read(path), ledger, TASKS, on_begin=began.append, on_outcome=outcomes.append)
    assert began == [BEGAN]
    return ledger, outcomes, position


def standing(ledger: Ledger, outcomes: list[Outcome]) -> tuple[Any, ...]:
    """Return all that there is to know of a ledger.

    Not when a message was confirmed: of a range the journal has the time of the last, and of a confirm that was lost
    none.
    """
    ledger.vouch(0.0)  # as both do next
    entries: list[Entry] = [replace(entry, confirmed_at=None) for entry in ledger.in_flight.values()]
    ended = [replace(outcome, confirmed_at=None) for outcome in outcomes]
    unconfirmed = [entry.index for entry in ledger.unconfirmed]
    return ledger.counts, entries, ended, ledger.duplicates, unconfirmed


def meta(status: str, index: int, retries: int, start: int, *, redelivered: bool) -> dict[str, Any]:
    node = f"worker-a@{start}"
    evidence = {"retries": retries, "node": node, "started_at": BEGAN + start, "redelivered": redelivered}
    result: Any = {"pid": 40 + start} if status == "STARTED" else "ü\n"
    return {"task_id": IDS.at(index), "status": status, "result": result, "evidence": evidence}


STATES = st.builds(
    meta,
    st.sampled_from(["STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED"]),
    st.integers(0, TOTAL),  # the last is of no id that was sent
    st.integers(0, 2),
    st.integers(0, 3),
    redelivered=st.booleans(),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 3)),
        st.tuples(st.sampled_from(["confirm", "refuse"]), st.integers(0, TOTAL)),
        st.tuples(st.just("receive"), STATES),
        st.tuples(st.sampled_from(["tick", "reconnect", "resume"])),
    ),
    max_size=40,
)


@given(steps=STEPS)
@settings(deadline=None)  # it writes files
def test_a_replayed_ledger_stands_where_the_live_one_stood_also_after_several_deaths(
    steps: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    dispatcher = Dispatcher(tmp_path_factory.mktemp("runs"))
    for name, *arguments in steps:
        getattr(dispatcher, name)(*arguments)
    dispatcher.resume()


def test_the_position_is_where_the_next_process_begins(tmp_path: Path) -> None:
    dispatcher = Dispatcher(tmp_path)
    dispatcher.publish(4)
    dispatcher.tick()
    dispatcher.receive(meta("STARTED", 0, 0, 1, redelivered=False))
    dispatcher.tick()
    dispatcher.receive(meta("SUCCESS", 0, 0, 1, redelivered=False))
    dispatcher.journal.close(complete=False)
    _, _, position = replayed(dispatcher.journal.path)
    assert (position.began_at, position.last_at, position.attempted) == (BEGAN, BEGAN + 2, 6)
    assert list(position.plan) == [(0.5, 1, TASKS[1]), (1.0, 1, TASKS[1]), (1.5, 1, TASKS[1])]
    assert [recent["status"] for recent in position.recent] == ["STARTED", "SUCCESS"]


def records(states: int) -> Iterator[dict[str, Any]]:
    yield {"run": IDS.run_id}
    yield {"began": BEGAN}
    yield {"attempted": [0, 1]}
    yield {"sent": [0, 1], "at": BEGAN}
    for number in range(states):
        yield {"at": BEGAN + number, "got": meta("STARTED", 0, 0, number, redelivered=True)}


def test_of_the_states_that_came_the_last_are_kept_to_know_them_again() -> None:
    position = replay(
        records(RECENT + 5), Ledger(IDS, DECLARED), TASKS, on_begin=lambda at: None, on_outcome=lambda outcome: None
    )
    assert len(position.recent) == RECENT
    assert position.recent[-1]["evidence"]["started_at"] == BEGAN + RECENT + 4


def test_a_message_that_two_processes_may_have_published_explains_its_duplicate_after_the_next_death_too(
    tmp_path: Path,
) -> None:
    dispatcher = Dispatcher(tmp_path)
    dispatcher.publish(1)  # three are noted, one is known to be published
    dispatcher.resume()
    dispatcher.publish(1)
    dispatcher.confirm(1)
    dispatcher.resume()
    for _ in range(2):
        dispatcher.receive(meta("SUCCESS", 1, 0, 1, redelivered=False))
    assert [duplicate.cause for duplicate in dispatcher.ledger.duplicates] == [Cause.REPUBLISHED]


def test_records_of_a_later_kind_are_passed_over() -> None:
    ledger = Ledger(IDS, DECLARED)
    replay([*records(0), {"later": 1}], ledger, TASKS, on_begin=lambda at: None, on_outcome=lambda outcome: None)
    assert ledger.attempted == 1
