"""The four formats as SPEC.md has them, the results file, and pipes whose reader goes away; on real workers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.rabbit import OF_THE_WORKERS, messages, queues

ID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
UTC = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"
THICK, THIN = "=" * 60, "─" * 60


def block(letter: str) -> str:
    return rf"""✅ TASK_{letter.upper()}
   Message: Hello from Task {letter.upper()}
   Worker: worker-{letter}
   Queue: queue_{letter}
   Task ID: (?P<id_{letter}_again>{ID})
   Execution Time: (?P<took_{letter}_again>\d\.\d{{3}})s
   Timestamp: {UTC}
"""


RICH = rf"""{THICK}
🚀 DISTRIBUTED TASK SYSTEM DISPATCHER
{THICK}
Timestamp: \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d
Broker: amqp://guest@localhost:5672/test-\d+-\d+
{THICK}

✅ Broker connection successful
Active workers: 2
   • worker-a@\S+
   • worker-b@\S+

🎯 DISPATCHING TASKS CONCURRENTLY\.\.\.
{THIN}
\[\d\d:\d\d:\d\d\.\d{{3}}\] SENT     task_a     Dispatching task\.\.\.
\[\d\d:\d\d:\d\d\.\d{{3}}\] SENT     task_b     Dispatching task\.\.\.
\[\d\d:\d\d:\d\d\.\d{{3}}\] PENDING  task_a     Task ID: (?P<id_a>{ID})
\[\d\d:\d\d:\d\d\.\d{{3}}\] PENDING  task_b     Task ID: (?P<id_b>{ID})
\[\d\d:\d\d:\d\d\.\d{{3}}\] SUCCESS  task_a     Completed in (?P<took_a>0\.[5-9]\d\d)s
\[\d\d:\d\d:\d\d\.\d{{3}}\] SUCCESS  task_b     Completed in (?P<took_b>0\.[7-9]\d\d)s

{THICK}
📊 EXECUTION RESULTS
{THICK}
Total Execution Time: (?P<total>\d\.\d{{3}})s
Successful Tasks: 2
Failed Tasks: 0

{THIN}
DETAILED RESULTS
{THIN}

{block("a")}
{block("b")}
{THIN}
PERFORMANCE METRICS
{THIN}
Average Task Time: 0\.\d{{3}}s
Fastest Task: (?P<fastest>0\.\d{{3}})s
Slowest Task: (?P<slowest>0\.\d{{3}})s
Success Rate: 100\.0%

(?:{THIN}
TIMELINE
{THIN}
(?:[^\n]+\n)+
)?{THIN}
CHECKS
{THIN}
(?P<checks>(?:PASS  [^\n]+: [^\n]+\n)+)Ledger: 2 attempted = 2 succeeded; 2 acknowledged

{THICK}
📄 Results saved to: (?P<file>dispatch_results_\d{{8}}_\d{{6}}\.json)
🎉 Dispatch completed successfully!
"""

BASIC = rf"""Loaded config: Basic two-task execution test
Expected workers: 2
Dispatching tasks\.\.\.
Task A sent with ID: (?P<id_a>{ID})
Task B sent with ID: (?P<id_b>{ID})
Waiting for results\.\.\.
Result from task_a: Hello from Task A
Task A execution time: (?P<took_a>\d\.\d{{3}})s
Task A retries: 0
Result from task_b: Hello from Task B
Task B execution time: (?P<took_b>\d\.\d{{3}})s
Task B retries: 0
Total dispatcher time: (?P<total>\d\.\d{{3}})s \(concurrent execution\)
Sequential time would be: (?P<sequential>\d\.\d{{3}})s
Total retries: 0
"""

PLAIN = """Loaded config: Basic two-task execution test
Expected workers: 2
Dispatching tasks...
Result from task_a: Hello from Task A
Result from task_b: Hello from Task B
"""

CHECKS = [
    "every task confirmed by the broker",
    "every task succeeded",
    "every task on its declared queue",
    "every task on a worker of that queue alone",
    "every node consumes exactly its queue",
    "the runs overlapped in time",
    "nothing lost",
    "nothing duplicated",
    "nothing unexpected",
    "every id accounted for",
]


def run(user: Any, deployment: Any, *arguments: str) -> Any:
    done = user.dispatch(*arguments, BROKER_URL=deployment.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done


def test_rich_says_what_ran_where_and_leaves_nothing_behind(deployment: Any, user: Any) -> None:
    done = run(user, deployment)

    shown = re.fullmatch(RICH, done.stdout)
    assert shown, done.stdout
    assert shown["id_a"] == shown["id_a_again"]
    assert shown["took_b"] == shown["took_b_again"] == shown["slowest"]
    assert shown["took_a"] == shown["fastest"]
    assert float(shown["total"]) < float(shown["took_a"]) + float(shown["took_b"])
    assert re.findall(r"^PASS  (.*?): ", shown["checks"], re.MULTILINE) == CHECKS
    assert "1 from queue_a on worker-a@" in shown["checks"]
    assert "(by consumer)" in shown["checks"]

    (results,) = user.results()
    assert (user.directory / shown["file"]).is_file()
    assert results["exit_code"] == 0
    assert results["verdict"] == "passed"
    assert [check["name"] for check in results["checks"]] == CHECKS
    assert {o["task"]: (o["task_id"], o["queue"], o["worker"], o["queue_evidence"]) for o in results["outcomes"]} == {
        "task_a": (shown["id_a"], "queue_a", "worker-a", "consumer"),
        "task_b": (shown["id_b"], "queue_b", "worker-b", "consumer"),
    }
    assert [path.name for path in user.directory.iterdir()] == [shown["file"]]
    assert set(queues(deployment.url)) == OF_THE_WORKERS  # the run's own reply queue is gone
    assert messages(deployment.url) == {}
    assert user.journals() == []


def test_basic(deployment: Any, user: Any) -> None:
    shown = re.fullmatch(BASIC, run(user, deployment, "--format", "basic").stdout)

    assert shown
    (results,) = user.results()
    by_task = {outcome["task"]: outcome for outcome in results["outcomes"]}
    assert {by_task["task_a"]["task_id"], by_task["task_b"]["task_id"]} == {shown["id_a"], shown["id_b"]}
    assert shown["took_a"] == f"{by_task['task_a']['run_time_s']:.3f}"
    assert shown["total"] == f"{results['metrics']['wall_s']:.3f}"
    assert shown["sequential"] == f"{results['metrics']['sequential_s']:.3f}"


def test_plain(deployment: Any, user: Any) -> None:
    assert run(user, deployment, "--format", "plain").stdout == PLAIN
    assert len(user.results()) == 1


def test_json_is_the_document_and_nothing_else(deployment: Any, user: Any) -> None:
    done = run(user, deployment, "--format", "json")

    (file,) = user.directory.iterdir()
    assert done.stdout == file.read_text()
    document = json.loads(done.stdout)
    assert document["scenario"]["name"] == "basic"
    assert document["ledger"]["succeeded"] == 2
    assert document["broker"] == deployment.url.replace("guest:guest@", "guest@")


def test_quiet_leaves_the_exit_code_and_the_file(deployment: Any, user: Any) -> None:
    assert run(user, deployment, "-q").stdout == ""
    assert len(user.results()) == 1


def test_output_names_the_file(deployment: Any, user: Any) -> None:
    done = run(user, deployment, "-o", "mine.json")

    assert "📄 Results saved to: mine.json\n" in done.stdout
    assert [path.name for path in user.directory.iterdir()] == ["mine.json"]


def test_an_older_results_file_is_never_written_over(deployment: Any, user: Any) -> None:
    now = datetime.now()
    older = [f"dispatch_results_{now + timedelta(seconds=s):%Y%m%d_%H%M%S}" for s in range(60)]
    for name in older:
        (user.directory / f"{name}.json").write_text("older")

    done = run(user, deployment, "--format", "plain")

    assert done.stdout == PLAIN
    written = [path for path in user.directory.iterdir() if path.stem not in older]
    assert [path.stem[:-2] in older and path.stem[-2:] for path in written] == ["_2"]
    assert json.loads(written[0].read_text())["exit_code"] == 0
    assert {(user.directory / f"{name}.json").read_text() for name in older} == {"older"}


def test_a_retry_is_shown_and_counted(deployment: Any, user: Any) -> None:
    config = user.config({"retries": [{"task": "task_a", "kwargs": {"work_s": 0, "fail_times": 1}}]})

    done = run(user, deployment, "retries", "--config", config)

    assert re.search(r"\] RETRY    task_a     Attempt 1 failed: TransientError: attempt 1 of the 1", done.stdout)
    assert re.search(r"\] SUCCESS  task_a ", done.stdout)
    assert "   Retries: 1\n" in done.stdout
    assert "Total Retries: 1\n" in done.stdout
    (outcome,) = user.results()[0]["outcomes"]
    assert (outcome["attempts"], outcome["retries"]) == (2, 1)


# --- pipes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scenario", "code"), [("good", 0), ("bad", 1)])
def test_a_reader_that_goes_away_does_not_change_the_verdict(
    deployment: Any, user: Any, scenario: str, code: int
) -> None:
    config = user.config(
        {
            "good": [{"task": "task_a", "kwargs": {"work_s": 0.3}}],
            "bad": [{"task": "task_a", "kwargs": {"work_s": "no number"}}],
        }
    )
    line = f"{sys.executable} {user.root}/dispatch.py {scenario} --config {config} | head -1; echo ${{PIPESTATUS[0]}}"

    done = subprocess.run(
        ["bash", "-c", line],
        cwd=user.directory,
        env=user.env(BROKER_URL=deployment.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == f"{THICK}\n{code}\n"
    assert done.stderr == ""
    (results,) = user.results()
    assert results["exit_code"] == code


@pytest.mark.parametrize(
    ("redirection", "says"),
    [
        (">&-", ""),
        ("> /dev/full", "warning: standard output: No space left on device; the rest is not shown\n"),
        ("2>&-", ""),
    ],
)
def test_a_stream_that_cannot_be_written_does_not_change_the_verdict(
    deployment: Any, user: Any, redirection: str, says: str
) -> None:
    config = user.config({"quick": [{"task": "task_a", "kwargs": {"work_s": 0}}]})
    line = f"{sys.executable} {user.root}/dispatch.py quick --config {config} {redirection}"

    done = subprocess.run(
        ["bash", "-c", line],
        cwd=user.directory,
        env=user.env(BROKER_URL=deployment.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0
    assert done.stderr == says
    assert len(user.results()) == 1


def test_the_healthy_case_returns_at_once(deployment: Any, user: Any) -> None:
    config = user.config({"quick": [{"task": "task_a", "kwargs": {"work_s": 0}}]})
    begun = time.time()
    process = user.start("dispatch.py", "quick", "--config", config, BROKER_URL=deployment.url, PYTHONUNBUFFERED="1")
    seen = {}
    for line in process.stdout:
        seen.setdefault(line.partition(":")[0].strip(), time.monotonic())

    assert process.wait(30) == 0
    # between these two lines: connect, count consumers, ask for names; nodes that all answer are not waited for
    assert seen["Active workers"] - seen["Broker"] < 0.9
    (results,) = user.results()
    assert results["started_at"] - begun < 2
