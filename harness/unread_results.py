"""Results whose reply queue was gone when their worker published them: in `results.dead`, kept for a day."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from celery import Celery

from harness import broker
from harness.dead_letters import opened

#: As worker/topology.py declares it.
UNREAD_RESULTS = "results.dead"


def find_results(app: Celery, is_ours: Callable[[str], bool]) -> list[tuple[Mapping[str, Any], str]]:
    """Return the states of this run's tasks that are there, each as it was read and as JSON text; they stay there.

    Raises:
        UnavailableError: The broker does not answer.
    """
    found: list[tuple[Mapping[str, Any], str]] = []
    with broker.connect(app) as connection, broker.said_plainly(app), opened(connection, UNREAD_RESULTS) as messages:
        for message in messages:
            try:
                text = bytes(message.body).decode()
                meta = json.loads(text)
            except ValueError:
                continue
            if isinstance(meta, dict) and is_ours(str(meta.get("task_id"))):
                found.append((meta, text))
    return found
