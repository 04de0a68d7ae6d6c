"""README's "Add your own task", done step by step in a copy of the project, from its own text: so it stays true."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.fleet import worker_command
from harness.model.topology import WorkerSpec
from tests.acceptance.stack import Stack, copy_project
from tests.conftest import Command

#: A piece of text to paste: where, according to the lines before it, and what.
PIECE = re.compile(r"((?:^[^`\n].*\n)+)^```(?:python|yml)\n((?:.*\n)*?)^```$", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """Text to paste into a file: below a line that is there once, or at the end."""

    file: str
    below: str  # empty: at the end
    text: str


def section(root: Path) -> str:
    found = re.search(r"^### Add your own task\n(.*?)^#", (root / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def steps(root: Path) -> list[Step]:
    """Return what the section says to paste; a piece without a file of its own is for the one before."""
    found: list[Step] = []
    for words, text in PIECE.findall(section(root)):
        words = " ".join(words.split())
        named = re.search(r"(?:In|end of) `([\w.-]+)`", words)
        below = re.search(r"below `([^`]+)`", words)
        assert below or "At the end of" in words, words
        found.append(Step(named[1] if named else found[-1].file, below[1] if below else "", text))
    return found


def paste(root: Path, step: Step) -> None:
    path = root / step.file
    lines = path.read_text().splitlines(keepends=True)
    at = len(lines)
    if step.below:
        (at,) = [number for number, line in enumerate(lines, start=1) if line.strip() == step.below]
    path.write_text("".join([*lines[:at], step.text, *lines[at:]]))


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A copy of the project after all of the steps but the last, which runs it."""
    stack = copy_project(tmp_path_factory.mktemp("extended"))
    for step in steps(stack.root):
        paste(stack.root, step)
    return stack


def test_there_are_at_most_six_steps_and_each_names_its_place_once(extended: Stack) -> None:
    numbers = [int(number) for number in re.findall(r"^(\d)\. ", section(extended.root), re.MULTILINE)]

    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) <= 6
    assert {step.file for step in steps(extended.root)} == {"celery_app.py", "docker-compose.yml", "test-config.yml"}


def test_the_new_scenario_holds_on_workers_of_its_own(broker_url: str, extended: Stack, tmp_path: Path) -> None:
    user = Command(tmp_path, root=extended.root)

    done = user.dispatch("sums", "routing", "--local", BROKER_URL=broker_url)

    assert done.returncode == 0, done.stdout + done.stderr
    for results in user.results():
        ran = {(o["task"], o["queue"], o["worker"]) for o in results["outcomes"] if o["task"] == "task_c"}
        assert ran == {("task_c", "queue_c", "worker-c")}
    routed = [check["name"] for check in user.results()[-1]["checks"] if check["name"].startswith("route of task_c")]
    assert routed == ["route of task_c: exchange tasks, key queue_c, queue queue_c"]


def test_compose_starts_the_new_worker_as_the_others(needs_docker: None, extended: Stack) -> None:
    services: dict[str, Any] = json.loads(extended.compose("config", "--format", "json"))["services"]

    new, old = services["worker-c"], services["worker-b"]
    assert new.pop("command") == worker_command(WorkerSpec(service="worker-c", queue="queue_c"))
    for other in ("command", "deploy"):
        del old[other]
    new.pop("deploy", None)
    assert new == old


def test_the_users_may_reach_the_new_queue_after_setup(extended: Stack) -> None:
    """What setup.sh grants comes from the app: no name has to be written there."""
    script = f"mkdir -p .venv/bin; ln -sf {sys.executable} .venv/bin/python; . deploy/setup/broker.sh; "
    for role in ("worker", "dispatcher"):
        done = subprocess.run(
            ["bash", "-c", f"{script}read_queues; permissions_of {role}"],
            cwd=extended.root,
            env={**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        lines = done.stdout.splitlines()
        assert len(lines) == 3, done.stderr
        assert all(re.search(r"\bqueue_c\b", line) and r"queue_c\.dead" in line for line in lines[:2])


#: Where a queue, a task and a service may be written: what the app has, what runs it, what is meant.
PLACES = {
    "queue_b": {"celery_app.py", "docker-compose.yml", "deploy/swarm/stack.yml", "test-config.yml"},
    "task_b": {"celery_app.py", "test-config.yml"},
    "worker-b": {"docker-compose.yml", "deploy/swarm/stack.yml", "test-config.yml"},
}


@pytest.mark.parametrize("name", PLACES)
def test_names_are_written_in_one_place_for_each_purpose(extended: Stack, name: str) -> None:
    """No code knows a name; comments and descriptions may give one as an example."""
    code = [*extended.root.glob("*.*"), extended.root / "Makefile", extended.root / "Dockerfile"]
    code += [path for folder in ("harness", "worker", "deploy") for path in (extended.root / folder).rglob("*.*")]
    found = {
        str(path.relative_to(extended.root))
        for path in code
        if path.is_file() and path.suffix in {"", ".py", ".yml", ".sh"} and names(path.read_text(), name)
    }

    assert found == PLACES[name]


def names(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){name}(?!\w)", re.sub(r'(?m)#.*$|"""(?:.|\n)*?"""', "", text)) is not None
