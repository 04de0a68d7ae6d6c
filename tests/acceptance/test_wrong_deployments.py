"""Deployments that are deliberately wrong, started for real: the check that is made for each fails and names the cause.

A check that cannot fail is worth nothing. The last tests here are of right deployments, for those checks that a
wrong one could fail for another reason.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.fleet import worker_command
from harness.model.topology import WorkerSpec
from tests.conftest import ROOT, WORKER_A, WORKER_B, Workers, eventually

#: The project's app, with one thing changed in the worker alone.
CHANGED = "from celery_app import app\n{change}\n"


@dataclass
class Wrong:
    """Workers that are not as the project has them, and the user who dispatches to them."""

    workers: Workers
    user: Any
    directory: Path
    processes: list[subprocess.Popen[bytes]]

    def start(self, *specs: WorkerSpec, module: str = "", flags: tuple[str, ...] = ()) -> None:
        """Start a node for each of `specs`, of an app that is the text `module`; return once all consume."""
        before = len(self.workers.roster().nodes)
        started = [self._start(spec, module, flags) for spec in specs]
        eventually(
            lambda: len(self.workers.roster().nodes) == before + len(specs) or any(p.poll() for p in started),
            f"{len(specs)} more nodes consume: {self.log()}",
        )
        assert not any(process.poll() for process in started), self.log()

    def _start(self, spec: WorkerSpec, module: str, flags: tuple[str, ...]) -> subprocess.Popen[bytes]:
        command = worker_command(spec)
        if module:
            (self.directory / "wrong_app.py").write_text(module)
            command[command.index("celery_app")] = "wrong_app"
        log = self.directory / f"worker-{len(self.processes)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", *command, *flags],
                cwd=self.directory,
                env={**os.environ, "BROKER_URL": self.workers.url, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def log(self) -> str:
        return "".join(path.read_text()[-1500:] for path in sorted(self.directory.glob("*.log")))

    def kill(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def judged(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Dispatch; return the exit code and the results document."""
        done = self.user.dispatch(*arguments, "--format", "basic", BROKER_URL=self.workers.url)
        results = self.user.results()
        assert results, done.stdout + done.stderr + self.log()
        for check in results[-1]["checks"]:
            if not check["passed"]:  # what failed is told on the console too, with its cause
                assert f"{check['name']}: {check['evidence']}" in done.stdout
        return done.returncode, results[-1]


@pytest.fixture
def wrong(workers: Workers, user: Any, tmp_path: Path) -> Iterator[Wrong]:
    directory = tmp_path / "wrong"
    directory.mkdir()
    deployment = Wrong(workers, user, directory, [])
    yield deployment
    deployment.kill()


def failed(results: dict[str, Any]) -> dict[str, str]:
    """Return the checks that failed, each with its evidence."""
    return {check["name"]: check["evidence"] for check in results["checks"] if not check["passed"]}


def passed(results: dict[str, Any]) -> set[str]:
    return {check["name"] for check in results["checks"] if check["passed"]}


# --- queues, bindings and workers -----------------------------------------------------------------


def test_workers_that_consume_each_others_queue(wrong: Wrong) -> None:
    wrong.start(replace(WORKER_A, queue="queue_b"), replace(WORKER_B, queue="queue_a"))

    code, results = wrong.judged("basic")

    assert code == 1
    assert set(failed(results)) == {
        "every task on a worker of that queue alone",
        "every node consumes exactly its queue",
    }
    home = failed(results)["every task on a worker of that queue alone"]
    assert "but queue_a belongs to worker-a" in home
    assert "but queue_b belongs to worker-b" in home
    roster = failed(results)["every node consumes exactly its queue"]
    assert "consumes queue_b, which is not declared" in roster
    assert "worker-a@" in roster


def bind(wrong: Wrong, queue: str, key: str) -> None:
    with wrong.workers.app.connection_for_write() as connection, connection.channel() as channel:
        channel.queue_bind(queue, "tasks", key)


def unbind(wrong: Wrong, queue: str, key: str) -> None:
    with wrong.workers.app.connection_for_write() as connection, connection.channel() as channel:
        channel.queue_unbind(queue, "tasks", key)


def test_bindings_that_are_swapped_on_the_broker(wrong: Wrong) -> None:
    wrong.start(WORKER_A, WORKER_B)
    eventually(lambda: wrong.log().count(" ready.") == 2, "both workers have bound what they bind")
    for queue, key in (("queue_a", "queue_b"), ("queue_b", "queue_a")):
        bind(wrong, queue, key)
        unbind(wrong, queue, queue)
        unbind(wrong, queue, f"#.{queue}")  # for messages whose delay is over; matches those without one too

    code, results = wrong.judged("routing")

    assert code == 1
    astray = r"arrived on queue_(a|b), declared for queue_(?!\1)[ab]"  # whichever came first: three are told
    assert len(re.findall(astray, failed(results)["every task on its declared queue"])) == 3
    for task, own, other in (("task_a", "queue_a", "queue_b"), ("task_b", "queue_b", "queue_a")):
        evidence = failed(results)[f"route of {task}: exchange tasks, key {own}, queue {own}"]
        assert evidence.startswith(f"5 from {other} on worker-")
    refused = r"WrongQueue: task_(a|b) belongs to queue_\1, and arrived on queue_(?!\1)[ab]"
    assert re.search(refused, failed(results)["every task succeeded"])
    assert results["ledger"]["succeeded"] == 0  # the guard ran none of them
    assert "every node consumes exactly its queue" in passed(results)  # the workers are right


def test_a_second_binding_that_copies_tasks_to_another_queue(wrong: Wrong) -> None:
    wrong.start(WORKER_A, WORKER_B)
    bind(wrong, "queue_b", "queue_a")

    code, results = wrong.judged("basic")

    assert code == 1
    assert "arrived on queue_b, declared for queue_a" in failed(results)["every task on its declared queue"]
    assert failed(results)["nothing duplicated"] == "1 ids ran or ended more than once"


def test_one_worker_that_consumes_both_queues(wrong: Wrong) -> None:
    wrong.start(replace(WORKER_A, queue="queue_a,queue_b"))

    code, results = wrong.judged("basic")

    assert code == 1
    assert set(failed(results)) == {
        "every task on a worker of that queue alone",
        "every node consumes exactly its queue",
    }
    assert "consumes 2 queues: queue_a, queue_b" in failed(results)["every node consumes exactly its queue"]
    home = failed(results)["every task on a worker of that queue alone"]
    assert "which consumes queue_a, queue_b" in home


def test_a_worker_without_the_guard(wrong: Wrong) -> None:
    stock = CHANGED.format(change='app.conf.worker_consumer = "celery.worker.consumer:Consumer"')
    wrong.start(WORKER_A, WORKER_B, module=stock)

    code, results = wrong.judged("isolation")

    assert code == 1
    ran = failed(results)["no task executed from a queue that is not its own"]
    assert "task_a" in ran
    assert "was executed on worker-b@" in ran
    assert "from queue_b" in ran
    assert "was executed on worker-a@" in ran
    assert "dead letters in queue_b.dead: 1 task_a rejected" in failed(results)
    assert "succeeded, not failed" in failed(results)["every task ended as expected"]


# --- settings of the workers ----------------------------------------------------------------------


def test_a_fixed_delay_between_attempts(wrong: Wrong) -> None:
    source = (ROOT / "celery_app.py").read_text()
    for right, other in (('retry_backoff": 1,', 'retry_backoff": False,'), ('retry_delay": 1,', 'retry_delay": 5,')):
        assert right in source
        source = source.replace(right, other)
    wrong.start(WORKER_A, WORKER_B, module=source)

    code, results = wrong.judged("retry")

    assert code == 1
    assert set(failed(results)) == {"backoff: as the retry policy allows"}
    assert "before attempt 2, not 0s to 1.75s" in failed(results)["backoff: as the retry policy allows"]
    assert re.search(r"task_b \S+ waited (4\.9|5\.)", failed(results)["backoff: as the retry policy allows"])


def kill_while_it_runs(wrong: Wrong, module: str) -> dict[str, Any]:
    """Kill worker-a in the middle of a task, start it again, and return the results of the run."""
    wrong.start(WORKER_A, module=module)
    config = wrong.user.config(
        {
            "killed": {
                "description": "A node dies",
                "workers": ["worker-a"],
                "tasks": [{"task": "task_a", "kwargs": {"work_s": 1.5}}],
                "timeout": "12s",
            }
        }
    )
    dispatch = wrong.user.start(
        "dispatch.py", "killed", "--config", config, "--format", "basic", BROKER_URL=wrong.workers.url
    )
    try:
        eventually(lambda: running(wrong), "the task runs")
        wrong.kill()
        eventually(lambda: not wrong.workers.roster().nodes, "the broker has noticed that the node is gone")
        wrong.start(WORKER_A, module=module)
        out, err = dispatch.communicate(timeout=40)
    finally:
        dispatch.kill()
        dispatch.wait()
    (results,) = wrong.user.results()
    assert dispatch.returncode == results["exit_code"], out + err
    return dict(results)


def running(wrong: Wrong) -> bool:
    active = wrong.workers.app.control.inspect(timeout=1, limit=1).active() or {}
    return any(tasks for tasks in active.values())


def test_a_worker_that_acknowledges_early_loses_what_it_ran(wrong: Wrong) -> None:
    results = kill_while_it_runs(wrong, CHANGED.format(change="app.conf.task_acks_late = False"))

    (outcome,) = results["outcomes"]
    assert outcome["state"] == "lost"
    assert failed(results)["nothing lost"] == (
        f"task_a {outcome['task_id']} lost: confirmed, no final state, found nowhere"
    )
    assert (results["ledger"]["lost"], results["exit_code"]) == (1, 1)


def test_a_worker_that_acknowledges_late_loses_nothing(wrong: Wrong) -> None:
    results = kill_while_it_runs(wrong, CHANGED.format(change=""))

    assert results["ledger"]["succeeded"] == results["ledger"]["recovered"] == 1
    assert "nothing lost" in passed(results)
    assert set(failed(results)) <= {"nothing duplicated"}  # told where the node still said that it had begun


def test_a_worker_with_celerys_own_result_backend(wrong: Wrong) -> None:
    wrong.start(WORKER_A, WORKER_B, module=CHANGED.format(change='app.conf.result_backend = "rpc://"'))

    code, results = wrong.judged("basic")

    assert code == 1
    for check in ("every task on its declared queue", "every task on a worker of that queue alone"):
        assert "came back without evidence of where it ran: its worker's result_backend" in failed(results)[check]


def test_a_worker_that_reports_no_results(wrong: Wrong) -> None:
    wrong.start(WORKER_A, WORKER_B, module=CHANGED.format(change='app.conf.result_backend = "disabled://"'))

    code, results = wrong.judged("basic", "--timeout", "3s")

    assert code == 1
    assert "confirmed, no final state, found nowhere" in failed(results)["nothing lost"]
    assert failed(results)["every task on its declared queue"] == "no task was seen to run"


@pytest.mark.parametrize("processes", [1, 4])
def test_a_worker_with_another_concurrency(wrong: Wrong, processes: int) -> None:
    wrong.start(WORKER_A, WORKER_B, flags=(f"--concurrency={processes}",))

    code, results = wrong.judged("concurrency")

    assert code == 1
    for worker in ("worker-a", "worker-b"):
        evidence = failed(results)[f"{worker} runs 2 at a time on each node"]
        assert evidence.startswith(f"{worker}@")
        assert evidence.endswith(f" ran {processes} at a time")
    overlap = "overlap: at least 3 at a time"
    assert (overlap in failed(results)) == (processes == 1)


def test_a_node_that_takes_the_share_of_another(wrong: Wrong) -> None:
    """One that may hold a hundred messages gets whatever the other has not asked for."""
    wrong.start(WORKER_A, WORKER_B)
    wrong.start(WORKER_A, flags=("-n", "worker-a@greedy", "--prefetch-multiplier=50"))

    tasks = [{"task": "task_a", "count": 100, "kwargs": {"work_s": 0.05}}]
    config = wrong.user.config({"shares": {"description": "Shares", "tasks": tasks, "expect": {"fairness": 2}}})

    code, results = wrong.judged("shares", "--config", config)
    print([(c["name"], c["evidence"]) for c in results["checks"]], wrong.log())

    assert code == 1
    assert set(failed(results)) == {"fair shares: at most 2 times"}
    assert "worker-a's nodes ran " in failed(results)["fair shares: at most 2 times"]
