"""Shared by the tests of a session: the project, set up by ./setup.sh on RabbitMQ and Docker; a node with TLS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.stack import CommandLines, Stack, copy_project
from tests.certificates import make_certificate
from tests.own_broker import OwnBroker, own_broker


@dataclass
class Installed:
    """What `./setup.sh --yes` printed, and the command lines seen meanwhile."""

    stack: Stack
    output: str
    command_lines: set[str]


@pytest.fixture
def fresh_copy(tmp_path: Path) -> Stack:
    """A copy in which nothing was done."""
    return copy_project(tmp_path)


@pytest.fixture(scope="session")
def installed(
    needs_rabbitmq: object, needs_docker: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    stack = copy_project(tmp_path_factory.mktemp("installed"))
    try:
        with CommandLines() as lines:
            output = stack.output("./setup.sh", "--yes")
        yield Installed(stack, output, lines.seen)
    finally:
        removed = stack.run("./setup.sh", "uninstall", "--yes")
    assert removed.returncode == 0, removed.stdout


@pytest.fixture
def stack(installed: Installed) -> Stack:
    """The shared copy with its workers running. A test that stops or changes something mends it again."""
    return installed.stack


@dataclass
class Tls:
    """A node that listens with TLS, by the name localhost."""

    broker: OwnBroker
    authority: Path  # the file of the one that signed its certificate
    another: Path  # the file of one that did not


@pytest.fixture(scope="session")
def tls(needs_rabbitmq: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    directory = tmp_path_factory.mktemp("certificates")
    certificate, another = make_certificate(directory / "broker"), make_certificate(directory / "another")
    with own_broker(certificate) as node:
        node.make_vhost("tls")
        yield Tls(node, certificate / "ca.pem", another / "ca.pem")
