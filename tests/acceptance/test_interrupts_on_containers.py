"""Interrupted on containers: results are written, containers are as before, and Docker's commands come to their end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.stack import Stack, wait_until

PYTHON = ".venv/bin/python"
SWEEP = ("--sweep", "1,2", "--mix", "task_a", "--in-flight", "8", "--work", "50ms")


@pytest.fixture
def restored(stack: Stack) -> Iterator[Stack]:
    with stack.restored():
        yield stack
        stack.run("docker", "compose", "unpause")


def start(stack: Stack, *arguments: str) -> subprocess.Popen[str]:
    """Start a command of the project as a terminal does: in a group of its own, which a Ctrl-C goes to."""
    return subprocess.Popen(
        [PYTHON, *arguments],
        cwd=stack.root,
        env={**stack.env, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if words in line:
            return seen
    pytest.fail(f"never said {words!r}: {seen}")


def tell_all(process: subprocess.Popen[str], number: signal.Signals, times: int) -> None:
    """Send a signal to the whole group, as a terminal does; again a moment later."""
    for _ in range(times):
        os.killpg(process.pid, number)
        deadline = time.monotonic() + 0.15
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)


def results(stack: Stack, before: set[str]) -> dict[str, Any]:
    (path,) = [path for path in stack.root.glob("dispatch_results_*.json") if path.name not in before]
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def names(stack: Stack) -> set[str]:
    return {path.name for path in stack.root.glob("dispatch_results_*.json")}


def states(stack: Stack) -> list[str]:
    return [container["State"]["Status"] for container in stack.containers("worker-a")]


@pytest.mark.parametrize(
    ("number", "times"),
    [(signal.SIGINT, 1), (signal.SIGINT, 3), (signal.SIGTERM, 1), (signal.SIGHUP, 1), (signal.SIGHUP, 3)],
)
def test_a_paused_container_goes_on_and_the_replicas_are_as_before(
    restored: Stack, number: signal.Signals, times: int
) -> None:
    before = names(restored)
    process = start(restored, "dispatch.py", "worker-pause")
    read_until(process, "fault: pause worker-a")
    tell_all(process, number, times)
    out = process.communicate(timeout=120)[0]
    assert process.returncode == 130, out
    assert states(restored) == ["running"]
    document = results(restored, before)
    assert document["interrupted"]
    assert [fault["error"] for fault in document["faults"]] == [None]
    assert list(restored.root.glob("*.part")) == []


def applied(stack: Stack) -> list[Any]:
    """Return what the runs that have not ended have applied, as their journals say."""
    listed = json.loads(stack.output(PYTHON, "operate.py", "runs", "--json"))["runs"]
    return [fault for run in listed for fault in run["left_applied"]]


def test_containers_that_a_fault_stopped_are_back_after_two_ctrl_c(restored: Stack) -> None:
    restored.compose("up", "--detach", "--no-build", "--scale=worker-a=3")
    before = names(restored)
    process = start(restored, "dispatch.py", "scale-down")
    wait_until(lambda: applied(restored) or process.poll() is not None, 60, "it is being scaled down")
    tell_all(process, signal.SIGINT, 2)
    out = process.communicate(timeout=180)[0]
    assert process.returncode == 130, out
    assert states(restored) == ["running"] * 3
    assert [fault["error"] for fault in results(restored, before)["faults"]] == [None]
    assert applied(restored) == []


def test_a_killed_dispatcher_leaves_the_command_that_undoes_its_fault(restored: Stack) -> None:
    process = start(restored, "dispatch.py", "worker-pause")
    read_until(process, "fault: pause worker-a")
    process.kill()
    process.communicate()
    assert sorted(states(restored)) == ["paused", "running"]
    (fault,) = applied(restored)
    assert fault["what"] == "pause worker-a at 0.3s for 3s"
    restored.output("sh", "-c", fault["command"])
    assert states(restored) == ["running"] * 2
    for left in (*restored.root.glob(".runs/*.jsonl"), *restored.root.glob("*.part")):
        left.unlink()


def test_a_service_without_nodes_has_none_afterwards(restored: Stack) -> None:
    restored.compose("up", "--detach", "--no-build", "--scale=worker-a=0")
    done = restored.run(PYTHON, "dispatch.py", "worker-pause")
    assert done.returncode == 0, done.stdout
    assert states(restored) == []


def test_scaling_that_is_interrupted_says_how_it_is_completed(restored: Stack) -> None:
    process = start(restored, "scale.py", "set", "worker-a=4")
    wait_until(lambda: len(states(restored)) > 1 or process.poll() is not None, 60, "it is being scaled")
    tell_all(process, signal.SIGINT, 1)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 130, out
    assert out.endswith("interrupted; the same command again completes it; scale.py status shows what runs\n")
    restored.output(PYTHON, "scale.py", "set", "worker-a=4")
    assert states(restored) == ["running"] * 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_sweep_keeps_what_it_measured_and_no_step_that_was_cut_short(restored: Stack, number: signal.Signals) -> None:
    process = start(restored, "load_test.py", *SWEEP, "--duration", "4s", "-o", f"{number.name}.json")
    read_until(process, "2 replicas of each service")
    read_until(process, " done ")
    tell_all(process, number, 1)
    out = process.communicate(timeout=120)[0]
    assert process.returncode == 130, out
    assert states(restored) == ["running"]
    document = json.loads((restored.root / f"{number.name}.json").read_text())
    assert (document["verdict"], [step["replicas"] for step in document["curve"]]) == ("interrupted", [1])
    assert list(restored.root.glob("*.part")) == []
