"""One run of a scenario, from the ready deployment to its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from celery import Celery

from harness import broker
from harness.checks import Judge
from harness.courier import Courier, reply_queue
from harness.errors import UnavailableError
from harness.journal import Journal
from harness.ledger import Ledger, TaskIds
from harness.model import MAX_HELD, Event, Outcome, Report, Roster, Scenario, State
from harness.output import ResultsFile

#: Of the outcomes that a report holds, how many places only failures get: a late one is still listed.
KEPT_FOR_FAILURES = 100


class Run:
    """A scenario on the wire. `execute` once; `interrupt` from a signal handler."""

    def __init__(
        self,
        app: Celery,
        scenario: Scenario,
        roster: Roster,
        results: ResultsFile,
        *,
        journals: Path,
        on_event: Callable[[Event], None],
        on_tick: Callable[[Run], None] = lambda run: None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Args:
        roster: Who consumed what just before the run.
        results: Takes the outcomes that are too many to hold.
        journals: Directory of the run journals.
        on_tick: Called all the while, about ten times a second or more often.
        on_note: Called with what a user should know at once.
        """
        self._app = app
        self.scenario = scenario
        self._roster = roster
        self._results = results
        self._embedded = broker.is_embedded(app)
        self._on_note = on_note
        self._held: list[Outcome] = []
        self._left_at_once = False
        self.failed = 0
        self.ids = TaskIds()
        declared = {spec.task: broker.declared_queue(app, spec.task) for spec in scenario.tasks}
        self.ledger = Ledger(self.ids, declared)
        self._judge = Judge(roster, scenario.workers, confirms=not self._embedded)
        journal = Journal(
            journals,
            self.ids.run_id,
            {
                "scenario": scenario.name,
                "tasks": [[spec.task, spec.count, list(spec.args), dict(spec.kwargs)] for spec in scenario.tasks],
                "broker": broker.public_url(app.conf.broker_url),
                "reply_queue": reply_queue(self.ids.run_id),
                "timeout_s": scenario.timeout_s,
                "at": time.time(),
            },
        )
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
            on_tick=lambda: on_tick(self),
            on_interrupt=self._revoke,
        )

    def execute(self) -> Report:
        """Publish, gather and judge.

        Raises:
            UnavailableError: The broker was lost before anything was published, or refuses the reply queue.
        """
        with broker.said_plainly(self._app):
            self.courier.prepare()
        try:
            self.courier.run()
        except KeyboardInterrupt:  # the second one: leave now, but not without the results
            self._left_at_once = True
        stopped_at = self.courier.now()
        self.courier.finish(self._locator())
        self.courier.close()
        return self._report(stopped_at)

    def interrupt(self) -> None:
        """Stop publishing and wind up; a second call leaves at once, by `KeyboardInterrupt`."""
        if self.courier.interrupted:
            raise KeyboardInterrupt
        self.courier.interrupt()

    def _take(self, outcome: Outcome) -> None:
        self.failed += outcome.state is not State.SUCCEEDED
        self._judge.observe(outcome)
        room = MAX_HELD if outcome.state is not State.SUCCEEDED else MAX_HELD - KEPT_FOR_FAILURES
        if len(self._held) < room or self.scenario.task_count <= MAX_HELD:
            self._held.append(outcome)
        else:
            self._results.add(outcome)

    def _revoke(self, task_ids: list[str]) -> None:
        self._on_note(f"interrupted: revoking {len(task_ids)} tasks that have not started; Ctrl-C again leaves now")
        if not task_ids:
            return
        try:
            broker.revoke(self._app, task_ids)
        except UnavailableError as exc:
            self._on_note(f"not revoked: {exc.what}")

    def _locator(self) -> Callable[[str], tuple[State, str]]:
        if self._left_at_once:
            return lambda task_id: (State.UNFINISHED, "interrupted: not looked for")
        in_flight = {self.ids.at(index): entry for index, entry in self.ledger.in_flight.items()}
        if not in_flight:
            return lambda task_id: (State.LOST, "")
        return broker.whereabouts(self._app, in_flight, self._roster.nodes)

    def _report(self, stopped_at: float) -> Report:
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
            outcomes=tuple(self._held),
            outcome_count=counts.attempted,
            ledger=counts,
            metrics=metrics,
            checks=self._judge.checks(counts, wall_s),
            interrupted=courier.interrupted or self._left_at_once,
            notes=tuple(self._notes(wall_s, metrics.negative_waits)),
        )

    def _notes(self, wall_s: float, negative_waits: int) -> list[str]:
        notes = list(self.courier.notes)
        if self._embedded:
            notes.append("the embedded broker confirms nothing; the queue is read from the routing key")
        if why := self._judge.overlap_note(wall_s):
            notes.append(why)
        if negative_waits:
            notes.append(f"{negative_waits} queue waits are below zero: the clocks of the hosts differ")
        if self.courier.replies_kept:
            notes.append(
                f"late results go to {reply_queue(self.ids.run_id)}, which expires by itself an hour after its last use"
            )
        return notes
