"""A copy of the project with names of its own, in which `./setup.sh` is measured as a user runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.deployment import ROOT, environment
from bench.waiting import waited_s

#: What commands leave behind, and what is another copy's own.
_NOT_COPIED = (".git", ".venv", ".env", ".setup-state", ".runs", ".*_cache", "__pycache__", "dispatch_results_*")


@dataclass(frozen=True, slots=True)
class Project:
    """A copy with its packages installed, and nothing else done yet."""

    root: Path
    name: str  # of its Compose project and virtual host, and what its users begin with

    @property
    def names(self) -> dict[str, str]:
        return {"COMPOSE_PROJECT_NAME": self.name, "SETUP_VHOST": self.name, "SETUP_USER_PREFIX": self.name}

    def waited_s(self, *command: str) -> float:
        """Return the seconds that a command takes here.

        Raises:
            Failed: It ended with another code than 0.
        """
        return waited_s(*command, directory=self.root, **self.names)


@contextmanager
def project() -> Iterator[Project]:
    """Yield a new copy; afterwards whatever `./setup.sh` made in it is gone."""
    with tempfile.TemporaryDirectory(prefix="bench-project-") as directory:
        made = Project(Path(directory) / "project", f"bench-{os.getpid()}")
        shutil.copytree(ROOT, made.root, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        made.waited_s("deploy/setup/venv.sh", "requirements.txt")
        try:
            yield made
        finally:
            removal = ["./setup.sh", "uninstall", "--yes"]
            subprocess.run(removal, cwd=made.root, env=environment(**made.names), capture_output=True, check=True)
