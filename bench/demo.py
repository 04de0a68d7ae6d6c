"""`make demo` on a prepared virtual environment: the first thing that a newcomer waits for."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.deployment import ROOT, environment
from bench.measure import Failed, Row, in_turns, median

RUNS = 3
MOST_S = 5.0


def measure() -> Iterator[Row]:
    samples = in_turns(RUNS, demo=_demo)
    demo_s = median(samples["demo"])
    yield Row(
        what="make demo on a prepared .venv",
        measured=f"{demo_s:.2f} s",
        must=f"at most {MOST_S:g} s",
        reached=demo_s <= MOST_S,
        samples=samples,
    )


def _demo() -> float:
    with tempfile.TemporaryDirectory(prefix="bench-demo-") as directory:
        arguments = f"ARGS=-o {Path(directory) / 'results.json'}"
        start = time.perf_counter()
        done = subprocess.run(
            ["make", "demo", arguments], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
        )
        demo_s = time.perf_counter() - start
    if done.returncode:
        raise Failed(f"make demo ended with {done.returncode}: {done.stderr[-300:]}")
    return demo_s
