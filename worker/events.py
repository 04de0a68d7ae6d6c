"""Has a node that was started without events send them once somebody asks, as Flower does while it runs."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.worker.consumer import Events, Heart, Tasks


class EventsOnRequest(bootsteps.StartStopStep):
    """Celery's own steps for events and heartbeats, begun by remote control instead of with the node.

    Celery 5.7 leaves both out of a node that was started without events, gossip and heartbeats, and its command
    `enable_events` then answers that there is no dispatcher. Without a request nothing is sent and no connection made;
    after one, a lost connection is made again with the consumer's.
    """

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._steps: tuple[Any, ...] = ()
        consumer.events_on_request = self

    def begin(self, consumer: Any) -> None:
        """Send events and heartbeats from now on."""
        events = Events(consumer, task_events=True)
        events.groups = ["worker", "task"]  # by name: of no names, which are all, `disable_events` can take none away
        self._steps = (events, Heart(consumer))
        self.start(consumer)

    def start(self, consumer: Any) -> None:
        for step in self._steps:
            step.start(consumer)
        if self._steps:
            consumer.update_strategies()  # each holds the dispatcher that there was when it was made

    def stop(self, consumer: Any) -> None:
        for step in reversed(self._steps):
            step.stop(consumer)

    def shutdown(self, consumer: Any) -> None:
        for step in reversed(self._steps):
            step.shutdown(consumer)
