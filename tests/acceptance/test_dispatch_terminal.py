"""What a terminal gets and a pipe does not: colour, signs, a line drawn again."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.rabbit import closed_port
from tests.acceptance.terminal import OnTerminal

ESCAPE = "\x1b"
BAR = re.compile(r"\r\[[█░]+\]  +(\d+)/60 ")


def on_terminal(user: Any, *arguments: str, **environment: str) -> OnTerminal:
    return OnTerminal(
        [sys.executable, str(Path(user.root) / "dispatch.py"), *arguments], user.directory, user.env(**environment)
    )


@pytest.fixture
def many(user: Any) -> str:
    return user.config({"many": [{"task": name, "count": 30, "kwargs": {"work_s": 0.05}} for name in TASKS]})


TASKS = ("task_a", "task_b")


def test_rich_is_coloured_on_a_terminal(deployment: Any, user: Any) -> None:
    with on_terminal(user, BROKER_URL=deployment.url) as terminal:
        assert terminal.end() == 0

    assert "\x1b[32m🎉 Dispatch completed successfully!\x1b[0m" in terminal.text
    assert "\x1b[32mPASS\x1b[0m  every task succeeded" in terminal.text
    assert "\x1b[32mSUCCESS \x1b[0m task_a" in terminal.text


def test_a_failure_is_red_and_says_it_in_words(deployment: Any, user: Any) -> None:
    config = user.config({"bad": [{"task": "task_a", "kwargs": {"work_s": "no number"}}]})
    with on_terminal(user, "bad", "--config", config, BROKER_URL=deployment.url) as terminal:
        assert terminal.end() == 1

    assert "\x1b[31mFAIL\x1b[0m  every task succeeded" in terminal.text
    assert "\x1b[31mFAILED  \x1b[0m task_a" in terminal.text


@pytest.mark.parametrize(
    ("arguments", "environment", "coloured"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"TERM": "dumb"}, False),
        (["--color", "never"], {}, False),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
        (["--color", "always"], {"NO_COLOR": "1", "TERM": "dumb"}, True),
        ([], {"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_who_decides_on_colour(user: Any, arguments: list[str], environment: dict[str, str], coloured: bool) -> None:
    nobody = f"amqp://localhost:{closed_port()}//"  # the banner comes before the connection
    with on_terminal(user, *arguments, BROKER_URL=nobody, **environment) as terminal:
        assert terminal.end() == 69

    assert "DISTRIBUTED TASK SYSTEM DISPATCHER" in terminal.text
    assert (ESCAPE in terminal.text) is coloured


@pytest.mark.parametrize(
    ("arguments", "environment", "coloured"),
    [([], {}, False), (["--color", "always"], {}, True), ([], {"FORCE_COLOR": "1"}, True)],
)
def test_a_pipe_is_coloured_on_request(
    user: Any, arguments: list[str], environment: dict[str, str], coloured: bool
) -> None:
    done = user.dispatch(*arguments, BROKER_URL=f"amqp://localhost:{closed_port()}//", **environment)

    assert (ESCAPE in done.stdout) is coloured


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"LC_ALL": "POSIX"}])
@pytest.mark.parametrize("format_name", ["rich", "basic"])
def test_an_encoding_without_emoji_gets_ascii(
    deployment: Any, user: Any, environment: dict[str, str], format_name: str
) -> None:
    tasks = [{"task": "task_a", "kwargs": {"work_s": 0}}, {"task": "task_b", "kwargs": {"work_s": "ü ✓"}}]
    config = user.config({"signs": {"description": "Prüfung", "tasks": tasks}})

    done = user.dispatch("signs", "--config", config, "--format", format_name, BROKER_URL=deployment.url, **environment)

    assert done.returncode == 1
    assert done.stderr == ""
    assert "[x] Dispatch failed: 1 of " in done.stdout
    assert not set(done.stdout) & set("🚀✅❌🎯📊📄🎉•─")
    if "PYTHONIOENCODING" in environment:
        assert done.stdout.isascii()
    if format_name == "rich":
        assert "[*] DISTRIBUTED TASK SYSTEM DISPATCHER\n" in done.stdout
        assert f"DETAILED RESULTS\n{'-' * 60}\n" in done.stdout


def test_many_tasks_are_one_line_that_is_drawn_again(deployment: Any, user: Any, many: str) -> None:
    with on_terminal(user, "many", "--config", many, BROKER_URL=deployment.url) as terminal:
        assert terminal.end() == 0

    drawn = [(at, int(done)) for at, piece in terminal.pieces for done in BAR.findall(piece)]
    counts = [done for _, done in drawn]
    assert len(counts) > 3, terminal.text
    assert counts == sorted(counts)
    lasted_s = drawn[-1][0] - drawn[0][0]
    assert len(drawn) <= lasted_s * 10 + 2  # at most ten a second; one more at either end
    assert re.search(r"\r +\r\r\n=+", terminal.text.replace(ESCAPE + "[2m", ""))  # taken off before the results
    assert "SENT" not in terminal.text
    assert "60 attempted = 60 succeeded" in terminal.text


def test_quiet_draws_nothing(deployment: Any, user: Any, many: str) -> None:
    with on_terminal(user, "many", "-q", "--config", many, BROKER_URL=deployment.url) as terminal:
        assert terminal.end() == 0

    assert terminal.text == ""


def test_many_tasks_are_plain_lines_in_a_pipe(deployment: Any, user: Any) -> None:
    config = user.config({"slow": [{"task": "task_a", "count": 22, "kwargs": {"work_s": 0.6}}]})  # two at a time

    done = user.dispatch("slow", "--config", config, BROKER_URL=deployment.url)

    assert done.returncode == 0
    assert re.fullmatch(r"(\[[█░]+\]  +\d+/22  +\d+%  \d+\.\ds\n)+", done.stderr), done.stderr
    assert "SENT" not in done.stdout
    assert "22 attempted = 22 succeeded" in done.stdout
