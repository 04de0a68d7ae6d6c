"""Confirmed publishing of 8,000 tasks that nobody consumes: the courier, Celery, and bare py-amqp."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

from amqp import Connection, Message
from celery import Celery
from kombu.serialization import dumps
from kombu.utils.url import url_to_parts

from bench.deployment import dispatch, scenario
from bench.measure import Failed, Row, in_turns, median, rate
from bench.noop_app import QUEUES, WORKERS, app
from bench.plain_app import plain_celery
from harness.model.topology import Roster
from harness.run import Run
from worker.topology import declare

TASKS = 8000
CELERY_TASKS = 1000
ROUNDS = 5
LEAST_TIMES_CELERY = 8.0
LEAST_OF_BARE = 0.6


def measure() -> Iterator[Row]:
    queue = QUEUES[0]
    plain = plain_celery({queue: queue}, confirmed=True)
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        declare(channel, list(app.amqp.queues.values()))

        def emptied(side: Callable[[], float]) -> Callable[[], float]:
            def run() -> float:
                per_second = side()
                channel.queue_purge(queue)
                return per_second

            return run

        samples = in_turns(
            ROUNDS,
            courier=emptied(lambda: confirmed_rate(app)),
            celery=emptied(lambda: _celery(plain)),
            bare=emptied(_bare),
        )
    courier, celery, bare = (median(samples[side]) for side in ("courier", "celery", "bare"))
    yield Row(
        what=f"confirmed publishing, {TASKS:,} tasks",
        measured=f"{rate(courier)}; Celery {rate(celery)} ({courier / celery:.1f} x), "
        f"bare py-amqp {rate(bare)} ({courier / bare:.0%})",
        must=f"{LEAST_TIMES_CELERY:g} x Celery, {LEAST_OF_BARE:.0%} of bare",
        reached=courier >= LEAST_TIMES_CELERY * celery and courier >= LEAST_OF_BARE * bare,
        samples=samples,
    )


def confirmed_rate(app: Celery) -> float:
    """Return what a run publishes a second; it is left, as by a second Ctrl-C, once all is confirmed."""
    confirmed_s = 0.0

    def leave_when_confirmed(run: Run) -> None:
        nonlocal confirmed_s
        if run.ledger.acknowledged == TASKS:
            confirmed_s = run.courier.now() - run.courier.started_at
            raise KeyboardInterrupt

    report = dispatch(app, Roster(), scenario(WORKERS, {QUEUES[0]: TASKS}), on_tick=leave_when_confirmed)
    if report.ledger.acknowledged != TASKS:
        raise Failed(f"{report.ledger.acknowledged} of {TASKS} confirmed")
    return TASKS / confirmed_s


def _celery(plain: Celery) -> float:
    task = plain.tasks[QUEUES[0]]
    start = time.perf_counter()
    for _ in range(CELERY_TASKS):
        task.apply_async()
    return CELERY_TASKS / (time.perf_counter() - start)


def _bare() -> float:
    """Return what py-amqp publishes a second of the same message, counting confirms as they arrive."""
    url = url_to_parts(os.environ["BROKER_URL"])
    built = app.amqp.as_task_v2("", QUEUES[0], args=(), kwargs={}, expires=60, root_id="-")
    body = dumps(built.body, serializer="json")[2].encode()
    below, singly = 0, set[int]()  # confirmed: every tag up to the first, and these

    def count(tag: int, multiple: bool) -> None:
        nonlocal below, singly
        if multiple:
            below, singly = tag, {one for one in singly if one > tag}
        else:
            singly.add(tag)

    with Connection(f"{url.hostname}:{url.port}", url.username, url.password, virtual_host=url.path) as connection:
        channel = connection.channel()
        channel.confirm_select()
        channel.events["basic_ack"].add(count)
        start = time.perf_counter()
        for index in range(TASKS):
            task_id = f"00000000-0000-8000-8000-{index:012x}"
            message = Message(
                body,
                application_headers={**built.headers, "run_id": "0", "id": task_id, "root_id": task_id},
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=2,
                correlation_id=task_id,
                reply_to="nowhere",
                expiration="60000",
            )
            channel.basic_publish(message, exchange="tasks", routing_key=QUEUES[0], mandatory=True)
        while below + len(singly) < TASKS:
            connection.drain_events(timeout=30)
        return TASKS / (time.perf_counter() - start)
