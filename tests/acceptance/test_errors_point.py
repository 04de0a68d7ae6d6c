"""What a command prints where it fails leads to the place of docs/troubleshooting.md that tells of this symptom."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.acceptance.rabbit import closed_port
from tests.acceptance.stack import ROOT


def heading(stderr: str) -> str:
    """Return the heading that the last line of an error points to."""
    page, _, place = stderr.splitlines()[-1].rpartition("  # ")[2].partition("#")
    found = re.search(rf'^<a id="{place}"></a>\n## (.*)$', (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert found, stderr
    return found[1]


@pytest.mark.parametrize("command", ["dispatch", "load_test", "scale"])
def test_no_broker(user: Any, command: str) -> None:
    more = {"dispatch": [], "load_test": ["--tasks", "1"], "scale": ["status"]}[command]

    done = user(f"{command}.py", *more, BROKER_URL=f"amqp://localhost:{closed_port()}//")

    assert done.returncode == 69, done.stderr
    assert heading(done.stderr) == "No broker answers"


def test_a_user_who_is_refused(needs_rabbitmq: None, user: Any) -> None:
    done = user.dispatch(BROKER_URL="amqp://guest:wrong@localhost:5672//")

    assert done.returncode == 69
    assert heading(done.stderr).startswith("403 ACCESS_REFUSED")


def test_a_virtual_host_that_is_not_there(needs_rabbitmq: None, user: Any) -> None:
    done = user.dispatch(BROKER_URL="amqp://guest:guest@localhost:5672/no-such-vhost")

    assert done.returncode == 69
    assert heading(done.stderr) == "The broker refuses the virtual host"


def test_no_worker(broker_url: str, user: Any) -> None:
    done = user.dispatch("--wait-workers", "300ms", BROKER_URL=broker_url)

    assert done.returncode == 69
    assert heading(done.stderr).startswith("No worker consumes a queue")
