"""A broker URL of several hosts, as of a cluster, of which the first is down."""

from __future__ import annotations

from pathlib import Path

from harness import broker
from tests.acceptance.rabbit import closed_port
from tests.conftest import WORKER_A, Workers, load_app


def test_a_node_consumes_and_delays_through_the_next_host_without_waiting_for_the_first(
    broker_url: str, tmp_path: Path
) -> None:
    url = f"{broker_url.replace('5672', str(closed_port()))};{broker_url}"
    workers = Workers(url, load_app(url), tmp_path)
    try:
        workers.start(WORKER_A)
        seen = workers.roster()
        with broker.connect(workers.app) as connection, connection.channel() as channel:
            channel.exchange_declare("celery_delayed_27", "topic", passive=True)  # it raises where there is none
    finally:
        workers.kill_all()

    assert seen.consumers == {"queue_a": 1, "queue_b": 0}
    waited = [one for one in workers.records("worker-a") if one["logger"] == "celery.worker.consumer.delayed_delivery"]
    assert not waited
