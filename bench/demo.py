"""`make demo` on a prepared virtual environment: the first thing that a newcomer waits for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Row, at_most, in_turns, median
from bench.waiting import waited_s

RUNS = 3
MOST_S = 5.0


def measure() -> Iterator[Row]:
    samples = in_turns(RUNS, demo=_demo)
    demo_s = median(samples["demo"])
    yield at_most("make demo on a prepared .venv", demo_s, MOST_S, f"{demo_s:.2f} s", samples)


def _demo() -> float:
    with tempfile.TemporaryDirectory(prefix="bench-demo-") as directory:
        return waited_s("make", "demo", f"ARGS=-o {Path(directory) / 'results.json'}")
