"""Looks where a run's tasks may have ended, while it waits for results that may never come to its own queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Event, Thread
from typing import Any

from celery import Celery

from harness import dead_letters
from harness.errors import UnavailableError
from harness.model.dead_letter import DeadLetter
from harness.unread_results import find_results

#: With no state received for this long the looking begins, in seconds.
IDLE_S = 2.0
#: The wait between two looks, in seconds; it grows, since a look costs the broker something.
FIRST_S, LAST_S = 1.0, 10.0


class Watch:
    """A thread that looks in the dead letters and the unread results, begun only where nothing comes.

    A task that fails has a result and a dead letter, and either can come first: only a dead letter that two looks have
    found is given out, so that a result on its way arrives before.
    """

    def __init__(self, app: Celery, queues: Sequence[str], is_ours: Callable[[str], bool]) -> None:
        """Args:
        queues: The dead-letter queues; none: there is nowhere to look.
        is_ours: Whether a task id is one of the run.
        """
        self._app = app
        self._queues = queues
        self._is_ours = is_ours
        self._thread: Thread | None = None
        self._over = Event()
        self._letters: list[DeadLetter] = []
        self._results: list[tuple[Mapping[str, Any], str]] = []

    def tick(self, idle_s: float) -> None:
        """Begin to look where it is time to.

        Args:
            idle_s: Seconds since the run received a state.
        """
        if self._thread is None and idle_s >= IDLE_S and self._queues:
            self._thread = Thread(target=self._look, name="watch", daemon=True)
            self._thread.start()

    def letters(self) -> list[DeadLetter]:
        """Return what the last look found in the dead letters, as the one before; once."""
        found, self._letters = self._letters, []
        return found

    def results(self) -> list[tuple[Mapping[str, Any], str]]:
        """Return what the last look found of results; once."""
        found, self._results = self._results, []
        return found

    def stop(self) -> None:
        self._over.set()

    def _look(self) -> None:
        before: set[str] = set()
        wait_s = FIRST_S
        while not self._over.wait(wait_s):
            wait_s = min(wait_s * 1.5, LAST_S)
            try:
                self._results = find_results(self._app, self._is_ours)
                letters = dead_letters.find(
                    self._app, self._queues, self._is_ours, enough=lambda letters: True, within_s=0
                )
            except UnavailableError:
                continue  # the courier says that the broker is away
            self._letters = [letter for letter in letters if letter.task_id in before]
            before = {letter.task_id for letter in letters}
