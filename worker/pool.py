"""A process pool that lets a task which one of its processes already has finish when the worker stops."""

from __future__ import annotations

from typing import Any

from celery.concurrency import prefork
from celery.concurrency.asynpool import AsynPool
from celery.worker import state


class FinishingPool(AsynPool):
    """Celery's pool, which forgets no task that it has handed to a process.

    On a warm shutdown Celery 5.7 discards what no process has accepted yet (`AsynPool.flush`): also a task that
    was written to one, whose acceptance is just on its way. That task runs, its result reaches the caller, its
    message is never acknowledged and so is delivered again; and the process waits 30 s, beyond many a grace
    period, for its result to be taken (billiard's `GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT`).
    """

    def flush(self) -> None:
        """Forget what no process has: it is delivered to another worker. After a lost connection, as Celery does."""
        handed_over = {}
        if state.should_stop is not None:
            handed_over = {number: job for number, job in self._cache.items() if self._is_handed_over(job)}
        super().flush()
        self._cache.update(handed_over)

    def _is_handed_over(self, job: Any) -> bool:
        """Return whether a process has the job, or at least its beginning, and will say that it accepts it."""
        process = job._write_to
        return not job._accepted and process is not None and process._is_alive() and job not in self.outbound_buffer


class TaskPool(prefork.TaskPool):
    Pool = FinishingPool
