#!/usr/bin/env python
"""Measures the product beside its rivals, prints one table and judges it: exit 1 where something is not reached."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.measure import Row

#: What is measured, in this order, and the services that it needs.
MEASUREMENTS: dict[str, tuple[str, ...]] = {
    "overhead": ("RabbitMQ",),
    "command": ("RabbitMQ",),
    "publishing": ("RabbitMQ",),
    "end_to_end": ("RabbitMQ",),
    "durability": ("RabbitMQ",),
    "events": ("RabbitMQ",),
    "memory": ("RabbitMQ",),
    "load": ("RabbitMQ",),
    "cluster": ("RabbitMQ",),
    "container": ("RabbitMQ", "Docker"),
    "scaling": ("RabbitMQ", "Docker"),
    "health_check": ("RabbitMQ", "Docker"),
    "doctor": ("RabbitMQ", "Docker"),
    "setup": ("RabbitMQ", "Docker"),
    "demo": ("make",),
    "reports": (),
}
#: A command that succeeds where a service is there.
PROBES = {
    "RabbitMQ": ["rabbitmqctl", "--quiet", "eval", "ok."],
    "Docker": ["docker", "compose", "ls"],
    "make": ["make", "--version"],
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"what to measure: {', '.join(MEASUREMENTS)}")
    parser.add_argument("-o", "--output", metavar="FILE", help="write every single value there, as JSON")
    args = parser.parse_args(argv)
    if unknown := [name for name in args.names if name not in MEASUREMENTS]:
        parser.error(f"no measurement {unknown[0]!r}; there are: {', '.join(MEASUREMENTS)}")
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # `bench` is a package, its files are no top-level names
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # also then, what was made is removed
    start = time.monotonic()
    rows = []
    for row in measure(args.names or list(MEASUREMENTS)):
        print(f"  {row.what}: {row.measured}: {row.verdict}", file=sys.stderr, flush=True)
        rows.append(row)
    print(table(rows))
    print(f"{time.monotonic() - start:.0f} s on {os.cpu_count()} processors, {platform.platform()}")
    if args.output:
        document = [{**asdict(row), "verdict": row.verdict} for row in rows]
        Path(args.output).write_text(json.dumps(document, indent=1) + "\n")
    if any(row.reached is False for row in rows):
        return 1
    return 69 if any(row.reached is None and row.must for row in rows) else 0


def measure(names: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of each measurement; where a service is missing, one that says so."""
    from bench.deployment import virtual_host
    from bench.measure import Row

    missing = {service: why for service, probe in PROBES.items() if (why := unavailable(probe))}
    with contextlib.ExitStack() as made:
        if "RabbitMQ" not in missing:
            os.environ["BROKER_URL"] = made.enter_context(virtual_host())
        for name in names:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            lacks = [f"no {service}: {missing[service]}" for service in MEASUREMENTS[name] if service in missing]
            if lacks:
                yield Row(what=name, measured="; ".join(lacks), must="to be measured")
                continue
            try:
                yield from importlib.import_module(f"bench.{name}").measure()
            except Exception as exc:  # one that cannot be measured must not hide the others
                why = (str(exc) or "?").splitlines()[0]
                yield Row(what=name, measured=f"{type(exc).__name__}: {why}", must="to be measured", reached=False)


def unavailable(probe: Sequence[str]) -> str:
    """Return why a probe does not succeed; empty where it does."""
    if shutil.which(probe[0]) is None:
        return f"{probe[0]} is not installed"
    sudo = ["sudo", "--non-interactive"] if probe[0] == "rabbitmqctl" and os.geteuid() else []
    done = subprocess.run([*sudo, *probe], capture_output=True, text=True, timeout=30, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip() or "failed").splitlines()[-1]


def table(rows: Sequence[Row]) -> str:
    """Return rows as aligned lines."""
    cells = [("what", "measured", "must reach", "verdict")]
    cells += [(row.what, row.measured, row.must, row.verdict) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


if __name__ == "__main__":
    raise SystemExit(main())
