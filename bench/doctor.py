"""A healthy deployment: `operate.py doctor` on worker processes, `./setup.sh doctor` on containers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from bench.deployment import ROOT, workers
from bench.measure import Row, at_most, in_turns, median
from bench.project import project
from bench.waiting import waited_s
from celery_app import app
from harness.config import load_config

RUNS = 5
MOST_S = 3.0


def measure() -> Iterator[Row]:
    config = load_config(ROOT / "test-config.yml", os.environ)
    with workers("celery_app", app, config.workers):
        yield _judged("operate.py doctor on a healthy deployment", in_turns(RUNS, doctor=_doctor))
    with project() as copy:
        copy.waited_s("./setup.sh", "--yes")
        samples = in_turns(RUNS, doctor=lambda: copy.waited_s("./setup.sh", "doctor"))
    yield _judged("  ./setup.sh doctor on a healthy set-up", samples)


def _judged(what: str, samples: dict[str, list[float]]) -> Row:
    doctor_s = median(samples["doctor"])
    measured = f"{doctor_s:.2f} s, at most {max(samples['doctor']):.2f} s of {RUNS}"
    return at_most(what, doctor_s, MOST_S, measured, samples)


def _doctor() -> float:
    nobody = f"bench-{os.getpid()}"  # not the containers that this machine may have
    return waited_s(sys.executable, "operate.py", "doctor", COMPOSE_PROJECT_NAME=nobody)
