"""Measures the promise matrix: every combination, a few at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import Any

from celery import Celery

from harness import broker
from harness.errors import HarnessError
from harness.matrix import Account, Combination, Matrix, Setting
from harness.matrix_bench import Bench, NeverReady
from harness.matrix_nodes import Place

#: Combinations measured at a time. Their tasks only sleep; what costs is the start of a worker, a second of a core.
PARALLEL = 6
#: The pause between two looks at what is done, in seconds.
_LOOK_S = 0.1


def measure(
    app: Celery,
    place: Place,
    wanted: Sequence[Combination],
    tasks: int,
    on_progress: Callable[[int, Sequence[str]], None],
) -> Matrix:
    """Measure every combination, a few at a time, and return the matrix.

    Args:
        app: Gives the broker; none of its queues is touched.
        tasks: To send in each combination; at least `matrix.FEWEST_TASKS`.
        on_progress: Called now and then with how many are measured, and the names of those in work.

    Raises:
        UnavailableError: The broker does not answer, or no worker can start.
        KeyboardInterrupt: Everything that was started is removed first.
    """
    with broker.connect(app) as connection:
        rabbitmq = str(connection.connection.server_properties.get("version", "unknown"))
    stop, started_at = Event(), time.time()
    seen: dict[str, Any] = {}
    running: dict[Future[Account], Combination] = {}
    accounts: dict[Combination, Account] = {}
    unmeasured: dict[str, str] = {}
    waiting = list(reversed(wanted))
    with ThreadPoolExecutor(PARALLEL) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < PARALLEL:
                    combination = waiting.pop()
                    bench = Bench(app, place, combination, stop, seen)
                    running[pool.submit(bench.measure, tasks)] = combination
                on_progress(len(wanted) - len(waiting) - len(running), [each.name for each in running.values()])
                done, _ = wait(running, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
                for future in done:
                    combination = running.pop(future)
                    try:
                        accounts[combination] = future.result()
                    except HarnessError as exc:
                        if isinstance(exc, NeverReady) and not accounts:
                            raise  # as will every other
                        unmeasured[combination.name] = f"{exc.what}{': ' + exc.why if exc.why else ''}"
        except BaseException:
            stop.set()  # each removes what it has made; the pool waits for that
            raise
    setting = Setting(
        where=place.name,
        rabbitmq=rabbitmq,
        celery=seen.get("celery", "unknown"),
        python=seen.get("python", "unknown"),
        tasks=tasks,
        started_at=started_at,
    )
    ordered = tuple(accounts[combination] for combination in wanted if combination in accounts)
    return Matrix(setting=setting, accounts=ordered, unmeasured=unmeasured)
