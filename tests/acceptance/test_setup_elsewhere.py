"""setup.sh with a RabbitMQ that others run: over TLS, with what they gave, and nothing made on it but queues."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.acceptance.conftest import Tls
from tests.acceptance.stack import CommandLines, Stack
from tests.own_broker import OwnBroker

PASSWORD = "p@ss/w:rd%41"


@pytest.fixture(scope="module")
def url(tls: Tls, needs_docker: object) -> str:
    """Of a virtual host and a user on the other node, which has no permissions yet."""
    tls.broker.make_vhost("elsewhere")
    tls.broker.rabbitmqctl("add_user", "tester", PASSWORD)
    return f"amqps://tester@localhost:{tls.broker.tls_port}/elsewhere"


def permit(broker: OwnBroker, configure: str) -> None:
    broker.rabbitmqctl("set_permissions", "--vhost", "elsewhere", "tester", configure, ".*", ".*")


def users(broker: OwnBroker) -> str:
    return broker.rabbitmqctl("list_users") + broker.rabbitmqctl("list_vhosts")


def set_up(stack: Stack, url: str, authority: Path) -> subprocess.CompletedProcess[str]:
    given = ("--broker", url, "--broker-ca", str(authority))
    return stack.run("./setup.sh", "--yes", *given, BROKER_PASSWORD=PASSWORD)


def test_what_the_broker_lacks_is_told_and_what_it_has_is_used(fresh_copy: Stack, tls: Tls, url: str) -> None:
    before, nowhere = fresh_copy.files(), url.replace("/elsewhere", "/nowhere")
    try:
        refused = set_up(fresh_copy, url, tls.another)
        unknown = set_up(fresh_copy, url, tls.authority)
        missing = set_up(fresh_copy, nowhere, tls.authority)
        permit(tls.broker, "^$")
        forbidden = set_up(fresh_copy, url, tls.authority)
        assert not (fresh_copy.root / ".env").exists()
        permit(tls.broker, ".*")
        before_users = users(tls.broker)
        with CommandLines() as lines:
            done = set_up(fresh_copy, url, tls.authority)
        again = fresh_copy.output("./setup.sh", "--yes")
        env = (fresh_copy.root / ".env").read_text()
    finally:
        uninstalled = fresh_copy.run("./setup.sh", "uninstall", "--yes")

    for failed, why, place in (
        (refused, "its certificate is of an authority that is not trusted", "tls"),
        (unknown, "the virtual host is there, and the user has no permissions on it: ", "no-virtual-host"),
        (missing, "the virtual host is missing: ", "no-virtual-host"),
        (forbidden, "the user lacks a permission: ", "not-permitted"),
    ):
        what = f"error: the broker at {nowhere if failed is missing else url} cannot be used"
        assert failed.returncode == 69
        assert failed.stdout.splitlines()[-3] == what
        assert failed.stdout.splitlines()[-2].startswith(f"  why: {why}")
        assert failed.stdout.splitlines()[-1].endswith(f"  # docs/troubleshooting.md#{place}")
    assert done.returncode == 0, done.stdout
    assert done.stdout.rstrip().endswith("Dispatch completed successfully!")
    assert "everything is in place: nothing to change" in again
    assert "WORKER_BROKER_URL=amqps://tester:p%40ss%2Fw%3Ard%2541@host.docker.internal:" in env
    assert users(tls.broker) == before_users
    assert fresh_copy.on_broker() == {"users": [], "permissions": [], "vhosts": []}  # nor on this machine's own
    for password in (PASSWORD, "p%40ss"):
        assert [line for line in (*lines.seen, done.stdout, again) if password in line] == []
    assert uninstalled.returncode == 0, uninstalled.stdout
    assert fresh_copy.files() == before
    assert fresh_copy.in_docker() == []


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (["--broker", "amqps://tester:secret@localhost/x"], "--broker holds a password"),
        (["--broker", "localhost"], "--broker localhost cannot be used"),
        (["--broker"], "--broker needs a value"),
        (["--broker-ca", "setup.sh"], "--broker-ca without --broker"),
        (["--broker", "amqp://tester@localhost/x", "--broker-ca", "setup.sh"], "--broker-ca with an amqp:// URL"),
        (["--broker", "amqps://tester@localhost/x", "--broker-ca", "absent"], "--broker-ca absent cannot be read"),
    ],
)
def test_what_cannot_be_used_is_an_error_of_usage(fresh_copy: Stack, given: list[str], error: str) -> None:
    before = fresh_copy.files()

    for sure in (["--yes"], []):  # also where it could not go on: nobody can be asked
        done = fresh_copy.run("./setup.sh", *sure, *given)
        assert done.returncode == 2
        assert done.stdout.splitlines()[0] == f"error: {error}"
        assert len(done.stdout.splitlines()) == 3
        assert "secret" not in done.stdout
    assert fresh_copy.files() == before


def test_a_password_that_nobody_told_is_asked_for_in_three_lines(stack: Stack) -> None:
    before = (stack.root / ".env").read_text()

    done = stack.run("./setup.sh", "--yes", "--broker", "amqps://tester@localhost:5671/x")

    assert done.returncode == 2
    assert [line for line in done.stdout.splitlines() if not line.startswith(("==> ", "  ["))] == [
        "error: the password of amqps://tester is not known",
        "  why: standard input is no terminal, and BROKER_PASSWORD is empty",
        "  do:  BROKER_PASSWORD=... ./setup.sh --broker amqps://tester@localhost:5671/x --yes",
    ]
    assert (stack.root / ".env").read_text() == before
