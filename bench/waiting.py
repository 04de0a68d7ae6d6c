"""How long a person waits for a command."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bench.deployment import ROOT, environment
from bench.measure import Failed


def waited_s(*command: str, directory: Path = ROOT, **env: str) -> float:
    """Return the seconds from the command's start to its end.

    Args:
        directory: Where it is run.
        env: Settings of its environment.

    Raises:
        Failed: It ended with another code than 0.
    """
    start = time.perf_counter()
    done = subprocess.run(command, cwd=directory, env=environment(**env), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-300:]
        raise Failed(f"{' '.join(command)} ended with {done.returncode}: {said}")
    return seconds
