"""Every command's manners, on operate.py: help, exit codes, errors in three lines, settings, pipes, signals."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ExitCode
from tests.acceptance.rabbit import closed_port


@pytest.fixture
def nobody() -> str:
    """A broker URL that nobody answers at: a command that reached for it would end with 69."""
    return f"amqp://user:SECRET@localhost:{closed_port()}//"


@pytest.mark.parametrize("arguments", [[], ["dead-letters"]])
def test_help_lists_every_exit_code(user: Any, nobody: str, arguments: list[str]) -> None:
    done = user("operate.py", *arguments, "--help", BROKER_URL=nobody)

    assert done.returncode == 0
    for code in ExitCode:
        assert f"\n  {code.value:>3}  {code.meaning}" in done.stdout
    assert user("operate.py", "--version", BROKER_URL=nobody).stdout == "operate.py 1.0.0\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required: command"),
        (["dead-letter"], "invalid choice: 'dead-letter'"),
        (["dead-letters", "remove"], "invalid choice: 'remove'"),
        (["dead-letters", "--limit", "0"], "argument --limit: expected a whole number of at least 1, got '0'\n"),
        (["matrix", "--tasks", "x"], "argument --tasks: expected a whole number of at least 1, got 'x'\n"),
        (["dead-letters", "--lim=1"], "unrecognized arguments: --lim=1"),
        (["dead-letters", "redrive"], "error: dead-letters redrive: which ones?\n"),
        (["dead-letters", "list", "some-id"], "error: dead-letters list takes neither an id nor --yes\n"),
        (["dead-letters", "--yes"], "error: dead-letters list takes neither an id nor --yes\n"),
        (["dead-letters", "purge", "--json"], "error: --json and --limit belong to dead-letters list\n"),
        (["dead-letters", "--queue", "queue_c"], "error: --queue: no queue 'queue_c' with dead letters; did you mean"),
    ],
)
def test_what_is_asked_wrongly_is_refused_before_a_broker_is_needed(
    user: Any, nobody: str, arguments: list[str], says: str
) -> None:
    done = user("operate.py", *arguments, BROKER_URL=nobody)

    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_there_are_no_dead_letters_in_embedded_mode(user: Any, tmp_path: Path) -> None:
    done = user("operate.py", "dead-letters", BROKER_URL=f"filesystem://{tmp_path}")

    assert done.returncode == 2
    assert done.stderr.startswith("error: there are no dead letters in embedded mode\n")


@pytest.mark.parametrize("action", [["list"], ["redrive", "all", "--yes"], ["purge", "some-id", "--yes"]])
def test_a_broker_that_does_not_answer(user: Any, nobody: str, action: list[str]) -> None:
    done = user("operate.py", "dead-letters", *action, BROKER_URL=nobody)

    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith("error: no broker answers at amqp://user@localhost:")
    assert len(done.stderr.splitlines()) == 3
    assert "SECRET" not in done.stderr


@pytest.mark.parametrize("where", [".env", "test-config.yml"])
def test_the_broker_is_found_in_the_settings(
    user: Any, nobody: str, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BROKER_URL", raising=False)
    user.root = shutil.copytree(user.root, tmp_path / "settled")
    if where == ".env":
        (user.root / ".env").write_text(f"BROKER_URL={nobody}\n")
    else:
        path = user.root / "test-config.yml"
        path.write_text(
            path.read_text().replace("\nscenarios:", f"\nsettings:\n  broker_url: {nobody}\n\nscenarios:", 1)
        )

    done = user("operate.py", "dead-letters")

    assert done.returncode == 69, done.stderr
    assert nobody.replace(":SECRET", "") in done.stderr


def test_a_url_that_is_none_is_not_shown(user: Any) -> None:
    done = user("operate.py", "dead-letters", BROKER_URL="redis://user:SECRET@localhost")

    assert done.returncode == 2
    assert done.stderr.startswith("error: BROKER_URL is not the URL of a broker that can be used here\n")
    assert "SECRET" not in done.stderr


def test_a_python_that_lacks_the_packages(user: Any, nobody: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    bare = tmp_path / "bare/bin/python"

    done = subprocess.run(
        [bare, user.root / "operate.py", "dead-letters"],
        cwd=user.directory,
        env=user.env(BROKER_URL=nobody),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"error: this Python ({bare}) lacks the package celery",
        "  why: the project's packages are in its own environment, .venv",
        "  try: make install; .venv/bin/python operate.py",
    ]


def test_an_unexpected_error_is_said_to_be_a_bug(user: Any, nobody: str, tmp_path: Path) -> None:
    user.root = shutil.copytree(user.root, tmp_path / "broken")
    with (user.root / "harness/redrive.py").open("a") as module:
        module.write("\nraise RuntimeError('broken on purpose')\n")

    done = user("operate.py", "dead-letters", BROKER_URL=nobody)

    assert (done.returncode, done.stdout) == (70, "")
    (record,) = map(json.loads, done.stderr.splitlines())
    assert record["message"] == "unexpected error; this is a bug"


def test_a_reader_that_goes_away_is_no_failure(user: Any, broker_url: str) -> None:
    process = user.start("operate.py", "dead-letters", BROKER_URL=broker_url)
    process.stdout.close()
    process.stdout = None

    assert process.communicate()[1] == ""
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_130(user: Any, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        url = f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}//"
        process = user.start("operate.py", "dead-letters", BROKER_URL=url)
        silent.settimeout(30)
        connection, _ = silent.accept()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        connection.close()

    assert (process.returncode, out, err) == (130, "", "interrupted\n")
