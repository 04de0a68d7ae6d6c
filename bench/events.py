"""What events cost: no-op tasks on nodes that send none, and on nodes that send them to a monitor's queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.deployment import dispatch_all, scenario, workers
from bench.measure import Row, in_turns, median, rate
from bench.noop_app import QUEUES, WORKERS, app

TASKS = 4000
WARM_UP = 200
ROUNDS = 3
PREFETCH = "--prefetch-multiplier=16"


def measure() -> Iterator[Row]:
    samples = in_turns(ROUNDS, warm_ups=0, off=_throughput, on=lambda: _throughput("-E"))
    off, on = median(samples["off"]), median(samples["on"])
    yield Row(
        what=f"cost of events: no-op tasks end to end, {TASKS:,}, prefetch 16",
        measured=f"{rate(on)} with events, {rate(off)} without ({on / off:.2f} x)",
        must="",
        reached=None,
        samples=samples,
    )


def _throughput(*more: str) -> float:
    """Return the tasks a second of nodes started with `more` arguments."""
    with workers("bench.noop_app", app, WORKERS, PREFETCH, *more) as roster, _monitored():
        for count in (WARM_UP, TASKS):
            wall_s = dispatch_all(app, roster, scenario(WORKERS, dict.fromkeys(QUEUES, count // 2))).metrics.wall_s
    return TASKS / wall_s


@contextmanager
def _monitored() -> Iterator[None]:
    """Have a queue that takes every event and drops it after 5 s, as Celery's own receiver declares one."""
    with app.connection_for_write() as connection, connection.channel() as channel:
        channel.exchange_declare("celeryev", "topic", durable=True, auto_delete=False)
        queue = channel.queue_declare(exclusive=True, arguments={"x-message-ttl": 5000}).queue
        channel.queue_bind(queue, "celeryev", "#")
        yield
