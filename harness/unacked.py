"""How many messages each node holds unacknowledged, as it says itself: AMQP tells that to nobody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from celery import Celery
from kombu import Connection

from harness import broker


def unacked(app: Celery, connection: Connection, nodes: Collection[str]) -> Mapping[str, int]:
    """Return what each of `nodes` holds: the tasks that it executes, and those that it has only received.

    With late acknowledgement these are its unacknowledged messages. A node that does not answer is left out.
    """
    held: Counter[str] = Counter()
    answered = Counter[str]()
    for question in ("active", "reserved") if nodes else ():
        answers: list[dict[str, Any]] = (
            app.control.broadcast(
                question,
                destination=list(nodes),
                reply=True,
                timeout=broker.ANSWER_TIMEOUT_S,
                limit=len(nodes),
                connection=connection,
            )
            or []
        )
        for answer in answers:
            for node, tasks in answer.items():
                held[node] += len(tasks)
                answered[node] += 1
    return {node: held[node] for node, times in answered.items() if times == 2}
