"""How the dispatcher's memory grows with the number of tasks: a process of its own for each run.

`python -m bench.memory COUNT` is that process.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.deployment import ROOT, environment, workers
from bench.measure import Row
from bench.noop_app import WORKERS, app

FEW, MANY = 100, 50_000
MOST_MB = 20.0


def measure() -> Iterator[Row]:
    with workers("bench.noop_app", app, WORKERS, "--prefetch-multiplier=16", "--loglevel=WARNING"):
        few_mb, many_mb = _peak_mb_of_run(FEW), _peak_mb_of_run(MANY)
    yield Row(
        what=f"dispatcher's resident memory, {FEW} against {MANY:,} tasks",
        measured=f"{few_mb:.1f} MB and {many_mb:.1f} MB: grows by {many_mb - few_mb:.1f} MB",
        must=f"less than {MOST_MB:g} MB",
        reached=many_mb - few_mb < MOST_MB,
        samples={"few_mb": [few_mb], "many_mb": [many_mb]},
    )


def _peak_mb_of_run(count: int) -> float:
    command = [sys.executable, "-m", "bench.memory", str(count)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def _run(count: int) -> None:
    from bench.deployment import dispatch_all, scenario
    from bench.noop_app import QUEUES
    from harness.roster import wait_for_workers

    roster = wait_for_workers(app, WORKERS, 10, on_wait=lambda text: None, explain=lambda spec: "")
    dispatch_all(app, roster, scenario(WORKERS, dict.fromkeys(QUEUES, count // 2)))
    print(_peak_mb())


def _peak_mb() -> float:
    """Return the largest resident memory of this process so far."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux; macOS counts bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    # not ru_maxrss, which on Linux includes what the parent had when it forked
    (peak_kb,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(peak_kb) * 1024 / 1e6


if __name__ == "__main__":
    _run(int(sys.argv[1]))
