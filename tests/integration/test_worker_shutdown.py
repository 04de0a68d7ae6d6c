"""A warm shutdown: what a process of the pool has is finished and acknowledged, the rest goes to another worker."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import WORKER_A, Workers, eventually
from tests.integration.caller import Caller


@pytest.fixture
def caller(workers: Workers) -> Iterator[Caller]:
    made = Caller(workers)
    yield made
    made.close()


def pool_of(main: subprocess.Popen[bytes]) -> list[int]:
    told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(main.pid)], capture_output=True, text=True, check=True)
    return [int(pid) for pid in told.stdout.split()]


def test_a_task_that_its_process_has_not_accepted_yet_is_finished_once(
    workers: Workers, caller: Caller, tmp_path: Path
) -> None:
    healthy = tmp_path / "healthy"
    main = workers.start(WORKER_A, HEALTH_FILE=str(healthy))
    eventually(healthy.exists, "healthy")
    assert caller.final(caller.send())["status"] == "SUCCESS"
    pool = pool_of(main)
    for pid in pool:
        os.kill(pid, signal.SIGSTOP)
    try:
        ids = [caller.send(work_s=0.2) for _ in pool]
        eventually(lambda: all(f"{task_id}] received" in workers.log("worker-a") for task_id in ids), "both received")
        main.terminate()
        eventually(lambda: not healthy.exists(), "its consumer has stopped: what the pool keeps is decided")
    finally:
        for pid in pool:
            os.kill(pid, signal.SIGCONT)
    begun = time.monotonic()
    assert main.wait(timeout=60) == 0

    assert time.monotonic() - begun < 15  # billiard would wait 30 s for a result that nobody takes
    assert [caller.states(task_id) for task_id in ids] == [["STARTED", "SUCCESS"]] * 2
    assert caller.ready("queue_a") == 0  # both acknowledged


def test_a_task_that_no_process_has_goes_to_another_worker(workers: Workers, caller: Caller) -> None:
    main = workers.start(WORKER_A, "--prefetch-multiplier=4")
    running = [caller.send(work_s=2) for _ in range(2)]
    for task_id in running:
        caller.until(task_id, "STARTED")
    waiting = [caller.send() for _ in range(4)]
    eventually(lambda: all(f"{task_id}] received" in workers.log("worker-a") for task_id in waiting), "all received")
    main.terminate()
    assert main.wait(timeout=60) == 0

    assert [caller.final(task_id)["result"]["attempt"] for task_id in running] == [1, 1]
    assert [caller.states(task_id) for task_id in waiting] == [[]] * 4
    assert caller.ready("queue_a") == 4
    workers.start(WORKER_A)
    assert [caller.final(task_id)["evidence"]["redelivered"] for task_id in waiting] == [True] * 4
