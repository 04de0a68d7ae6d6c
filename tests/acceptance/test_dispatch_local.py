"""--local, --embedded and make demo: workers of the command's own, of which nothing is left afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.rabbit import OF_THE_WORKERS, closed_port, messages, queues
from tests.acceptance.stack import copy_project
from tests.acceptance.terminal import CTRL_C, OnTerminal
from tests.conftest import eventually

SENTENCE = "embedded broker: a demonstration, it says nothing about your deployment"


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """The temporary directory of the command: what it leaves is there, and its workers are known by it."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    return directory


def processes(scratch: Path) -> list[str]:
    """Return the command lines of the processes that were started with this temporary directory, or one in it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"TMPDIR={scratch}".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended
    return [line for line in found if line]


def nothing_left(scratch: Path) -> None:
    eventually(lambda: not processes(scratch), f"no process is left: {processes(scratch)}", within_s=3)
    assert list(scratch.iterdir()) == []


def on_terminal(user: Any, *arguments: str, **environment: str) -> OnTerminal:
    return OnTerminal(
        [sys.executable, str(Path(user.root) / "dispatch.py"), *arguments], user.directory, user.env(**environment)
    )


# --- local ----------------------------------------------------------------------------------------


def test_local_starts_workers_and_stops_them(broker_url: str, user: Any, scratch: Path) -> None:
    done = user.dispatch("--local", BROKER_URL=broker_url, TMPDIR=str(scratch))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Dispatch completed successfully!" in done.stdout
    assert "embedded" not in done.stdout
    (results,) = user.results()
    assert {outcome["queue_evidence"] for outcome in results["outcomes"]} == {"consumer"}
    nothing_left(scratch)
    assert set(queues(broker_url)) == OF_THE_WORKERS
    assert messages(broker_url) == {}


def test_ctrl_c_on_a_terminal_lets_local_workers_finish_and_ends_them(
    broker_url: str, user: Any, scratch: Path
) -> None:
    config = user.config({"some": [{"task": "task_a", "count": 6, "kwargs": {"work_s": 1}}]})
    with on_terminal(user, "some", "--local", "--config", config, BROKER_URL=broker_url, TMPDIR=str(scratch)) as screen:
        screen.wait_for(lambda text: text.count("PENDING") == 6)
        eventually(lambda: len(processes(scratch)) >= 5, "workers run")
        screen.type(CTRL_C)
        assert screen.end() == 130

    assert "tasks that have not started; Ctrl-C again leaves now" in screen.text
    (results,) = user.results()
    assert results["ledger"]["succeeded"] >= 1  # the workers did not get the Ctrl-C
    nothing_left(scratch)


@pytest.mark.parametrize("flag", ["--local", "--embedded"])
def test_ctrl_c_twice_kills_the_workers(broker_url: str, user: Any, scratch: Path, flag: str) -> None:
    config = user.config({"long": [{"task": "task_a", "count": 6, "kwargs": {"work_s": 30}}]})
    with on_terminal(user, "long", flag, "--config", config, BROKER_URL=broker_url, TMPDIR=str(scratch)) as screen:
        screen.wait_for(lambda text: text.count("SENT") == 6)
        screen.type(CTRL_C)
        screen.wait_for(lambda text: "Ctrl-C again leaves now" in text)
        screen.type(CTRL_C)
        assert screen.end(within_s=5) == 130  # a warm shutdown would wait for the tasks

    (results,) = user.results()
    assert results["interrupted"]
    nothing_left(scratch)


def test_sigterm_before_the_run_leaves_no_workers(broker_url: str, user: Any, scratch: Path) -> None:
    process = user.start("dispatch.py", "--local", BROKER_URL=broker_url, TMPDIR=str(scratch))
    assert process.stderr.readline().startswith("waiting for")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)

    assert process.returncode == 130
    assert err.endswith("interrupted; nothing was published\n")
    assert list(user.directory.iterdir()) == []
    nothing_left(scratch)


def test_local_workers_that_cannot_start_are_explained(broker_url: str, user: Any, scratch: Path) -> None:
    done = user.dispatch(
        "--local", "--wait-workers", "5s", BROKER_URL=broker_url, TMPDIR=str(scratch), WORKER_CONCURRENCY="many"
    )

    assert done.returncode == 69
    assert "worker-a ended with code 2" in done.stderr
    nothing_left(scratch)


# --- embedded -------------------------------------------------------------------------------------


def test_embedded_needs_no_rabbitmq_and_says_what_it_is(user: Any, scratch: Path) -> None:
    nobody = f"amqp://localhost:{closed_port()}//"
    done = user.dispatch("--embedded", BROKER_URL=nobody, TMPDIR=str(scratch), PATH="/nowhere")

    assert done.returncode == 0, done.stdout + done.stderr
    head = done.stdout.split("Broker connection successful")[0]
    assert f"Broker: filesystem://{scratch}/embedded-broker-" in head
    assert f"\n{SENTENCE}\n" in head
    assert "PENDING" not in done.stdout  # nothing is confirmed, and nothing says it is
    assert "confirmed by the broker" not in done.stdout
    assert "(by routing key)" in done.stdout
    assert "\nQueue evidence: routing key\n" in done.stdout
    assert "Note: the embedded broker confirms nothing; the queue is read from the routing key\n" in done.stdout
    (results,) = user.results()
    assert results["embedded"]
    assert results["ledger"]["acknowledged"] == 0
    assert {outcome["queue_evidence"] for outcome in results["outcomes"]} == {"routing key"}
    nothing_left(scratch)
    assert user.journals() == []


def test_embedded_that_publishes_nothing_leaves_nothing(user: Any, scratch: Path) -> None:
    done = user.dispatch("--embedded", "--wait-workers", "1ms", TMPDIR=str(scratch))

    assert done.returncode == 69
    assert "nothing was published" in done.stderr
    assert list(user.directory.iterdir()) == []
    nothing_left(scratch)


def test_embedded_runs_many_tasks(user: Any, scratch: Path) -> None:
    config = user.config(
        {"many": [{"task": name, "count": 50, "kwargs": {"work_s": 0}} for name in ("task_a", "task_b")]}
    )

    done = user.dispatch("many", "--embedded", "--config", config, "--format", "json", TMPDIR=str(scratch))

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ledger"]["succeeded"] == 100
    nothing_left(scratch)


def test_make_demo_from_a_clean_copy(tmp_path: Path) -> None:
    clean = copy_project(tmp_path / "clean").root

    done = subprocess.run(
        ["make", "demo"],
        cwd=clean,
        env={**os.environ, "BROKER_URL": f"amqp://localhost:{closed_port()}//", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=170,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert SENTENCE in done.stdout
    assert re.search(r"PASS  every task on its declared queue: .* \(by routing key\)\n", done.stdout)
    assert done.stdout.endswith("🎉 Dispatch completed successfully!\n")
