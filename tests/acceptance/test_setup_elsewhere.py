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
    before = fresh_copy.files()
    try:
        refused = set_up(fresh_copy, url, tls.another)
        unknown = set_up(fresh_copy, url, tls.authority)
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

    what = f"error: the broker at {url} cannot be used"
    for failed, why in (
        (refused, "its certificate is of an authority that is not trusted"),
        (unknown, "the virtual host is missing, or the user has no permissions on it"),
        (forbidden, "the user lacks a permission: "),
    ):
        assert failed.returncode == 69
        assert failed.stdout.splitlines()[-3] == what
        assert failed.stdout.splitlines()[-2].startswith(f"  why: {why}")
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

    done = fresh_copy.run("./setup.sh", "--yes", *given)

    assert done.returncode == 2
    assert done.stdout.splitlines()[0] == f"error: {error}"
    assert len(done.stdout.splitlines()) == 3
    assert "secret" not in done.stdout
    assert fresh_copy.files() == before
