"""Looks at the queues while a load runs: how many messages are ready in each, over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Thread

from celery import Celery
from kombu import Connection

from harness import broker
from harness.errors import UnavailableError
from harness.load_report import Backlog

#: The pause between two looks, in seconds; it doubles each time there are `LOOKS` of them.
INTERVAL_S = 0.25
LOOKS = 240


class BacklogWatch:
    """A thread with a connection of its own: what it asks does not stand in the way of what is published.

    It asks by passive declares: `rabbitmqctl list_queues` and the management API tell what was seconds ago.
    """

    def __init__(self, app: Celery, queues: Sequence[str], now: Callable[[], float]) -> None:
        """Args:
        now: The run's clock.
        """
        self._app = app
        self._queues = queues
        self._now = now
        self._over = Event()
        self._interval_s = INTERVAL_S
        self._looks: list[tuple[float, tuple[int, ...]]] = []
        self._thread = Thread(target=self._watch, name="backlog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; a look that is under way is waited for, as long as the broker may be silent."""
        self._over.set()
        self._thread.join(broker.SILENCE_S)

    @property
    def latest(self) -> int | None:
        """Messages ready at the last look, in all queues together; None before the first."""
        return sum(self._looks[-1][1]) if self._looks else None

    def totals(self, begin_at: float, end_at: float) -> list[int]:
        """Return the messages ready at each look between two times, in all queues together."""
        return [sum(ready) for at, ready in self._looks if begin_at <= at <= end_at]

    def backlog(self, began_at: float) -> tuple[Backlog, ...]:
        """Return what was seen of each queue since `began_at`."""
        looks = [(at - began_at, ready) for at, ready in self._looks if at >= began_at]
        return tuple(
            Backlog(queue=queue, looks=tuple((at_s, ready[number]) for at_s, ready in looks))
            for number, queue in enumerate(self._queues)
        )

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                with broker.connect(self._app, connection_name="load_test.py: backlog") as connection:
                    self._look(connection)
            except UnavailableError:
                self._over.wait(self._interval_s)  # the courier says that the broker is away

    def _look(self, connection: Connection) -> None:
        with broker.said_plainly(self._app):
            while not self._over.is_set():
                ready = tuple(broker.count(connection, queue)[0] for queue in self._queues)
                self._looks.append((self._now(), ready))
                if len(self._looks) >= LOOKS:
                    self._looks = thinned(self._looks)
                    self._interval_s *= 2
                self._over.wait(self._interval_s)


def thinned(looks: Sequence[tuple[float, tuple[int, ...]]]) -> list[tuple[float, tuple[int, ...]]]:
    """Return half as many: of each two the later one, with the most that either saw of each queue."""
    pairs = zip(looks[::2], looks[1::2], strict=False)
    return [(later, tuple(map(max, before, after))) for (_, before), (later, after) in pairs]
