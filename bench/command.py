"""The whole `python dispatch.py`, as a user waits for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.deployment import ROOT, environment, workers
from bench.measure import Failed, Row, in_turns, median
from celery_app import app
from harness.config import load_config

RUNS = 10
MOST_S = 0.45


def measure() -> Iterator[Row]:
    config = load_config(ROOT / "test-config.yml", os.environ)
    with workers("celery_app", app, config.workers), tempfile.TemporaryDirectory(prefix="bench-command-") as directory:
        samples = in_turns(
            RUNS,
            pipe=lambda: _beyond_the_tasks(Path(directory), _to_pipe),
            pty=lambda: _beyond_the_tasks(Path(directory), _to_pty),
        )
    pipe_s, pty_s = median(samples["pipe"]), median(samples["pty"])
    yield Row(
        what="python dispatch.py minus its slowest task",
        measured=f"{pipe_s:.3f} s to a pipe, {pty_s:.3f} s to a terminal",
        must=f"at most {MOST_S} s",
        reached=max(pipe_s, pty_s) <= MOST_S,
        samples=samples,
    )


def _beyond_the_tasks(directory: Path, run: Callable[[list[str]], int]) -> float:
    """Return how much longer than its slowest task the command takes, in seconds."""
    saved = directory / "results.json"
    saved.unlink(missing_ok=True)
    start = time.perf_counter()
    code = run([sys.executable, str(ROOT / "dispatch.py"), "-o", str(saved)])
    whole_s = time.perf_counter() - start
    if code:
        raise Failed(f"dispatch.py ended with {code}")
    outcomes = json.loads(saved.read_text())["outcomes"]
    slowest_s: float = max(outcome["result"]["execution_time"] for outcome in outcomes)
    return whole_s - slowest_s


def _to_pipe(command: list[str]) -> int:
    return subprocess.run(command, env=environment(), capture_output=True, check=False).returncode


def _to_pty(command: list[str]) -> int:
    ours, theirs = os.openpty()

    def read() -> None:
        try:
            while os.read(ours, 65_536):
                pass
        except OSError:
            return  # the terminal's other end was closed

    reader = threading.Thread(target=read)
    try:
        process = subprocess.Popen(command, env=environment(TERM="xterm"), stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        reader.start()
        code = process.wait()
        reader.join()
    finally:
        os.close(ours)
    return code
