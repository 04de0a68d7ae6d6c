"""The broker and the workers of a command that makes them itself: a directory, processes on this host."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.local import LocalFleet
from harness.model.topology import WorkerSpec


@contextmanager
def embedded_broker() -> Iterator[None]:
    """Make a private directory the broker of everything that reads `BROKER_URL` from here on."""
    with tempfile.TemporaryDirectory(prefix="embedded-broker-") as directory:
        os.environ["BROKER_URL"] = f"filesystem://{directory}"
        yield


@contextmanager
def workers_here(
    root: Path, workers: Sequence[WorkerSpec], broker_url: str, *, abrupt: bool, relays: bool = False
) -> Iterator[LocalFleet]:
    """Start workers as processes on this host, and stop them after; args as of `LocalFleet`."""
    fleet = LocalFleet(root, workers, broker_url, abrupt=abrupt, relays=relays)
    at_once = False
    try:
        fleet.start()
        yield fleet
    except KeyboardInterrupt:
        at_once = True  # nothing runs that anybody waits for
        raise
    finally:
        fleet.stop(at_once=at_once)
