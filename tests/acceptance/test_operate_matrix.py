"""`operate.py matrix` on real workers: what plain Celery is known to lose and to repeat, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import psutil
import pytest

from harness.errors import ExitCode
from tests.acceptance.conftest import Tls
from tests.acceptance.rabbit import closed_port, queues
from tests.acceptance.stack import Stack
from tests.conftest import eventually

#: What each kill must come to, as (once, repeated, lost) of 12, whichever type of queue.
EACH_ONCE, TWO_LOST, TWO_REPEATED = (12, 0, 0), (10, 0, 2), (10, 2, 0)
ONE_LOST, ONE_REPEATED = (11, 0, 1), (11, 1, 0)
EXPECTED = {
    "container-kill": {"early": TWO_LOST, "late": TWO_REPEATED, "late+reject": TWO_REPEATED},
    "main-kill": {"early": TWO_LOST, "late": TWO_REPEATED, "late+reject": TWO_REPEATED},
    "child-kill": {"early": ONE_LOST, "late": ONE_LOST, "late+reject": ONE_REPEATED},
    "stop": {"early": EACH_ONCE, "late": EACH_ONCE, "late+reject": EACH_ONCE},
    "stop-short": {"early": TWO_LOST, "late": TWO_REPEATED, "late+reject": TWO_REPEATED},
    "connection-lost": {"early": EACH_ONCE, "late": TWO_REPEATED, "late+reject": TWO_REPEATED},
}


def workers_of(url: str) -> list[psutil.Process]:
    """Return the processes of this machine, in containers too, that were told of this broker URL by the matrix."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MATRIX_BROKER_URL", "").endswith(url.rpartition("@")[2].partition("/")[2]):
                found.append(process)
        except psutil.Error:
            continue
    return found


def containers() -> list[str]:
    listed = subprocess.run(
        ["docker", "ps", "--all", "--quiet", "--filter", "label=distributed-test.matrix"],
        check=True,
        capture_output=True,
        text=True,
    )
    return listed.stdout.split()


@pytest.mark.parametrize(("pattern", "count"), [("child-kill", 6), ("*/early/quorum", 6), ("*/late*/classic", 12)])
def test_processes(user: Any, broker_url: str, pattern: str, count: int) -> None:
    files = {"--json": "matrix.json", "--html": "matrix.html"}

    done = user(
        *("operate.py", "matrix", "--local", "--only", pattern),
        *(word for pair in files.items() for word in pair),
        timeout_s=240,
        BROKER_URL=broker_url,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((user.directory / "matrix.json").read_text())
    _as_expected(told, count)
    assert told["where"] == "processes on this machine"
    assert told["versions"]["celery"] == "5.7.0"
    assert done.stdout.count("\n") >= count + 5
    assert (user.directory / "matrix.html").read_text().count("<tr>") >= count
    assert "/" + str(count) in done.stderr
    assert queues(broker_url) == {}
    assert workers_of(broker_url) == []


def test_containers_of_the_users_image(stack: Stack) -> None:
    """With the users and permissions of ./setup.sh, on the image of `docker compose build`."""
    before = containers()
    queues_before = set(queues(stack.setting("BROKER_URL")))
    command = [".venv/bin/python", "operate.py", "matrix", "--only", "*/late/quorum", "--json", "matrix.json"]

    done = stack.run(*command)

    assert done.returncode == 0, done.stdout
    told = json.loads((stack.root / "matrix.json").read_text())
    _as_expected(told, 6)
    assert told["where"] == f"containers of the image {stack.name}-worker-a"
    assert told["versions"]["python"].startswith("3.13.")
    assert containers() == before
    assert set(queues(stack.setting("BROKER_URL"))) <= queues_before


def _as_expected(told: dict[str, Any], count: int) -> None:
    assert told["not_measured"] == []
    assert len(told["combinations"]) == count
    for row in told["combinations"]:
        seen = (row["once"], row["repeated"], row["lost"])
        assert seen == EXPECTED[row["kill"]][row["acks"]], row
        assert row["held"] == 0
        assert (row["recovery_s"] is not None) == (row["recovered"] > 0)
        if row["kill"] != "child-kill":
            assert row["recovered"] >= 6  # what was prefetched came back, at least
            assert 0 < row["recovery_s"] < 90


# --- over TLS -------------------------------------------------------------------------------------

#: By a relay, which has another address than the certificate has a name for.
RELAYED = ("--only", "connection-lost/late/quorum", "--json", "matrix.json")


def test_processes_reach_a_broker_over_tls(user: Any, tls: Tls) -> None:
    url = tls.broker.tls_url("tls")

    done = user("operate.py", "matrix", "--local", *RELAYED, BROKER_URL=url, BROKER_CA=str(tls.authority))

    assert done.returncode == 0, done.stdout + done.stderr
    _as_expected(json.loads((user.directory / "matrix.json").read_text()), 1)


def test_containers_reach_a_broker_over_tls_that_proves_its_name_and_no_other(stack: Stack, tls: Tls) -> None:
    tls.broker.rabbitmqctl("add_user", "matrix", "matrix")
    tls.broker.rabbitmqctl("set_permissions", "-p", "tls", "matrix", ".*", ".*", ".*")
    url = tls.broker.tls_url("tls").replace("guest:guest", "matrix:matrix")
    theirs = url.replace("localhost", "host.docker.internal")
    given = {"BROKER_URL": url, "WORKER_BROKER_URL": theirs, "BROKER_CA": str(tls.authority)}
    command = (".venv/bin/python", "operate.py", "matrix", *RELAYED)

    stack.output(*command, **given, BROKER_TLS_NAME="localhost")
    _as_expected(json.loads((stack.root / "matrix.json").read_text()), 1)
    unproved = stack.run(*command, **given)

    assert unproved.returncode == 69
    assert "error: a worker ended before it was ready\n  why: " in unproved.stdout
    assert "Hostname mismatch, certificate is not valid for 'host.docker.internal'" in unproved.stdout


# --- what cannot be measured ----------------------------------------------------------------------


def test_a_broker_that_refuses_the_containers_is_said_at_once(stack: Stack, broker_url: str) -> None:
    before = containers()

    done = stack.run(".venv/bin/python", "operate.py", "matrix", BROKER_URL=broker_url)  # guest: from loopback only

    assert done.returncode == 69
    assert "error: a worker ended before it was ready\n  why: amqp.exceptions.AccessRefused: " in done.stdout
    assert done.stdout.rstrip().endswith("or --local")
    assert containers() == before
    assert queues(broker_url) == {}


def test_an_image_that_nobody_has_built(needs_docker: None, user: Any, broker_url: str) -> None:
    done = user("operate.py", "matrix", BROKER_URL=broker_url, COMPOSE_PROJECT_NAME="never-built")

    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith("error: there is no image never-built-worker-a\n")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--only", "nobody"], 2, "error: --only: no combination matches 'nobody'\n"),
        (["--tasks", "11"], 2, "error: --tasks: at least 12\n"),
        (["--json", "nowhere/x.json"], 2, "error: nowhere/x.json: cannot be written\n"),
        (["--html", "."], 2, "error: .: cannot be written\n"),
        ([], 69, "error: no broker answers at "),
    ],
)
def test_what_is_refused_before_anything_is_started(user: Any, arguments: list[str], code: int, says: str) -> None:
    url = f"amqp://user:SECRET@localhost:{closed_port()}//"

    done = user("operate.py", "matrix", "--local", *arguments, BROKER_URL=url)

    assert (done.returncode, done.stdout) == (ExitCode(code), "")
    assert done.stderr.startswith(says)
    assert "SECRET" not in done.stderr


# --- interrupted ----------------------------------------------------------------------------------


def test_an_interrupted_measurement_leaves_no_process_and_no_queue(user: Any, broker_url: str) -> None:
    process = user.start("operate.py", "matrix", "--local", BROKER_URL=broker_url)
    eventually(lambda: len(workers_of(broker_url)) >= 9, "workers with their children")
    assert queues(broker_url)

    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 130
    assert workers_of(broker_url) == []
    assert queues(broker_url) == {}


def test_a_ctrl_c_at_the_terminal_leaves_no_container(stack: Stack) -> None:
    """At a terminal the signal is for Docker's commands as well, also for one that is just starting a container."""
    before = set(containers())
    queues_before = set(queues(stack.setting("BROKER_URL")))
    process = subprocess.Popen(
        [".venv/bin/python", "operate.py", "matrix"],
        cwd=stack.root,
        env=stack.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    eventually(lambda: set(containers()) - before, "the first container")

    os.killpg(process.pid, signal.SIGINT)

    told = process.communicate(timeout=90)[0]
    assert process.returncode == 130, told
    assert set(containers()) == before
    assert set(queues(stack.setting("BROKER_URL"))) <= queues_before
