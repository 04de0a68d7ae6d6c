"""The main job on a real RabbitMQ, with real workers."""

from __future__ import annotations

from typing import Any


def test_basic_succeeds_and_says_from_evidence_what_ran_where(deployment: Any, command: Any) -> None:
    done = command("dispatch.py", BROKER_URL=deployment.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.endswith("Dispatch completed successfully!\n")
    (results,) = command.results()
    assert {outcome["task"]: outcome["queue"] for outcome in results["outcomes"]} == {
        "task_a": "queue_a",
        "task_b": "queue_b",
    }
