"""The doctor's checks on containers: each is made wrong, found, and mended by the very command that it names."""

from __future__ import annotations

import json
from typing import Any

from kombu import Connection

from tests.acceptance.stack import Stack, rabbitmqctl, wait_until


def examined(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return what the doctor found, each check by its name."""
    done = stack.run(".venv/bin/python", "operate.py", "doctor", "--json")
    return {check["check"]: check for check in json.loads(done.stdout)["checks"]}


def mend(stack: Stack, check: dict[str, Any], **environment: str) -> None:
    """Run the command that a check names."""
    command, _, _ = check["fix"].partition(": ")
    stack.output(*command.split(), **environment)
    stack.wait_healthy()


# --- what is gone while workers run ---------------------------------------------------------------


def test_what_is_deleted_while_workers_run_is_declared_by_the_fix(stack: Stack) -> None:
    with stack.restored():
        url = stack.setting("WORKER_BROKER_URL").replace("host.docker.internal", "localhost")
        with Connection(url) as connection:
            channel = connection.channel()
            channel.queue_delete("queue_a.dead")
            channel.exchange_delete("dead")
            channel.queue_unbind("queue_b", "tasks", "queue_b")
        found = examined(stack)
        causes = {
            "queues": "queue_a.dead does not exist",
            "exchanges": "dead does not exist",
            "bindings": "queue_b is not bound to tasks by queue_b",
        }
        for check, cause in causes.items():
            assert found[check]["level"] == "failed"
            assert cause in found[check]["cause"]
        assert len({found[check]["fix"] for check in causes}) == 1
        mend(stack, found["queues"])
        found = examined(stack)
        assert {found[check]["level"] for check in causes} == {"ok"}


# --- settings -------------------------------------------------------------------------------------


def test_settings_that_containers_were_not_made_with_are_found(stack: Stack) -> None:
    with stack.restored():
        env = stack.root / ".env"
        made_with = env.read_text()
        for setting in ("WORKER_CONCURRENCY=3", "WORKER_EVENTS=1"):
            env.write_text(made_with)
            assert examined(stack)["container settings"]["level"] == "ok"
            env.write_text(f"{made_with}{setting}\n")
            found = examined(stack)["container settings"]
            assert found["level"] == "failed"
            for service in ("worker-a", "worker-b"):
                assert f"{stack.name}-{service}-1 was made with other settings than" in found["cause"]
        mend(stack, found)
        assert examined(stack)["container settings"]["level"] == "ok"


# --- hung -----------------------------------------------------------------------------------------


def test_processes_that_stand_still_are_found_and_the_fix_gets_their_tasks_done(stack: Stack) -> None:
    with stack.restored():
        children = 'read main others </proc/1/task/1/children; kill -STOP $(cat /proc/"$main"/task/"$main"/children)'
        assert stack.exec("worker-a", children).returncode == 0
        publish = "from celery_app import task_a; print(task_a.delay(work_s=0).id)"
        stack.output(".venv/bin/python", "-c", publish, BROKER_URL=stack.setting("BROKER_URL"))

        def unacknowledged() -> bool:
            listed = rabbitmqctl("list_queues", "-p", stack.name, "name", "messages_unacknowledged")
            return "queue_a\t1" in listed

        wait_until(unacknowledged, 20, "the node holds the task")
        found = examined(stack)["hung processes"]
        assert found["level"] == "warning"
        assert "runs 0 of 2 tasks, holds 1 more, and started none of them within 1.00 s" in found["cause"]
        mend(stack, found)
        wait_until(lambda: not unacknowledged(), 20, "the task is done")
        found = examined(stack)
        assert found["hung processes"]["level"] == "ok"
        # who published it is gone, and its result waits: that fix mends too
        assert found["reply queues"]["level"] == "warning"
        rabbitmqctl(*found["reply queues"]["fix"].split()[1:])
        assert examined(stack)["reply queues"]["level"] == "ok"
