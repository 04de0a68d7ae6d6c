"""What durability costs: the product beside Celery as it comes, on tasks that do nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from celery import Celery
from celery.result import ResultSet

from bench import noop_app, stock_app, told_app
from bench.deployment import dispatch_all, scenario, workers
from bench.measure import Row, in_turns, median, milliseconds, rate
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import Roster
from harness.stats import percentile

TASKS = 4000
WARM_UP = 200
ROUNDS = 2
#: Round trips of single tasks, one every so many seconds.
TRIPS, EVERY_S = 200, 0.02
PREFETCH = "--prefetch-multiplier=16"


def measure() -> Iterator[Row]:
    with (
        workers("bench.noop_app", noop_app.app, noop_app.WORKERS, PREFETCH) as roster,
        workers("bench.stock_app", stock_app.app, stock_app.WORKERS, PREFETCH),
    ):
        durable = _durable(roster)
        durable(WARM_UP)
        _stock(WARM_UP)
        rates = in_turns(ROUNDS, warm_ups=0, durable=durable, stock=_stock)
        trips = in_turns(1, warm_ups=0, durable=lambda: _paced(roster), stock=_stock_trips)
    ours, stock = median(rates["durable"]), median(rates["stock"])
    yield Row(
        what=f"cost of durability: no-op tasks end to end, {TASKS:,}, prefetch 16",
        measured=f"{rate(ours)}; stock rpc:// with early acks {rate(stock)} ({ours / stock:.2f} x)",
        must="",
        reached=None,
        samples=rates,
    )
    ours, stock = trips["durable"][0], trips["stock"][0]
    yield Row(
        what=f"cost of durability: round trip of a no-op task, {1 / EVERY_S:.0f} a second, p50",
        measured=f"{milliseconds(ours)}; stock rpc:// with early acks {milliseconds(stock)} ({ours / stock:.2f} x)",
        must="",
        reached=None,
        samples=trips,
    )
    told = in_turns(
        ROUNDS,
        warm_ups=0,
        at_once=lambda: _fresh("bench.told_app", told_app.app),
        held=lambda: _fresh("bench.noop_app", noop_app.app),
    )
    at_once, held = median(told["at_once"]), median(told["held"])
    yield Row(
        what="cost of lifecycle states: every STARTED published at once",
        measured=f"{rate(at_once)}; held back {rate(held)} ({at_once / held:.2f} x)",
        must="",
        reached=None,
        samples=told,
    )


def _fresh(module: str, app: Celery) -> float:
    """Return the throughput of workers that are started for it: both kinds consume the same queues."""
    with workers(module, app, noop_app.WORKERS, PREFETCH) as roster:
        run = _durable(roster)
        run(WARM_UP)
        return run(TASKS)


def _durable(roster: Roster) -> Callable[..., float]:
    def throughput(count: int = TASKS) -> float:
        counts = dict.fromkeys(noop_app.QUEUES, count // 2)
        return count / dispatch_all(noop_app.app, roster, scenario(noop_app.WORKERS, counts)).metrics.wall_s

    return throughput


def _stock(count: int = TASKS) -> float:
    tasks = [stock_app.app.tasks[queue] for queue in stock_app.QUEUES]
    start = time.perf_counter()
    ResultSet([tasks[index % 2].apply_async() for index in range(count)], app=stock_app.app).join_native(timeout=300)
    return count / (time.perf_counter() - start)


def _paced(roster: Roster) -> float:
    tasks = (TaskSpec(task=noop_app.QUEUES[0], count=TRIPS, rate=1 / EVERY_S),)
    paced = Scenario(name="paced", description="", workers=noop_app.WORKERS, tasks=tasks, timeout_s=60)
    round_trip = dispatch_all(noop_app.app, roster, paced).metrics.round_trip
    assert round_trip is not None
    return round_trip.p50_s


def _stock_trips() -> float:
    task, trips_s, begun = stock_app.app.tasks[stock_app.QUEUES[0]], [], time.perf_counter()
    for number in range(TRIPS):
        time.sleep(max(begun + number * EVERY_S - time.perf_counter(), 0))
        start = time.perf_counter()
        task.apply_async().get(timeout=30)
        trips_s.append(time.perf_counter() - start)
    return percentile(trips_s, 50)
