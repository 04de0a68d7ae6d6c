"""The Makefile explains itself, and its targets are there."""

from __future__ import annotations

import re

import pytest

from tests.acceptance.stack import ROOT, Stack

TARGETS = ["help", "install", "build", "up", "down", "run", "test", "logs", "ps", "clean"]
TARGETS += ["demo", "lint", "bench", "monitor", "monitoring", "scale", "scale-all", "status", "load-test"]


def test_help_lists_every_target(fresh_copy: Stack) -> None:
    listed = re.findall(r"^ *([a-z][a-z_-]*) +\S", fresh_copy.output("make", "help"), re.MULTILINE)

    assert sorted(listed) == sorted(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(TARGETS) <= set(listed)


def test_make_alone_is_help(fresh_copy: Stack) -> None:
    assert fresh_copy.output("make") == fresh_copy.output("make", "help")


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_read(fresh_copy: Stack, target: str) -> None:
    assert "make: ***" not in fresh_copy.output("make", "--dry-run", target)


def test_install_makes_the_environment_once(fresh_copy: Stack) -> None:
    first = fresh_copy.output("make", "install")
    stamp = fresh_copy.root / ".venv/requirements.installed"
    written = stamp.stat().st_mtime_ns
    second = fresh_copy.output("make", "install")

    assert "creating .venv" in first
    assert second == ""
    assert stamp.stat().st_mtime_ns == written
    assert fresh_copy.output(".venv/bin/python", "-c", "import celery; print(celery.__version__)") == "5.7.0"
