"""The doctor's checks of this machine, on real files, a real Docker command line and a real file system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from harness.docker_cli import DockerCli
from harness.doctor import environment, workers
from harness.doctor.nodes import AnsweringNode
from harness.errors import UnavailableError
from harness.finding import Level


def engine(cli: DockerCli) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        environment.docker_info(cli)
    return caught.value


# --- Python, packages -----------------------------------------------------------------------------


def test_a_python_that_is_too_old_is_found() -> None:
    assert environment.python().level is Level.OK
    assert environment.python((3, 10, 14)).cause == "3.10.14 is older than 3.11"


def test_packages_that_are_not_as_pinned_are_named(tmp_path: Path) -> None:
    installed = metadata.version("celery")
    pins = tmp_path / "requirements.txt"
    pins.write_text(f"# ours\ncelery=={installed}\n")
    assert environment.packages(pins).level is Level.OK
    pins.write_text("celery==1.0.0\nnot-a-package==2.0\n")
    finding = environment.packages(pins)
    assert finding.level is Level.FAILED
    assert finding.cause == (f"celery is {installed}, pinned is 1.0.0; not-a-package is not installed, pinned is 2.0")
    assert finding.fix == "make install"


# --- disk -----------------------------------------------------------------------------------------


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_is_found(full_disk: Path) -> None:
    finding = environment.disk(full_disk)
    assert finding.level is Level.FAILED
    assert finding.cause == f"0.0 GB are free at {full_disk}"


# --- Docker ---------------------------------------------------------------------------------------


def test_an_engine_that_answers_is_found_and_its_clock_compared(needs_docker: None, tmp_path: Path) -> None:
    info = environment.docker_info(DockerCli(tmp_path))
    now = time.time()
    assert environment.docker(info).level is Level.OK
    assert environment.clock(info, now).level is Level.OK
    behind = environment.clock(info, now - 60)
    assert behind.level is Level.WARNING
    assert "is 60.0 s ahead of this host's" in behind.cause


def test_an_engine_that_does_not_answer_is_found(needs_docker: None, tmp_path: Path) -> None:
    error = engine(DockerCli(tmp_path, {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}))
    assert environment.docker(error).level is Level.FAILED
    assert "does not answer" in environment.docker(error).cause
    assert environment.clock(error, 0).cause.startswith("not known: ")
    assert environment.clock(error, 0).level is Level.WARNING


def test_an_engine_that_refuses_this_user_is_found(needs_docker: None, tmp_path: Path) -> None:
    """The command is run as `nobody`, who may not use the socket."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    programs = tmp_path / "programs"
    programs.mkdir()
    programs.joinpath("docker").write_text(
        f'#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups {shutil.which("docker")} "$@"\n'
    )
    programs.joinpath("docker").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    script = (
        "import os, sys; from pathlib import Path; from harness.docker_cli import DockerCli\n"
        "from harness.doctor import environment; from harness.errors import UnavailableError\n"
        "try: environment.docker_info(DockerCli(Path('/tmp'), {**os.environ, 'HOME': '/tmp'}))\n"
        "except UnavailableError as error: print(environment.docker(error).cause, environment.docker(error).fix)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.startswith("the engine refuses root"), done.stderr
    assert "usermod -aG docker root" in done.stdout


def test_a_rootless_engine_is_named(needs_docker: None, tmp_path: Path) -> None:
    info = dict(environment.docker_info(DockerCli(tmp_path)))
    finding = environment.docker({**info, "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]})
    assert finding.level is Level.WARNING
    assert "HOST_GATEWAY" in finding.fix


# --- Compose --------------------------------------------------------------------------------------


def test_compose_is_judged_by_its_version(needs_docker: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of the machine are replaced here: there is no other way to have an old Compose and no new one."""
    assert environment.compose(DockerCli(tmp_path)).level is Level.OK
    (tmp_path / "docker-compose").write_text("#!/bin/sh\necho 1.29.2\n")
    (tmp_path / "docker-compose").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    old = environment.compose(DockerCli(tmp_path))
    assert old.level is Level.FAILED
    assert old.cause == "version 1.29.2 cannot read docker-compose.yml"
    (tmp_path / "docker-compose").write_text("#!/bin/sh\necho dev\n")
    unnamed = environment.compose(DockerCli(tmp_path))
    assert unnamed.level is Level.WARNING
    assert unnamed.cause == "not known: the version that it names itself is 'dev'"
    (tmp_path / "docker-compose").unlink()
    assert environment.compose(DockerCli(tmp_path)).cause.startswith("not installed")


# --- what a node says -----------------------------------------------------------------------------


def test_a_node_that_takes_every_message_is_found() -> None:
    node = AnsweringNode(
        name="worker-a@here",
        namesakes=0,
        queues=("queue_a",),
        pool="worker.pool:TaskPool",
        concurrency=2,
        prefetch=0,
        active=0,
        later=(),
        clock_ahead_s=0.0,
        clock_known_to_s=0.001,
    )
    finding = workers.prefetch([node], multiplier=1)
    assert finding.level is Level.WARNING
    assert finding.cause.startswith("worker-a@here takes every message there is for 2 processes")
