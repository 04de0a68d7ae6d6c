"""scale.py on containers: exactly so many consume, the choice holds, what is wrong is said, no task is lost."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.stack import Stack, rabbitmqctl, wait_until
from tests.conftest import WORKER_A, Workers, load_app
from tests.integration.caller import Caller

PYTHON = ".venv/bin/python"


@pytest.fixture
def scaled(stack: Stack) -> Iterator[Stack]:
    """One container of each service; what a test does to their number and to .env is undone."""
    with stack.restored():
        yield stack
        stack.run("docker", "compose", "unpause")


@pytest.fixture
def workers(stack: Stack, tmp_path: Path) -> Iterator[Workers]:
    """How to ask about the nodes, as a user who may do everything, and to start others."""
    rabbitmqctl("set_permissions", "-p", stack.name, "guest", ".*", ".*", ".*")
    url = f"amqp://guest:guest@localhost:5672/{stack.name}"
    started = Workers(url, load_app(url), tmp_path)
    yield started
    started.kill_all()
    rabbitmqctl("clear_permissions", "-p", stack.name, "guest")


@pytest.fixture
def caller(workers: Workers) -> Iterator[Caller]:
    made = Caller(workers)
    yield made
    made.close()


def scale(stack: Stack, *arguments: str, code: int = 0, **env: str) -> str:
    """Return what scale.py printed, stderr too; it must end with `code`."""
    done = stack.run(PYTHON, "scale.py", *arguments, **env)
    assert done.returncode == code, done.stdout
    return done.stdout


def document(stack: Stack, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Return the JSON document of scale.py; notes on stderr come before it."""
    printed = scale(stack, *arguments, "--json", code=code)
    found: dict[str, Any] = json.loads(printed[printed.index("{\n") :])
    return found


def service(status: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in status["services"] if one["service"] == name]
    return found


def running(stack: Stack, name: str) -> list[str]:
    return sorted(one["Id"][:12] for one in stack.containers(name) if one["State"]["Running"])


def test_up_and_down_until_exactly_the_nodes_of_the_containers_consume(scaled: Stack, workers: Workers) -> None:
    (kept,) = running(scaled, "worker-b")

    up = document(scaled, "set", "worker-a=3")
    assert up["scaled"]["before"] == {"worker-a": 1}
    assert up["scaled"]["after"] == {"worker-a": 3}
    assert up["complete"] is True
    ids = running(scaled, "worker-a")
    assert len(ids) == 3
    assert [node["name"] for node in service(up, "worker-a")["nodes"]] == [f"worker-a@{one}" for one in ids]
    seen = workers.roster()
    assert seen.consumers == {"queue_a": 3, "queue_b": 1}
    assert {node.name for node in seen.nodes} == {*(f"worker-a@{one}" for one in ids), f"worker-b@{kept}"}

    printed = scale(scaled, "set", "queue_a=1", "worker-b=2")
    assert re.search(r"^worker-a 3 -> 1, worker-b 1 -> 2: containers after .* later$", printed, re.MULTILINE)
    assert workers.roster().consumers == {"queue_a": 1, "queue_b": 2}
    assert len(running(scaled, "worker-a")) == 1
    assert kept in running(scaled, "worker-b")

    scale(scaled, "all", "default")
    assert workers.roster().consumers == {"queue_a": 1, "queue_b": 1}
    assert running(scaled, "worker-b") == [kept]


def test_the_choice_holds_in_the_next_up(scaled: Stack) -> None:
    lines = (scaled.root / ".env").read_text().splitlines()
    scale(scaled, "set", "worker-b=2")
    assert (scaled.root / ".env").read_text().splitlines() == [*lines, "WORKER_B_REPLICAS=2"]
    assert (scaled.root / ".env").stat().st_mode & 0o777 == 0o600
    scaled.compose("up", "--detach", "--no-build")
    assert len(running(scaled, "worker-b")) == 2
    assert document(scaled, "status")["complete"] is True

    scale(scaled, "all", "1")
    assert "WORKER_B_REPLICAS=1" in (scaled.root / ".env").read_text().splitlines()
    scaled.compose("up", "--detach", "--no-build")
    assert len(running(scaled, "worker-b")) == 1


def test_a_variable_of_the_shell_that_would_undo_the_choice_is_named(scaled: Stack) -> None:
    printed = scale(scaled, "set", "worker-a=2", WORKER_A_REPLICAS="1")
    assert "worker-a: WORKER_A_REPLICAS is set in this shell and beats .env in the next `up`\n" in printed
    assert "worker-a  queue_a       2           2      2          2        0        0\n" in printed
    assert len(running(scaled, "worker-a")) == 2


def test_a_service_without_a_variable_is_named(scaled: Stack) -> None:
    path = scaled.root / "docker-compose.yml"
    before = path.read_text()
    path.write_text(before.replace("${WORKER_B_REPLICAS:-1}", "1"))
    try:
        printed = scale(scaled, "set", "worker-b=2", "worker-a=2")
    finally:
        path.write_text(before)
    assert "worker-b: docker-compose.yml has no variable for its replicas; the next `up` sets them anew\n" in printed
    assert "WORKER_A_REPLICAS=2\n" in (scaled.root / ".env").read_text()
    assert "WORKER_B_REPLICAS" not in (scaled.root / ".env").read_text()
    assert len(running(scaled, "worker-b")) == 2


def test_nothing_may_be_left_without_a_replica(scaled: Stack) -> None:
    scale(scaled, "set", "worker-b=0")
    assert running(scaled, "worker-b") == []
    printed = scale(scaled, "set", "worker-a=0", code=2)
    assert printed.startswith("error: no service would have a replica left\n")
    assert len(running(scaled, "worker-a")) == 1


def test_more_than_the_configuration_allows_needs_a_yes(scaled: Stack) -> None:
    config = scaled.root / "small.yml"
    config.write_text((scaled.root / "test-config.yml").read_text() + "\nscaling: {worker-a: {max: 1}}\n")
    try:
        refused = scale(scaled, "set", "worker-a=2", "--config", "small.yml", code=2)
        assert refused.startswith("error: nobody can be asked whether to set worker-a=2 (at most 1)\n")
        assert len(running(scaled, "worker-a")) == 1
        scale(scaled, "set", "worker-a=2", "--config", "small.yml", "--yes")
        assert len(running(scaled, "worker-a")) == 2
    finally:
        config.unlink()


def test_a_service_that_compose_does_not_have_is_a_mistake(scaled: Stack) -> None:
    config = scaled.root / "more.yml"
    workers = {"worker-a": {"queue": "queue_a"}, "worker-c": {"queue": "queue_b"}}
    tasks = [{"task": "task_a"}]
    scenarios = {"basic": {"description": "Basic", "tasks": tasks}}
    config.write_text(json.dumps({"version": 1, "workers": workers, "scenarios": scenarios}))
    try:
        printed = scale(scaled, "set", "worker-c=2", "--config", "more.yml", code=2)
    finally:
        config.unlink()
    assert printed == "error: worker-c is no service of docker-compose.yml\n  why: that has worker-a, worker-b\n"


def test_status_says_why_a_node_is_missing(scaled: Stack) -> None:
    (container,) = scaled.containers("worker-a")
    name = container["Name"][1:]
    assert document(scaled, "status")["complete"] is True

    scaled.output("docker", "pause", name)
    paused = service(document(scaled, "status", code=69), "worker-a")
    scaled.output("docker", "unpause", name)
    assert paused["complete"] is False
    assert paused["problems"][0].startswith(f"{name} is paused (Up ")
    assert paused["problems"][1] == "1 of 1 consumers of queue_a do not say who they are"

    scaled.output("docker", "kill", name)
    killed = scale(scaled, "status", code=69)
    assert "worker-a: 0 of 1 nodes consume queue_a\n" in killed
    assert re.search(rf"^  {name} is exited \(Exited \(137\) .* ago\)$", killed, re.MULTILINE)

    scaled.output("docker", "rm", name)
    removed = scale(scaled, "status", code=69)
    assert removed.endswith("  1 of 1 containers were not made: docker compose up -d\n")


def test_status_tells_as_the_cause_only_what_can_be_one(scaled: Stack, caller: Caller) -> None:
    (container,) = scaled.containers("worker-a")
    name = container["Name"][1:]

    def logged(words: str) -> None:
        wait_until(lambda: words in scaled.output("docker", "logs", name), 20, f"it has logged {words}")

    def problem() -> str:
        return str(service(document(scaled, "status", code=69), "worker-a")["problems"][0])

    pool = "read main others </proc/1/task/1/children; read child others </proc/$main/task/$main/children"
    scaled.exec("worker-a", f'{pool}; kill -KILL "$child"')
    logged("exited with 'signal 9")
    caller.send(body=b"{not json")
    logged("rejected to the dead letters")

    scaled.output("docker", "pause", name)
    assert re.fullmatch(rf"{name} is paused \(Up .*\(Paused\)\)", problem())  # whatever its log says
    scaled.output("docker", "unpause", name)

    scaled.output("docker", "kill", name)
    told = rf"{name} is exited \(Exited \(137\) .* ago\)"
    assert re.fullmatch(rf"{told}: Process .* exited with 'signal 9 \(SIGKILL\)'", problem())  # and not the message's

    scaled.output("docker", "start", name)
    scaled.output("docker", "kill", name)  # before it has said anything
    assert re.fullmatch(told, problem())  # what it said before this start is over
    scaled.output("docker", "start", name)


def test_a_node_that_is_no_container_of_ours_is_named_and_keeps_the_count_from_being_exact(
    scaled: Stack, workers: Workers
) -> None:
    process = workers.start(WORKER_A, wait=False)
    wait_until(lambda: workers.roster().consumers["queue_a"] == 2, 40, "it consumes")
    foreign = f"worker-a@{subprocess.check_output(['uname', '-n'], text=True).strip()}"
    problems = service(document(scaled, "status", code=69), "worker-a")["problems"]
    printed = scale(scaled, "set", "worker-a=1", "--wait-workers", "1s", code=69)
    nowhere = "amqp://nowhere.invalid:5672//"
    as_many = scale(scaled, "set", "worker-a=2", "--wait-workers", "1s", code=69, WORKER_BROKER_URL=nowhere)
    process.send_signal(signal.SIGSTOP)
    silent = scale(scaled, "set", "worker-a=1", "--wait-workers", "1s", code=69)
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    process.wait()
    scale(scaled, "set", "worker-a=1")

    assert "why: 1 of 2 consumers of queue_a do not say who they are\n" in silent
    assert problems == [f"{foreign} is in no container of this project"]
    assert "error: after 1 s, 2 of 1 nodes of worker-a consume queue_a\n" in printed
    assert "error: after 1 s, 2 of 2 nodes of worker-a consume queue_a\n" in as_many
    assert f"; {foreign} is in no container of this project\n" in as_many
    assert f"  why: {foreign} is in no container of this project\n" in printed


def test_a_replica_that_cannot_work_is_told_with_its_reason_and_the_choice_is_kept(scaled: Stack) -> None:
    nowhere = "amqp://user:SECRET@nowhere.invalid:5672//"
    printed = scale(scaled, "set", "worker-a=2", "--wait-workers", "5s", code=69, WORKER_BROKER_URL=nowhere)
    assert "waiting until exactly these nodes consume: worker-a: 1 of 2\n" in printed
    assert "error: after 5 s, 1 of 2 nodes of worker-a consume queue_a\n" in printed
    assert re.search(r"  why: \S+-worker-a-2 runs \(Up .*\), and its node does not answer: .*nowhere\.invalid", printed)
    assert "SECRET" not in printed
    assert "WORKER_A_REPLICAS=2\n" in (scaled.root / ".env").read_text()


def test_backlog_and_unacked_add_up_to_what_was_sent(scaled: Stack, caller: Caller) -> None:
    ids = [caller.send(work_s=6) for _ in range(3)]
    for task_id in ids[:2]:
        caller.until(task_id, "STARTED")
    status = service(document(scaled, "status"), "worker-a")
    for task_id in ids:
        caller.final(task_id, 40)

    assert (status["unacked"], status["backlog"]) == (2, 1)
    assert status["nodes"][0]["unacked"] == 2


def worked(stack: Stack, container: str) -> bool:
    return " succeeded in " in stack.run("docker", "logs", container).stdout


def test_watch_shows_the_change(scaled: Stack) -> None:
    scale(scaled, "set", "worker-a=1")  # .env says so when the watch begins
    with subprocess.Popen(
        [PYTHON, "scale.py", "status", "--watch", "--json"],
        cwd=scaled.root,
        env=scaled.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watch:
        assert watch.stdout is not None
        assert watch.stderr is not None
        try:
            first = json.loads(watch.stdout.readline())
            scale(scaled, "set", "worker-a=2")
            begun, wanted = time.monotonic(), 0
            while wanted != 2 and time.monotonic() < begun + 20:
                wanted = service(json.loads(watch.stdout.readline()), "worker-a")["wanted"]
        finally:
            watch.send_signal(signal.SIGINT)
        assert watch.wait(timeout=20) == 130
        assert watch.stderr.read() == "interrupted\n"
    assert service(first, "worker-a")["wanted"] == 1
    assert wanted == 2


def test_make_scales_and_shows(scaled: Stack) -> None:
    assert "worker-a 1 -> 2: " in scaled.output("make", "scale", "QUEUE=queue_a", "COUNT=2")
    assert "worker-a 2 -> 1, worker-b 1 -> 1: " in scaled.output("make", "scale-all", "COUNT=1")
    assert scaled.output("make", "status").startswith("SERVICE   QUEUE ")
    for wrong in (["scale"], ["scale", "QUEUE=worker-a"], ["scale", "QUEUE=worker-a", "COUNT=abc"], ["scale-all"]):
        done = scaled.run("make", *wrong)
        assert done.returncode == 2
        assert "error: " in done.stdout
        assert "Traceback" not in done.stdout


def test_going_up_and_down_under_load_loses_nothing_repeats_nothing_and_knows_who_came(scaled: Stack) -> None:
    config, results = scaled.root / "load.yml", scaled.root / "load.json"
    tasks = [{"task": "task_a", "count": 250, "kwargs": {"work_s": 0.2}, "rate": "10/s"}]
    workers = {"worker-a": {"queue": "queue_a"}}
    scenario = {"description": "load", "tasks": tasks, "timeout": "120s"}
    config.write_text(json.dumps({"version": 1, "workers": workers, "scenarios": {"load": scenario}}))
    scale(scaled, "set", "worker-a=2")
    try:
        with subprocess.Popen(
            [PYTHON, "dispatch.py", "load", "--config", "load.yml", "-o", "load.json", "--format", "plain"],
            cwd=scaled.root,
            env=scaled.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as run:
            wait_until(lambda: service(document(scaled, "status"), "worker-a")["unacked"], 30, "tasks run")
            for count in (4, 1):
                scale(scaled, "set", f"worker-a={count}")
                wait_until(lambda: all(worked(scaled, one) for one in running(scaled, "worker-a")), 30, "each ran some")
                assert run.poll() is None, run.communicate()[0]
            output, _ = run.communicate(timeout=180)
        assert run.returncode == 0, output
        ledger = json.loads(results.read_text())["ledger"]
    finally:
        config.unlink()
        results.unlink(missing_ok=True)
    # what a node had received and not begun is delivered again, to another: that may be some, and is no duplicate
    figures = ("attempted", "succeeded", "lost", "unfinished", "duplicated")
    assert [ledger[figure] for figure in figures] == [250, 250, 0, 0, 0]
