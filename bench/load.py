"""The load generator: how late it is at a rate, what memory and processor time 100,000 tasks take, and for what.

`python -m bench.load open|many|profile` is one run, in a process of its own; it prints a JSON object.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.deployment import ROOT, TIMEOUT_S, environment, workers
from bench.measure import Failed, Row, milliseconds
from bench.noop_app import WORKERS, app
from harness.load_plan import LoadPlan, plan
from harness.load_run import LoadRun, queues
from harness.model.load import LoadProfile
from harness.render.load_json import load_document
from harness.roster import wait_for_workers

RATE, DURATION_S, WARMUP_S = 200.0, 30.0, 2.0
MOST_LAG_S = 0.005
LEAST_ACHIEVED = 0.995
MANY = 100_000
MOST_MB = 80.0
PROFILED = 10_000
#: Parts of the profile that are named.
NAMED = 6

RUNS = {
    "open": LoadProfile(rate=RATE, duration_s=DURATION_S + WARMUP_S, warmup_s=WARMUP_S),
    "many": LoadProfile(tasks=MANY // len(WORKERS), timeout_s=TIMEOUT_S),
    "profile": LoadProfile(tasks=PROFILED // len(WORKERS), timeout_s=TIMEOUT_S),
}


def measure() -> Iterator[Row]:
    with workers("bench.noop_app", app, WORKERS, "--prefetch-multiplier=16", "--loglevel=WARNING"):
        paced, many, parts = (_run(name) for name in RUNS)
    yield _open(paced)
    lost = MANY - many["ledger"]["succeeded"]
    peak_mb = many["generator"]["peak_bytes"] / 1e6
    yield Row(
        what=f"load of {MANY:,} no-op tasks: resident memory, and what is lost",
        measured=f"{peak_mb:.1f} MB; {lost} lost; {many['rates']['throughput_per_s']:,.0f}/s",
        must=f"at most {MOST_MB:g} MB, 0 lost",
        reached=peak_mb <= MOST_MB and lost == 0 and many["ledger"]["balanced"],
        samples={"peak_mb": [peak_mb], "lost": [lost]},
    )
    cpu_s = many["generator"]["cpu_per_task_s"]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in parts.items())
    yield Row(
        what="load generator: processor time of a task",
        measured=f"{cpu_s * 1e6:.0f} µs; {shares}",
        samples={"cpu_per_task_s": [cpu_s]},
    )


def _open(document: dict[str, Any]) -> Row:
    lag_s = document["latencies"]["lag"]["p99_s"]
    achieved = document["rates"]["achieved_per_s"] / RATE
    return Row(
        what=f"open load, {RATE:g}/s for {DURATION_S:g} s: generator lag p99, achieved of offered",
        measured=f"{milliseconds(lag_s)}, {achieved:.2%}",
        must=f"at most {milliseconds(MOST_LAG_S)}, at least {LEAST_ACHIEVED:.1%}",
        reached=lag_s <= MOST_LAG_S and achieved >= LEAST_ACHIEVED,
        samples={"lag_p99_s": [lag_s], "achieved": [achieved]},
    )


def _run(name: str) -> Any:
    command = [sys.executable, "-m", "bench.load", name]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _load(asked: LoadPlan) -> dict[str, Any]:
    """Run a load as the command does; every task must succeed, once."""
    roster = wait_for_workers(app, WORKERS, 10, on_wait=lambda text: None, explain=lambda spec: "")
    loading = LoadRun(
        app, asked, roster, on_note=lambda text: None, on_progress=lambda at: None, wants_progress=lambda: False
    )
    report = loading.execute()
    if report.failed_checks:
        raise Failed(f"{report.failed_checks[0].name}: {report.failed_checks[0].evidence}")
    return load_document(report)


def _profiled(asked: LoadPlan) -> dict[str, float]:
    """Return the parts of the program that take the most processor time of a load, each with its share."""
    profile = cProfile.Profile()
    profile.runcall(_load, asked)
    spent_s: Counter[str] = Counter()
    for (file, _, function), (_, _, own_s, _, _) in pstats.Stats(profile).stats.items():
        if "poll" not in function and "select" not in function:  # waits
            spent_s[_part(file)] += own_s
    total_s = spent_s.total()
    return {part: own_s / total_s for part, own_s in spent_s.most_common(NAMED)}


def _part(file: str) -> str:
    """Return a module of ours by its name, a package by its own, and the interpreter's built-in functions."""
    path = Path(file)
    if path.is_relative_to(ROOT / "harness"):
        return str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
    if "site-packages" in path.parts:
        return path.parts[path.parts.index("site-packages") + 1]
    return "built-in functions" if file == "~" else "standard library"


if __name__ == "__main__":
    asked = plan(sys.argv[1], RUNS[sys.argv[1]], WORKERS, queues(app))
    print(json.dumps(_profiled(asked) if sys.argv[1] == "profile" else _load(asked)))
