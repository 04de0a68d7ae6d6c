"""The worker as a process: its health file, its logs, and how it stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.fleet import worker_command
from tests.conftest import ROOT, WORKER_A, Workers, eventually
from tests.integration.caller import Caller
from worker.health import INTERVAL_S


@dataclass
class Node:
    """A worker-a in a directory of its own, stdout and stderr kept apart as Docker does."""

    process: subprocess.Popen[bytes]
    directory: Path
    streams: Path

    def stderr(self) -> list[str]:
        return (self.streams / "stderr").read_text().splitlines()

    def stdout(self) -> str:
        return (self.streams / "stdout").read_text()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


@pytest.fixture
def node(workers: Workers, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Node]:
    """A node that consumes; the parameter is its HEALTH_FILE, in its directory."""
    directory, streams = tmp_path / "cwd", tmp_path / "streams"
    directory.mkdir()
    streams.mkdir()
    health = {"HEALTH_FILE": str(directory / request.param)} if request.param else {}
    with (streams / "stdout").open("wb") as stdout, (streams / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", *worker_command(WORKER_A)],
            cwd=directory,
            env={**os.environ, "BROKER_URL": workers.url, "PYTHONPATH": str(ROOT), **health},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    made = Node(process, directory, streams)
    try:
        eventually(lambda: workers.roster().nodes or process.poll() is not None, "the worker consumes")
        yield made
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("node", ["healthy"], indirect=True)
def test_the_health_file_is_fresh_exactly_while_the_node_consumes(node: Node) -> None:
    file = node.directory / "healthy"

    def age_s() -> float:
        return time.time() - file.stat().st_mtime

    first = eventually(file.exists, "the health file") and file.stat().st_mtime
    eventually(lambda: file.stat().st_mtime > first, "a later touch", 2 * INTERVAL_S + 5)
    node.process.send_signal(signal.SIGSTOP)
    eventually(lambda: age_s() > 2 * INTERVAL_S + 0.5, "stale while the process is stopped")
    node.process.send_signal(signal.SIGCONT)
    eventually(lambda: age_s() < INTERVAL_S, "fresh again")
    asked = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - asked < 5  # idle
    assert not file.exists()


@pytest.mark.parametrize("node", ["no/such/directory/healthy"], indirect=True)
def test_a_health_file_that_cannot_be_written_is_said_and_costs_no_task(node: Node, workers: Workers) -> None:
    caller = Caller(workers)
    assert caller.final(caller.send())["status"] == "SUCCESS"
    caller.close()
    errors = [json.loads(line) for line in node.stderr() if "health file not written" in line]
    assert errors
    assert "No such file or directory" in errors[0]["reason"]
    assert node.stop() == 0


@pytest.mark.parametrize("node", [None], indirect=True)
def test_a_node_writes_json_lines_alone_and_stops_warmly(node: Node, workers: Workers) -> None:
    """One life of a worker: whatever happens, stderr is one JSON object a line, and no file is written."""
    untouched = node.directory.stat().st_mtime_ns
    caller = Caller(workers)
    run = {"run_id": "run-7"}
    good = caller.send(headers=run)
    failed = caller.send(headers=run, work_s="much")
    retried = caller.send(headers=run, fail_times=1)
    malformed = caller.send(headers={**run, "timelimit": 5})
    unknown = caller.send("task_z", queue="queue_a", headers=run)
    limited = caller.send(work_s=9, headers={**run, "timelimit": [0.2, None]})
    killed = caller.send(work_s=1, headers=run)
    os.kill(caller.until(killed, "STARTED")["result"]["pid"], signal.SIGKILL)
    for task_id in (good, failed, retried, unknown, limited, killed):
        caller.final(task_id)

    last = [caller.send(work_s=1, headers=run) for _ in range(4)]
    for task_id in last[:2]:
        caller.until(task_id, "STARTED")
    assert node.stop() == 0
    # what ran was finished and acknowledged; what was only held went back
    finished = [task_id for task_id in last if "SUCCESS" in caller.states(task_id)]
    assert set(last[:2]) <= set(finished)
    assert all(caller.states(task_id) == ["STARTED", "SUCCESS"] for task_id in finished)
    eventually(lambda: caller.ready("queue_a") == len(last) - len(finished), "what was held is back in the queue")
    caller.close()

    records: list[dict[str, Any]] = [json.loads(line) for line in node.stderr()]
    for record in records:
        assert {"time", "level", "logger", "message"} <= record.keys()
    about = {record.get("task_id") for record in records}
    assert {good, failed, retried, malformed, unknown, limited, killed, *last[:2]} <= about
    for record in records:
        if record.get("task_id"):
            told = {field: record.get(field) for field in ("task", "queue", "node", "attempt", "run_id")}
            assert told == {
                "task": "task_z" if record["task_id"] == unknown else "task_a",
                "queue": "queue_a",
                "node": f"worker-a@{os.uname().nodename}",
                "attempt": told["attempt"] if record["task_id"] in (retried, killed) else 1,
                "run_id": "run-7",
            }
    # each line that Celery writes of a task has its fields, also those of the main process
    untold = [record for record in records if "task_a[" in record["message"] and not record.get("task_id")]
    assert untold == []
    assert "[queues]" in node.stdout()  # Celery's banner
    assert list(node.directory.iterdir()) == []
    assert node.directory.stat().st_mtime_ns == untouched
