"""One run of a scenario, from the ready deployment to its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from celery import Celery

from harness import app_facts, broker, dead_letters
from harness.checks import Judge
from harness.courier import Courier, reply_queue
from harness.errors import UnavailableError
from harness.journal import Journal
from harness.ledger import Ledger, TaskIds
from harness.model import MAX_HELD, DeadLetter, Event, Outcome, Report, Roster, Scenario, State
from harness.output import ResultsFile
from harness.whereabouts import whereabouts

#: Of the outcomes that a report holds, how many places only failures get: a late one is still listed.
KEPT_FOR_FAILURES = 100
#: How long the broker may take to move a rejected message to its dead letters, in seconds.
DEAD_LETTER_WAIT_S = 3.0


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
        self.left_at_once = False  # a second interrupt
        self.failed = 0
        self.ids = TaskIds()
        self._declared = app_facts.declared_queues(app, scenario.tasks)
        self.ledger = Ledger(self.ids, self._declared)
        self._judge = Judge(
            roster,
            scenario,
            confirms=not self._embedded,
            policies=app_facts.retry_policies(app, scenario.tasks),
            routes=app_facts.routes(app),
        )
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
            KeyboardInterrupt: The run was interrupted before anything was published.
        """
        with broker.said_plainly(self._app), self.courier.wait():
            self.courier.prepare()
        self._judge.begin(self.courier.now())
        with suppress(KeyboardInterrupt):  # leaving, but not without the results
            self.courier.run()
        stopped_at = self.courier.now()
        if self.courier.interrupted and not self.ledger.attempted:
            self.courier.close()
            raise KeyboardInterrupt("nothing was published")
        locate: Callable[[str], tuple[State, str]] = _not_looked_for
        with suppress(KeyboardInterrupt), self.courier.wait():
            locate = self._locator()
        self.courier.finish(locate)
        letters: list[DeadLetter] = []
        with suppress(KeyboardInterrupt), self.courier.wait():
            letters = self._expected_dead_letters()
        with suppress(KeyboardInterrupt):
            self.courier.close()
        return self._report(stopped_at, letters)

    def interrupt(self) -> None:
        """Stop publishing and wind up; a second call leaves at once, a further one whatever is going on."""
        further = self.left_at_once
        self.left_at_once = self.courier.interrupted
        self.courier.interrupt()
        if self.left_at_once:
            self.courier.leave()
        if self.courier.waiting and not self.ledger.attempted:
            raise KeyboardInterrupt("nothing was published")
        if further or (self.left_at_once and self.courier.waiting):
            raise KeyboardInterrupt

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
            with self.courier.wait():
                broker.revoke(self._app, task_ids)
        except UnavailableError as exc:
            self._on_note(f"not revoked: {exc.what}")

    def _locator(self) -> Callable[[str], tuple[State, str]]:
        if self.left_at_once:
            return _not_looked_for
        in_flight = {self.ids.at(index): entry for index, entry in self.ledger.in_flight.items()}
        if not in_flight:
            return lambda task_id: (State.LOST, "")
        locate = whereabouts(self._app, in_flight, self._roster.nodes)
        dead = {letter.task_id: letter for letter in self._dead_letters(lambda letters: True, within_s=0)}

        def column(task_id: str) -> tuple[State, str]:
            if letter := dead.get(task_id):
                return State.DEAD_LETTERED, f"in {letter.queue}: {letter.reason} from {letter.came_from}"
            return locate(task_id)

        return column

    def _expected_dead_letters(self) -> list[DeadLetter]:
        """Return this run's dead letters, where the scenario says what they should be."""
        wanted = self.scenario.expect.dead_letters
        if not wanted or self.left_at_once:
            return []
        fewest = sum(int(letters.count.low or 0) for letters in wanted)
        return self._dead_letters(lambda letters: len(letters) >= fewest, within_s=DEAD_LETTER_WAIT_S)

    def _dead_letters(self, enough: Callable[[list[DeadLetter]], bool], within_s: float) -> list[DeadLetter]:
        queues = set(dead_letters.dead_queues(self._app, self._declared.values()))
        queues |= {letters.queue for letters in self.scenario.expect.dead_letters}
        if self._embedded or not queues:
            return []
        try:
            return dead_letters.find(
                self._app,
                sorted(queues),
                lambda task_id: self.ids.index(task_id) is not None,
                enough=enough,
                within_s=within_s,
            )
        except UnavailableError as exc:
            self._on_note(f"dead letters not looked for: {exc.what}")
            return []

    def _report(self, stopped_at: float, letters: list[DeadLetter]) -> Report:
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
            checks=self._judge.checks(counts, wall_s, letters),
            thresholds=self._judge.thresholds(counts),
            dead_letters=tuple(letters[:MAX_HELD]),
            interrupted=courier.interrupted,
            notes=tuple(self._notes(metrics.negative_waits)),
        )

    def _notes(self, negative_waits: int) -> list[str]:
        notes = list(self.courier.notes)
        if self._embedded:
            notes.append("the embedded broker confirms nothing; the queue is read from the routing key")
        if why := self._judge.overlap_note():
            notes.append(why)
        if negative_waits:
            notes.append(f"{negative_waits} queue waits are below zero: the clocks of the hosts differ")
        if self.courier.replies_kept:
            notes.append(
                f"late results go to {reply_queue(self.ids.run_id)}, which expires by itself an hour after its last use"
            )
        return notes


def _not_looked_for(task_id: str) -> tuple[State, str]:
    return State.UNFINISHED, "interrupted: not looked for"
