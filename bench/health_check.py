"""What the containers' health check starts: every new process of a container, seen from the host while it is probed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from bench.container import Stack, answer_times, stack
from bench.measure import Failed, Row, median, milliseconds

PROBES = 2
#: How long that many probes may take, in seconds.
WATCH_S = 30.0
#: The pause between two looks at the processes, in seconds: a Python needs a hundred times as long to start.
LOOK_S = 0.001


def measure() -> Iterator[Row]:
    with stack() as made:
        made.compose("up", "--detach", "--no-build")
        answer_times()
        programs, probes_s = _watch(made)
    yield Row(
        what=f"health check: programs that {len(probes_s)} probes started",
        measured=f"{', '.join(sorted(programs))}; {milliseconds(median(probes_s))} each with Docker's part in it",
        must="no Python process",
        reached=not any("python" in program for program in programs),
        samples={"probe_s": probes_s},
    )


def _watch(made: Stack) -> tuple[set[str], list[float]]:
    """Return the programs that started in a container while it was probed, and how long each probe took, in seconds."""
    container = made.containers()[0]
    inside = _namespace(str(container["State"]["Pid"]))
    if inside is None:
        raise Failed("the processes of a container can be watched by root alone")
    known = set(_processes())
    fresh: set[str] = set()  # started since, and still there: Docker's own process becomes the probe's
    programs: set[str] = set()
    before = len(_probes(made))
    looked_at = deadline = time.monotonic()
    deadline += WATCH_S
    while True:
        now = set(_processes())
        fresh = (now - known) | (fresh & now)
        known = now
        programs |= {name for pid in fresh if _namespace(pid) == inside and (name := _program(pid))}
        if time.monotonic() - looked_at > 1:
            looked_at = time.monotonic()
            if len(probes := _probes(made)) >= before + PROBES and programs:
                return programs, probes[before:]
            if looked_at > deadline:
                seen = ", ".join(sorted(programs)) or "no program"
                raise Failed(f"{len(probes) - before} probes and {seen} seen in {WATCH_S:.0f} s")
        time.sleep(LOOK_S)


def _probes(made: Stack) -> list[float]:
    """Return how long each probe so far took; Docker keeps the last five."""
    log = made.containers()[0]["State"]["Health"]["Log"] or []
    return [(_time(probe["End"]) - _time(probe["Start"])).total_seconds() for probe in log]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text[:26])


def _processes() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]


def _namespace(pid: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:  # it ended, or is not ours to see
        return None


def _program(pid: str) -> str | None:
    """Return what a process executes; None where it ended, or is still Docker's own that becomes it."""
    try:
        program = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None
    return None if "runc" in program else Path(program).name
