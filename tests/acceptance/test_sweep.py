"""load_test.py --sweep on real workers: the curve is measured, the deployment is afterwards as it was before."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.stack import Stack

LOAD = ("--in-flight", "12", "--duration", "2s", "--work", "50ms", "--mix", "task_a")


def test_more_processes_do_more_and_the_document_says_how_much(broker_url: str, user: Any) -> None:
    flags = ("--sweep", "1,2", *LOAD, "--local", "-o", "sweep.json", "--html", "sweep.html")
    done = user("load_test.py", *flags, BROKER_URL=broker_url, WORKER_CONCURRENCY="1", timeout_s=120)

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((user.directory / "sweep.json").read_text())
    one, two = told["curve"]
    assert [(point["replicas"], point["processes"]) for point in told["curve"]] == [(1, 1), (2, 2)]
    assert [len(step["nodes"]) for step in told["steps"]] == [1, 2]
    assert one["efficiency"] == 1.0
    assert 1.3 < two["speedup"] == pytest.approx(two["throughput_per_s"] / one["throughput_per_s"], rel=1e-3)
    for point, step in zip(told["curve"], told["steps"], strict=True):
        # Little's law: what is in flight is the rate times the time that each is in flight
        in_flight = point["throughput_per_s"] * step["latencies"]["round_trip"]["mean_s"]
        assert in_flight == pytest.approx(12, rel=0.25)
        assert step["ledger"]["balanced"]
        assert step["ledger"]["lost"] == 0
    assert f"; {told['finding']}\n" in done.stdout
    assert "Throughput: measured, ideal" in (user.directory / "sweep.html").read_text()


def test_without_a_load_there_is_one_and_json_is_the_document_alone(broker_url: str, user: Any) -> None:
    flags = ("--sweep", "1,2", "--duration", "2s", "--in-flight", "16", "--work", "20ms", "--local", "--json")
    done = user("load_test.py", *flags, BROKER_URL=broker_url, timeout_s=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["services"] == ["worker-a", "worker-b"]
    (path,) = user.directory.glob("load_results_*.json")
    assert json.loads(path.read_text()) == told


def test_a_sweep_in_which_too_little_ended_is_no_curve(broker_url: str, user: Any) -> None:
    flags = ("--in-flight", "2", "--duration", "1s", "--work", "3s", "--mix", "task_a", "--local", "-o", "sweep.json")
    done = user("load_test.py", "--sweep", "1,2", *flags, BROKER_URL=broker_url, WORKER_CONCURRENCY="1", timeout_s=120)
    assert done.returncode == 69, done.stdout + done.stderr
    assert "grew" not in done.stdout
    assert done.stdout.endswith(
        "❌ Invalid: with some replicas the figures say nothing of the system; with 1 too little ended for a curve\n"
    )
    told = json.loads((user.directory / "sweep.json").read_text())
    assert (told["verdict"], told["exit_code"]) == ("invalid", 69)
    one, two = told["curve"]
    assert [point[name] for point in (one, two) for name in ("speedup", "efficiency", "ideal_per_s")] == [None] * 6
    assert one["limit"] in ("workers", "processors")
    assert one["processes_busy"] > 0.8  # with a task that outlasted the window


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--sweep", "4", *LOAD), "error: --sweep: a curve has 2 to 20 points, got '4'\n  try: --sweep 1,2,4\n"),
        (("--sweep", "1,x", *LOAD), "error: --sweep: expected a whole number of at least 1, got 'x'\n"),
        (("--sweep", "1,99", *LOAD), "error: --sweep: 99 replicas of worker-a, and test-config.yml has at most "),
        (("--sweep", "1,2", *LOAD, "--embedded"), "error: --embedded: one broker in a directory does not scale\n"),
    ],
)
def test_a_sweep_that_is_none_is_refused_before_anything_happens(
    user: Any, flags: tuple[str, ...], message: str
) -> None:
    done = user("load_test.py", *flags, BROKER_URL="amqp://guest:guest@127.0.0.1:1//")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert list(user.directory.iterdir()) == []


def test_without_docker_there_is_nothing_to_scale(user: Any, broker_url: str, tmp_path: Path) -> None:
    nowhere = {"BROKER_URL": broker_url, "DOCKER_HOST": f"unix://{tmp_path}/nobody"}
    done = user("load_test.py", "--sweep", "1,2", *LOAD, **nowhere)
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith("error: docker ps failed\n  why: Cannot connect to the Docker daemon")
    assert "--sweep 1,2 --local" in done.stderr
    assert list(user.directory.iterdir()) == []


# --- on containers --------------------------------------------------------------------------------


def sweep(stack: Stack, *flags: str, code: int = 0, **env: str) -> str:
    done = stack.run(".venv/bin/python", "load_test.py", "--sweep", *flags, *LOAD, **env)
    assert done.returncode == code, done.stdout
    return done.stdout


def saved(stack: Stack) -> dict[str, Any]:
    path = max(stack.root.glob("load_results_*.json"), key=lambda path: path.stat().st_mtime)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def running(stack: Stack) -> set[str]:
    return {one["Id"] for one in stack.containers() if one["State"]["Running"]}


def test_containers_are_scaled_and_afterwards_as_many_as_before(stack: Stack) -> None:
    stack.wait_healthy()
    before, settings = running(stack), (stack.root / ".env").read_bytes()

    printed = sweep(stack, "1,2")

    assert "🎉 Sweep passed: every check held with 2 numbers of replicas" in printed
    assert [len(step["nodes"]) for step in saved(stack)["steps"]] == [1, 2]
    assert running(stack) == before
    assert (stack.root / ".env").read_bytes() == settings


def test_replicas_of_unlike_size_are_no_curve(stack: Stack) -> None:
    """What ran has two processes, what is added one: two replicas with three would come to 150 % of the ideal."""
    stack.wait_healthy()
    before = running(stack)

    printed = sweep(stack, "1,2", code=69, WORKER_CONCURRENCY="1")

    assert "the replicas are not alike: 2 processes with 1, 3 with 2 instead of 4" in printed
    assert "make up, which starts those again that differ" in printed
    assert [step["replicas"] for step in saved(stack)["curve"]] == [1]
    assert running(stack) == before


def test_a_replica_that_cannot_work_ends_the_sweep_and_what_was_measured_is_saved(stack: Stack) -> None:
    stack.wait_healthy()
    before = running(stack)
    nowhere = "amqp://user:SECRET@nowhere.invalid:5672//"

    printed = sweep(stack, "1,2", "--wait-workers", "8s", code=69, WORKER_BROKER_URL=nowhere)

    assert "error: after 8 s, 1 of 2 nodes of worker-a consume queue_a\n" in printed
    assert "SECRET" not in printed
    told = saved(stack)
    assert (told["verdict"], told["exit_code"]) == ("not finished", 69)
    assert [point["replicas"] for point in told["curve"]] == [1]
    assert told["error"]["what"] == "after 8 s, 1 of 2 nodes of worker-a consume queue_a"
    assert running(stack) == before


def test_ctrl_c_saves_what_was_measured_and_undoes_the_scaling(stack: Stack) -> None:
    stack.wait_healthy()
    before = running(stack)
    process = subprocess.Popen(
        [".venv/bin/python", "load_test.py", "--sweep", "2,1", *LOAD, "--duration", "60s"],
        cwd=stack.root,
        env=stack.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    while (line := process.stdout.readline()) and " done • " not in line:
        pass  # until tasks have ended, on two replicas
    assert line
    assert running(stack) - before
    process.send_signal(signal.SIGINT)

    told = process.communicate(timeout=120)[0]
    assert process.returncode == 130, told
    assert (saved(stack)["verdict"], len(saved(stack)["steps"])) == ("interrupted", 1)
    assert running(stack) == before
