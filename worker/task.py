"""The base class of the app's tasks: retries that the broker can delay, a time limit that is reported once."""

from __future__ import annotations

import math
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from celery import Task
from celery.exceptions import TimeLimitExceeded
from celery.worker.request import Request

from worker.logs import about


class AccountedRequest(Request):
    """Celery's request, with another answer to the hard time limit: a FAILURE, and a copy in the dead letters.

    Celery 5.7 hears of it twice, as a failure of the job and as a timeout, and publishes a FAILURE each time; it
    then acknowledges the message, or else requeues it until the delivery limit.
    """

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        exc = exc_info.exception
        if isinstance(exc.exc if isinstance(exc, ExceptionWithTraceback) else exc, TimeLimitExceeded):
            return  # on_timeout comes next
        with about(self.request_dict, self.hostname):
            super().on_failure(exc_info, send_failed_event, return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        with about(self.request_dict, self.hostname):
            if not soft:
                self.reject(requeue=False)
            super().on_timeout(soft, timeout)


class AccountedTask(Task):
    """Celery's task, whose retries wait whole seconds and at least one.

    RabbitMQ's delay exchanges know no fractions: Celery raises on one inside `retry`, and the task is rejected.
    Without a wait, the next attempt starts elsewhere before this one has told of its RETRY.
    """

    Request = AccountedRequest

    def retry(self, *args: Any, eta: Any = None, countdown: float | None = None, **options: Any) -> Any:
        if eta is None:
            countdown = max(1, math.ceil(self.default_retry_delay if countdown is None else countdown))
        return super().retry(*args, eta=eta, countdown=countdown, **options)
