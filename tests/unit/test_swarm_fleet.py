"""Docker Swarm without one: the stack has the settings of docker-compose.yml, and what refuses says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import UnavailableError
from harness.swarm import SwarmFleet

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
STACK: dict[str, Any] = yaml.safe_load((ROOT / "deploy/swarm/stack.yml").read_text())["services"]

#: Settings of docker-compose.yml that a stack takes as they are.
SAME = {"command", "extra_hosts", "init", "stop_grace_period", "read_only", "cap_drop", "logging", "healthcheck"}
#: Those that it takes in another form, or that an engine of a swarm does not take.
OTHERWISE = {"build", "deploy", "environment", "mem_limit", "pids_limit", "restart", "security_opt", "tmpfs", "volumes"}
#: Variables that have another form: the URL is a secret, and the authorities are a config, which its entrypoint names.
ELSEWHERE = {"BROKER_URL", "BROKER_CA"}


@pytest.mark.parametrize("service", ["worker-a", "worker-b"])
def test_a_service_of_the_stack_is_that_of_compose(service: str) -> None:
    ours, theirs = STACK[service], COMPOSE[service]
    limits = ours["deploy"]["resources"]["limits"]

    assert set(theirs) <= SAME | OTHERWISE
    assert {key: ours[key] for key in SAME} == {key: theirs[key] for key in SAME}
    assert ours["environment"].keys() | {"BROKER_URL"} == theirs["environment"].keys()
    for name in ours["environment"].keys() - ELSEWHERE:
        assert ours["environment"][name] == theirs["environment"][name]
    (config,) = ours["configs"]
    assert theirs["environment"]["BROKER_CA"] == f"${{BROKER_CA:+{config['target']}}}"
    assert f"BROKER_CA=$${{BROKER_CA:+{config['target']}}}" in ours["entrypoint"][2]
    assert ours["deploy"]["replicas"] == theirs["deploy"]["replicas"]
    assert (limits["memory"], limits["pids"]) == (theirs["mem_limit"], theirs["pids_limit"])


@pytest.mark.parametrize(
    ("swarm", "message"),
    [
        ("inactive false", "no swarm is active on this machine\n  why: Docker calls its swarm inactive\n"),
        ("locked false", "no swarm is active on this machine\n  why: Docker calls its swarm locked\n"),
        ("active false", "this machine is no manager of its swarm\n  why: only a manager tells of services"),
    ],
)
def test_without_a_manager_of_a_swarm_there_is_nothing_to_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swarm: str, message: str
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\necho {swarm}\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    with pytest.raises(UnavailableError) as error:
        SwarmFleet(tmp_path, "any").require()

    assert str(error.value).startswith(message)
    assert len(str(error.value).splitlines()) == 3
