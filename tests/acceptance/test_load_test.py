"""load_test.py on a real RabbitMQ and real workers: each model, what is judged, and what ends a load early."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from dataclasses import replace
from typing import Any

import pytest

from harness import broker
from tests.acceptance.proxy import proxied
from tests.acceptance.rabbit import OF_THE_WORKERS, messages, queues
from tests.acceptance.stack import Stack, copy_project
from tests.acceptance.terminal import CTRL_C, OnTerminal
from tests.conftest import eventually

#: Far above what a busy machine makes a generator late.
TOLERANT = ("--max-lag", "20s")


def load(user: Any, url: str, *arguments: str, code: int = 0, **environment: str) -> Any:
    """Run load_test.py, which must end with `code`; return the finished process."""
    done = user("load_test.py", *arguments, BROKER_URL=url, **environment)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def document(user: Any, url: str, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Return what `--json` prints, which is what the results file holds."""
    done = load(user, url, *arguments, "--json", code=code)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found in saved(user)
    assert found["exit_code"] == code
    return found


def saved(user: Any) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(user.directory.glob("load_results_*.json"))]


def nothing_is_left(url: str) -> bool:
    return set(queues(url)) <= OF_THE_WORKERS and not messages(url)


# --- models ---------------------------------------------------------------------------------------


def test_a_burst_is_so_many_of_each_kind_at_once(deployment: Any, user: Any) -> None:
    found = document(user, deployment.url, "--tasks", "20", "--work", "10ms")
    assert found["load"]["model"] == "burst"
    assert found["ledger"]["attempted"] == found["ledger"]["succeeded"] == 40
    assert found["generator"]["in_flight"] > 20
    assert found["rates"]["completed"] == 40
    assert found["latencies"]["lag"] is None
    assert found["latencies"]["run_time"]["count"] == 40
    assert found["latencies"]["run_time"]["p95_s"] >= 0.01
    assert found["latencies"]["run_time"]["p99_s"] is None  # of 40
    nodes = {node["node"].partition("@")[0]: node["tasks"] for node in found["nodes"]}
    assert nodes == {"worker-a": 20, "worker-b": 20}
    assert all(check["passed"] for check in found["checks"])
    assert nothing_is_left(deployment.url)
    assert user.journals() == []


def test_at_a_rate_tasks_come_when_they_are_due(deployment: Any, user: Any) -> None:
    flags = ("--rate", "40/s", "--duration", "3s", "--ramp", "1s", "--warmup", "500ms", "--mix", "task_a=3,task_b=1")
    found = document(user, deployment.url, *flags, "--work", "5ms", *TOLERANT)
    assert (found["load"]["model"], found["load"]["tasks"]) == ("open", 100)
    assert found["ledger"]["succeeded"] == 100  # 20 in the ramp, and 80
    assert {node["queue"]: node["tasks"] for node in found["nodes"]} == {"queue_a": 60, "queue_b": 20}
    assert found["rates"]["window"]["begin_s"] == 1.0
    assert found["rates"]["window"]["end_s"] == 3.0
    assert found["latencies_from"] == "due"
    assert found["latencies"]["lag"]["count"] == found["latencies"]["round_trip"]["count"] == 80
    assert found["rates"]["published_s"] >= 2.9
    assert {one["queue"] for one in found["backlog"]} == {"queue_a", "queue_b"}
    assert all(len(one["looks"]) >= 3 for one in found["backlog"])


def test_in_the_closed_model_never_more_are_in_flight(deployment: Any, user: Any) -> None:
    found = document(user, deployment.url, "--in-flight", "3", "--tasks", "30", "--work", "10ms")
    assert (found["load"]["model"], found["load"]["in_flight"]) == ("closed", 3)
    assert found["ledger"]["succeeded"] == 60
    assert found["generator"]["in_flight"] == 3


def test_the_closed_model_publishes_for_a_while(deployment: Any, user: Any) -> None:
    flags = ("--in-flight", "4", "--duration", "2s", "--warmup", "1s", "--work", "10ms")
    found = document(user, deployment.url, *flags)
    assert found["load"]["tasks"] is None
    assert found["ledger"]["balanced"]
    assert found["rates"]["published_s"] < 2.1
    measured = found["latencies"]["round_trip"]["count"]
    assert 0 < measured < found["ledger"]["succeeded"] == found["ledger"]["attempted"]
    assert found["rates"]["throughput_per_s"] == found["rates"]["completed"]  # of the one second after the warm-up
    assert nothing_is_left(deployment.url)


def test_a_stall_is_not_hidden(deployment: Any, user: Any) -> None:
    """Tasks that were due while their worker stood still have waited since then."""
    before = len(deployment.records("worker-a"))
    flags = ("--rate", "20/s", "--duration", "4s", "--mix", "task_a", "--work", "0s", "--json", *TOLERANT)
    process = user.start("load_test.py", *flags, BROKER_URL=deployment.url)
    eventually(lambda: len(deployment.records("worker-a")) > before, "a task has come")
    group = deployment._processes[0].pid
    os.killpg(group, signal.SIGSTOP)
    try:
        eventually(lambda: ready(deployment, "queue_a") >= 15, "tasks pile up")
    finally:
        os.killpg(group, signal.SIGCONT)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    found = json.loads(out)
    assert found["ledger"]["succeeded"] == 80
    assert found["latencies"]["queue_wait"]["max_s"] > 0.5
    assert found["latencies"]["run_time"]["p50_s"] < 0.1
    (backlog,) = found["backlog"]
    assert backlog["most"] >= 10


def ready(deployment: Any, queue: str) -> int:
    with broker.connect(deployment.app) as connection:
        return broker.count(connection, queue)[0]


def test_a_profile_by_name_and_a_flag_that_comes_before_it(deployment: Any, user: Any) -> None:
    listed = load(user, deployment.url, "--list").stdout
    assert re.findall(r"^(\S+) ", listed, re.MULTILINE) == ["burst", "steady"]
    found = document(user, deployment.url, "burst", "--tasks", "3")
    assert (found["load"]["name"], found["load"]["work_s"], found["ledger"]["succeeded"]) == ("burst", 0.02, 6)


def test_without_a_load_there_is_a_small_burst_and_a_word_on_what_there_is(deployment: Any, user: Any) -> None:
    done = load(user, deployment.url, "--work", "0s")
    assert done.stderr == (
        "no load was asked for: a burst of 5 tasks of each kind; there are --tasks N, --rate 50/s --duration 1m, "
        "--in-flight N, or a profile: burst, steady\n"
    )
    assert "10 attempted = 10 succeeded" in done.stdout
    assert done.stdout.endswith("🎉 Load test passed: all 9 checks held\n")


def test_workers_can_be_started_for_the_load(broker_url: str, user: Any) -> None:
    assert document(user, broker_url, "--tasks", "2", "--work", "0s", "--local")["ledger"]["succeeded"] == 4


def test_the_embedded_broker_says_that_it_shows_nothing(user: Any) -> None:
    done = load(user, "amqp://nowhere.invalid", "--in-flight", "2", "--tasks", "3", "--work", "0s", "--embedded")
    assert "embedded broker: a demonstration, it says nothing about your deployment\n" in done.stdout
    assert "6 attempted = 6 succeeded" in done.stdout


# --- what is judged -------------------------------------------------------------------------------


def test_thresholds_that_hold_and_one_that_is_crossed(deployment: Any, user: Any) -> None:
    rules = ("throughput:rate>1/s", "failures:rate<0.01", "run_time:p(95)<5ms", "round_trip:max<1m")
    flags = [flag for rule in rules for flag in ("--threshold", rule)]
    found = document(user, deployment.url, "--tasks", "10", "--work", "20ms", *flags, code=99)
    held = {check["name"]: check["passed"] for check in found["thresholds"]}
    assert held == {
        "throughput rate>1/s": True,
        "failures rate<0.01": True,
        "run_time p(95)<5ms": False,
        "round_trip max<1m": True,
    }
    assert found["verdict"] == "failed"


def test_a_percentile_of_two_tasks_is_no_threshold_that_holds(deployment: Any, user: Any) -> None:
    rules = ("round_trip:p(99)<10s", "queue_wait:p(99.9)<10s", "round_trip:max<10s")
    flags = [flag for rule in rules for flag in ("--threshold", rule)]
    found = document(user, deployment.url, "--tasks", "1", "--work", "0s", *flags, code=99)
    assert [check["passed"] for check in found["thresholds"]] == [False, False, True]
    assert found["thresholds"][0]["evidence"].endswith(" ms at most over 2 measured: too few, p(99) takes 100")
    assert found["thresholds"][1]["evidence"].endswith(" too few, p(99.9) takes 1,000")


def test_a_window_in_which_nothing_ended_measures_nothing(deployment: Any, user: Any) -> None:
    flags = ("--in-flight", "2", "--duration", "1s", "--work", "3s", "--mix", "task_a", "-o", "nothing.json")
    done = load(user, deployment.url, *flags, code=69)
    reason = "nothing ended within the window of 1.00 s, and a rate takes 10 tasks: a longer duration"
    assert f"❌ INVALID: these figures say nothing of the system\n   • {reason}\n" in done.stdout
    assert done.stdout.endswith(f"❌ Invalid: these figures say nothing of the system\n   • {reason}\n")
    found = json.loads((user.directory / "nothing.json").read_text())
    assert (found["verdict"], found["exit_code"], found["invalid"]) == ("invalid", 69, [reason])
    assert found["ledger"]["succeeded"] == 2
    assert found["rates"]["completed"] == 0
    assert 1.5 < found["rates"]["busy_s"] <= 2.0  # two processes, which went on after the window


def test_a_window_in_which_a_handful_ended_measures_nothing(deployment: Any, user: Any) -> None:
    flags = ("--rate", "4/s", "--duration", "2s", "--work", "0s", *TOLERANT)
    found = document(user, deployment.url, *flags, code=69)
    assert re.fullmatch(r"[78] ended within the window of 2.00 s, and a rate takes 10 tasks.*", found["invalid"][0])
    assert found["ledger"]["succeeded"] == 8


def test_tasks_that_are_over_before_there_is_a_steady_part_are_measured_from_first_to_last(
    deployment: Any, user: Any
) -> None:
    found = document(user, deployment.url, "--in-flight", "10", "--tasks", "5", "--work", "50ms")
    assert found["rates"]["window"]["cut"].startswith("no steady part")
    assert found["rates"]["completed"] == 10
    assert found["rates"]["busy_s"] >= 0.5


def test_a_backlog_is_judged_while_it_is_there(deployment: Any, user: Any) -> None:
    flags = ("--tasks", "30", "--work", "50ms", "--threshold", "backlog:max<5", "--threshold", "backlog:avg<1000")
    found = document(user, deployment.url, *flags, code=99)
    assert [check["passed"] for check in found["thresholds"]] == [False, True]
    assert re.match(r"[1-9][0-9]+ messages at most, ", found["thresholds"][0]["evidence"])


@pytest.fixture
def failing(tmp_path_factory: pytest.TempPathFactory, user: Any) -> Any:
    """A user of a copy whose task_b never succeeds."""
    root = copy_project(tmp_path_factory.mktemp("failing")).root
    app = root / "celery_app.py"
    text = app.read_text()
    assert text.count('return work(self, "Hello from Task B", work_s, fail_times)') == 1
    app.write_text(text.replace('return work(self, "Hello from Task B", work_s, fail_times)', 'raise ValueError("no")'))
    return replace(user, root=root)


def test_so_many_may_fail_and_no_more(broker_url: str, failing: Any) -> None:
    flags = ("--tasks", "4", "--mix", "task_a=3,task_b=1", "--work", "0s", "--local")
    found = document(failing, broker_url, *flags, "--max-error-rate", "25%")
    assert (found["ledger"]["failed"], found["ledger"]["succeeded"]) == (4, 12)
    assert [one["error"] for one in found["not_succeeded"]] == ["ValueError: no"] * 4
    without = document(failing, broker_url, *flags, code=1)
    assert [check["name"] for check in without["checks"] if not check["passed"]] == ["every task succeeded"]


def test_a_generator_that_stood_still_makes_the_run_invalid(deployment: Any, user: Any) -> None:
    before = len(deployment.records("worker-a"))
    flags = ("--rate", "50/s", "--duration", "4s", "--work", "0s", "-o", "invalid.json")
    process = user.start("load_test.py", *flags, BROKER_URL=deployment.url)
    eventually(lambda: len(deployment.records("worker-a")) > before, "a task has come")
    process.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    eventually(lambda: time.monotonic() > stopped + 0.5, "it stood still for half a second")
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 69, err
    (said, reason) = re.findall(r"^(❌ INVALID: .*|   • tasks were published .*)$", out, re.MULTILINE)[:2]
    assert said == "❌ INVALID: these figures say nothing of the system"
    assert re.fullmatch(
        r"   • tasks were published \d+ ms late \(p99 of 200\): more than 5.00 ms is not the rate that was asked for",
        reason,
    )
    found = json.loads((user.directory / "invalid.json").read_text())
    assert (found["verdict"], found["exit_code"]) == ("invalid", 69)
    assert found["ledger"]["succeeded"] == 200
    assert found["latencies"]["round_trip"]["max_s"] > 0.3  # from when it was due


def test_a_rate_that_no_generator_holds_is_invalid_and_all_of_it_accounted_for(deployment: Any, user: Any) -> None:
    flags = ("--rate", "100000/s", "--duration", "15ms", "--work", "0s")
    found = document(user, deployment.url, *flags, code=69)
    assert found["load"]["tasks"] == 1500
    assert 0 < found["ledger"]["attempted"] <= 1500  # what was not published a second after the end never was
    assert found["ledger"]["lost"] == 0
    assert found["ledger"]["balanced"]
    assert re.match(r"tasks were published \S+ m?s late \(p99 of [0-9,]+\): more than 5.00 ms ", found["invalid"][0])


# --- what ends it, or breaks it --------------------------------------------------------------------


def test_ctrl_c_saves_what_there_is(deployment: Any, user: Any) -> None:
    before = len(deployment.records("worker-a"))
    flags = ("--rate", "40/s", "--duration", "1m", "--work", "200ms", "--html", "load.html", *TOLERANT)
    process = user.start("load_test.py", *flags, BROKER_URL=deployment.url)
    eventually(lambda: len(deployment.records("worker-a")) > before + 10, "tasks have come")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert re.match(r"interrupted: revoking \d+ tasks", err)
    assert re.search(r"^Ledger: \d+ attempted = \d+ succeeded", out, re.MULTILINE)
    assert re.search(r"^❌ Interrupted: \d+ of 2,400 tasks succeeded, [0-9,]+ did not$", out, re.MULTILINE)
    (found,) = saved(user)
    assert (found["verdict"], found["interrupted"], found["invalid"]) == ("interrupted", True, [])
    assert found["ledger"]["balanced"]
    assert 5 < found["ledger"]["attempted"] < 2400
    assert found["latencies"]["round_trip"]["count"] > 0
    assert "! Interrupted" in (user.directory / "load.html").read_text()
    assert user.journals() == []


def test_ctrl_c_before_the_first_task_leaves_nothing(broker_url: str, user: Any) -> None:
    process = user.start("load_test.py", "--tasks", "1", "--wait-workers", "60s", BROKER_URL=broker_url)
    assert process.stderr.readline().startswith("waiting for worker-a")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "interrupted; nothing was published\n")
    assert list(user.directory.iterdir()) == []
    assert queues(broker_url) == {}


def test_without_workers_nothing_is_published(broker_url: str, user: Any) -> None:
    done = load(user, broker_url, "--tasks", "1", "--wait-workers", "500ms", code=69)
    assert "error: no worker consumes queue_a (worker-a), queue_b (worker-b); nothing was published\n" in done.stderr
    assert list(user.directory.iterdir()) == []
    assert queues(broker_url) == {}


def test_a_connection_that_is_cut_loses_nothing_and_the_queues_are_looked_at_again(deployment: Any, user: Any) -> None:
    before = len(deployment.records("worker-a"))
    with proxied() as proxy:
        flags = ("--rate", "30/s", "--duration", "4s", "--work", "0s", "--json", *TOLERANT)
        process = user.start("load_test.py", *flags, BROKER_URL=proxy.url(deployment.url))
        eventually(lambda: len(deployment.records("worker-a")) > before + 10, "tasks have come")
        cut_at = proxy.cut()
        out, err = process.communicate(timeout=60)

    found = json.loads(out)
    assert (found["ledger"]["attempted"], found["ledger"]["lost"], found["ledger"]["unfinished"]) == (120, 0, 0)
    assert any("the connection to the broker was lost" in note for note in found["notes"])
    cut_s = cut_at - found["started_at"]
    looks = [at_s for at_s, _ in found["backlog"][0]["looks"]]
    assert min(looks) < cut_s < max(looks)
    assert process.returncode in (0, 1), err  # a message that was published again may have run twice, which is said


NOWHERE = "amqp://guest:guest@127.0.0.1:1//"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--tasks", "1", "--threshold", "roundtrip:p(95)<1s"),
            "error: --threshold: unknown metric 'roundtrip'; did you mean 'round_trip'?\n"
            "  try: use one of: backlog, failures, lag, queue_wait, round_trip, run_time, throughput\n",
        ),
        (
            ("--rate", "50", "--duration", "1m"),
            "error: --rate: expected a rate such as 50/s, 3/m or 100/h, got '50'\n  try: write 50/s\n",
        ),
        (("--rate", "50/s"), "error: a rate needs a duration\n  try: --duration 1m\n"),
        (("--tasks", "0"), "error: --tasks: expected a whole number of at least 1, got '0'\n"),
        (
            ("stedy",),
            "error: no load profile 'stedy' in {root}/test-config.yml; did you mean 'steady'?\n"
            "  why: it has: burst, steady\n  try: load_test.py --list, or flags such as --rate 50/s --duration 1m\n",
        ),
        (
            ("--tasks", "1", "--mix", "task_aa=2"),
            "error: mix: the app has no task 'task_aa'; did you mean 'task_a'?\n  try: use one of: task_a, task_b\n",
        ),
        (("--tasks", "1", "-o", "there.json"), "error: there.json: exists already\n"),
        (("--tasks", "1", "--html", "no/such.html"), "error: no/such.html: cannot be written\n"),
    ],
)
def test_a_mistake_is_told_before_anything_happens(user: Any, flags: tuple[str, ...], message: str) -> None:
    (user.directory / "there.json").touch()
    done = load(user, NOWHERE, *flags, code=2)
    assert done.stderr.startswith(message.format(root=user.root))
    assert [path.name for path in user.directory.iterdir()] == ["there.json"]


def test_more_in_flight_than_memory_allows_is_told_before_anything_happens(user: Any) -> None:
    done = load(user, NOWHERE, "--in-flight", "900000000000", "--duration", "1s", code=2)
    assert re.fullmatch(
        r"error: 900,000,000,000 tasks in flight are more than memory allows\n"
        r"  why: each takes about 1.5 kB here, and [0-9,]+ MB are left\n  try: --in-flight \d+, at most\n",
        done.stderr,
    )


# --- where it is shown ----------------------------------------------------------------------------


def on_terminal(user: Any, url: str, *arguments: str) -> OnTerminal:
    command = [sys.executable, str(user.root / "load_test.py"), *arguments]
    return OnTerminal(command, user.directory, user.env(BROKER_URL=url), columns=120)


LIVE = re.compile(r"\r(\d+\.\d) s • (\d+)/(\d+) • [^\r]*in flight")


def test_a_terminal_has_a_live_line_and_colours(deployment: Any, user: Any) -> None:
    flags = ("--rate", "20/s", "--duration", "3s", "--work", "0s", *TOLERANT)
    with on_terminal(user, deployment.url, *flags) as terminal:
        assert terminal.end() == 0
    drawn = [(float(elapsed), int(done)) for elapsed, done, _ in LIVE.findall(terminal.text)]
    assert len(drawn) >= 5
    assert drawn == sorted(drawn)
    assert drawn[-1][1] > drawn[0][1]
    assert re.search(r"backlog \d+ • ETA ", terminal.text)
    assert re.search(r"\r +\r\r\n.*=+", terminal.text)  # taken off before the results
    assert "\x1b[32m🎉 Load test passed: all 9 checks held\x1b[0m" in terminal.text


def test_a_ctrl_c_at_the_keyboard_winds_up(deployment: Any, user: Any) -> None:
    flags = ("--in-flight", "4", "--duration", "1m", "--work", "10ms")
    with on_terminal(user, deployment.url, *flags) as terminal:
        terminal.wait_for(LIVE_CLOSED.search)
        terminal.type(CTRL_C)
        assert terminal.end() == 130
    assert "Interrupted: " in terminal.text
    assert len(saved(user)) == 1


LIVE_CLOSED = re.compile(r"[1-9]\d* done • ")


def test_a_reader_that_goes_away_ends_nothing(deployment: Any, user: Any) -> None:
    process = user.start("load_test.py", "--tasks", "5", "--work", "0s", BROKER_URL=deployment.url)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    (found,) = saved(user)
    assert found["ledger"]["succeeded"] == 10


def test_quiet_says_nothing_and_still_judges(deployment: Any, user: Any) -> None:
    done = load(user, deployment.url, "--tasks", "2", "--work", "0s", "--threshold", "run_time:max<0s", "-q", code=99)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_page_is_written_and_one_of_before_replaced(deployment: Any, user: Any) -> None:
    page = user.directory / "load.html"
    page.write_text("old")
    done = load(user, deployment.url, "--tasks", "5", "--work", "0s", "--html", "load.html")
    assert done.stderr.endswith("report: load.html\n")
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "✓ Passed" in text


def test_make_runs_a_burst(stack: Stack) -> None:
    assert "Model: burst: 4 tasks at once" in stack.output("make", "load-test", "TASKS=2")
    done = stack.run("make", "load-test", "TASKS=abc")
    assert done.returncode == 2
    assert "error: --tasks: expected a whole number of at least 1, got 'abc'" in done.stdout
