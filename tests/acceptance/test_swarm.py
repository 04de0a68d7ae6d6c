"""The workers on Docker Swarm: deployed, scaled, updated while a load runs, without losing or repeating a task."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.conftest import Installed, Tls
from tests.acceptance.stack import Stack, rabbitmqctl, wait_until

PYTHON = ".venv/bin/python"


@dataclass
class Swarm:
    """A stack of a copy's worker image on a swarm of this machine, with a virtual host of its own."""

    copy: Stack
    name: str
    refused: str  # what scale.py said before there was a swarm; empty where the machine was in one already

    @property
    def env(self) -> dict[str, str]:
        return {
            "BROKER_URL": self.url("BROKER_URL"),
            "BROKER_SECRET": f"{self.name}-url",
            "BROKER_CA_CONFIG": f"{self.name}-ca",
        }

    def url(self, setting: str) -> str:
        return self.copy.setting(setting).rpartition("/")[0] + f"/{self.name}"

    def docker(self, *arguments: str) -> str:
        return self.copy.output("docker", *arguments)

    @property
    def image(self) -> str:
        image: str = self.copy.container("worker-a")["Config"]["Image"]
        return image

    def deploy(self, name: str, image: str, **env: str) -> None:
        command = ("docker", "stack", "deploy", "--compose-file", "deploy/swarm/stack.yml", "--resolve-image", "never")
        self.copy.output(*command, name, **{**self.env, **env}, WORKER_IMAGE=image)

    def scale(self, *arguments: str, code: int = 0) -> str:
        """Return what scale.py printed, stderr too; it must end with `code`. A later --stack beats ours."""
        command, *rest = arguments
        words = (PYTHON, "scale.py", command, "--engine", "swarm", "--stack", self.name, *rest)
        done = self.copy.run(*words, **self.env)
        assert done.returncode == code, done.stdout
        return done.stdout

    def document(self, *arguments: str) -> dict[str, Any]:
        """Return the JSON document of scale.py; notes on stderr come before it."""
        printed = self.scale(*arguments, "--json")
        found: dict[str, Any] = json.loads(printed[printed.index("{\n") :])
        return found

    def containers(self, service: str) -> list[str]:
        label = f"label=com.docker.swarm.service.name={self.name}_{service}"
        return sorted(self.docker("ps", "--quiet", "--filter", label).split())

    def update(self, service: str) -> str:
        """Return how far the last update of a service is: updating, completed, rollback_completed."""
        return self.docker("service", "inspect", "--format", "{{.UpdateStatus.State}}", f"{self.name}_{service}")


@pytest.fixture(scope="module")
def swarm(installed: Installed) -> Iterator[Swarm]:
    copy = installed.stack
    name = f"{copy.name}-swarm"
    rabbitmqctl("add_vhost", name)
    for user in ("worker", "dispatcher"):
        rabbitmqctl("set_permissions", "-p", name, f"{copy.name}-{user}", ".*", ".*", ".*")
    try:
        with _a_swarm(copy, name) as made:
            yield made
    finally:
        rabbitmqctl("delete_vhost", name)


@contextmanager
def _a_swarm(copy: Stack, name: str) -> Iterator[Swarm]:
    """Make this machine a swarm where it is in none, deploy the stack, and take both back."""
    before = copy.output("docker", "info", "--format", "{{.Swarm.LocalNodeState}}")
    networks = copy.output("docker", "network", "ls", "--format", "{{.Name}}").split()
    refused = ""
    if before == "inactive":
        refused = copy.run(PYTHON, "scale.py", "status", "--engine", "swarm").stdout
        copy.output("docker", "swarm", "init", "--advertise-addr", "127.0.0.1")
    made = Swarm(copy, name, refused)
    try:
        _make_secret(f"{name}-url", made.url("WORKER_BROKER_URL"))
        made.deploy(name, made.image)
        wait_until(lambda: copy.run(*_status(name), **made.env).returncode == 0, 60, "the stack's nodes consume")
        yield made
    finally:
        _remove(copy, name)
        copy.output("docker", "secret", "rm", f"{name}-url")
        if before == "inactive":
            copy.output("docker", "swarm", "leave", "--force")
            if "docker_gwbridge" not in networks:  # a swarm makes it, and leaves it
                copy.output("docker", "network", "rm", "docker_gwbridge")


def _make_secret(name: str, value: str) -> None:
    subprocess.run(["docker", "secret", "create", name, "-"], input=value, check=True, capture_output=True, text=True)


def _status(name: str) -> tuple[str, ...]:
    return (PYTHON, "scale.py", "status", "--engine", "swarm", "--stack", name)


def _remove(copy: Stack, name: str) -> None:
    """Remove a stack; returns once nothing of it is left: Docker goes on by itself."""
    label = f"label=com.docker.stack.namespace={name}"

    def left() -> str:
        return copy.output("docker", "ps", "--all", "--quiet", "--filter", label) + copy.output(
            "docker", "network", "ls", "--quiet", "--filter", label
        )

    copy.output("docker", "stack", "rm", name)
    wait_until(lambda: not left(), 90, f"nothing is left of stack {name}")


def test_without_a_swarm_it_is_refused_in_three_lines(swarm: Swarm) -> None:
    if not swarm.refused:
        pytest.skip("this machine is in a swarm that the tests did not make")
    assert swarm.refused == (
        "error: no swarm is active on this machine\n"
        "  why: Docker calls its swarm inactive\n"
        "  try: docker swarm init, then docker stack deploy -c deploy/swarm/stack.yml distributed-test\n"
    )


def test_its_containers_are_as_hardened_as_those_of_compose(swarm: Swarm) -> None:
    (ours,) = swarm.containers("worker-a")
    (inspected,) = json.loads(swarm.docker("inspect", ours))
    host, theirs = inspected["HostConfig"], swarm.copy.container("worker-a")["HostConfig"]

    for key in ("ReadonlyRootfs", "CapDrop", "PidsLimit", "Memory", "Init", "LogConfig"):
        assert host[key] == theirs[key], key
    inside = swarm.docker("exec", ours, "sh", "-c", "grep -E ' (/|/tmp) ' /proc/mounts; grep CapBnd /proc/1/status; id")
    assert re.search(r"^tmpfs /tmp tmpfs rw,nosuid,nodev,noexec,\S*\bsize=16384k", inside, re.MULTILINE)
    assert re.search(r"^\S+ / overlay ro,", inside, re.MULTILINE)
    assert re.search(r"^CapBnd:\s+0+$", inside, re.MULTILINE)
    assert "uid=10001" in inside


def test_the_brokers_password_is_in_no_answer_of_the_engine(swarm: Swarm) -> None:
    shown = swarm.docker("service", "inspect", f"{swarm.name}_worker-a")
    shown += swarm.docker("inspect", *swarm.containers("worker-a"))

    assert "celery" in shown
    assert not [password for password in swarm.copy.passwords() if password in shown]


def test_a_broker_proves_itself_to_the_workers_by_a_private_authority(swarm: Swarm, tls: Tls) -> None:
    name = f"{swarm.name}-tls"
    tls.broker.rabbitmqctl("add_user", "swarm", "swarm")
    tls.broker.rabbitmqctl("set_permissions", "-p", "tls", "swarm", ".*", ".*", ".*")
    _make_secret(f"{name}-url", tls.broker.tls_url("tls", "host.docker.internal").replace("guest:guest", "swarm:swarm"))
    ours = {"BROKER_URL": tls.broker.tls_url("tls"), "BROKER_TLS_NAME": "localhost"}
    given = {**ours, "BROKER_CA": str(tls.authority), "BROKER_CA_CONFIG": f"{name}-ca", "BROKER_SECRET": f"{name}-url"}
    try:
        swarm.deploy(name, swarm.image, **given)
        wait_until(lambda: swarm.copy.run(*_status(name), **given).returncode == 0, 60, "its nodes consume")
        another = {**given, "BROKER_CA": str(tls.another), "BROKER_CA_CONFIG": f"{name}-another"}
        swarm.deploy(f"{name}-another", swarm.image, **another)
        logs = ("docker", "service", "logs", f"{name}-another_worker-a")
        wait_until(lambda: "certificate verify failed" in swarm.copy.run(*logs).stdout, 60, "it is not believed")
    finally:
        for stack in (name, f"{name}-another"):
            _remove(swarm.copy, stack)
        swarm.docker("secret", "rm", f"{name}-url")


def test_up_and_down_until_exactly_the_nodes_of_the_containers_consume(swarm: Swarm) -> None:
    up = swarm.document("set", "worker-a=3")
    (worker_a, worker_b) = up["services"]
    assert up["complete"] is True
    assert up["scaled"]["after"] == {"worker-a": 3}
    assert sorted(node["name"] for node in worker_a["nodes"]) == [
        f"worker-a@{one}" for one in swarm.containers("worker-a")
    ]
    assert (worker_a["consumers"], worker_b["consumers"]) == (3, 1)

    printed = swarm.scale("all", "1")
    assert "worker-a 3 -> 1, worker-b 1 -> 1: containers after " in printed
    assert "the next `docker stack deploy` sets the replicas of stack.yml anew\n" in printed
    assert len(swarm.containers("worker-a")) == 1


def test_why_a_node_is_missing_is_said(swarm: Swarm) -> None:
    other = f"{swarm.name}-other"
    swarm.deploy(other, "nowhere.invalid/worker", BROKER_CA_CONFIG=f"{other}-ca")
    try:
        cause = re.compile(rf"{other}_worker-a\.\d\.\w+ is \w+ \(.*\): .*No such image: nowhere\.invalid/worker")
        wait_until(lambda: cause.search(swarm.scale("status", "--stack", other, code=69)), 30, "the cause is told")
        refused = swarm.scale("set", "worker-a=2", "--stack", other, code=69)
        nobody = swarm.scale("status", "--stack", "nobody", code=69)
    finally:
        _remove(swarm.copy, other)

    assert "error: not as many containers run as were asked for: worker-a: 0 of 2\n" in refused
    assert re.search(rf"  why: {other}_worker-a\..* is rejected: \"?No such image", refused)
    assert re.search(rf"error: there is no stack nobody\n  why: the swarm has .*{swarm.name}", nobody)


def test_an_update_to_an_image_that_does_not_work_is_taken_back_and_ends_no_node(swarm: Swarm) -> None:
    before = swarm.containers("worker-a")
    swarm.deploy(swarm.name, "python:3.13-slim")  # it has no celery
    wait_until(lambda: swarm.update("worker-a") == "rollback_completed", 60, "the update is rolled back")

    assert swarm.containers("worker-a") == before
    assert swarm.document("status")["complete"] is True


def test_a_rolling_update_under_load_loses_nothing_and_repeats_nothing(swarm: Swarm) -> None:
    config, results = swarm.copy.root / "load.yml", swarm.copy.root / "load.json"
    tasks = [{"task": "task_a", "count": 250, "kwargs": {"work_s": 0.2}, "rate": "10/s"}]
    scenario = {"description": "load", "tasks": tasks, "timeout": "120s"}
    workers = {"worker-a": {"queue": "queue_a"}}
    config.write_text(json.dumps({"version": 1, "workers": workers, "scenarios": {"load": scenario}}))
    swarm.scale("set", "worker-a=2")
    before = swarm.containers("worker-a")
    try:
        with subprocess.Popen(
            [PYTHON, "dispatch.py", "load", "--config", "load.yml", "-o", "load.json", "--format", "plain"],
            cwd=swarm.copy.root,
            env=swarm.copy.env | swarm.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as run:
            wait_until(lambda: swarm.document("status")["services"][0]["unacked"], 30, "tasks run")
            swarm.deploy(swarm.name, swarm.image, LOG_LEVEL="DEBUG", WORKER_A_REPLICAS="2")
            output, _ = run.communicate(timeout=180)
        document = json.loads(results.read_text())
    finally:
        config.unlink()
        results.unlink(missing_ok=True)
    wait_until(lambda: swarm.update("worker-a") == "completed", 60, "the update is completed")
    after = swarm.containers("worker-a")

    assert len(after) == 2
    assert not set(before) & set(after)
    assert run.returncode == 0, output
    (homes,) = [one for one in document["checks"] if one["name"] == "every task on a worker of that queue alone"]
    assert all(one in homes["evidence"] for one in before + after)
    assert {outcome["node"] for outcome in document["outcomes"]} == {f"worker-a@{one}" for one in before + after}
    figures = ("attempted", "succeeded", "lost", "unfinished", "duplicated", "unexpected")
    assert [document["ledger"][figure] for figure in figures] == [250, 250, 0, 0, 0, 0], output
