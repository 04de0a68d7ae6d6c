"""Runs the doctor as a user does, and hands out what it found by the name of the check."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.conftest import Command


def doctor(user: Command, url: str, **environment: str) -> dict[str, dict[str, Any]]:
    """Return each check of `operate.py doctor` by name, and `exit_code`."""
    own = {"COMPOSE_PROJECT_NAME": f"nobody-{os.getpid()}"}  # not the deployment that this machine may have
    done = user("operate.py", "doctor", "--json", BROKER_URL=url, **{**own, **environment})
    assert done.stdout, done.stderr[-2000:]
    document = json.loads(done.stdout)
    checks = {check["check"]: check for check in document["checks"]}
    assert len(checks) == len(document["checks"])  # a name is one check's
    assert done.returncode == (0 if document["passed"] else 1)
    assert document["passed"] == all(check["level"] != "failed" for check in checks.values())
    return checks


def levels(checks: dict[str, dict[str, Any]], level: str) -> set[str]:
    """Return the names of the checks that came out so."""
    return {name for name, check in checks.items() if check["level"] == level}
