"""A killed dispatcher leaves what `dispatch.py --resume` needs: every id is accounted for, none is sent twice."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from harness.unfinished import UnfinishedRun, unfinished_runs
from tests.acceptance.rabbit import OF_THE_WORKERS, messages, queues
from tests.conftest import eventually

#: 300 tasks at 100 a second: whenever a dispatcher is killed in between, it has some before it and some after it.
TASKS: list[dict[str, Any]] = [
    {"task": "task_a", "count": 150, "rate": "50/s", "kwargs": {"work_s": 0.005}},
    {"task": "task_b", "count": 150, "rate": "50/s", "kwargs": {"work_s": 0.005, "fail_times": 0}},
]


def begun(user: Any, *flags: str, **environment: str) -> tuple[subprocess.Popen[str], UnfinishedRun]:
    """Start a run; return it once its journal says that something was published."""
    process = user.start("dispatch.py", *flags, **environment)
    eventually(lambda: published(user) or process.poll() is not None, "something is published")
    assert process.poll() is None, process.communicate()
    (run,) = published(user)
    return process, run


def published(user: Any) -> list[UnfinishedRun]:
    return [run for run in unfinished_runs(user.root / ".runs") if run.sent]


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def executions(deployment: Any) -> dict[str, int]:
    """Return how often the workers' logs say that each task was received."""
    counts: dict[str, int] = {}
    for service in ("worker-a", "worker-b"):
        for record in deployment.records(service):
            if found := re.fullmatch(r"Task task_\w\[(.+?)\] received", record["message"]):
                counts[found[1]] = counts.get(found[1], 0) + 1
    return counts


@pytest.mark.parametrize("seed", range(20))
def test_a_dispatcher_killed_at_any_point_is_resumed_to_all_of_its_results(
    deployment: Any, user: Any, seed: int
) -> None:
    config = user.config({"many": TASKS})
    process, run = begun(user, "many", "--config", config, BROKER_URL=deployment.url)
    time.sleep(random.Random(seed).uniform(0, 2.7))  # when it is killed is what this test varies
    kill(process)
    (left,) = unfinished_runs(user.root / ".runs")

    done = user.dispatch("--resume", run.run_id, "--config", config, BROKER_URL=deployment.url)

    assert done.returncode == 0, done.stdout + done.stderr
    (results,) = user.results()
    assert results["run_id"] == run.run_id
    ledger = results["ledger"]
    assert (ledger["attempted"], ledger["succeeded"], ledger["lost"], ledger["unexpected"]) == (300, 300, 0, 0)
    assert len({outcome["task_id"] for outcome in results["outcomes"]}) == 300
    assert ledger["duplicated"] == 0
    assert max(executions(deployment).values()) == 1
    assert left.sent <= 300
    assert user.journals() == []
    assert set(queues(deployment.url)) == OF_THE_WORKERS


def test_what_the_killed_dispatcher_had_is_judged_with_the_rest(deployment: Any, user: Any) -> None:
    tasks = [
        {"task": "task_a", "count": 2, "kwargs": {"work_s": 0.05, "fail_times": 1}, "expect": {"attempts": 2}},
        {"task": "task_b", "count": 1, "delay": "4s", "kwargs": {"work_s": 0.05}},
    ]
    config = user.config({"late": tasks})
    process, run = begun(user, "late", "--config", config, BROKER_URL=deployment.url)
    journal = user.root / ".runs" / f"{run.run_id}.jsonl"
    eventually(lambda: journal.read_text().count('"SUCCESS"') == 2, "both of the first have ended")
    kill(process)

    done = user.dispatch("--resume", run.run_id, "--config", config, BROKER_URL=deployment.url)

    assert done.returncode == 0, done.stdout + done.stderr
    (results,) = user.results()
    (attempts,) = (check for check in results["checks"] if "attempts" in check["name"])
    assert attempts["passed"], attempts
    first = results["outcomes"][0]
    assert (first["task"], first["attempts"], first["retries"]) == ("task_a", 2, 1)
    assert first["round_trip_s"] > 1
    assert "Note: resumed; 0 unconfirmed messages were published again\n" in done.stdout


def test_twice_ctrl_c_leaves_what_a_resume_finishes(deployment: Any, user: Any) -> None:
    config = user.config({"long": [{"task": "task_b", "count": 4, "kwargs": {"work_s": 1}}]})
    process, run = begun(user, "long", "--config", config, BROKER_URL=deployment.url)
    process.send_signal(signal.SIGINT)
    eventually(lambda: process.stderr and "leaves now" in process.stderr.readline(), "it says so")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130

    done = user.dispatch("--resume", run.run_id, "--config", config, BROKER_URL=deployment.url)

    # those that had not started were revoked, where the revocation was out before the dispatcher left
    assert done.returncode in (0, 1), done.stdout + done.stderr
    results = max(user.results(), key=lambda results: results["exit_code"] != 130)
    assert results["ledger"]["completed"] == 4
    assert results["ledger"]["balanced"]
    assert user.journals() == []


def test_what_was_published_but_not_noted_as_confirmed_is_sent_again_and_runs_at_most_twice(
    deployment: Any, user: Any
) -> None:
    config = user.config({"six": [{"task": "task_a", "count": 6, "kwargs": {"work_s": 3}}]})  # two at a time
    process, run = begun(user, "six", "--config", config, BROKER_URL=deployment.url)
    journal: Path = user.root / ".runs" / f"{run.run_id}.jsonl"
    eventually(lambda: journal.read_text().count('"STARTED"') == 2, "two are executed, four wait")
    kill(process)
    lines = [line for line in journal.read_text().splitlines() if "confirmed" not in line]
    journal.write_text("\n".join(lines) + "\n")

    done = user.dispatch("--resume", run.run_id, "--config", config, BROKER_URL=deployment.url)

    assert "Note: resumed; 4 unconfirmed messages were published again\n" in done.stdout, done.stdout + done.stderr
    (results,) = user.results()
    ledger = results["ledger"]
    assert (ledger["succeeded"], ledger["lost"], ledger["unexplained"]) == (6, 0, 0)
    assert {duplicate["cause"] for duplicate in results["duplicates"]} <= {"published again"}
    times = {outcome["task_id"]: 1 if outcome["index"] < 2 else 2 for outcome in results["outcomes"]}
    eventually(lambda: {key: executions(deployment)[key] for key in times} == times, "both copies are executed")
    eventually(lambda: not messages(deployment.url).get("queue_a"), "and nothing is left")


def test_a_run_that_is_still_going_on_is_left_alone(deployment: Any, user: Any) -> None:
    config = user.config({"long": [{"task": "task_a", "kwargs": {"work_s": 3}}]})
    process, run = begun(user, "long", "--config", config, BROKER_URL=deployment.url)
    done = user.dispatch("--resume", run.run_id, "--config", config, BROKER_URL=deployment.url)
    assert (done.returncode, done.stderr) == (
        2,
        f"error: the run {run.run_id} is still going on\n  why: another process writes its journal\n",
    )
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_unfinished_runs_are_listed_with_what_to_do(deployment: Any, user: Any) -> None:
    assert user("operate.py", "runs").stdout == "no unfinished runs\n"
    config = user.config({"long": [{"task": "task_a", "count": 3, "kwargs": {"work_s": 1}}]})
    process, run = begun(user, "long", "--config", config, BROKER_URL=deployment.url)
    going = user("operate.py", "runs").stdout.splitlines()
    assert going[0].split() == ["RUN", "SCENARIO", "BEGAN", "TASKS", "SENT", "CONFIRMED", "ENDED", "NEXT"]
    assert going[1].startswith(f"{run.run_id}  long ")
    assert going[1].endswith("is still going on")
    kill(process)
    (line,) = user("operate.py", "runs").stdout.splitlines()[1:]
    assert line.endswith(f"dispatch.py --resume {run.run_id}")
    (told,) = json.loads(user("operate.py", "runs", "--json").stdout)["runs"]
    assert (told["run_id"], told["tasks"], told["sent"], told["still_going_on"]) == (run.run_id, 3, 3, False)
    assert "guest:guest" not in json.dumps(told)
    done = user.dispatch("--resume", run.run_id, "--config", config, BROKER_URL=deployment.url)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_that_is_not_there_is_a_usage_error(user: Any) -> None:
    done = user.dispatch("--resume", "0123456789ab")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no unfinished run 0123456789ab\n")


def test_a_scenario_that_has_changed_since_is_not_finished_with_other_tasks(deployment: Any, user: Any) -> None:
    config = user.config({"long": [{"task": "task_a", "count": 2, "kwargs": {"work_s": 1}}]})
    process, run = begun(user, "long", "--config", config, BROKER_URL=deployment.url)
    kill(process)
    user.config({"long": [{"task": "task_a", "count": 3, "kwargs": {"work_s": 1}}]})
    done = user.dispatch("--resume", run.run_id, "--config", config, BROKER_URL=deployment.url)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: the scenario 'long' has other tasks than when the run {run.run_id} began\n")
    assert user.journals() == [run.run_id]


def test_a_resume_without_a_broker_keeps_the_journal(deployment: Any, user: Any) -> None:
    config = user.config({"long": [{"task": "task_a", "kwargs": {"work_s": 1}}]})
    process, run = begun(user, "long", "--config", config, BROKER_URL=deployment.url)
    kill(process)
    away = deployment.url.replace(":5672", ":1")
    done = user.dispatch("--resume", run.run_id, "--config", config, "--wait-workers", "1s", BROKER_URL=away)
    assert done.returncode == 69
    assert user.journals() == [run.run_id]
    done = user.dispatch("--resume", run.run_id, "--config", config, BROKER_URL=deployment.url)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_journal_of_an_interrupted_run_holds_no_password(deployment: Any, user: Any) -> None:
    config = user.config({"long": [{"task": "task_a", "kwargs": {"work_s": 1}}]})
    process, run = begun(user, "long", "--config", config, BROKER_URL=deployment.url)
    kill(process)
    first = json.loads((user.root / ".runs" / f"{run.run_id}.jsonl").read_text().splitlines()[0])
    assert "guest:guest" not in json.dumps(first)
    done = user.dispatch("--resume", run.run_id, "--config", config, BROKER_URL=deployment.url)
    assert done.returncode == 0
    assert f"dispatch.{run.run_id}" not in queues(deployment.url)


# --- faults -------------------------------------------------------------------------------------------


def with_a_fault(user: Any, at: str, **expect: Any) -> str:
    fault = {"at": at, "disconnect": "dispatcher", "for": "100ms"}
    return str(user.config({"many": {"description": "many", "tasks": TASKS, "faults": [fault], **expect}}))


def undone(user: Any, run: UnfinishedRun) -> bool:
    return '"undone":true' in (user.root / f".runs/{run.run_id}.jsonl").read_text()


@pytest.mark.parametrize(
    ("at", "code", "error"), [("100ms", 0, None), ("20s", 69, "the dispatcher that was to apply it had ended before")]
)
def test_a_fault_that_the_killed_dispatcher_never_applied_is_not_passed_over(
    deployment: Any, user: Any, at: str, code: int, error: str | None
) -> None:
    config = with_a_fault(user, at)
    process, run = begun(user, "many", "--config", config, BROKER_URL=deployment.url)
    eventually(lambda: error or undone(user, run), "it is applied and undone")
    kill(process)

    done = user.dispatch("--resume", run.run_id, "--config", config, "--format", "json", BROKER_URL=deployment.url)

    assert done.returncode == code, done.stdout[-2000:] + done.stderr
    (fault,) = json.loads(done.stdout)["faults"]
    assert fault["error"] == error


def test_recovery_from_faults_of_a_killed_dispatcher_is_not_called_good(deployment: Any, user: Any) -> None:
    config = with_a_fault(user, "100ms", expect={"recovery": {"max": "10s"}})
    process, run = begun(user, "many", "--config", config, BROKER_URL=deployment.url)
    eventually(lambda: undone(user, run), "it is applied and undone")
    kill(process)

    done = user.dispatch("--resume", run.run_id, "--config", config, "--format", "json", BROKER_URL=deployment.url)

    assert done.returncode == 1
    (failed,) = [check for check in json.loads(done.stdout)["checks"] if not check["passed"]]
    assert failed["evidence"] == "not measured: no fault was applied, or by a dispatcher that has ended"
