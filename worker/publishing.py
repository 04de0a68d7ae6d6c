"""Publishing in which a message that reaches no queue is an error, for every way Celery has to publish a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.app.amqp import AMQP

#: How long the broker may take to confirm a message, in seconds.
CONFIRM_TIMEOUT_S = 5.0


class ConfirmedAMQP(AMQP):
    """Celery's message factory; publishes mandatory and bounded in time.

    `confirm_publish` alone confirms a message that was routed nowhere: RabbitMQ returns it only where it was
    published as mandatory (py-amqp then raises `ChannelError` 312 NO_ROUTE). Retries go this way too.
    """

    def _create_task_sender(self) -> Callable[..., Any]:
        send = super()._create_task_sender()

        def send_task_message(producer: Any, name: str, message: Any, **options: Any) -> Any:
            options.setdefault("mandatory", True)
            options.setdefault("confirm_timeout", CONFIRM_TIMEOUT_S)
            return send(producer, name, message, **options)

        return send_task_message
