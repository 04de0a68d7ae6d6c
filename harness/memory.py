"""What this machine and this process say of memory; None where the system does not."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path


def available_bytes() -> int | None:
    """Return how much memory this process can still take: of the machine, its container and its own limit."""
    limits = [_proc("/proc/meminfo", "MemAvailable"), _left_in_cgroup(), _left_of_address_space()]
    return min((limit for limit in limits if limit is not None), default=None)


def peak_bytes() -> int | None:
    """Return the most that was resident of this process so far."""
    # not ru_maxrss, which on Linux includes what the parent had when it forked
    peak = _proc("/proc/self/status", "VmHWM")
    if peak is None and sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes
    return peak


def _proc(path: str, name: str) -> int | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", Path(path).read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _left_in_cgroup() -> int | None:
    """Return what is left of a container's memory (cgroup v2)."""
    try:
        most, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return None
    return max(int(most) - int(used), 0) if most != "max" else None


def _left_of_address_space() -> int | None:
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _proc("/proc/self/status", "VmSize")
    return None if most == resource.RLIM_INFINITY or used is None else max(most - used, 0)
