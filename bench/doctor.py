"""`operate.py doctor` on worker processes that are as they should be: how long a person waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

from bench.deployment import ROOT, environment, workers
from bench.measure import Failed, Row, in_turns, median
from celery_app import app
from harness.config import load_config

RUNS = 5
MOST_S = 3.0


def measure() -> Iterator[Row]:
    config = load_config(ROOT / "test-config.yml", os.environ)
    with workers("celery_app", app, config.workers):
        samples = in_turns(RUNS, doctor=_doctor)
    doctor_s = median(samples["doctor"])
    yield Row(
        what="operate.py doctor on a healthy deployment",
        measured=f"{doctor_s:.2f} s, at most {max(samples['doctor']):.2f} s of {RUNS}",
        must=f"at most {MOST_S:g} s",
        reached=doctor_s <= MOST_S,
        samples=samples,
    )


def _doctor() -> float:
    own = environment(COMPOSE_PROJECT_NAME=f"bench-{os.getpid()}")  # not the containers that this machine may have
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "operate.py", "doctor"], cwd=ROOT, env=own, capture_output=True, text=True, check=False
    )
    doctor_s = time.perf_counter() - start
    if done.returncode:
        raise Failed(done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-300:])
    return doctor_s
