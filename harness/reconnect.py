"""Makes the workers lose their broker connections and waits until they have made new ones."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from celery import Celery
from kombu import Connection

from harness import broker
from harness.errors import UnavailableError
from harness.model.topology import Node

#: The pause between two looks, in seconds.
LOOK_INTERVAL_S = 0.2


def reconnect(app: Celery, nodes: Collection[Node], within_s: float) -> list[str]:
    """Drop the broker connection of every node, and return as soon as each has made a new one and consumes again.

    Returns:
        A line a node: how often it had connected before, and has now.

    Raises:
        UnavailableError: A node does not know the command (worker/control.py), or did not come back in time.
    """
    names = [node.name for node in nodes]
    deadline = time.monotonic() + within_s
    with broker.connect(app) as connection, broker.said_plainly(app):
        before = _ask(app, connection, "drop_connection", names, limit=len(names))
        if silent := sorted(set(names) - set(before)):
            raise UnavailableError(
                f"{', '.join(silent)} did not drop its connection",
                why="the worker does not know the command drop_connection, or does not answer",
                fix="docker compose up -d --build, so that the workers have worker/control.py",
                see="old-image",
            )
        while True:
            after = _ask(app, connection, "connections_made", names, limit=len(names))
            if all(after.get(name, 0) > before[name] for name in names):
                return [f"{name} connected {before[name]} times before, {after[name]} now" for name in names]
            if time.monotonic() > deadline:
                gone = sorted(name for name in names if after.get(name, 0) <= before[name])
                raise UnavailableError(f"{', '.join(gone)} did not reconnect within {within_s:.0f} s")
            time.sleep(LOOK_INTERVAL_S)


def _ask(app: Celery, connection: Connection, command: str, names: list[str], limit: int) -> dict[str, int]:
    """Return by node name how often it has connected."""
    answers: list[dict[str, Any]] = (
        app.control.broadcast(
            command, destination=names, reply=True, timeout=broker.ANSWER_TIMEOUT_S, limit=limit, connection=connection
        )
        or []
    )
    return {
        name: answer["connections"]
        for each in answers
        for name, answer in each.items()
        if isinstance(answer, dict) and "connections" in answer
    }
