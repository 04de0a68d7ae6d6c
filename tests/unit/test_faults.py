"""Faults: applied when they are due, undone whatever happens, and timed until what they hit is back.

The threads are real, and so is the time of `for`; what a fault does, and the run's clock, are the tests' own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any, ClassVar

import pytest

from harness.errors import UnavailableError
from harness.faults import Faults
from harness.in_flight import Entry
from harness.model.fault import Fault, FaultKind, FaultRecord, Recovery
from harness.model.ledger import State
from harness.model.outcome import Outcome
from harness.model.scenario import TaskSpec
from harness.strike import Action
from tests.conftest import eventually

BEGAN = 1000.0
A, B = "worker-a@1", "worker-b@2"
SPEC = TaskSpec(task="task_a")
KILL = Fault(kind=FaultKind.KILL, target="worker-a", at_s=1.0)


@dataclass
class Aim:
    """Takes aim, and notes what is done in which order; an action waits for what the test says."""

    nodes: frozenset[str] | None = frozenset({A})
    done: list[str] = field(default_factory=list)
    busy: list[Mapping[str, Sequence[int]]] = field(default_factory=list)
    hits: Sequence[str] = ("container a",)
    looks: list[int] = field(default_factory=list)  # after so much was done
    error: Exception | None = None  # instead of an aim
    do: Callable[[], None] = lambda: None
    undo: Callable[[], None] | None = lambda: None
    gradual: bool = False
    command: str = ""

    def __call__(self, fault: Fault, busy: Mapping[str, Sequence[int]]) -> Sequence[Action]:
        if self.error:
            raise self.error
        self.busy.append(busy)
        return [self._action(hit) for hit in self.hits]

    def _action(self, hit: str) -> Action:
        def do() -> None:
            self.do()
            self.done.append(f"done to {hit}")

        def undo() -> None:
            assert self.undo
            self.undo()
            self.done.append(f"undone at {hit}")

        return Action(
            hit=hit,
            nodes=self.nodes,
            do=do,
            undo=undo if self.undo else None,
            command=self.command,
            look=lambda: self.looks.append(len(self.done)),
            gradual=self.gradual,
        )


class Run:
    """What a courier tells of its run: its time, what is in flight, what has ended."""

    begun: ClassVar[list[Run]] = []

    def __init__(self, faults: Sequence[Fault], aim: Aim, total: int = 4) -> None:
        self.at = BEGAN
        self.in_flight: dict[int, Entry] = {}
        self.notes: list[str] = []
        self.records: list[Mapping[str, Any]] = []
        self.faults = Faults(
            faults,
            aim,
            total=total,
            now=lambda: self.at,
            on_note=self.notes.append,
            record=lambda record: self.records.append(record["fault"]),
        )
        self.faults.begin(BEGAN)
        self.begun.append(self)

    def tick(self, at_s: float) -> None:
        self.at = BEGAN + at_s
        self.faults.tick(self.in_flight)

    def started(self, index: int, node: str, at_s: float, pid: int | None = None) -> None:
        entry = self.in_flight.setdefault(index, Entry(index, SPEC, BEGAN))
        entry.last_state, entry.node, entry.started_at, entry.pid = "STARTED", node, BEGAN + at_s, pid
        entry.begun[BEGAN + at_s] = node

    def ended(
        self, index: int, start_s: float, finish_s: float | None, reply_s: float | None, node: str | None = None
    ) -> None:
        self.in_flight.pop(index, None)
        self.faults.ended(
            Outcome(
                task_id=f"id-{index}",
                index=index,
                task="task_a",
                declared_queue="queue_a",
                state=State.SUCCEEDED,
                published_at=BEGAN,
                started_at=BEGAN + start_s,
                finished_at=None if finish_s is None else BEGAN + finish_s,
                replied_at=None if reply_s is None else BEGAN + reply_s,
                node=node,
            )
        )

    def finish(self, *, interrupted: bool = False) -> tuple[FaultRecord, ...]:
        return self.faults.finish(interrupted=interrupted)


@pytest.fixture(autouse=True)
def _nothing_stays_under_way() -> Iterator[None]:
    """End the threads of a test that failed before it could."""
    yield
    while Run.begun:
        Run.begun.pop().finish(interrupted=True)


def struck(aim: Aim, run: Run, at_s: float = 1.0) -> None:
    """Let the fault that is due be applied."""
    run.tick(at_s)
    eventually(lambda: len(aim.done) == len(aim.hits), "it is done")
    run.tick(at_s)


# --- when -----------------------------------------------------------------------------------------


def test_a_fault_strikes_once_at_its_time_and_says_so() -> None:
    aim = Aim(undo=None)
    run = Run([KILL], aim)
    run.tick(0.99)
    assert aim.busy == []
    struck(aim, run)
    run.tick(2.0)
    assert run.finish() == (
        FaultRecord(what="kill worker-a at 1s", hit="container a", at_s=1.0, recovery=Recovery(tasks=0)),
    )
    assert aim.done == ["done to container a"]
    assert run.notes == ["fault: kill worker-a at 1s: container a"]


@pytest.mark.parametrize(("share", "due_after"), [(0.0, 0), (0.25, 1), (0.3, 2), (0.5, 2), (0.99, 4)])
def test_a_fault_strikes_once_its_share_of_the_tasks_has_ended(share: float, due_after: int) -> None:
    aim = Aim()
    run = Run([Fault(kind=FaultKind.KILL, target="worker-a", after=share)], aim)
    run.tick(1.0)
    for count in range(1, 5):
        assert bool(aim.busy) is (due_after < count)
        run.ended(count, 0.1, 0.2, 0.3)
        run.tick(1.0)
    assert [record.error for record in run.finish()] == [None]


def test_faults_that_are_due_together_do_not_wait_for_each_other_nor_does_the_run() -> None:
    together = threading.Barrier(2, timeout=10)
    aim = Aim(do=lambda: void(together.wait()))
    run = Run([KILL, Fault(kind=FaultKind.PAUSE, target="worker-a", at_s=1.0)], aim)
    run.tick(1.0)
    eventually(lambda: len(aim.done) == 2, "both are done")
    assert [record.error for record in run.finish()] == [None, None]


@pytest.mark.parametrize(
    "fault", [KILL, Fault(kind=FaultKind.KILL, target="worker-a", on_start=True, times=2)], ids=["at", "each"]
)
def test_a_fault_that_was_never_due_is_an_error_but_in_an_interrupted_run(fault: Fault) -> None:
    def over(*, interrupted: bool) -> tuple[FaultRecord, ...]:
        run = Run([fault], Aim())
        run.ended(0, 0.1, 0.2, 0.3)
        run.tick(0.5)
        return run.finish(interrupted=interrupted)

    assert over(interrupted=True) == ()
    why = "it was not due before the run ended: 1 of 4 tasks had ended"
    assert over(interrupted=False) == (FaultRecord(what=fault.words, hit="worker-a", at_s=0.5, error=why),)


# --- each start -----------------------------------------------------------------------------------


def test_each_start_on_the_target_is_struck_once_and_at_most_so_often() -> None:
    aim = Aim(undo=None)
    run = Run([Fault(kind=FaultKind.KILL_CHILD, target="worker-a", on_start=True, times=3)], aim)
    run.started(0, A, 0.1, pid=41)
    run.started(1, B, 0.1, pid=51)
    run.tick(0.2)
    run.tick(0.3)
    run.started(0, "worker-a@3", 0.4, pid=42)  # the same task, again
    run.started(2, A, 0.4, pid=43)
    run.started(3, A, 0.4, pid=44)
    run.tick(0.5)
    run.tick(0.6)
    assert aim.busy == [{A: [41]}, {"worker-a@3": [42]}, {A: [43]}]
    assert [record.error for record in run.finish()] == [None] * 3


def test_a_task_that_is_between_two_attempts_has_not_started() -> None:
    aim = Aim()
    run = Run([Fault(kind=FaultKind.KILL, target="worker-a", on_start=True)], aim)
    run.started(0, A, 0.1)
    run.in_flight[0].last_state = "RETRY"
    run.tick(0.2)
    assert aim.busy == []
    run.finish()


# --- what -----------------------------------------------------------------------------------------


def test_an_aim_is_told_which_nodes_execute_a_task_and_in_which_processes() -> None:
    aim = Aim()
    run = Run([KILL], aim)
    run.started(0, A, 0.1, pid=41)
    run.started(1, A, 0.1, pid=42)
    run.started(2, B, 0.1)  # its worker told no process
    run.in_flight[3] = Entry(3, SPEC, BEGAN)
    run.in_flight[4] = Entry(4, SPEC, BEGAN, last_state="RETRY", node="worker-c@3")
    struck(aim, run)
    run.finish()
    assert aim.busy == [{A: [41, 42], B: []}]


def test_a_fault_of_several_nodes_has_a_record_of_each() -> None:
    aim = Aim(hits=["container a", "container b"])
    run = Run([KILL], aim)
    struck(aim, run)
    assert [(record.hit, record.at_s, record.undone_at_s) for record in run.finish()] == [
        ("container a", 1.0, 1.0),
        ("container b", 1.0, 1.0),
    ]


def test_records_stand_in_the_order_in_which_the_faults_struck() -> None:
    aim = Aim()
    later = Fault(kind=FaultKind.PAUSE, target="worker-a", at_s=2.0)
    never = Fault(kind=FaultKind.STOP, target="worker-a", at_s=9.0)
    run = Run([never, later, KILL], aim)
    for at_s in (1.0, 2.0, 3.0):
        run.tick(at_s)
    assert [(record.what, record.at_s) for record in run.finish()] == [
        ("kill worker-a at 1s", 1.0),
        ("pause worker-a at 2s", 2.0),
        ("stop worker-a at 9s", 3.0),
    ]


# --- undone ---------------------------------------------------------------------------------------


def test_a_fault_is_undone_when_its_time_is_over_and_not_only_at_the_end() -> None:
    aim = Aim()
    run = Run([Fault(kind=FaultKind.PAUSE, target="worker-a", at_s=1.0, for_s=0.05)], aim)
    run.tick(1.0)
    eventually(lambda: len(aim.done) == 2, "it is undone")
    (record,) = run.finish()
    assert (record.undone_at_s, record.error) == (1.0, None)
    assert aim.done == ["done to container a", "undone at container a"]


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize("for_s", [None, 3600.0])
def test_a_fault_that_lasts_is_undone_at_the_end_also_of_an_interrupted_run(
    interrupted: bool, for_s: float | None
) -> None:
    aim = Aim()
    run = Run([Fault(kind=FaultKind.PAUSE, target="worker-a", at_s=1.0, for_s=for_s)], aim)
    struck(aim, run)
    run.tick(3.0)
    assert aim.done == ["done to container a"]
    (record,) = run.finish(interrupted=interrupted)
    assert (record.at_s, record.undone_at_s, record.error) == (1.0, 3.0, None)
    assert aim.done == ["done to container a", "undone at container a"]


def test_the_end_waits_for_what_is_under_way_and_undoes_that_too() -> None:
    may_go_on, at_the_end = Event(), Event()
    aim = Aim(do=lambda: void(may_go_on.wait(10)))
    run = Run([KILL], aim)
    run.tick(1.0)
    records: list[FaultRecord] = []

    def finish() -> None:
        at_the_end.set()
        records.extend(run.finish(interrupted=True))

    end = threading.Thread(target=finish)
    end.start()
    assert at_the_end.wait(10)
    assert end.is_alive()
    may_go_on.set()
    end.join(10)
    assert aim.done == ["done to container a", "undone at container a"]
    assert [record.error for record in records] == [None]
    assert run.notes == ["fault: kill worker-a at 1s: container a"]


def test_what_can_be_hit_is_looked_up_after_it_was_done_and_after_it_was_undone() -> None:
    aim = Aim()
    run = Run([KILL], aim)
    struck(aim, run)
    run.finish()
    assert aim.looks == [1, 2]


def test_a_fault_is_on_record_before_it_is_done_and_once_it_is_undone() -> None:
    may_go_on = Event()
    aim = Aim(do=lambda: void(may_go_on.wait(10)), command="docker start a")
    run = Run([KILL], aim)
    run.tick(1.0)
    applied = {
        "number": 1,
        "what": "kill worker-a at 1s",
        "target": "container a",
        "at": BEGAN + 1.0,
        "undone": False,
        "command": "docker start a",
    }
    assert (run.records, aim.done) == ([applied], [])
    may_go_on.set()
    run.finish()
    assert run.records == [applied, {**applied, "undone": True}]


def test_of_a_fault_that_nothing_undoes_nothing_is_left_and_of_one_that_was_not_undone_something_is() -> None:
    run = Run([KILL], Aim(undo=None))
    run.tick(1.0)
    run.finish()
    assert [record["undone"] for record in run.records] == [True]
    run = Run([KILL], Aim(undo=raising(ValueError("no"))))
    run.tick(1.0)
    run.finish()
    assert [record["undone"] for record in run.records] == [False]


def test_what_is_not_undone_in_time_is_left_and_said_with_the_command_that_undoes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.faults.SAID_AFTER_S", 0.01)
    monkeypatch.setattr("harness.faults.UNDONE_WITHIN_S", 0.05)
    may_end = Event()
    aim = Aim(undo=lambda: void(may_end.wait(10)), command="docker unpause a")
    run = Run([KILL], aim)
    struck(aim, run)
    begun = time.monotonic()
    (record,) = run.finish(interrupted=True)
    assert time.monotonic() - begun < 5
    assert record.error == "not undone: it takes longer than 0 s"
    assert run.notes[1:] == [
        "undoing: kill worker-a at 1s: container a",
        "kill worker-a at 1s: container a: not undone: it takes longer than 0 s; undo it: docker unpause a",
    ]
    may_end.set()


# --- not applied ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UnavailableError("container a was not killed", why="it is gone"), "container a was not killed; it is gone"),
        (UnavailableError("container a was not killed"), "container a was not killed"),
        (ValueError("no such thing"), "ValueError('no such thing')"),
    ],
)
def test_an_action_that_fails_is_told_with_why_and_what_it_did_is_undone(error: Exception, words: str) -> None:
    aim = Aim(do=raising(error))
    run = Run([Fault(kind=FaultKind.KILL, target="worker-a", at_s=1.0, for_s=3600.0)], aim)
    run.tick(1.0)
    eventually(lambda: bool(aim.done), "it is undone")  # at once, not in an hour
    assert run.finish() == (
        FaultRecord(what="kill worker-a at 1s for 3600s", hit="container a", at_s=1.0, undone_at_s=1.0, error=words),
    )
    assert aim.done == ["undone at container a"]
    assert run.notes == [f"fault not applied: kill worker-a at 1s for 3600s: {words}"]


def test_what_cannot_be_undone_is_an_error_of_a_fault_that_did_strike() -> None:
    aim = Aim(undo=raising(UnavailableError("container a could not be started", why="no space left")))
    run = Run([KILL], aim)
    struck(aim, run)
    assert run.finish() == (
        FaultRecord(
            what="kill worker-a at 1s",
            hit="container a",
            at_s=1.0,
            error="not undone: container a could not be started; no space left",
            recovery=Recovery(tasks=0),
        ),
    )


def test_of_an_action_that_failed_twice_the_first_failure_is_told() -> None:
    aim = Aim(do=raising(ValueError("first")), undo=raising(ValueError("second")))
    run = Run([KILL], aim)
    run.tick(1.0)
    (record,) = run.finish()
    assert (record.error, record.undone_at_s, record.recovery) == ("ValueError('first')", None, None)


def test_a_fault_without_a_target_is_told_at_once() -> None:
    run = Run([KILL], Aim(error=UnavailableError("no node of worker-a runs here", fix="docker compose up -d")))
    run.tick(1.5)
    assert run.notes == ["fault not applied: kill worker-a at 1s: no node of worker-a runs here"]
    run.tick(3.0)
    assert run.finish() == (
        FaultRecord(what="kill worker-a at 1s", hit="worker-a", at_s=1.5, error="no node of worker-a runs here"),
    )


# --- recovery -------------------------------------------------------------------------------------


def recovery(run: Run) -> Recovery | None:
    (record,) = run.finish()
    return record.recovery


def test_what_a_fault_hit_is_followed_until_it_has_ended() -> None:
    aim = Aim()
    run = Run([KILL], aim)
    run.started(0, A, 0.8)
    run.started(1, A, 0.9)
    run.started(2, B, 0.9)
    struck(aim, run)
    run.ended(2, 0.9, 1.1, 1.2)  # elsewhere
    run.ended(0, 1.4, 1.9, 2.0)
    run.ended(1, 1.6, 2.4, 2.5)
    run.ended(3, 2.0, 3.0, 3.1)  # it was not there yet
    assert recovery(run) == Recovery(
        tasks=2,
        ended=2,
        rerun_s=pytest.approx(0.6),  # type: ignore[arg-type]
        first_s=pytest.approx(1.0),  # type: ignore[arg-type]
        last_s=pytest.approx(1.5),  # type: ignore[arg-type]
    )


def test_a_fault_of_all_hits_what_is_in_flight_anywhere_also_where_it_has_not_started() -> None:
    aim = Aim(nodes=None)
    run = Run([KILL], aim)
    run.started(0, A, 0.8)
    run.in_flight[1] = Entry(1, SPEC, BEGAN)
    struck(aim, run)
    run.ended(0, 0.8, 1.4, 1.5)  # it was not executed again
    assert recovery(run) == Recovery(tasks=2, ended=1, rerun_s=None, first_s=0.5, last_s=0.5)


def test_what_moved_to_another_node_while_the_fault_was_being_applied_was_hit() -> None:
    may_go_on = Event()
    aim = Aim(do=lambda: void(may_go_on.wait(10)))
    run = Run([KILL], aim)
    run.started(0, A, 0.8)
    run.tick(1.0)
    run.started(0, "worker-a@3", 1.25)
    run.tick(1.3)
    run.ended(0, 1.25, 1.75, 1.75)
    run.at = BEGAN + 1.5
    may_go_on.set()
    eventually(lambda: bool(aim.done), "it is done")
    assert recovery(run) == Recovery(tasks=1, ended=1, rerun_s=0.25, first_s=0.75, last_s=0.75)


@pytest.mark.parametrize(("gradual", "tasks"), [(False, 1), (True, 2)])
def test_what_was_over_before_a_fault_had_its_effect_was_not_hit(gradual: bool, tasks: int) -> None:
    """A kill has its effect once it is done, a warm shutdown from its beginning on."""
    may_go_on = Event()
    aim = Aim(do=lambda: void(may_go_on.wait(10)), gradual=gradual)
    run = Run([KILL], aim)
    for index in range(3):
        run.started(index, A, 0.5)
    run.tick(1.0)
    run.at = BEGAN + 2.0
    may_go_on.set()
    eventually(lambda: bool(aim.done), "it is done")
    run.ended(0, 0.5, 0.9, 2.1)  # over before it began to be done: only its result was under way
    run.ended(1, 0.5, 1.5, 2.2)  # over before it was done
    run.ended(2, 2.5, 3.0, 3.0)
    found = recovery(run)
    assert found
    assert (found.tasks, found.ended, found.rerun_s, found.last_s) == (tasks, tasks, 1.5, 2.0)


@pytest.mark.parametrize(
    ("node", "start_s", "finish_s", "tasks"),
    [(A, 0.99, 1.25, 1), (A, 0.5, 0.99, 0), (A, 1.01, 1.25, 0), (B, 0.5, 1.25, 0)],
)
def test_what_a_node_was_executing_was_hit_also_where_its_start_was_told_later(
    node: str, start_s: float, finish_s: float, tasks: int
) -> None:
    """A worker holds back that a task has started, for some milliseconds."""
    aim = Aim(gradual=True)
    run = Run([KILL], aim)
    run.in_flight[0] = Entry(0, SPEC, BEGAN)
    struck(aim, run)
    run.ended(0, start_s, finish_s, 1.5, node)
    found = recovery(run)
    assert found
    assert (found.tasks, found.ended) == (tasks, tasks)


@pytest.mark.parametrize(("gradual", "tasks"), [(False, 1), (True, 0)])
def test_what_began_there_while_the_fault_was_being_done_was_hit(gradual: bool, tasks: int) -> None:
    """`docker pause` takes a fifth of a second: what begins meanwhile stands still like the rest, and is no rerun."""
    may_go_on = Event()
    aim = Aim(do=lambda: void(may_go_on.wait(10)), gradual=gradual)
    run = Run([KILL], aim)
    run.tick(1.0)
    run.at = BEGAN + 1.2
    may_go_on.set()
    eventually(lambda: bool(aim.done), "it is done")
    run.ended(0, 1.1, 4.5, 4.5, A)
    run.ended(1, 1.3, 4.5, 4.5, A)  # after it
    run.ended(2, 1.1, 1.15, 4.5, A)  # over before it was done
    found = recovery(run)
    assert found
    assert (found.tasks, found.ended, found.rerun_s) == (tasks, tasks, None)


@pytest.mark.parametrize(
    ("began_s", "retried_s", "tasks"),
    [(0.9, None, 1), (1.1, None, 1), (1.3, None, 0), (0.5, 0.9, 0), (0.5, 1.1, 1)],
    ids=["before", "meanwhile", "after", "it had asked for a retry", "a retry, meanwhile"],
)
def test_what_a_killed_node_executed_was_hit_also_where_another_one_ends_it(
    began_s: float, retried_s: float | None, tasks: int
) -> None:
    may_go_on = Event()
    aim = Aim(do=lambda: void(may_go_on.wait(10)))
    run = Run([KILL], aim)
    run.tick(1.0)
    run.started(0, A, began_s)  # told only now
    if retried_s:
        run.in_flight[0].retried[0] = BEGAN + retried_s
    run.started(0, B, 1.5)
    run.at = BEGAN + 1.2
    may_go_on.set()
    eventually(lambda: bool(aim.done), "it is done")
    run.tick(1.3)
    run.ended(0, 1.5, 2.0, 2.0, B)
    found = recovery(run)
    assert found
    assert (found.tasks, found.ended) == (tasks, tasks)
    assert (found.rerun_s, found.last_s) == ((0.5, 1.0) if tasks else (None, None))


def test_what_never_came_back_is_counted_as_hit_and_not_as_ended() -> None:
    aim = Aim()
    run = Run([KILL], aim)
    run.started(0, A, 0.8)
    run.started(1, A, 0.8)
    struck(aim, run)
    run.ended(0, 0.8, None, None)  # ended without a final state: lost
    assert recovery(run) == Recovery(tasks=2)


def test_a_fault_that_somebody_else_applied_is_followed_too() -> None:
    run = Run([], Aim())
    run.started(0, A, 0.8)
    fault = Fault(kind=FaultKind.KILL, target="dispatcher", at_s=1.0)
    run.faults.struck(fault, "dispatcher process 4711", BEGAN + 1.25, run.in_flight)
    run.tick(2.0)
    run.ended(0, 0.8, 1.5, 2.25)
    assert run.finish() == (
        FaultRecord(
            what="kill dispatcher at 1s",
            hit="dispatcher process 4711",
            at_s=1.25,
            recovery=Recovery(tasks=1, ended=1, first_s=1.0, last_s=1.0),
        ),
    )
    assert run.notes == []


def void(result: object) -> None:
    """Drop a result."""


def raising(error: Exception) -> Callable[[], None]:
    def raise_() -> None:
        raise error

    return raise_
