"""setup.sh on another system: each package and service manager is told the right words; macOS has all that is used."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.acceptance.machine import Machine
from tests.acceptance.stack import ROOT, Stack

#: Of bash 4 and later; macOS has 3.2.
NEWER_BASH = re.compile(
    r"mapfile|readarray|(declare|local) -[An]\b|\$\{\w+(\^|,)|&>>|\|&|coproc|wait -n|\[\[ -v|EPOCH|%\(.*\)T|;;&"
)

#: What a system starts and installs with, and what is looked up before: (system, manager, its words).
MANAGERS = {
    "macOS": (
        "Darwin",
        ["brew list rabbitmq", "brew install rabbitmq"],
        ["brew services start rabbitmq", "open -a Docker"],
        ["brew uninstall example-package"],
    ),
    "Fedora": (
        "Linux",
        ["rpm --query --quiet rabbitmq-server", "dnf install --assumeyes --quiet rabbitmq-server"],
        ["systemctl start rabbitmq-server", "systemctl start docker"],
        ["dnf remove --assumeyes example-package"],
    ),
    "Debian": (
        "Linux",
        [
            "dpkg-query --show --showformat=${Status} rabbitmq-server",
            "apt-get update --quiet=2",
            "apt-get install --yes --quiet=2 --no-install-recommends rabbitmq-server",
        ],
        ["systemctl start rabbitmq-server", "systemctl start docker"],
        ["apt-get remove --yes example-package"],
    ),
}
PROGRAMS = {"macOS": ["brew", "open"], "Fedora": ["dnf", "rpm"], "Debian": ["apt-get", "dpkg-query"]}
STEPS = """\
[[ $(command -v uname) == "$MACHINE"/* ]] || exit 99 # never this machine's own managers
source ./setup.sh
booted_by_systemd() { true; } # what a directory of /run says
install_packages $(packages_of rabbitmq)
start_service rabbitmq
start_service docker
list_changes
package remove example-package
"""


@pytest.mark.parametrize("name", MANAGERS)
def test_its_managers_are_told_the_right_words(
    fresh_copy: Stack, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    system, install, start, remove = MANAGERS[name]
    machine = Machine(tmp_path_factory.mktemp("machine"), system)
    for program in PROGRAMS[name]:  # the package is not installed yet
        machine.noting(program, {"brew": '[ "$1" != list ]', "rpm": "exit 1", "dpkg-query": "exit 1"}.get(program, ""))
    if system == "Linux":
        machine.noting("systemctl")
        machine.link("env")
    machine.program("id", "case $1 in -u) echo 0 ;; *) echo root ;; esac")

    done = fresh_copy.run("bash", "-c", STEPS, PATH=str(machine.path), MACHINE=str(machine.path))

    assert done.returncode == 0, done.stdout
    assert machine.notes == [*install, *start, *remove]
    assert f"system package: {install[-1].split()[-1]}" in done.stdout


def test_without_root_linux_asks_sudo_and_macos_does_not(
    fresh_copy: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    told = {}
    for system in ("Linux", "Darwin"):
        machine = Machine(tmp_path_factory.mktemp(system), system)
        for program in ("sudo", "brew"):
            machine.noting(program)
        machine.program("id", "echo 501")
        script = "source ./setup.sh; booted_by_systemd() { true; }; start_service rabbitmq"
        done = fresh_copy.run("bash", "-c", script, PATH=str(machine.path))
        assert done.returncode == 0, done.stdout
        told[system] = machine.notes

    assert told == {
        "Linux": ["sudo -n true", "sudo -n systemctl start rabbitmq-server"],
        "Darwin": ["brew services start rabbitmq"],
    }


def test_no_package_manager_is_said_in_words(fresh_copy: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    machine = Machine(tmp_path_factory.mktemp("machine"), "Darwin")

    done = fresh_copy.run("bash", "-c", "source ./setup.sh; install_packages rabbitmq", PATH=str(machine.path))

    assert done.returncode == 69
    assert done.stdout.splitlines()[1] == "  why: found none of apt, dnf and brew"
    assert done.stdout.splitlines()[2].endswith("  # docs/troubleshooting.md#no-package-manager")


def test_a_second_run_on_macos_uses_nothing_that_macos_lacks(stack: Stack, tmp_path: Path) -> None:
    """The broker and the engine are this machine's; what setup.sh itself calls is as macOS has it."""
    machine = Machine(tmp_path, "Darwin")
    machine.link("docker", "git")
    for program in ("rabbitmqctl", "rabbitmq-plugins"):  # scripts with needs of their own
        machine.program(program, f'PATH={os.environ["PATH"]} exec {shutil.which(program)} "$@"')
    machine.noting("brew")
    machine.noting("sudo", "exit 1")
    stack.wait_healthy()

    output = stack.output("./setup.sh", "--yes", PATH=str(machine.path))

    assert "package manager brew, brew services" in output
    assert "everything is in place: nothing to change" in output
    assert machine.notes == []


@pytest.mark.parametrize("script", ["setup.sh", *sorted(os.listdir(ROOT / "deploy/setup"))])
def test_no_script_needs_a_newer_bash_than_that_of_macos(script: str) -> None:
    path = ROOT / script if script == "setup.sh" else ROOT / "deploy/setup" / script

    assert [line for line in path.read_text().splitlines() if NEWER_BASH.search(line)] == []


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    done = Stack(ROOT).run("shellcheck", "--external-sources", "--check-sourced", "setup.sh", "deploy/setup/venv.sh")

    assert done.returncode == 0, done.stdout
