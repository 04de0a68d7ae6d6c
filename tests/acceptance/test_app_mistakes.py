"""A mistake in celery_app.py, or in what it imports: every command says which file and which line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.stack import copy_project
from tests.conftest import Command

BEGIN = "from __future__ import annotations\n"
HELPER = "def rate(text):\n    return int(text)\n"

Mistaken = Callable[[str], str]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("mistaken")).root


@pytest.fixture
def user(copied: Path, tmp_path: Path) -> Command:
    return Command(tmp_path, {"PYTHONDONTWRITEBYTECODE": "1", "BROKER_URL": ""}, copied)


@pytest.fixture
def mistaken(copied: Path) -> Iterator[Mistaken]:
    """Write a line at the end of celery_app.py, and return where that is: file:line."""
    path = copied / "celery_app.py"
    before = path.read_text()
    (copied / "rates.py").write_text(HELPER)

    def write(line: str) -> str:
        path.write_text(f"{before}{line}\n")
        return f"celery_app.py:{before.count(chr(10)) + 1}"

    yield write
    path.write_text(before)
    (copied / "rates.py").unlink()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("app = Celery(", "SyntaxError: '(' was never closed"),
        ("import paymnts", "ModuleNotFoundError: No module named 'paymnts'"),
        ("from kombu import Quue", "ImportError: cannot import name 'Quue' from 'kombu'"),
        ("app.conf.task_routes = ROUTS", "NameError: name 'ROUTS' is not defined. Did you mean: 'ROUTES'?"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_is_written_there(
    user: Command, mistaken: Mistaken, line: str, told: str
) -> None:
    where = mistaken(line)
    done = user.dispatch("basic")
    first, why, fix = done.stderr.splitlines()
    assert done.returncode == 2
    assert first.startswith(f"error: {where}: {told.partition('. Did you mean')[0]}")
    assert why == f"  why: it is in the line: {line}"
    assert fix.startswith("  try: .venv/bin/python -c 'import celery_app' shows the whole traceback  # ")
    assert fix.endswith("docs/troubleshooting.md#app-mistake")


def test_a_mistake_in_what_it_imports_is_told_where_it_is(user: Command, mistaken: Mistaken) -> None:
    mistaken("from rates import rate; rate('ten')")
    done = user.dispatch("basic")
    assert done.stderr.startswith("error: rates.py:2: ValueError: invalid literal for int() with base 10: 'ten'\n")


def test_what_celery_refuses_only_when_it_reads_the_settings_is_told_too(user: Command, mistaken: Mistaken) -> None:
    mistaken("app = Celery('shop'); app.conf.update(task_track_started=True, CELERY_ACKS_LATE=True)")
    done = user.dispatch("basic")
    assert done.returncode == 2
    assert done.stderr.startswith("error: celery_app.py: ImproperlyConfigured: Cannot mix new and old setting keys")


@pytest.mark.parametrize(
    "command",
    [
        ("dispatch.py", "basic"),
        ("dispatch.py", "basic", "--embedded"),
        ("load_test.py", "--tasks", "1"),
        ("scale.py", "status"),
        ("operate.py", "dead-letters"),
        ("operate.py", "matrix"),
    ],
    ids=" ".join,
)
def test_every_command_says_it_in_three_lines(user: Command, mistaken: Mistaken, command: tuple[str, ...]) -> None:
    where = mistaken("1 / 0")
    done = user(*command)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 3), done.stderr
    assert done.stderr.startswith(f"error: {where}: ZeroDivisionError: division by zero\n")


def test_the_doctor_finds_it_as_a_check_that_failed(user: Command, mistaken: Mistaken) -> None:
    where = mistaken("1 / 0")
    done = user("operate.py", "doctor", "--json")
    (check,) = json.loads(done.stdout)["checks"]
    assert (done.returncode, check["level"]) == (1, "failed")
    assert check["cause"] == f"{where}: ZeroDivisionError: division by zero: it is in the line: 1 / 0"
    done = user("operate.py", "doctor")
    assert done.stdout.startswith(f"[x]  files: {where}: ZeroDivisionError")
    assert done.stderr.startswith("1 check in ")
