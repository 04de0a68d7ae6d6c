"""One run of a scenario, from the ready deployment to its report."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import Celery

from harness import app_facts, broker, dead_letters
from harness.aftermath import Aftermath, not_looked_for
from harness.checks import Judge
from harness.courier import Courier, reply_queue
from harness.earlier_faults import earlier_faults
from harness.errors import UnavailableError
from harness.fault_actions import Actions
from harness.faults import Aim, Faults
from harness.fleet import Fleet
from harness.held import Held
from harness.interrupts import held
from harness.journal import Journal, Unrecorded, read
from harness.ledger import Ledger
from harness.load_pacing import schedule
from harness.load_plan import LoadPlan
from harness.model.dead_letter import DeadLetter
from harness.model.event import Event
from harness.model.fault import Fault, FaultRecord
from harness.model.ledger import State
from harness.model.outcome import Outcome
from harness.model.report import MAX_HELD, Report
from harness.model.scenario import Scenario
from harness.model.topology import Roster
from harness.newcomers import Newcomers, who_consumes
from harness.publisher import WINDOW
from harness.relay import Relay, through
from harness.replay import replay
from harness.results_file import ResultsFile
from harness.resumable import header
from harness.strike import Action
from harness.task_ids import TaskIds
from harness.unread_results import UNREAD_RESULTS, find_results
from harness.victim import Killed
from harness.watch import Watch


class Run:
    """A scenario on the wire. `execute` once; `interrupt` from a signal handler."""

    def __init__(
        self,
        app: Celery,
        scenario: Scenario,
        roster: Roster,
        results: ResultsFile | None,
        *,
        journals: Path,
        on_event: Callable[[Event], None] = lambda event: None,
        on_begin: Callable[[float], None] = lambda at: None,
        on_outcome: Callable[[Outcome], None] = lambda outcome: None,
        on_tick: Callable[[Run], None] = lambda run: None,
        on_note: Callable[[str], None] = lambda text: None,
        fleet: Fleet | None = None,
        relay: Relay | None = None,
        run_id: str | None = None,
        resume: Path | None = None,
        killed: Killed | None = None,
        load: LoadPlan | None = None,
    ) -> None:
        """Args:
        roster: Who consumed what just before the run.
        results: Takes the outcomes that are too many to hold; None: they are dropped.
        journals: Directory of the run journals.
        on_begin: Called with the time from which the run counts, on our clock.
        on_tick: Called all the while, about ten times a second or more often.
        on_note: Called with what a user should know at once.
        fleet: Where the workers run; only faults ask for it.
        relay: What the run's own connection goes through; None: nothing.
        run_id: 12 hexadecimal digits; None: random ones.
        resume: The journal of a run of this scenario whose process has ended: finish that one.
        killed: How that came about, where it was a fault of the scenario.
        load: How the tasks are published, where the scenario is a load. It has no journal.

        Raises:
            UsageError: The journal cannot be written, or not be taken over.
            UnavailableError: A fault could not be applied.
        """
        self._app = app
        self.scenario = scenario
        self._roster = roster
        self._embedded = broker.is_embedded(app)
        self._on_note = on_note
        self._held = Held(scenario.task_count, results)
        self.left_at_once = False  # a second interrupt
        self._going_on = False  # tasks are published and gathered
        self.failed = 0
        self._claimed = 0  # results found elsewhere than in the run's own queue
        self.ids = TaskIds(resume.stem if resume else run_id)
        self._declared = app_facts.declared_queues(app, scenario.tasks)
        self.ledger = Ledger(self.ids, self._declared)
        self._judge = Judge(
            roster,
            scenario,
            confirms=not self._embedded,
            policies=app_facts.retry_policies(app, scenario.tasks),
            routes=app_facts.routes(app),
            disturbed=bool(scenario.faults) or resume is not None,
            load=load is not None,
        )
        faults = [fault for fault in scenario.faults if not resume]
        aim: Aim = _no_faults
        if faults:
            assert fleet is not None
            spare_ids = (self.ids.at(index) for index in itertools.count(scenario.task_count))
            aim = Actions(
                app, fleet, faults, reply_queue=reply_queue(self.ids.run_id), relay=relay, spare_ids=spare_ids
            )
        if resume:
            journal = Journal.take_over(resume)
        elif load:
            journal = Unrecorded()
        else:
            first = header(scenario, broker.public_url(app.conf.broker_url), time.time())
            journal = Journal.create(journals, self.ids.run_id, first)
        self.courier = Courier(
            app,
            self.ids,
            self.ledger,
            journal,
            scenario.tasks,
            timeout_s=scenario.timeout_s,
            embedded=self._embedded,
            on_event=on_event,
            on_outcome=self._take,
            on_tick=lambda: self._tick(on_tick),
            on_interrupt=self._revoke,
            url=through(app.conf.broker_url, relay) if relay else None,
            window=load.load.window if load else WINDOW,
            plan=schedule(scenario.tasks, load.shares, load.load) if load else None,
            publish_for_s=load.publish_for_s if load else None,
        )
        dead = [] if self._embedded else dead_letters.dead_queues(app, self._declared.values())
        self._watch = Watch(app, dead, self._is_ours)
        self._newcomers = Newcomers(app, sorted(set(self._declared.values())))
        self._aftermath = Aftermath(
            app, self._declared.values(), scenario.expect.dead_letters, is_ours=self._is_ours, on_note=on_note
        )

        def record(entry: Mapping[str, Any]) -> None:
            journal.note(entry)
            journal.sync()

        self.faults = Faults(
            faults, aim, total=scenario.task_count, now=self.courier.now, on_note=on_note, record=record
        )
        self._resumed = resume is not None
        self._earlier: tuple[FaultRecord, ...] = ()  # what a dispatcher before this one did
        self._began = False
        self._on_begin, self._on_outcome = on_begin, on_outcome
        if resume:
            position = replay(read(resume), self.ledger, scenario.tasks, on_begin=self._begin, on_outcome=self._take)
            self.courier.take_over(position)
            self._earlier = earlier_faults(scenario.faults, position.faults, position.began_at)
            if killed:
                self.faults.struck(killed.fault, killed.hit, killed.at, self.ledger.in_flight)

    def execute(self) -> Report:
        """Publish, gather and judge.

        Raises:
            UnavailableError: The broker was lost before anything was published, or refuses the reply queue.
            KeyboardInterrupt: The run was interrupted before anything was published.
        """
        with broker.said_plainly(self._app), self.courier.wait():
            self.courier.prepare()
        if not self._began:
            self._begin(self.courier.now())
        try:
            with suppress(KeyboardInterrupt):  # leaving, but not without the results
                self._going_on = True
                self.courier.run()
        finally:
            self._going_on = False
            with held() as came:  # who wants to leave waits until what was done is undone
                self._watch.stop()
                faults = (*self._earlier, *self.faults.finish(interrupted=self.courier.interrupted))
            for _ in came:
                self._wind_up()
        stopped_at = self.courier.now()
        if self.courier.interrupted and not self.ledger.attempted:
            self.courier.close()
            raise KeyboardInterrupt("nothing was published")
        if self.ledger.in_flight and not self.left_at_once and not self._embedded:
            with suppress(KeyboardInterrupt, UnavailableError), self.courier.wait():
                self._claim(find_results(self._app, self._is_ours))
        locate: Callable[[str], tuple[State, str]] = not_looked_for
        letters: list[DeadLetter] = []
        with suppress(KeyboardInterrupt), self.courier.wait():
            if not self.left_at_once:
                in_flight = {self.ids.at(index): entry for index, entry in self.ledger.in_flight.items()}
                locate = self._aftermath.locator(in_flight, self._roster.nodes, self.courier.late)
        self.courier.finish(locate)
        with suppress(KeyboardInterrupt), self.courier.wait():
            if not self.left_at_once:
                letters = self._aftermath.expected_dead_letters()
        with suppress(KeyboardInterrupt), self.courier.wait():
            self.courier.close()
        if self._judge.newcomers and not self.left_at_once:
            with suppress(KeyboardInterrupt, UnavailableError), self.courier.wait():
                self._judge.arrived(who_consumes(self._app, self._newcomers.queues), last=True)
        return self._report(stopped_at, letters, faults)

    def _begin(self, at: float) -> None:
        self._began = True
        self._judge.begin(at)
        self.faults.begin(at)
        self._on_begin(at)

    def _tick(self, on_tick: Callable[[Run], None]) -> None:
        self.faults.tick(self.ledger.in_flight)
        self._watch.tick(self.courier.idle_s)
        self._claim(self._watch.results())
        for letter in self._watch.letters():
            self.courier.bury(letter)
        self._newcomers.tick(self._judge.newcomers)
        if roster := self._newcomers.answer():
            self._judge.arrived(roster)
        on_tick(self)

    def _claim(self, results: list[tuple[Mapping[str, Any], str]]) -> None:
        """Take states that did not come to the run's own queue."""
        self._claimed += sum(self.courier.claim(meta, text) for meta, text in results)

    def _is_ours(self, task_id: str) -> bool:
        return self.ids.index(task_id) is not None

    def interrupt(self) -> None:
        """Stop publishing and wind up; a second call leaves at once, a further one whatever the run is doing.

        Once it has ended, only what is waited for is left: no call keeps the results from being written.
        """
        further = self.left_at_once
        self._wind_up()
        if self.courier.waiting and not self.ledger.attempted:
            raise KeyboardInterrupt("nothing was published")
        if (further and self._going_on) or (self.left_at_once and self.courier.waiting):
            raise KeyboardInterrupt

    def _wind_up(self) -> None:
        self.left_at_once = self.courier.interrupted
        self.courier.interrupt()
        if self.left_at_once:
            self.courier.leave()

    def _take(self, outcome: Outcome) -> None:
        self.failed += outcome.state is not State.SUCCEEDED
        self._judge.observe(outcome)
        self.faults.ended(outcome)
        self._on_outcome(outcome)
        self._held.take(outcome)

    def _revoke(self, task_ids: list[str]) -> None:
        self._on_note(f"interrupted: revoking {len(task_ids)} tasks that have not started; Ctrl-C again leaves now")
        if not task_ids:
            return
        try:
            with self.courier.wait():
                broker.revoke(self._app, task_ids)
        except UnavailableError as exc:
            self._on_note(f"not revoked: {exc.what}")

    def _report(self, stopped_at: float, letters: list[DeadLetter], faults: tuple[FaultRecord, ...]) -> Report:
        counts = self.ledger.counts
        courier = self.courier
        complete = counts.completed == self.scenario.task_count
        wall_s = (courier.last_at if complete else stopped_at) - courier.started_at
        metrics = self._judge.metrics(wall_s)
        return Report(
            run_id=self.ids.run_id,
            scenario=self.scenario,
            started_at=courier.started_at,
            broker=broker.public_url(self._app.conf.broker_url),
            embedded=self._embedded,
            roster=self._roster,
            outcomes=tuple(self._held.outcomes),
            outcome_count=counts.attempted,
            ledger=counts,
            metrics=metrics,
            checks=self._judge.checks(counts, wall_s, letters, faults),
            thresholds=self._judge.thresholds(counts),
            dead_letters=tuple(letters[:MAX_HELD]),
            duplicates=tuple(self.ledger.duplicates),
            faults=faults,
            interrupted=courier.interrupted,
            notes=tuple(self._notes(metrics.negative_waits)),
        )

    def _notes(self, negative_waits: int) -> list[str]:
        notes = list(self.courier.notes)
        if self._embedded:
            notes.append("the embedded broker confirms nothing; the queue is read from the routing key")
        if why := self._judge.overlap_note():
            notes.append(why)
        if self._resumed:
            notes.append("the round trip of a result that waited for this dispatcher ends when it was taken")
        if self._claimed:
            notes.append(f"{self._claimed} states were found in {UNREAD_RESULTS}: the reply queue was gone for a while")
        if negative_waits:
            notes.append(f"{negative_waits} queue waits are below zero: the clocks of the hosts differ")
        if self.courier.replies_kept:
            notes.append(
                f"late results go to {reply_queue(self.ids.run_id)}, which expires by itself an hour after its last use"
            )
        return notes


def _no_faults(fault: Fault, busy: Mapping[str, Sequence[int]]) -> Sequence[Action]:
    return ()
