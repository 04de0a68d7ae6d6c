"""./setup.sh doctor as its users run it: what it finds on a deployment that was set up, and how it says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.stack import Stack, rabbitmqctl


def test_doctor_finds_nothing_on_a_working_stack(stack: Stack) -> None:
    stack.wait_healthy()
    stack.clear_queues()

    lines = stack.output("./setup.sh", "doctor").splitlines()

    assert [line for line in lines if line.startswith(("[!] ", "[x] "))] == []
    for check in (
        "settings of setup.sh",
        "Docker",
        "Compose",
        "broker",
        "virtual host",
        "user of the dispatcher",
        "user of the monitor",
        "broker, from a container",
        "worker worker-b",
    ):
        assert any(line.startswith(f"[ok] {check}: ") for line in lines), check


def test_doctor_finds_a_stopped_worker_and_start_mends_it(stack: Stack) -> None:
    stack.compose("stop", "worker-b")

    doctor = stack.run("./setup.sh", "doctor")
    stack.output("./setup.sh", "start")

    assert doctor.returncode == 1
    assert "[x]  consumers: nobody consumes queue_b" in doctor.stdout
    assert "[x]  worker worker-b: 0 of 1 nodes consume queue_b; " in doctor.stdout
    assert "[ok] worker worker-a: " in doctor.stdout
    stack.wait_healthy()


@pytest.fixture
def env_file(stack: Stack) -> Iterator[Path]:
    """The shared copy's .env, put back afterwards."""
    path = stack.root / ".env"
    content = path.read_bytes()
    yield path
    path.write_bytes(content)
    path.chmod(0o600)


def test_doctor_says_why_a_container_is_refused(stack: Stack, env_file: Path) -> None:
    env_file.write_text(env_file.read_text().replace(stack.passwords()[1], "wrong"))
    env_file.chmod(0o644)

    doctor = stack.run("./setup.sh", "doctor")

    assert doctor.returncode == 1
    (refused,) = [line for line in doctor.stdout.splitlines() if line.startswith("[x]  broker, from a container: ")]
    assert "RabbitMQ refuses the user or its password" in refused
    assert refused.endswith(" -> ./setup.sh")
    assert (
        f"[x]  user of the worker: {stack.name}-worker has another password than .env says -> ./setup.sh"
        in doctor.stdout
    )
    assert "(mode 644) -> chmod 600 .env" in doctor.stdout
    assert "wrong" not in doctor.stdout


def test_a_url_that_leads_elsewhere_is_told_as_that(stack: Stack, env_file: Path) -> None:
    url = stack.setting("WORKER_BROKER_URL")
    env_file.write_text(env_file.read_text().replace(url, f"{url}-2"))

    lines = stack.run("./setup.sh", "doctor").stdout.splitlines()

    made = f"amqp://{stack.name}-worker@host.docker.internal:5672/{stack.name}"
    assert (
        f"[x]  user of the worker: WORKER_BROKER_URL in .env is {made}-2, and setup.sh made {made} -> ./setup.sh"
        in lines
    )
    assert (
        f"[ok] user of the monitor: {stack.name}-monitor has its password, and its permissions on {stack.name}" in lines
    )


def test_a_user_that_may_do_more_than_it_was_given_is_told(stack: Stack) -> None:
    user = f"{stack.name}-monitor"
    (given,) = [one for one in stack.on_broker()["permissions"] if one["user"] == user]
    rabbitmqctl("set_permissions", "-p", stack.name, user, *[".*"] * 3)
    try:
        doctor = stack.run("./setup.sh", "doctor")
    finally:
        rabbitmqctl("set_permissions", "-p", stack.name, user, *(given[key] for key in ("configure", "write", "read")))

    assert doctor.returncode == 1
    assert (
        f"[x]  user of the monitor: {user} has other permissions on {stack.name} than setup.sh gives" in doctor.stdout
    )


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_json_document_holds_what_setup_sh_found_too(stack: Stack, env_file: Path, mode: int) -> None:
    env_file.chmod(mode)

    document = json.loads(stack.output("sh", "-c", "./setup.sh doctor --json 2>/dev/null"))

    checks = {check["check"]: check for check in document["checks"]}
    assert len(checks) == len(document["checks"])
    assert document["passed"]
    assert checks["login"]["subject"] == "broker"
    assert checks["broker, from a container"] == {
        "subject": "set-up",
        "check": "broker, from a container",
        "level": "ok",
        "cause": "WORKER_BROKER_URL works",
        "fix": "",
    }
    settings = checks["settings of setup.sh"]
    assert (settings["level"], settings["fix"]) == (("ok", "") if mode == 0o600 else ("warning", "chmod 600 .env"))


def test_what_setup_sh_finds_counts_in_the_json_document(stack: Stack, env_file: Path) -> None:
    env_file.write_text(env_file.read_text().replace(stack.passwords()[2], "wrong"))  # of the monitor, who is away

    doctor = stack.run("sh", "-c", "./setup.sh doctor --json 2>/dev/null")

    assert doctor.returncode == 1
    document = json.loads(doctor.stdout)
    failed = [check["check"] for check in document["checks"] if check["level"] == "failed"]
    assert failed == ["user of the monitor"]
    assert not document["passed"]


@pytest.fixture
def mistake(stack: Stack) -> Iterator[str]:
    """A mistake in celery_app.py of the shared copy, as FILE:LINE, mended afterwards."""
    path = stack.root / "celery_app.py"
    before = path.read_text()
    path.write_text(f"{before}def send(\n")
    yield f"celery_app.py:{before.count(chr(10)) + 1}"
    path.write_text(before)


def test_a_mistake_in_the_app_is_told_by_file_and_line(stack: Stack, mistake: str) -> None:
    error = f"{mistake}: SyntaxError: '(' was never closed"

    doctor = stack.run("./setup.sh", "doctor")
    install = stack.run("./setup.sh", "--yes")

    assert doctor.returncode == 1
    assert [line for line in doctor.stdout.splitlines() if line.startswith("[x] ") and error in line]
    assert f"[ok] user of the worker: {stack.name}-worker has its password" in doctor.stdout
    assert install.returncode == 2
    assert [line for line in install.stdout.splitlines() if not line.startswith(("==> ", "  [ok] "))] == [
        f"error: {error}",
        "  why: it is in the line: def send(",
        "  try: .venv/bin/python -c 'import celery_app' shows the whole traceback"
        "  # docs/troubleshooting.md#app-mistake",
    ]


def test_a_package_that_is_gone_is_found_and_installed_again(stack: Stack) -> None:
    stack.output(".venv/bin/python", "-m", "pip", "uninstall", "--quiet", "--yes", "colorama")

    doctor = stack.run("./setup.sh", "doctor")
    as_json = stack.run("./setup.sh", "doctor", "--json")
    plan = stack.output("./setup.sh", "--dry-run")
    stack.output("make", "install")

    assert doctor.returncode == 1
    assert "[x]  packages: .venv does not hold those of requirements.txt" in doctor.stdout
    assert "[ok] Docker: the engine answers" in doctor.stdout
    assert (as_json.returncode, as_json.stdout.splitlines()[0]) == (69, "error: there is no document")
    assert "[todo] create .venv and install the packages of requirements.txt" in plan
    stack.output(".venv/bin/python", "-c", "import colorama")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("doctor", "--broker amqp://u@localhost/x"),
        ("start", "--dry-run"),
        ("clean", "--packages"),
        ("install", "--json"),
    ],
)
def test_an_option_of_another_command_is_an_error_of_usage(fresh_copy: Stack, command: str, option: str) -> None:
    before = fresh_copy.files()

    for arguments in ([command, *option.split()], [*option.split(), command]):
        done = fresh_copy.run("./setup.sh", *arguments)
        assert done.returncode == 2
        assert done.stdout.splitlines()[0] == f"error: {command} takes no {option.split()[0]}"
        assert len(done.stdout.splitlines()) == 3
    assert fresh_copy.files() == before
