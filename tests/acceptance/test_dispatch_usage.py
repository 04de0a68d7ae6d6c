"""Exit 2 and 70: what is wrong is said before anything is published, in three lines and without a password."""

from __future__ import annotations

import json
import shutil
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


def refused(user: Any, *arguments: str, **environment: str) -> str:
    """Run the command, which must refuse with 2 and nothing else; return its three lines."""
    before = sorted(user.directory.rglob("*"))
    done = user.dispatch(*arguments, **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) <= 3
    assert sorted(user.directory.rglob("*")) == before
    assert user.journals() == []
    return str(done.stderr)


@pytest.mark.parametrize("variable", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"])
def test_a_variable_by_which_celery_goes_to_another_broker(user: Any, nobody: str, variable: str) -> None:
    """Celery reads them before the app's own setting; the containers, which have .env, would be elsewhere."""
    what, why, fix = refused(user, BROKER_URL=nobody, **{variable: "amqp://user:SECRET@elsewhere//"}).splitlines()

    assert what == f"error: {variable} is set to another broker than celery_app.BROKER_URL"
    used, own = "amqp://user@elsewhere//", nobody.replace(":SECRET", "")
    assert why == f"  why: Celery takes it instead: {used}, not {own}"
    assert fix.startswith(f"  try: unset {variable}")


# --- flags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--bogus"], "unrecognized arguments: --bogus"),
        (["--form", "json"], "unrecognized arguments: --form"),
        (["--format", "xml"], "invalid choice: 'xml'"),
        (["--color", "sometimes"], "invalid choice: 'sometimes'"),
        (["--local", "--embedded"], "not allowed with argument"),
        (["-o"], "expected one argument"),
    ],
)
def test_flags_that_do_not_exist(user: Any, nobody: str, flags: list[str], says: str) -> None:
    done = user.dispatch(*flags, BROKER_URL=nobody)

    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--timeout", "30"], "error: --timeout: expected a duration such as 500ms, 30s, 1m30s or 1h, got '30'\n"),
        (["--timeout", "0s"], "error: --timeout: expected a duration above 0"),
        (["--wait-workers", "soon"], "error: --wait-workers: expected a duration"),
        (["basci"], "error: no scenario 'basci' in {config}; did you mean 'basic'?\n  why: it has: basic"),
        (["quite-other"], "error: no scenario 'quite-other' in {config}\n"),
        (["--all", "basic"], "error: --all runs every scenario"),
        (["--config", "nowhere.yml"], "error: nowhere.yml: "),
    ],
)
def test_flags_that_cannot_be_used(user: Any, nobody: str, flags: list[str], says: str) -> None:
    told = refused(user, *flags, BROKER_URL=nobody)

    assert told.startswith(says.replace("{config}", str(user.root / "test-config.yml")))


def test_one_results_file_for_several_scenarios(user: Any, nobody: str) -> None:
    config = user.config({name: [{"task": "task_a"}] for name in ("one", "two")})

    told = refused(user, "--all", "--config", config, "-o", "x.json", BROKER_URL=nobody)

    assert told.startswith("error: -o names one file, and each scenario writes its own\n")


def test_help_lists_every_exit_code_and_flag(user: Any) -> None:
    done = user.dispatch("--help")

    assert done.returncode == 0
    for code in ExitCode:
        assert f"\n  {code.value:>3}  {code.meaning}" in done.stdout
    flags = ["--list", "--all", "--config", "--format", "--color", "-q", "-o", "--wait-workers", "--timeout"]
    for flag in [*flags, "--local", "--embedded", "--version"]:
        assert flag in done.stdout


def test_list_and_version_need_no_broker(user: Any, nobody: str) -> None:
    listed = user.dispatch("--list", BROKER_URL=nobody)
    version = user.dispatch("--version", BROKER_URL=nobody)

    assert (listed.returncode, version.returncode) == (0, 0)
    assert listed.stdout.startswith("basic ")
    assert "Basic two-task execution test" in listed.stdout
    assert version.stdout.startswith("dispatch.py ")


# --- files ----------------------------------------------------------------------------------------


def test_an_invalid_configuration_is_located(user: Any, nobody: str) -> None:
    path = user.directory / "bad.yml"
    path.write_text(
        "version: 1\nworkers:\n  worker-a: {queue: queue_a}\n"
        "scenarios:\n  basic:\n    description: x\n    taks:\n      - {task: task_a}\n"
    )

    assert refused(user, "--config", "bad.yml", BROKER_URL=nobody).startswith(
        "error: bad.yml:7:5: scenarios.basic: unknown key 'taks'; did you mean 'tasks'?\n"
    )


def test_a_task_that_the_app_routes_nowhere(user: Any, nobody: str) -> None:
    config = user.config({"odd": [{"task": "task_c"}]})

    told = refused(user, "odd", "--config", config, BROKER_URL=nobody)

    assert told.startswith("error: task 'task_c' is routed to no queue\n  why: the app knows: task_a, task_b\n")


def test_a_results_path_that_cannot_be_written(user: Any, nobody: str) -> None:
    (user.directory / "file").write_text("")
    (user.directory / "folder").mkdir()
    (user.directory / "older.json").write_text("older")

    for path, says in {
        "file/results.json": "error: file/results.json: the results could not be written there\n  why: Not a directory",
        "/proc/results.json": "error: /proc/results.json: ",
        "nowhere/results.json": "error: nowhere/results.json: there is no directory nowhere\n  try: mkdir -p nowhere\n",
        "folder": "error: folder: is a directory\n  try: name a file in it: -o folder/results.json\n",
        "older.json": "error: older.json: exists already\n"
        "  why: results are never written over an older file\n  try: give another name: -o older_2.json\n",
    }.items():
        assert refused(user, "-o", path, BROKER_URL=nobody).startswith(says)
    assert (user.directory / "older.json").read_text() == "older"


def test_a_results_directory_of_the_settings_that_is_not_there(user: Any, nobody: str) -> None:
    config = user.config({"quick": [{"task": "task_a"}]}, results_dir="nowhere")

    told = refused(user, "quick", "--config", config, BROKER_URL=nobody)

    assert "there is no directory nowhere\n  try: mkdir -p nowhere\n" in told


# --- broker URLs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "localhost",
        "redis://user:SECRET@localhost",
        "amqp://user:SECRET@localhost:port//",
        "amqp://user:SEC/RET@localhost//",
        "amqp://user:SEC#RET@localhost//",
        "amqp://user:SEC?RET@localhost//",
        "amqp://user:SECRET@[::1//",
        "amqps://user:SECRET@[::1//",
        "amqp://a:b@localhost//;redis://user:SECRET@localhost//",
    ],
)
def test_a_broker_url_that_is_none(user: Any, url: str) -> None:
    told = refused(user, BROKER_URL=url)

    assert told.startswith("error: BROKER_URL is not the URL of a broker that can be used here\n")
    assert "amqp://USER:PASSWORD@HOST" in told
    assert "SEC" not in told
    assert "RET" not in told


# --- not the project's Python, and bugs -----------------------------------------------------------


def test_a_python_that_lacks_the_packages(user: Any, nobody: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    bare = tmp_path / "bare/bin/python"

    done = subprocess.run(
        [bare, user.root / "dispatch.py"],
        cwd=user.directory,
        env=user.env(BROKER_URL=nobody),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"error: this Python ({bare}) lacks the package yaml",
        "  why: the project's packages are in its own environment, .venv",
        "  try: make install; .venv/bin/python dispatch.py",
    ]


@pytest.mark.parametrize("broken", ["raise RuntimeError('broken on purpose')", "import no_such_module"])
def test_an_unexpected_error_is_said_to_be_a_bug(user: Any, nobody: str, tmp_path: Path, broken: str) -> None:
    user.root = shutil.copytree(user.root, tmp_path / "broken")
    with (user.root / "harness/stage.py").open("a") as ours:
        ours.write(f"\n{broken}\n")

    done = user.dispatch(BROKER_URL=nobody)

    assert done.returncode == 70
    assert done.stdout == ""
    (record,) = map(json.loads, done.stderr.splitlines())
    assert record["message"] == "unexpected error; this is a bug"
    assert "harness/stage.py" in record["exc_info"]
    assert "SECRET" not in done.stderr
    assert list(user.directory.iterdir()) == []
