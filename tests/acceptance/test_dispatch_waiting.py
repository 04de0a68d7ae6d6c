"""Workers that come later, or were started by hand: what answers through the broker is what counts."""

from __future__ import annotations

from typing import Any

from tests.conftest import WORKER_A, WORKER_B


def test_workers_that_come_later_are_waited_for(workers: Any, user: Any) -> None:
    process = user.start("dispatch.py", "--format", "plain", "--wait-workers", "60s", BROKER_URL=workers.url)
    assert process.stderr.readline() == "waiting for worker-a on queue_a, worker-b on queue_b\n"
    assert process.poll() is None

    workers.start(WORKER_A)  # returns once it consumes
    assert process.stderr.readline() == "waiting for worker-b on queue_b\n"
    workers.start(WORKER_B, wait=False)

    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.endswith("Result from task_a: Hello from Task A\nResult from task_b: Hello from Task B\n")
    assert err == ""


def test_workers_started_by_hand_need_no_docker(deployment: Any, user: Any, tmp_path: Any) -> None:
    (tmp_path / "empty").mkdir()

    done = user.dispatch("--format", "plain", BROKER_URL=deployment.url, PATH=str(tmp_path / "empty"))

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_without_docker_a_missing_worker_is_still_explained(broker_url: str, user: Any, tmp_path: Any) -> None:
    (tmp_path / "empty").mkdir()

    done = user.dispatch("--wait-workers", "300ms", BROKER_URL=broker_url, PATH=str(tmp_path / "empty"))

    assert done.returncode == 69
    public = broker_url.replace("guest:guest@", "guest@")
    assert f"  why: no node answers through {public}\n" in done.stderr
