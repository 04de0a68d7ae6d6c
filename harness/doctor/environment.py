"""Checks of this machine: Python and its packages, the Docker engine, Compose, disk and clock."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.docker_cli import DockerCli, refusal
from harness.errors import UnavailableError
from harness.finding import Finding, Problem, complaint, failed, good, judged, unknown, warned
from harness.render.figures import duration_text

#: The oldest Python that the project runs on.
PYTHON = (3, 11)
#: Free space, in bytes: below the first an image cannot be built; below the second results and logs soon stop.
ROOM_FOR_AN_IMAGE = 1_000_000_000
ROOM_FOR_RESULTS = 100_000_000
#: Clocks further apart than this make waits and run times wrong, in seconds.
CLOCK_S = 1.0


def python(release: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    text = ".".join(map(str, release))
    if release < PYTHON:
        return failed("Python", f"{text} is older than 3.11", "make install BASE_PYTHON=/path/to/python3.11")
    return good("Python", f"{text} ({sys.executable})")


def packages(requirements: Path) -> Finding:
    """Judge what this Python has installed against what requirements.txt pins."""
    wanted = pins(requirements)
    problems: list[Problem] = []
    for name, pinned in wanted.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed = "not installed"
        if installed != pinned:
            problems.append((f"{name} is {installed}, pinned is {pinned}", "make install"))
    return judged("packages", problems, f"the {len(wanted)} of {requirements.name} are as pinned")


def pins(requirements: Path) -> dict[str, str]:
    """Return the release that a requirements file pins of each package, by its name in lower case."""
    lines = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", requirements.read_text(), re.MULTILINE)
    return {name.lower(): release for name, release in lines}


def disk(directory: Path) -> Finding:
    """Judge the room in the file system of `directory`."""
    free = shutil.disk_usage(directory).free
    cause = f"{free / 1e9:.1f} GB are free at {directory}"
    if free < ROOM_FOR_RESULTS:
        return failed("disk", cause, "remove what is not needed: docker system df, make clean")
    if free < ROOM_FOR_AN_IMAGE:
        return warned(
            "disk", f"{cause}: an image needs more", "remove what is not needed: docker system df, make clean"
        )
    return good("disk", cause)


# --- Docker ---------------------------------------------------------------------------------------


def docker_info(cli: DockerCli) -> Mapping[str, Any]:
    """Return what the Docker engine says of itself.

    Raises:
        UnavailableError: It is not installed, does not answer, or refuses; `why` is its own complaint.
    """
    done = cli.run(["docker", "info", "--format", "{{json .}}"])
    info: Mapping[str, Any] = json.loads(done.stdout) if done.stdout.startswith("{") else {}
    errors = info.get("ServerErrors") or []
    if done.returncode or errors or not info.get("ServerVersion"):
        raise UnavailableError("the Docker engine does not answer", why=errors[0] if errors else refusal(done.stderr))
    return info


def docker(info: Mapping[str, Any] | UnavailableError) -> Finding:
    """Judge whether the engine answers this user, and whether a container finds this host's broker."""
    if isinstance(info, UnavailableError):
        if "permission denied" in info.why:
            user = getpass.getuser()
            return failed("Docker", f"the engine refuses {user}", f"sudo usermod -aG docker {user}, then log in again")
        start = "./setup.sh" if "not installed" in info.what else "systemctl start docker, or start Docker Desktop"
        return failed("Docker", complaint(info), start)
    release = info["ServerVersion"]
    if any("rootless" in option for option in info.get("SecurityOptions") or []):
        cause = f"the engine ({release}) is rootless: its host-gateway is not this host, where the broker is"
        return warned("Docker", cause, "HOST_GATEWAY=ADDRESS OF THIS HOST in .env")
    return good("Docker", f"the engine answers ({release})")


def compose(cli: DockerCli) -> Finding:
    """Judge whether there is a Compose that can read docker-compose.yml: version 2 or later."""
    try:
        release = cli.compose("version", "--short").strip().removeprefix("v")
    except UnavailableError as exc:
        fix = "./setup.sh, or https://docs.docker.com/compose/install/linux/"
        return failed("Compose", f"not installed: {exc.why or exc.what}", fix)
    major = re.match(r"\d+", release)
    if major is None:
        return unknown("Compose", f"the version that it names itself is {release!r}")  # such as dev, of a build by hand
    if int(major[0]) < 2:
        fix = "https://docs.docker.com/compose/install/linux/"
        return failed("Compose", f"version {release} cannot read docker-compose.yml", fix)
    return good("Compose", f"version {release}")


def clock(info: Mapping[str, Any] | UnavailableError, now: float) -> Finding:
    """Judge this host's clock against the Docker engine's, which is another where it runs in a virtual machine.

    Args:
        now: By this host's clock, in seconds since the epoch, when the engine told its own.
    """
    if isinstance(info, UnavailableError):
        return unknown("clock", "the Docker engine, whose clock is compared with this host's, does not answer")
    engine = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", info["SystemTime"])).timestamp()
    if abs(engine - now) > CLOCK_S:
        ahead = duration_text(engine - now)
        return warned(
            "clock", f"the Docker engine's is {ahead} ahead of this host's", "set both by NTP; restart Docker Desktop"
        )
    return good("clock", "this host's and the Docker engine's agree to a second")
