"""Remote commands beyond Celery's own: send events, lose the broker connection, say how often, tell the time."""

from __future__ import annotations

import socket
import time
from typing import Any

from celery.worker.control import control_command, inspect_command, ok
from celery.worker.control import enable_events as celery_enable_events

#: How long the answer has to leave before the connection goes, in seconds.
ANSWER_S = 0.2


@control_command()
def drop_connection(state: Any, **_: Any) -> dict[str, int]:
    """Lose this node's broker connection; Celery makes a new one. Answers with how often it was made before."""
    state.consumer.timer.call_after(ANSWER_S, _drop, (state.consumer,))
    return _made(state)


@control_command()
def enable_events(state: Any, **_: Any) -> dict[str, str]:
    """Send task-related events; beyond Celery's own, also from a node that was started without any."""
    consumer = state.consumer
    if consumer.event_dispatcher is None:
        consumer.events_on_request.begin(consumer)
        answer: dict[str, str] = ok("task events enabled")
    else:
        answer = celery_enable_events(state)
    return answer


@inspect_command()
def connections_made(state: Any, **_: Any) -> dict[str, int]:
    """Say how often this node has made its broker connection since it started."""
    return _made(state)


@inspect_command()
def wall_clock(state: Any, **_: Any) -> dict[str, float]:
    """Tell the time by this node's clock, in seconds since the epoch."""
    return {"time": time.time()}


def _made(state: Any) -> dict[str, int]:
    return {"connections": state.consumer.restart_count + 1}


def _drop(consumer: Any) -> None:
    """End the socket as a network that fails does: the event loop finds it closed."""
    transport = consumer.connection.connection.transport
    transport.sock.shutdown(socket.SHUT_RDWR)
