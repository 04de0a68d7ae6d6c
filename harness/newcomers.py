"""Asks what the nodes consume that came during a run, while it goes on: one may be gone again before it ends."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from threading import Thread

from celery import Celery

from harness import broker
from harness.errors import UnavailableError
from harness.model.topology import Roster
from harness.roster import roster

#: The pause between two times of asking, in seconds.
INTERVAL_S = 1.0


class Newcomers:
    """A thread each time, with a connection of its own: answers are waited for, and a run does not wait for them."""

    def __init__(self, app: Celery, queues: Collection[str]) -> None:
        self._app = app
        self.queues = queues
        self._thread: Thread | None = None
        self._ask_at = 0.0  # on the monotonic clock
        self._answer: Roster | None = None

    def tick(self, wanted: bool) -> None:
        """Ask, where it is wanted and nobody is asking."""
        if wanted and time.monotonic() >= self._ask_at and not (self._thread and self._thread.is_alive()):
            self._thread = Thread(target=self._ask, name="newcomers", daemon=True)
            self._thread.start()

    def answer(self) -> Roster | None:
        """Return who answered, once; None where there is nothing new."""
        found, self._answer = self._answer, None
        return found

    def _ask(self) -> None:
        with suppress(UnavailableError):  # the courier says that the broker is away
            self._answer = who_consumes(self._app, self.queues)
        self._ask_at = time.monotonic() + INTERVAL_S


def who_consumes(app: Celery, queues: Collection[str]) -> Roster:
    """Return who consumes `queues` now.

    Raises:
        UnavailableError: The broker does not answer, or takes no messages.
    """
    with broker.connect(app) as connection, broker.said_plainly(app):
        return roster(app, connection, queues)
