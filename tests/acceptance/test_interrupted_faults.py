"""However a dispatcher is told to end, and however often: what its faults did is undone first, or said."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.acceptance.terminal import OnTerminal
from tests.acceptance.test_dispatch_interrupts import end, read_until
from tests.conftest import eventually
from tests.own_broker import OwnBroker, as_root, own_broker

#: Workers of whom one hangs, for longer than the test.
PAUSED = {
    "workers": ["worker-a"],
    "tasks": [{"task": "task_a", "count": 4, "kwargs": {"work_s": 3}}],
    "faults": [{"at": "100ms", "pause": "worker-a"}],
    "description": "paused",
}


@pytest.fixture(scope="module")
def broker(needs_rabbitmq: None) -> Iterator[OwnBroker]:
    with own_broker() as node:
        yield node


def told_three_times(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Interrupt it as an impatient user does."""
    for _ in range(3):
        process.send_signal(number)
        deadline = time.monotonic() + 0.15
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)


def state(pid: str) -> str:
    """Return a process's state as `ps` has it (S, T, ...); empty where there is none."""
    return as_root("ps", "-o", "stat=", "-p", pid).stdout.strip()[:1]


def of_group(group: str) -> list[str]:
    """Return the states of the processes of a group."""
    listed = as_root("ps", "-eo", "pgid=,stat=").stdout.splitlines()
    states = [line.split()[1][:1] for line in listed if line.split()[0] == group]
    return [one for one in states if one != "Z"]  # ended, and not yet reaped


def on_broker(fault: str) -> dict[str, Any]:
    tasks = [{"task": "task_a", "count": 4, "kwargs": {"work_s": 3}}]
    return {
        "description": fault,
        "workers": ["worker-a"],
        "tasks": tasks,
        "faults": [{"at": "100ms", fault: "broker"}],
        "timeout": "60s",
    }


def start(user: Any, scenario: dict[str, Any], broker: OwnBroker, *flags: str) -> subprocess.Popen[str]:
    config = user.config({"faulty": scenario})
    url = broker.make_vhost(user.directory.parent.name)
    flags = ("faulty", "--config", config, "--local", "--allow-broker-faults", *flags)
    process: subprocess.Popen[str] = user.start(
        "dispatch.py", *flags, BROKER_URL=url, RABBITMQ_NODENAME=broker.name, PYTHONUNBUFFERED="1"
    )
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_frozen_broker_goes_on_also_after_three_quick_interrupts(
    broker: OwnBroker, user: Any, number: signal.Signals
) -> None:
    pid = broker.evaluate("os:getpid().").strip().strip('"')
    process = start(user, on_broker("freeze"), broker)
    try:
        eventually(lambda: state(pid) == "T" or process.poll() is not None, "the broker is frozen")
        told_three_times(process, number)
        end(process)
        assert state(pid) != "T"
    finally:
        as_root("kill", "-CONT", pid)
    assert process.returncode == 130
    (results,) = user.results()
    assert [fault["error"] for fault in results["faults"]] == [None]
    assert results["faults"][0]["undone_at_s"] is not None


def test_a_broker_without_memory_has_it_back_after_a_closed_terminal(broker: OwnBroker, user: Any) -> None:
    def watermark() -> str:
        return broker.evaluate("vm_memory_monitor:get_vm_memory_high_watermark().").strip()

    before = watermark()
    process = start(user, on_broker("memory_alarm"), broker)
    try:
        eventually(lambda: float(watermark()) == 0 or process.poll() is not None, "the alarm is raised")
        process.send_signal(signal.SIGHUP)
        end(process)
        assert watermark() == before
    finally:
        broker.rabbitmqctl("set_vm_memory_high_watermark", before)
    assert process.returncode == 130


@pytest.mark.parametrize("times", [1, 2, 3])
def test_paused_workers_are_gone_after_a_closed_terminal(broker_url: str, user: Any, times: int) -> None:
    config = user.config({"paused": PAUSED})
    process = user.start("dispatch.py", "paused", "--config", config, "--local", BROKER_URL=broker_url)
    (group,) = eventually(lambda: left(user), "it is on record that it is paused")
    eventually(lambda: set(of_group(group)) == {"T"}, "it is paused")
    for _ in range(times):
        process.send_signal(signal.SIGHUP)
    end(process)
    assert process.returncode == 130
    assert of_group(group) == []
    assert list(user.directory.glob("*.part")) == []


def left(user: Any) -> Sequence[str]:
    """Return the groups that unfinished runs say they paused."""
    listed = json.loads(user("operate.py", "runs", "--json").stdout)["runs"]
    return [one["command"].rpartition("-")[2] for run in listed for one in run["left_applied"]]


def test_a_terminal_that_is_really_closed_leaves_nothing_paused(broker_url: str, user: Any) -> None:
    arguments = [sys.executable, str(user.root / "dispatch.py"), "paused", "--config", user.config({"paused": PAUSED})]
    with OnTerminal([*arguments, "--local"], user.directory, user.env(BROKER_URL=broker_url)) as shown:
        (group,) = eventually(lambda: left(user), "it is on record that it is paused")
        eventually(lambda: set(of_group(group)) == {"T"}, "it is paused")
        shown.hang_up()
        eventually(lambda: shown.process.poll() is not None, "it ends")
        assert shown.process.returncode == 130
    assert of_group(group) == []
    (results,) = user.results()
    assert results["interrupted"]


def test_what_a_killed_dispatcher_left_applied_is_listed_with_the_command_that_undoes_it(
    broker_url: str, user: Any
) -> None:
    config = user.config({"paused": PAUSED})
    process = user.start("dispatch.py", "paused", "--config", config, "--local", BROKER_URL=broker_url)
    read_until(process.stderr, "fault: pause worker-a")
    process.kill()
    process.communicate()
    (run,) = json.loads(user("operate.py", "runs", "--json").stdout)["runs"]
    (fault,) = run["left_applied"]
    group = fault["command"].rpartition("-")[2]
    try:
        assert set(of_group(group)) == {"T"}
        assert fault["what"] == "pause worker-a at 0.1s"
        assert fault["target"].startswith(f"process {group} (worker-a@")
        text = user("operate.py", "runs").stdout
        assert text.endswith(
            f"{run['run_id']} left applied: {fault['what']}: {fault['target']}; undo it: {fault['command']}\n"
        )
        subprocess.run(["sh", "-c", fault["command"]], check=True)
        eventually(lambda: "T" not in of_group(group), "it goes on")
    finally:
        as_root("kill", "-KILL", "--", f"-{group}")
