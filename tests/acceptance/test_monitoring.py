"""Flower, from the image stage of its own: as a user starts it beside the workers, and as Prometheus scrapes it."""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from amqp import Message
from amqp.exceptions import AccessRefused
from kombu import Connection

from tests.acceptance.rabbit import closed_port
from tests.acceptance.stack import CommandLines, Stack, wait_until

SAMPLE = re.compile(r"^(flower_\w+)\{(.*)\} (\S+)$", re.MULTILINE)


@dataclass
class Flower:
    stack: Stack
    port: int
    command_lines: set[str]  # seen while it was started

    def get(self, path: str, login: str = "", method: str = "GET") -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        if login:
            request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    @property
    def login(self) -> str:
        return self.stack.setting("FLOWER_BASIC_AUTH")

    def metrics(self) -> dict[tuple[str, str], dict[str, float]]:
        """Return the samples of the metrics page: by metric and service, then by the kind of event."""
        found: dict[tuple[str, str], dict[str, float]] = {}
        for metric, text, value in SAMPLE.findall(self.get("/metrics")[1]):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', text))
            found.setdefault((metric, labels["worker"].partition("@")[0]), {})[labels.get("type", "")] = float(value)
        return found


def test_a_plain_set_up_has_no_flower(stack: Stack) -> None:
    assert {container["Config"]["Labels"]["com.docker.compose.service"] for container in stack.containers()} == {
        "worker-a",
        "worker-b",
    }
    assert "flower" not in stack.output("docker", "images", "--format", "{{.Repository}}", f"{stack.name}-*")
    assert stack.exec("worker-a", "python -c 'import flower'").returncode == 1


@pytest.fixture(scope="module")
def flower(installed: object) -> Iterator[Flower]:
    stack: Stack = installed.stack  # type: ignore[attr-defined]
    port = closed_port()
    try:
        with CommandLines() as lines:
            stack.output("make", "monitoring", FLOWER_PORT=str(port))
        yield Flower(stack, port, lines.seen)
    finally:
        stack.output("docker", "compose", "--profile", "monitoring", "rm", "--stop", "--force", "flower")
        stack.output("make", "up")


def test_flower_sees_the_workers_and_what_they_do(flower: Flower) -> None:
    def online() -> bool:
        metrics = flower.metrics()
        return all(metrics.get(("flower_worker_online", name)) == {"": 1.0} for name in ("worker-a", "worker-b"))

    wait_until(online, 20, "both workers online")
    flower.stack.output(".venv/bin/python", "dispatch.py", "--format", "plain")
    wait_until(
        lambda: all(
            flower.metrics().get(("flower_events_total", name), {}).get("task-succeeded") == 1
            for name in ("worker-a", "worker-b")
        ),
        20,
        "a task of each worker",
    )
    assert flower.metrics()["flower_task_runtime_seconds_count", "worker-a"] == {"": 1.0}
    # only heartbeats tell this; without them a node that has nothing to do is taken for one that is gone
    executing = "flower_worker_number_of_currently_executing_tasks"
    wait_until(lambda: flower.metrics().get((executing, "worker-a")) == {"": 0.0}, 20, "a heartbeat of worker-a")


def test_with_the_profile_alone_flower_has_the_workers_send_events(flower: Flower) -> None:
    stack = flower.stack
    stack.compose("--profile", "monitoring", "rm", "--stop", "--force", "flower")
    stack.output("make", "up")  # the workers without events again
    assert "WORKER_EVENTS=" in stack.container("worker-a")["Config"]["Env"]
    try:
        stack.compose("--profile", "monitoring", "up", "--detach", "--wait", FLOWER_PORT=str(flower.port))
        executing = "flower_worker_number_of_currently_executing_tasks"
        for name in ("worker-a", "worker-b"):  # which only heartbeats tell
            wait_until(
                lambda name=name: flower.metrics().get((executing, name)) == {"": 0.0}, 20, f"a heartbeat of {name}"
            )
            assert flower.metrics()["flower_worker_online", name] == {"": 1.0}
        stack.output(".venv/bin/python", "dispatch.py", "--format", "plain")
        wait_until(
            lambda: (
                flower.metrics().get(("flower_events_total", "worker-a"), {}).get("task-succeeded") == 1
                and flower.metrics().get(("flower_events_total", "worker-b"), {}).get("task-succeeded") == 1
            ),
            20,
            "a task of each worker",
        )
    finally:
        stack.compose("up", "--detach", "--no-build", "--force-recreate", "worker-a", "worker-b")


def test_the_page_asks_for_the_password(flower: Flower) -> None:
    for login in ("", "monitor:wrong", ":"):
        assert flower.get("/", login)[0] == 401
        assert flower.get("/api/tasks", login)[0] == 401
    status, page = flower.get("/workers", flower.login)
    assert status == 200
    assert "worker-a@" in page


def test_the_page_can_ask_the_workers_and_change_nothing(flower: Flower) -> None:
    (node,) = [
        n for n in json.loads(flower.get("/api/workers?refresh=1", flower.login)[1]) if n.startswith("worker-a@")
    ]

    assert flower.get(f"/api/worker/shutdown/{node}", flower.login, method="POST")[0] == 403
    assert flower.get(f"/worker/{node}", flower.login)[0] == 200


def test_the_page_is_served_on_this_machine_alone(flower: Flower) -> None:
    (published,) = flower.stack.container("flower")["HostConfig"]["PortBindings"].values()

    assert published == [{"HostIp": "127.0.0.1", "HostPort": str(flower.port)}]


def test_flower_runs_without_root_and_without_rights(flower: Flower) -> None:
    container = flower.stack.container("flower")

    assert container["Config"]["User"] == "10001"
    assert container["HostConfig"]["ReadonlyRootfs"]
    assert container["HostConfig"]["CapDrop"] == ["ALL"]
    assert container["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]


def test_the_password_of_the_page_is_nowhere_but_in_env(flower: Flower) -> None:
    user, _, password = flower.login.partition(":")
    image = flower.stack.container("flower")["Image"]

    assert (user, len(password)) == ("monitor", 48)
    for said in (
        *flower.command_lines,
        flower.stack.compose("--profile", "monitoring", "logs"),
        flower.stack.output("docker", "history", "--no-trunc", image),
    ):
        assert password not in said


def test_flower_refuses_to_start_without_a_password(flower: Flower) -> None:
    image = flower.stack.container("flower")["Config"]["Image"]

    for login in ("", "monitor:", ":x"):
        done = flower.stack.run("docker", "run", "--rm", "--env", "FLOWER_BASIC_AUTH", image, FLOWER_BASIC_AUTH=login)
        assert done.returncode == 1
        assert done.stdout.startswith("error: Flower has no user and password for its page\n  why: ")


def test_the_monitors_user_reaches_no_task(flower: Flower) -> None:
    url = flower.stack.setting("MONITOR_BROKER_URL").replace("host.docker.internal", "localhost")

    for deed in (
        lambda channel: channel.basic_get("queue_a"),
        lambda channel: channel.basic_get("queue_a.dead"),
        lambda channel: channel.queue_purge("queue_a"),
        lambda channel: channel.basic_publish_confirm(Message("x"), exchange="tasks", routing_key="queue_a"),
        lambda channel: channel.basic_publish_confirm(Message("x"), exchange="", routing_key="queue_a"),
        lambda channel: channel.queue_declare("queue_c"),
    ):
        with Connection(url) as connection:
            channel = connection.channel()
            channel.confirm_select()
            with pytest.raises(AccessRefused):
                deed(channel)
