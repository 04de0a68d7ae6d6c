"""Replicas for a while: whatever happens meanwhile, and whoever interrupts, afterwards as many run as before."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from threading import Timer

from harness.errors import UnavailableError
from harness.fleet import Fleet
from harness.interrupts import held

#: Where scaling back takes longer it says so, in seconds.
SAID_AFTER_S = 1.0


@contextmanager
def as_before(fleet: Fleet, services: Collection[str], note: Callable[[str], None]) -> Iterator[Mapping[str, int]]:
    """Give how many nodes of each service run, 0 where none does, and have as many after the block.

    Nobody interrupts that: it ends with the tasks of the nodes that go, or with their grace period.

    Args:
        note: Told that it takes long.

    Raises:
        UnavailableError: The fleet does not answer, or does not take them back: says what does.
        KeyboardInterrupt: It was interrupted meanwhile; where it could not be undone, with that.
    """
    running = fleet.counts()
    before = {service: running.get(service, 0) for service in services}
    try:
        yield before
    finally:
        interrupted = isinstance(sys.exc_info()[1], KeyboardInterrupt)
        wanted = ", ".join(f"{service}={count}" for service, count in before.items())
        saying = Timer(SAID_AFTER_S, note, [f"scaling back: {wanted}"])
        with held() as came:
            saying.start()
            failure = _put_back(fleet, before)
            saying.cancel()
        if failure and (interrupted or came):
            raise KeyboardInterrupt(f"{failure.what}: {failure.why}; {failure.fix}")
        if failure:
            raise failure
        if came and not interrupted:
            raise KeyboardInterrupt


def _put_back(fleet: Fleet, before: Mapping[str, int]) -> UnavailableError | None:
    """Return why it could not be done."""
    try:
        running = fleet.counts()
        if changed := {service: count for service, count in before.items() if running.get(service, 0) != count}:
            fleet.scale(changed)
    except UnavailableError as exc:
        words = ", ".join(f"{service}={count}" for service, count in before.items())
        return UnavailableError(
            f"there are not as many nodes as before the run: {words}",
            why="; ".join(filter(None, (exc.what, exc.why))),
            fix=fleet.command_to_scale(before),
        )
    return None
