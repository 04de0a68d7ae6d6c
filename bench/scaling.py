"""What replicas bring: the scaling curve of containers, how soon new ones consume, what scaling under load loses."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from bench.container import Stack, settings, stack, started_at
from bench.deployment import ROOT
from bench.measure import Failed, Row, median
from celery_app import app
from harness.compose import ComposeFleet
from harness.model.topology import WorkerSpec
from harness.scaling import Scaling

SERVICE = WorkerSpec(service="worker-a", queue="queue_a")
STEPS = (1, 2, 4)
WORK = "50ms"
LEAST_EFFICIENCY = 0.95
MOST_S = 4.0
ROUNDS = 5
CHANGES = 20
#: It names the nodes that came after the load had begun: here they are meant to.
WHO_WAS_THERE = "every task on a worker of that queue alone"
#: How long nodes may take to consume, and a container to finish its tasks, in seconds.
WAIT_S = 60.0


def measure() -> Iterator[Row]:
    with stack() as made, tempfile.TemporaryDirectory() as results:
        project = settings(COMPOSE_PROJECT_NAME=made.name, WORKER_CONCURRENCY="1", PWD=results)
        fleet = ComposeFleet(ROOT, project)
        scaling = Scaling(app, fleet, [SERVICE], env_file=ROOT / ".env", exported=project, note=lambda text: None)
        _set(scaling, 1)
        yield _curve(project)
        yield _up(scaling, made)
        yield _under_load(scaling, project)


def _set(scaling: Scaling, number: int) -> None:
    """Set the replicas; return once exactly their nodes consume."""
    scaling.set({SERVICE.service: number}, WAIT_S, keep=False)


def _curve(project: dict[str, str]) -> Row:
    steps = ",".join(map(str, STEPS))
    told = _load(project, "--sweep", steps, "--in-flight", "64", "--duration", "15s", "--warmup", "3s")
    efficiency = told["curve"][-1]["efficiency"]
    rates = ", ".join(f"{point['replicas']}: {point['throughput_per_s']:.1f}/s" for point in told["curve"])
    return Row(
        what=f"1 to {STEPS[-1]} replicas, {WORK} tasks, concurrency 1: efficiency",
        measured=f"{efficiency:.1%}; {rates}",
        must=f"at least {LEAST_EFFICIENCY:.0%}",
        reached=efficiency >= LEAST_EFFICIENCY,
        samples={"throughput_per_s": [point["throughput_per_s"] for point in told["curve"]]},
    )


def _up(scaling: Scaling, made: Stack) -> Row:
    consuming_s = []
    for _ in range(ROUNDS):
        _set(scaling, 1)
        before = {one["Id"] for one in made.containers()}
        _set(scaling, 4)
        consuming_at = time.time()
        first_at = min(started_at(one["State"]) for one in made.containers() if one["Id"] not in before)
        consuming_s.append(consuming_at - first_at)
    _set(scaling, 1)
    return Row(
        what="1 to 4 replicas: until all four consume, from the start of the first new container",
        measured=f"{median(consuming_s):.1f} s, at most {max(consuming_s):.1f} s of {ROUNDS}",
        must=f"at most {MOST_S:g} s",
        reached=max(consuming_s) <= MOST_S,
        samples={"consuming_s": consuming_s},
    )


def _under_load(scaling: Scaling, project: dict[str, str]) -> Row:
    begun = time.monotonic()
    _set(scaling, 3)
    _set(scaling, 1)
    duration_s = round((time.monotonic() - begun) * CHANGES * 1.3)
    process = _start(project, "--rate", "12/s", "--duration", f"{duration_s}s", "--max-lag", "5s")
    try:
        for _ in range(CHANGES):
            _set(scaling, 3)
            _set(scaling, 1)
        within = process.poll() is None
        told = _finished(process, may_fail=WHO_WAS_THERE)
    finally:
        process.kill()
    if not within:
        raise Failed("the load was over before the last change")
    ledger = told["ledger"]
    return Row(
        what=f"{CHANGES} times up to 3 replicas and down to 1, under load",
        measured=f"{ledger['attempted']:,} tasks, {ledger['lost']} lost, {ledger['duplicated']} duplicated",
        must="0 lost",
        reached=ledger["lost"] == ledger["unfinished"] == 0 and ledger["balanced"],
        samples={"lost": [ledger["lost"]], "duplicated": [ledger["duplicated"]]},
    )


# --- load_test.py ---------------------------------------------------------------------------------


def _load(project: dict[str, str], *flags: str) -> dict[str, Any]:
    return _finished(_start(project, *flags))


def _start(project: dict[str, str], *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "load_test.py"), *flags, "--mix", "task_a", "--work", WORK, "--json"]
    return subprocess.Popen(
        command, cwd=project["PWD"], env=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _finished(process: subprocess.Popen[str], may_fail: str = "") -> dict[str, Any]:
    """Return the document of a load, of which every check must hold but the one named."""
    out, err = process.communicate()
    if not out:
        raise Failed(err.strip().splitlines()[-1] if err.strip() else f"exit code {process.returncode}")
    found: dict[str, Any] = json.loads(out)
    failed = [check for check in found.get("checks", ()) if not check["passed"] and check["name"] != may_fail]
    if failed or (process.returncode and not may_fail):
        raise Failed(f"{failed[0]['name']}: {failed[0]['evidence']}" if failed else found["exit_meaning"])
    return found
