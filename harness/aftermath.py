"""Looks, once a run is over, for what it has left: its dead letters, and the ids that have no final state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from celery import Celery

from harness import broker, dead_letters
from harness.errors import UnavailableError
from harness.in_flight import Entry
from harness.model.dead_letter import DeadLetter
from harness.model.expectation import DeadLetters
from harness.model.ledger import State
from harness.model.topology import Node
from harness.whereabouts import whereabouts

#: How long the broker may take to move a rejected message to its dead letters, in seconds.
DEAD_LETTER_WAIT_S = 3.0


class Aftermath:
    """Asks the broker. What cannot be looked for is noted, and no error."""

    def __init__(
        self,
        app: Celery,
        queues: Collection[str],
        wanted: Sequence[DeadLetters],
        *,
        is_ours: Callable[[str], bool],
        on_note: Callable[[str], None],
    ) -> None:
        """Args:
        queues: Where the run's tasks were published.
        wanted: The dead letters that its scenario expects.
        is_ours: Whether a task id is one of the run.
        """
        self._app = app
        self._queues = queues
        self._wanted = wanted
        self._is_ours = is_ours
        self._on_note = on_note

    def locator(
        self, in_flight: Mapping[str, Entry], nodes: Sequence[Node], late: Callable[[], Collection[str]]
    ) -> Callable[[str], tuple[State, str]]:
        """Return what says in which column an id in flight ends, and where it was found or why not.

        Args:
            in_flight: By task id.
            nodes: Those that consumed just before the run.
            late: Returns the ids whose final state has come since the run ended.
        """
        if not in_flight:
            return lambda task_id: (State.LOST, "")
        locate = whereabouts(self._app, in_flight, nodes, late)
        dead = {letter.task_id: letter for letter in self._find(lambda letters: True, within_s=0)}

        def column(task_id: str) -> tuple[State, str]:
            if letter := dead.get(task_id):
                return State.DEAD_LETTERED, letter.words
            return locate(task_id)

        return column

    def expected_dead_letters(self) -> list[DeadLetter]:
        """Return the run's dead letters, where its scenario says what they should be."""
        if not self._wanted:
            return []
        fewest = sum(int(letters.count.low or 0) for letters in self._wanted)
        return self._find(lambda letters: len(letters) >= fewest, within_s=DEAD_LETTER_WAIT_S)

    def _find(self, enough: Callable[[list[DeadLetter]], bool], within_s: float) -> list[DeadLetter]:
        queues = {*dead_letters.dead_queues(self._app, self._queues), *(letters.queue for letters in self._wanted)}
        if broker.is_embedded(self._app) or not queues:
            return []
        try:
            return dead_letters.find(self._app, sorted(queues), self._is_ours, enough=enough, within_s=within_s)
        except UnavailableError as exc:
            self._on_note(f"dead letters not looked for: {exc.what}")
            return []


def not_looked_for(task_id: str) -> tuple[State, str]:
    """Return the column of an id in flight where nobody may look any more."""
    return State.UNFINISHED, "interrupted: not looked for"
