"""Three RabbitMQ nodes in a cluster beside one alone: what a copy on each node costs, and what it is good for.

All of them are processes of this machine, on its disk and processors: the figures tell what replication costs, not what
three machines could do.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

from celery import Celery

from bench.deployment import dispatch, dispatch_all, scenario, workers
from bench.measure import Failed, Row, in_turns, median, rate
from bench.noop_app import QUEUES, WORKERS, noop_celery
from bench.publishing import TASKS as PUBLISHED
from bench.publishing import confirmed_rate
from harness.model.report import Report
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import Roster
from tests.own_broker import OwnBroker, own_broker, own_cluster
from worker.topology import declare

NODES = 3
ROUNDS = 3
TASKS = 4000
WARM_UP = 200
VHOST = "bench"
#: Tasks a second while a node is killed, for how long, and after how long that happens, in seconds.
LOAD, LOAD_S, KILL_AFTER_S = 40, 15.0, 5.0


def measure() -> Iterator[Row]:
    with own_cluster(NODES) as nodes, own_broker() as alone:
        for node in (nodes[0], alone):
            node.make_vhost(VHOST)
        urls = {"one": alone.url(VHOST), "three": ";".join(node.url(VHOST) for node in nodes)}
        yield from _throughput(urls)
        with _broker(urls["three"]) as app, workers("bench.noop_app", app, WORKERS) as roster:
            for number, words in ((0, "to which all clients are connected"), (2, "to which no client is connected")):
                yield _killed(app, roster, nodes[number], words)
                nodes[number].start()


def _throughput(urls: dict[str, str]) -> Iterator[Row]:
    apps = {side: noop_celery(url) for side, url in urls.items()}
    published = in_turns(ROUNDS, **{side: _publishing(app) for side, app in apps.items()})
    yield _compared(f"confirmed publishing, {PUBLISHED:,} tasks", published)
    with _consumed(urls["one"]) as one, _consumed(urls["three"]) as three:
        ended = in_turns(ROUNDS, one=one, three=three)
    yield _compared(f"no-op tasks end to end, {TASKS:,}, prefetch 16", ended)


def _compared(what: str, samples: dict[str, list[float]]) -> Row:
    one, three = median(samples["one"]), median(samples["three"])
    return Row(
        what=f"{what}: a cluster of {NODES} nodes on this machine",
        measured=f"{rate(three)}; one node {rate(one)} ({three / one:.2f} x)",
        samples=samples,
    )


def _publishing(app: Celery) -> Callable[[], float]:
    def published() -> float:
        with app.connection_for_write() as connection:
            channel = connection.default_channel
            declare(channel, list(app.amqp.queues.values()))
            per_second = confirmed_rate(app)
            channel.queue_purge(QUEUES[0])
        return per_second

    return published


@contextmanager
def _broker(url: str) -> Iterator[Celery]:
    """Make `url` the broker of every worker that is started, and yield an app on it."""
    before = os.environ["BROKER_URL"]
    os.environ["BROKER_URL"] = url
    try:
        yield noop_celery(url)
    finally:
        os.environ["BROKER_URL"] = before


@contextmanager
def _consumed(url: str) -> Iterator[Callable[[], float]]:
    """Start workers on a broker, and yield what measures no-op tasks a second through them."""
    with _broker(url) as app, workers("bench.noop_app", app, WORKERS, "--prefetch-multiplier=16") as roster:

        def ended(count: int = TASKS) -> float:
            counts = dict.fromkeys(QUEUES, count // 2)
            return count / dispatch_all(app, roster, scenario(WORKERS, counts)).metrics.wall_s

        ended(WARM_UP)
        yield ended


def _killed(app: Celery, roster: Roster, node: OwnBroker, words: str) -> Row:
    """Kill a node while tasks come at a fixed rate; none may be lost, or refused for good."""
    count = int(LOAD * LOAD_S)
    tasks = tuple(TaskSpec(task=queue, count=count // 2, rate=LOAD / 2) for queue in QUEUES)
    paced = Scenario(name="paced", description="", workers=WORKERS, tasks=tasks, timeout_s=120)
    strike = Timer(KILL_AFTER_S, node.kill)
    strike.start()
    try:
        report = dispatch(app, roster, paced)
    finally:
        strike.join()
    ledger = report.ledger
    if ledger.attempted != count or not report.outcomes:
        raise Failed(str(ledger))
    return Row(
        what=f"one of {NODES} nodes is killed under {LOAD} tasks a second, one {words}",
        measured=f"{ledger.succeeded} of {count} succeeded, {ledger.unacknowledged} refused, {ledger.lost} lost, "
        f"{ledger.duplicated} duplicated ({ledger.unexplained} unexplained); "
        f"no outcome for {_longest_pause_s(report):.1f} s",
        must="each succeeded, 0 unexplained",
        reached=ledger.succeeded == count and not ledger.unexplained,
    )


def _longest_pause_s(report: Report) -> float:
    ended = sorted(outcome.replied_at for outcome in report.outcomes if outcome.replied_at is not None)
    return max(later - earlier for earlier, later in itertools.pairwise(ended))
