"""Which outcomes of a run its report holds: all of a small run, of a large one the first, and failures also late."""

from __future__ import annotations

from harness.model.ledger import State
from harness.model.outcome import Outcome
from harness.model.report import MAX_HELD
from harness.results_file import ResultsFile

#: How many of the places only failures get: a late one is still listed.
KEPT_FOR_FAILURES = 100


class Held:
    """Takes one outcome after the other, and passes on those that it has no place for."""

    def __init__(self, task_count: int, results: ResultsFile | None) -> None:
        """Args:
        task_count: How many outcomes there will be.
        results: Takes those that are too many to hold; None: they are dropped.
        """
        self.outcomes: list[Outcome] = []  # in order of completion
        self._task_count = task_count
        self._results = results

    def take(self, outcome: Outcome) -> None:
        room = MAX_HELD if outcome.state is not State.SUCCEEDED else MAX_HELD - KEPT_FOR_FAILURES
        if len(self.outcomes) < room or self._task_count <= MAX_HELD:
            self.outcomes.append(outcome)
        elif self._results:
            self._results.add(outcome)
