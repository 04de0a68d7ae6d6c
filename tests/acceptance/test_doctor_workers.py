"""The doctor's checks of worker nodes: processes that run, each in a way that it should not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.examined import doctor
from tests.conftest import WORKER_A, Command, Workers, eventually


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
    assert len(checks) == 42


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
