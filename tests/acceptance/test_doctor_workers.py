"""The doctor's checks of worker nodes: processes that run, each in a way that it should not."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.examined import doctor
from tests.acceptance.for_later import hold_for_later
from tests.acceptance.stack import Stack
from tests.conftest import WORKER_A, Command, Workers, eventually
from tests.integration.caller import Caller


@pytest.fixture
def examine(user: Command, workers: Workers) -> Callable[[], dict[str, dict[str, Any]]]:
    return lambda: doctor(user, workers.url)


def python_that(tmp_path: Path, code: str) -> dict[str, str]:
    """Return the environment of a Python that runs `code` before anything else."""
    (tmp_path / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(tmp_path)}


def test_a_healthy_deployment_has_nothing_to_find(user: Command, deployment: Workers) -> None:
    checks = doctor(user, deployment.url)
    # processes: there is no container to ask for its image
    assert {name: check["cause"] for name, check in checks.items() if check["level"] != "ok"} == {
        "image": "not known: no container of a worker runs"
    }
    assert len(checks) == 49


def test_a_node_that_lives_and_consumes_nothing_is_found(examine: Any, workers: Workers) -> None:
    workers.start(WORKER_A)
    (node,) = workers.roster().nodes
    workers.app.control.cancel_consumer("queue_a", destination=[node.name], reply=True)
    eventually(lambda: workers.roster().consumers["queue_a"] == 0, "it consumes nothing")
    checks = examine()
    assert checks["alive and idle"]["level"] == "failed"
    assert checks["alive and idle"]["cause"] == f"{node.name} is alive and consumes nothing"
    assert checks["alive and idle"]["fix"] == "docker compose restart worker-a"


def test_a_node_with_another_pool_is_found(examine: Any, workers: Workers) -> None:
    workers.start(WORKER_A, "--pool=solo")
    check = examine()["pool"]
    assert check["level"] == "failed"
    assert (
        "executes tasks with celery.concurrency.solo:TaskPool, and the app says worker.pool:TaskPool" in check["cause"]
    )


def test_a_node_that_takes_more_than_the_app_says_is_found(examine: Any, workers: Workers) -> None:
    workers.start(WORKER_A, "--concurrency=1", "--prefetch-multiplier=3")
    check = examine()["prefetch"]
    assert check["level"] == "warning"
    assert "takes 3 messages for 1 processes, and 1 is what the app says" in check["cause"]


def test_a_node_whose_clock_is_wrong_is_found(examine: Any, workers: Workers, tmp_path: Path) -> None:
    code = "import time\nright = time.time\ntime.time = lambda: right() + 90\n"
    workers.start(WORKER_A, **python_that(tmp_path, code))
    check = examine()["node clocks"]
    assert check["level"] == "warning"
    assert "is 90.0 s ahead of this host's" in check["cause"]


def test_a_node_of_code_that_does_not_tell_the_time_is_not_called_well(
    examine: Any, workers: Workers, tmp_path: Path
) -> None:
    code = "from celery.worker.control import Panel\nPanel.register = classmethod(lambda *_, **__: lambda f: f)\n"
    workers.start(WORKER_A, **python_that(tmp_path, code))
    check = examine()["node clocks"]
    assert check["level"] == "warning"
    assert check["cause"].startswith("not known: worker-a@")


def test_two_nodes_of_one_name_are_found(examine: Any, workers: Workers, tmp_path: Path) -> None:
    # as Celery before 5.7, where a second node of a name is not refused its control queue
    code = "from celery.app import defaults\ndefaults.DEFAULTS['control_queue_exclusive'] = False\n"
    workers.start(WORKER_A, **python_that(tmp_path, code))
    workers.start(WORKER_A, wait=False, **python_that(tmp_path, code))
    eventually(lambda: workers.roster().consumers["queue_a"] == 2, "both consume")
    check = examine()["node names"]
    assert check["level"] == "failed"
    assert "2 nodes answer to worker-a@" in check["cause"]


# --- held for later -------------------------------------------------------------------------------


def test_a_node_that_holds_as_much_for_later_as_it_may_take_is_found(examine: Any, workers: Workers) -> None:
    workers.start(WORKER_A)  # two processes, so two messages
    hold_for_later(workers, 600, 900)
    checks = examine()
    assert checks["held for later"]["level"] == "warning"
    assert "executes nothing and holds 2 tasks for later, all that it may take" in checks["held for later"]["cause"]
    assert re.search(r"it takes no other for (9 min \d\d s|10 min 00 s)$", checks["held for later"]["cause"])
    assert checks["prefetch"]["level"] == "ok"  # Celery counts one more for each, which the broker does not


def test_a_task_for_later_that_is_in_nobodys_way_is_counted_and_well(examine: Any, workers: Workers) -> None:
    workers.start(WORKER_A)
    hold_for_later(workers, 900)
    check = examine()["held for later"]
    assert check["level"] == "ok"
    assert re.fullmatch(r"nodes hold 1 task for later, the last for (14 min \d\d s|15 min 00 s)", check["cause"])


# --- hung -----------------------------------------------------------------------------------------


@pytest.fixture
def pool(workers: Workers) -> Iterator[list[int]]:
    """The two processes of a node's pool, which go on after the test."""
    workers.start(WORKER_A)
    (stats,) = workers.app.control.inspect(timeout=5, limit=1).stats().values()
    processes = stats["pool"]["processes"]
    yield processes
    for process in processes:
        os.kill(process, signal.SIGCONT)


@pytest.mark.parametrize("stopped", [1, 2])
def test_a_node_whose_processes_stand_still_is_found(
    examine: Any, workers: Workers, pool: list[int], stopped: int
) -> None:
    for process in pool[:stopped]:
        os.kill(process, signal.SIGSTOP)
    caller = Caller(workers)
    for _ in range(2):
        caller.send("task_a", work_s=30)
    eventually(lambda: held(workers) == (2 - stopped, stopped), "the node holds both")
    check = examine()["hung processes"]
    caller.close()
    assert check["level"] == "warning"
    assert (
        f"runs {2 - stopped} of 2 tasks, holds {stopped} more, and started none of them within 1.00 s" in check["cause"]
    )
    assert check["fix"] == "docker compose restart --timeout 5 worker-a"
    for process in pool:
        os.kill(process, signal.SIGCONT)
    eventually(lambda: held(workers) == (2, 0), "both run")
    assert examine()["hung processes"]["level"] == "ok"  # a task that works for long is not hung


def held(workers: Workers) -> tuple[int, int]:
    """Return how many tasks the only node runs, and how many more it holds."""
    asked = workers.app.control.inspect(timeout=5, limit=1)
    (active,), (reserved,) = asked.active().values(), asked.reserved().values()
    return len(active), len(reserved)


def test_tasks_that_wait_behind_a_running_one_are_not_hung(examine: Any, workers: Workers) -> None:
    workers.start(WORKER_A, "--concurrency=1", "--prefetch-multiplier=4")
    caller = Caller(workers)
    for _ in range(4):
        caller.send("task_a", work_s=30)
    eventually(lambda: held(workers) == (1, 3), "one runs and three wait")
    check = examine()["hung processes"]
    caller.close()
    assert check["level"] == "ok"


def test_tasks_that_wait_for_their_rate_limit_are_not_hung(fresh_copy: Stack, workers: Workers, tmp_path: Path) -> None:
    with (fresh_copy.root / "celery_app.py").open("a") as app:
        app.write('\napp.conf.task_default_rate_limit = "1/m"\n')
    workers.start(WORKER_A, cwd=fresh_copy.root)
    caller = Caller(workers)
    for _ in range(3):
        caller.send("task_a")
    eventually(lambda: caller.ready("queue_a") == 0 and held(workers) == (0, 0), "one has run, two wait")
    check = doctor(Command(tmp_path, root=fresh_copy.root), workers.url)["hung processes"]
    caller.close()
    assert check["level"] == "ok"


def test_a_task_that_outlives_its_limit_is_found(fresh_copy: Stack, workers: Workers, tmp_path: Path) -> None:
    with (fresh_copy.root / "celery_app.py").open("a") as app:
        app.write("\napp.conf.task_time_limit = 1\n")  # of the doctor's app: with the worker's own, its pool ends it
    user = Command(tmp_path, root=fresh_copy.root)
    workers.start(WORKER_A)
    caller = Caller(workers)
    task_id = caller.send("task_a", work_s=60)
    eventually(lambda: held(workers) == (1, 0), "it runs")
    assert doctor(user, workers.url)["hung processes"]["level"] == "ok"
    check = eventually(lambda: overdue(user, workers.url), "it is overdue")
    caller.close()
    assert re.search(rf"has run task_a {task_id} for [\d.]+ s, and its limit is 1.00 s", check["cause"])


def overdue(user: Command, url: str) -> dict[str, Any]:
    check = doctor(user, url)["hung processes"]
    return check if check["level"] == "warning" else {}
