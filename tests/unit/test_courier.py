"""What the courier puts on the wire: Celery's own message, though it is built once for many ids."""

from __future__ import annotations

import json

import celery_app
from harness.batch import Batch
from harness.model.scenario import TaskSpec
from harness.task_ids import TaskIds

IDS = TaskIds("0123456789ab")
SPEC = TaskSpec(task="task_a", count=3, args=(0.5,), kwargs={"fail_times": 1})


def test_a_message_is_the_one_that_celery_builds_for_the_same_id_and_its_run() -> None:
    app = celery_app.app
    ours = Batch.build(app, SPEC, IDS.run_id, expires_s=90.0)
    theirs = app.amqp.as_task_v2(IDS.at(7), "task_a", args=(0.5,), kwargs={"fail_times": 1}, expires=90.0)
    expected = {**theirs.headers, "run_id": IDS.run_id, "expires": ours.headers["expires"]}
    assert ours.headers_for(IDS.at(7)) == expected
    assert json.loads(ours.body) == json.loads(json.dumps(theirs.body))


def test_it_goes_where_the_app_routes_the_task() -> None:
    batch = Batch.build(celery_app.app, TaskSpec(task="task_b"), IDS.run_id, expires_s=90.0)
    assert batch.destination == ("tasks", "queue_b")


def test_a_probe_goes_to_the_queue_that_it_names_and_not_where_the_app_routes_it() -> None:
    batch = Batch.build(celery_app.app, TaskSpec(task="task_b", queue="queue_a"), IDS.run_id, expires_s=90.0)
    assert batch.destination == ("", "queue_a")
