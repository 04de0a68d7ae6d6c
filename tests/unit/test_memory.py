"""How much memory is left, and how much was taken: asked of the real system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.memory import available_bytes, peak_bytes

_ROOT = Path(__file__).resolve().parents[2]

linux = pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="this system has no /proc/meminfo")


@linux
def test_there_is_some_left_and_not_more_than_the_machine_has() -> None:
    total_kb = int(Path("/proc/meminfo").read_text().split()[1])
    left = available_bytes()
    assert left is not None
    assert 0 < left < total_kb * 1024


@linux
def test_a_limit_of_the_process_counts() -> None:
    code = (
        "import resource; from harness.memory import available_bytes;"
        "resource.setrlimit(resource.RLIMIT_AS, (300_000_000, 300_000_000)); print(available_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_ROOT)
    assert 0 < int(done.stdout) < 300_000_000


@linux
def test_the_peak_is_what_was_taken_also_when_it_is_given_back() -> None:
    code = (
        "from harness.memory import peak_bytes; before = peak_bytes();"
        "taken = b'x' * 60_000_000; del taken; print(peak_bytes() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_ROOT)
    assert 55_000_000 < int(done.stdout) < 80_000_000
    assert (peak_bytes() or 0) > 10_000_000
