"""The broker answers `basic.nack`: a queue that is full and refuses, until it has room or for good."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.stack import rabbitmqctl
from tests.conftest import WORKER_A, Command, Workers

TASKS = 40
#: RabbitMQ tells publishers of a quorum queue that is full: what is on its way by then comes in nevertheless.
SHORT = '{"max-length": 2, "overflow": "reject-publish"}'


@pytest.fixture
def short(workers: Workers) -> Workers:
    """worker-a, the only one, whose queue refuses what is more than two messages."""
    workers.start(WORKER_A)
    vhost = workers.url.rpartition("/")[2]
    rabbitmqctl("set_policy", "-p", vhost, "short", "^queue_a$", SHORT, "--apply-to", "queues")
    return workers


def dispatched(user: Command, url: str, *tasks: dict[str, Any]) -> dict[str, Any]:
    scenario = {"description": "More than a queue takes", "tasks": tasks, "timeout": "20s"}
    config = {"version": 1, "workers": {"worker-a": {"queue": "queue_a"}}, "scenarios": {"many": scenario}}
    (user.directory / "many.yml").write_text(json.dumps(config))
    done = user.dispatch("many", "--config", "many.yml", BROKER_URL=url)
    assert "Traceback" not in done.stderr
    (results,) = user.results()
    assert done.returncode == results["exit_code"]
    return results


def test_what_is_refused_is_published_again_until_the_queue_has_room(short: Workers, user: Command) -> None:
    faster = {"task": "task_a", "count": TASKS, "kwargs": {"work_s": 0.03}, "rate": "100/s"}
    results = dispatched(user, short.url, faster)
    assert results["exit_code"] == 0, results["checks"]
    assert any("basic.nack" in note for note in results["notes"]), results["notes"]
    figures = ("attempted", "acknowledged", "succeeded", "unacknowledged", "duplicated")
    assert [results["ledger"][figure] for figure in figures] == [TASKS, TASKS, TASKS, 0, 0]
    assert user.journals() == []


def test_what_is_refused_for_good_is_not_called_sent_and_holds_up_nothing(workers: Workers, user: Command) -> None:
    workers.start(WORKER_A)
    with workers.app.connection_for_write() as connection:
        arguments = {"x-max-length": 0, "x-overflow": "reject-publish"}
        connection.channel().queue_declare("full", durable=True, auto_delete=False, arguments=arguments)
    refused = {"task": "task_a", "queue": "full", "expect": {"state": "unacknowledged"}}
    results = dispatched(user, workers.url, refused, {"task": "task_a", "kwargs": {"work_s": 0}})
    assert results["exit_code"] == 0, results["checks"]
    ended = {outcome["state"]: outcome["error"] for outcome in results["outcomes"]}
    assert ended == {"succeeded": None, "unacknowledged": "the broker refused it 6 times (basic.nack)"}
