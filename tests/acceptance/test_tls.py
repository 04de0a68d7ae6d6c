"""TLS to a RabbitMQ node of these tests' own, with an authority of their own: verified, or refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Tls
from tests.acceptance.rabbit import closed_port
from tests.conftest import Command


def test_a_run_with_workers_over_tls_succeeds(user: Command, tls: Tls) -> None:
    url = tls.broker.tls_url("tls")

    done = user.dispatch("--local", "--format", "rich", BROKER_URL=url, BROKER_CA=str(tls.authority))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Broker: {url.replace(':guest@', '@')}" in done.stdout
    assert done.stdout.rstrip().endswith("Dispatch completed successfully!")


def test_what_passes_through_a_relay_is_verified_by_the_brokers_name(user: Command, tls: Tls) -> None:
    tasks = [{"task": "task_a", "count": 6, "kwargs": {"work_s": 0.1}}]
    faults = [{"after": "20%", "disconnect": who, "for": "300ms"} for who in ("worker-a", "dispatcher")]
    config = user.config({"cut": {"description": "cut", "tasks": tasks, "faults": faults}})

    done = user.dispatch(
        "--local", "--config", config, "cut", BROKER_URL=tls.broker.tls_url("tls"), BROKER_CA=str(tls.authority)
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_name_that_is_not_the_urls_can_be_given(user: Command, tls: Tls) -> None:
    said = {"BROKER_URL": tls.broker.tls_url("tls", host="127.0.0.1"), "BROKER_CA": str(tls.authority)}

    named = user.dispatch("--wait-workers", "100ms", BROKER_TLS_NAME="localhost", **said)
    unnamed = user.dispatch(**said)

    assert "no worker consumes queue_a" in named.stderr  # it was asked
    _refused(unnamed, "could not prove that it is the one", "IP address mismatch")


@pytest.mark.parametrize("trusted", ["another", "the system's"])
def test_a_certificate_of_an_authority_that_is_not_trusted_is_refused(user: Command, tls: Tls, trusted: str) -> None:
    authority = {"BROKER_CA": str(tls.another)} if trusted == "another" else {}

    for local in (["--local"], []):
        done = user.dispatch(*local, BROKER_URL=tls.broker.tls_url("tls"), **authority)
        _refused(
            done, "could not prove that it is the one", "self-signed certificate in certificate chain|unable to get"
        )


def test_a_port_without_tls_is_named_as_such(user: Command, tls: Tls) -> None:
    url = tls.broker.tls_url("tls").replace(str(tls.broker.tls_port), str(tls.broker.port))

    done = user.dispatch(BROKER_URL=url, BROKER_CA=str(tls.authority))

    _refused(done, "does not answer with TLS", "")


@pytest.mark.parametrize("name", ["absent.pem", "empty.pem"])
def test_an_authority_that_cannot_be_read_is_an_error_of_usage(user: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.pem").touch()

    done = user.dispatch(BROKER_URL=f"amqps://localhost:{closed_port()}//", BROKER_CA=str(tmp_path / name))

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: BROKER_CA: {tmp_path / name}: no certificates can be read there\n  why: ")


def test_an_authority_and_a_url_without_tls_are_refused_together(user: Command, tls: Tls) -> None:
    done = user.dispatch(BROKER_URL=tls.broker.url("tls"), BROKER_CA=str(tls.authority))

    assert done.returncode == 2
    assert done.stderr.startswith("error: BROKER_CA is set, and the connection would not be encrypted\n  why: ")


def _refused(done: Any, what: str, why: str) -> None:
    """The three lines of an error, and the exit code of a broker that cannot be used."""
    lines = done.stderr.splitlines()
    assert done.returncode == 69, lines
    assert len(lines) == 3
    assert lines[0].startswith("error: the broker at amqps://guest@")
    assert lines[0].endswith(what)
    assert lines[1].startswith("  why: ")
    assert re.search(why, lines[1])
    assert lines[2].startswith("  try: ")
