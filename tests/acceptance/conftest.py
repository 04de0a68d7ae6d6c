"""The project, set up by ./setup.sh on the real RabbitMQ and Docker, shared by the tests of a session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.stack import CommandLines, Stack, copy_project


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
