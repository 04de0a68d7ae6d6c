"""setup.sh as its users run it: installs once, says what is wrong, and takes back exactly what it did."""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections.abc import Callable

import pytest
from amqp import Channel, Message
from amqp.exceptions import AccessRefused
from kombu import Connection, Queue

from tests.acceptance.conftest import Installed
from tests.acceptance.stack import Stack

OWN_LINES = "# mine\nLOG_LEVEL=DEBUG\nBROKER_URL=amqp://mine@elsewhere//\n"


# --- what install did ---


def test_install_ends_with_the_main_job(installed: Installed) -> None:
    assert "Dispatch completed successfully!" in installed.output.splitlines()[-1]


def test_no_password_was_on_a_command_line(installed: Installed) -> None:
    lines = installed.command_lines
    if not lines:
        pytest.skip("no /proc on this system")
    # the sampling was fast enough to see what would have carried one
    for command in ("add_user", "docker run --rm --env BROKER_URL", "celery -A celery_app inspect ping"):
        assert any(command in line for line in lines), command
    for password in installed.stack.passwords():
        assert [line for line in lines if password in line] == []


def test_env_holds_long_passwords_and_nothing_else_does(stack: Stack) -> None:
    passwords = stack.passwords()

    assert len(set(passwords)) == 4
    assert all(re.fullmatch("[0-9a-f]{48}", password) for password in passwords)
    assert stack.setting("COMPOSE_PROJECT_NAME") == stack.name  # the next command needs no variable
    assert stat.S_IMODE((stack.root / ".env").stat().st_mode) == 0o600
    for name, content in stack.files().items():
        assert name == ".env" or not any(password.encode() in content for password in passwords), name


@pytest.mark.parametrize("key", ["BROKER_URL", "WORKER_BROKER_URL", "MONITOR_BROKER_URL"])
def test_a_user_may_use_its_own_virtual_host_alone(stack: Stack, key: str) -> None:
    url = stack.setting(key).replace("host.docker.internal", "localhost")

    with Connection(url) as connection:
        connection.connect()
    with Connection(url.rsplit("/", 1)[0] + "//") as connection, pytest.raises(Exception, match="530"):
        connection.connect()


@pytest.mark.parametrize("key", ["BROKER_URL", "WORKER_BROKER_URL", "MONITOR_BROKER_URL"])
def test_a_user_may_declare_the_queues_of_the_app_alone(stack: Stack, key: str) -> None:
    url = stack.setting(key).replace("host.docker.internal", "localhost")

    with Connection(url) as connection, pytest.raises(Exception, match="ACCESS_REFUSED"):
        Queue("queue_c").bind(connection.channel()).declare()


WORKER_MAY_NOT = {
    "read dead letters": lambda channel: channel.basic_get("queue_a.dead"),
    "empty dead letters": lambda channel: channel.queue_purge("queue_a.dead"),
    "read results that nobody waits for": lambda channel: channel.basic_get("results.dead"),
    "read what other nodes tell": lambda channel: channel.queue_bind("queue_a", "celeryev", "#"),
    "make an exchange": lambda channel: channel.exchange_declare("exchange_c", "topic"),
    "delete the exchange of all": lambda channel: channel.exchange_delete("amq.topic"),
    "publish by another exchange": lambda channel: channel.basic_publish_confirm(
        Message("x"), exchange="amq.fanout", routing_key=""
    ),
}


@pytest.mark.parametrize("deed", WORKER_MAY_NOT.values(), ids=WORKER_MAY_NOT)
def test_a_worker_may_do_just_what_it_must(stack: Stack, deed: Callable[[Channel], object]) -> None:
    url = stack.setting("WORKER_BROKER_URL").replace("host.docker.internal", "localhost")

    with Connection(url) as connection:
        channel = connection.channel()
        channel.confirm_select()
        channel.exchange_declare("celeryev", "topic", durable=True, auto_delete=False)  # it may send events
        with pytest.raises(AccessRefused):
            deed(channel)


def test_a_task_can_be_called_and_retried_with_these_permissions(stack: Stack) -> None:
    script = "from celery_app import task_a; print(task_a.delay(work_s=0, fail_times=1).get(timeout=30)['attempt'])"

    assert stack.output(".venv/bin/python", "-c", script, BROKER_URL=stack.setting("BROKER_URL")) == "2"


def test_a_second_run_changes_nothing_and_says_so(stack: Stack) -> None:
    stack.wait_healthy()

    def everything() -> tuple[object, ...]:
        files = {
            name: content
            for name, content in stack.files().items()
            if not name.startswith(("dispatch_results_", ".runs/")) and "__pycache__" not in name
        }
        containers = [(one["Id"], one["State"]["StartedAt"], one["Image"]) for one in stack.containers()]
        return files, containers, stack.on_broker(), (stack.root / ".env").stat().st_mtime_ns

    before = everything()
    output = stack.output("./setup.sh", "--yes")

    assert everything() == before
    assert "everything is in place: nothing to change" in output
    assert "[todo]" not in output
    assert "Dispatch completed successfully!" in output


#: A shell in which nobody has said these again.
BARE = ("env", "-u", "COMPOSE_PROJECT_NAME", "-u", "SETUP_VHOST", "-u", "SETUP_USER_PREFIX")


@pytest.mark.parametrize("what", ["all of .env", "a password"])
def test_what_is_mended_in_another_shell_keeps_its_names(stack: Stack, what: str) -> None:
    env = stack.root / ".env"
    running = stack.in_docker()
    if what == "all of .env":
        env.unlink()
    else:
        env.write_text(env.read_text().replace(stack.passwords()[0], "wrong"))

    output = stack.output(*BARE, "./setup.sh", "--yes")

    assert "[todo] " in output
    assert stack.setting("COMPOSE_PROJECT_NAME") == stack.name
    assert stack.setting("BROKER_URL").endswith(f"/{stack.name}")
    assert len(stack.in_docker()) == len(running)
    (folder,) = {one["Config"]["Labels"]["com.docker.compose.project.working_dir"] for one in stack.containers()}
    others = stack.output(
        "docker", "ps", "--filter", f"label=com.docker.compose.project.working_dir={folder}", "--quiet"
    )
    assert len(others.split()) == len(stack.containers())  # none under another name


def test_a_lost_env_is_mended(stack: Stack) -> None:
    old = stack.passwords()
    (stack.root / ".env").unlink()

    output = stack.output("./setup.sh", "--yes")

    assert not set(old) & set(stack.passwords())
    assert "Dispatch completed successfully!" in output


# --- what it refuses ---


def test_dry_run_shows_the_plan_and_changes_nothing(
    needs_rabbitmq: object, needs_docker: object, fresh_copy: Stack
) -> None:
    before = fresh_copy.files()

    output = fresh_copy.output("./setup.sh", "--dry-run")

    for step in ("create .venv", f"create the virtual host {fresh_copy.name}", "write .env", "build", "start"):
        assert re.search(rf"\[todo\] {step}", output), step
    assert fresh_copy.files() == before
    assert fresh_copy.on_broker() == {"users": [], "permissions": [], "vhosts": []}
    assert fresh_copy.in_docker() == []


@pytest.mark.parametrize("command", ["install", "clean", "uninstall"])
def test_without_a_terminal_it_wants_yes(fresh_copy: Stack, command: str) -> None:
    before = fresh_copy.files()

    done = fresh_copy.run("./setup.sh", command)

    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 3
    assert f"./setup.sh {command} --yes" in done.stdout
    assert fresh_copy.files() == before


@pytest.mark.parametrize("arguments", [["--no-such"], ["no-such"], ["doctor", "--no-such"]])
def test_an_unknown_argument_is_an_error_of_usage(fresh_copy: Stack, arguments: list[str]) -> None:
    done = fresh_copy.run("./setup.sh", *arguments)

    assert done.returncode == 2
    assert done.stdout.startswith("error: unknown ")


def test_help_names_every_command(fresh_copy: Stack) -> None:
    shown = fresh_copy.output("./setup.sh", "--help")

    for command in ("install", "doctor", "start", "stop", "restart", "logs", "dispatch", "clean", "uninstall"):
        assert re.search(rf"^  {command} ", shown, re.MULTILINE), command


def test_another_copy_keeps_its_users(stack: Stack, fresh_copy: Stack) -> None:
    fresh_copy.name = stack.name
    files, users = fresh_copy.files(), stack.on_broker()

    done = fresh_copy.run("./setup.sh", "--yes")

    assert done.returncode == 69
    assert f"a user {stack.name}-dispatcher that this folder knows nothing of" in done.stdout
    assert fresh_copy.files() == files
    assert stack.on_broker() == users


def test_another_copy_keeps_its_containers(stack: Stack, fresh_copy: Stack) -> None:
    running = [container["Id"] for container in stack.containers()]
    fresh_copy.name = stack.name

    done = fresh_copy.run("./setup.sh", "clean", "--yes")

    assert done.returncode == 69
    assert f"belong to {stack.root}" in done.stdout
    assert [container["Id"] for container in stack.containers()] == running


def test_compose_v1_alone_is_refused_by_name(fresh_copy: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Programs of the machine are replaced here: there is no other way to have an old Compose and no new one."""
    programs = tmp_path_factory.mktemp("programs")
    for name, script in {
        "docker": '[ "$1" != compose ]',  # an engine that answers, without the plugin
        "docker-compose": "echo 1.29.2",
        "apt-get": "exit 1",
        "apt-cache": "echo '  Candidate: (none)'",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"

    for command in (["--dry-run"], ["start"]):
        done = fresh_copy.run("./setup.sh", *command, PATH=path)
        assert done.returncode == 69
        assert "error: Compose v2 or later is needed" in done.stdout
        assert "found only docker-compose 1.29.2" in done.stdout
    assert "Compose: only version 1.29.2" in fresh_copy.run("./setup.sh", "doctor", PATH=path).stdout


# --- and back again ---


def test_clean_and_uninstall_leave_nothing(
    needs_rabbitmq: object, needs_docker: object, fresh_copy: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (fresh_copy.root / ".env").write_text(OWN_LINES)
    before = fresh_copy.files()
    nothing = tmp_path_factory.mktemp("foreign") / "nothing.tar"
    tarfile.open(nothing, "w").close()
    foreign = fresh_copy.output("docker", "import", str(nothing))  # has no name either

    fresh_copy.output("./setup.sh", "--yes")
    env = (fresh_copy.root / ".env").read_text()
    users = fresh_copy.on_broker()
    with (fresh_copy.root / "celery_app.py").open("a") as app:
        app.write("\n# a change, so that the next build leaves the image before it without a name\n")
    fresh_copy.compose("build")
    (fresh_copy.root / "celery_app.py").write_bytes(before["celery_app.py"])
    try:
        fresh_copy.output("./setup.sh", "clean", "--yes")
        after_clean = fresh_copy.in_docker(), fresh_copy.on_broker(), set(fresh_copy.files()) - set(before)
    finally:
        uninstalled = fresh_copy.run("./setup.sh", "uninstall", "--yes")

    assert env.startswith("# mine\nLOG_LEVEL=DEBUG\n#setup.sh# BROKER_URL=amqp://mine@elsewhere//\n")
    assert fresh_copy.name in env
    assert len(users["users"]) == len(users["permissions"]) == 3
    assert after_clean == ([], users, {".setup-state"})
    assert uninstalled.returncode == 0, uninstalled.stdout
    assert "no system package was installed, so none is removed" in uninstalled.stdout
    assert fresh_copy.files() == before
    assert fresh_copy.on_broker() == {"users": [], "permissions": [], "vhosts": []}
    assert fresh_copy.in_docker() == []
    fresh_copy.output("docker", "image", "rm", foreign)  # which is still there
