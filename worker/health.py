"""The health file: touched from the consumer's own event loop, so that a fresh one means *consuming*."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from celery import bootsteps

logger = logging.getLogger(__name__)

#: How often the file is touched, in seconds. The container's health check allows several of these.
INTERVAL_S = 2.0


class HealthFile(bootsteps.StartStopStep):
    """Consumer step: keep the file named by `HEALTH_FILE` fresh while the worker consumes.

    Stale when the process is stopped or its event loop is stuck, gone while there is no broker. Without the
    variable there is no file. A shell test of its age costs milliseconds; `celery inspect ping` starts Python.
    """

    # until delayed delivery is declared, a call with a countdown has no way to go
    requires = (
        "celery.worker.consumer.tasks:Tasks",
        "celery.worker.consumer.delayed_delivery:DelayedDelivery",
    )

    def __init__(self, c: Any, **kwargs: Any) -> None:
        super().__init__(c, **kwargs)
        self._path = Path(os.environ.get("HEALTH_FILE", ""))
        self._timer: Any = None

    def include_if(self, c: Any) -> bool:
        return bool(os.environ.get("HEALTH_FILE"))

    def start(self, c: Any) -> None:
        def touch() -> None:
            if c.connection and c.task_consumer:
                try:
                    self._path.touch()
                except OSError as exc:  # Celery would take it for the connection's, and reconnect for ever
                    logger.error("health file not written", extra={"reason": str(exc)})

        touch()
        self._timer = c.timer.call_repeatedly(INTERVAL_S, touch)

    def stop(self, c: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._path.unlink(missing_ok=True)

    shutdown = stop
