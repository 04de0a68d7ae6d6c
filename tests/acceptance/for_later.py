"""Tasks that a node holds until their ETA."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.conftest import Workers, eventually
from tests.integration.caller import Caller


def hold_for_later(workers: Workers, *seconds: float) -> None:
    """Publish as an app that does not know that these are quorum queues; returns once a node holds each task."""
    caller = Caller(workers)
    for each in seconds:
        caller.send("task_a", headers={"eta": (datetime.now(UTC) + timedelta(seconds=each)).isoformat()})
    caller.close()

    def held() -> int:
        return sum(map(len, (workers.app.control.inspect().scheduled() or {}).values()))

    eventually(lambda: held() == len(seconds), "a node holds each of them")
