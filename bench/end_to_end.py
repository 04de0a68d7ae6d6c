"""No-op tasks there and back through two workers, beside plain Celery on workers of its own, and on the same ones."""

from __future__ import annotations

import time
from collections.abc import Iterator

from celery import group
from celery.result import ResultSet

from bench import noop_app, plain_app
from bench.deployment import dispatch_all, scenario, workers
from bench.measure import Row, in_turns, median, rate

TASKS = 6000
WARM_UP = 200
#: Prefetch multiplier -> rounds of each side, and how many times plain Celery must be reached; None: told, not judged.
PREFETCH = {16: (2, 1.5), 1: (1, None)}


def measure() -> Iterator[Row]:
    for prefetch, (rounds, least) in PREFETCH.items():
        option = f"--prefetch-multiplier={prefetch}"
        with (
            workers("bench.noop_app", noop_app.app, noop_app.WORKERS, option) as roster,
            workers("bench.plain_app", plain_app.app, plain_app.WORKERS, option),
        ):

            def ours(count: int = TASKS) -> float:
                counts = dict.fromkeys(noop_app.QUEUES, count // 2)
                return count / dispatch_all(noop_app.app, roster, scenario(noop_app.WORKERS, counts)).metrics.wall_s

            ours(WARM_UP)
            _plain(WARM_UP)
            samples = in_turns(rounds, warm_ups=0, ours=ours, celery=_plain, same=_same)
        ours_rate, celery_rate, same_rate = (median(samples[side]) for side in ("ours", "celery", "same"))
        yield Row(
            what=f"no-op tasks end to end, {TASKS:,}, prefetch {prefetch}",
            measured=f"{rate(ours_rate)}; plain Celery {rate(celery_rate)} ({ours_rate / celery_rate:.2f} x)",
            must=f"{least:g} x plain Celery" if least else "",
            reached=ours_rate >= least * celery_rate if least else None,
            samples=samples,
        )
        yield Row(
            what=f"no-op tasks end to end, {TASKS:,}, prefetch {prefetch}, the same workers and durability",
            measured=f"{rate(ours_rate)}; group and join_native {rate(same_rate)} ({ours_rate / same_rate:.2f} x)",
            must=f"{least:g} x plain Celery" if least else "",
            reached=ours_rate >= least * same_rate if least else None,
        )


def _plain(count: int = TASKS) -> float:
    tasks = [plain_app.app.tasks[queue] for queue in plain_app.QUEUES]
    start = time.perf_counter()
    ResultSet([tasks[index % 2].apply_async() for index in range(count)], app=plain_app.app).join_native(timeout=300)
    return count / (time.perf_counter() - start)


def _same() -> float:
    """Send a group to our workers, and gather it, as Celery does."""
    tasks = [noop_app.app.tasks[queue] for queue in noop_app.QUEUES]
    start = time.perf_counter()
    sent = group([tasks[index % 2].s() for index in range(TASKS)], app=noop_app.app).apply_async()
    sent.join_native(timeout=300)
    return TASKS / (time.perf_counter() - start)
