"""Pure: which load `load_test.py` was asked for, by a profile, by its flags or by neither."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import UsageError
from harness.load_plan import SMALL_BURST, overridden
from harness.model.config import Config
from harness.model.load import LoadProfile
from harness.spelling import hint
from harness.sweep import SWEEP_LOAD


def chosen(
    config: Config, profile: str | None, flags: LoadProfile, *, swept: bool, note: Callable[[str], None]
) -> tuple[str, LoadProfile]:
    """Return the name of the load, and what it is.

    Args:
        profile: An entry of `load:`; None: none was named.
        flags: What the flags say, which goes before the profile.
        swept: Whether it is played on several numbers of replicas.
        note: Called with what is played where no load was asked for.

    Raises:
        UsageError: There is no such profile.
    """
    if profile is not None:
        if profile not in config.load:
            raise UsageError(
                f"no load profile {profile!r} in {config.path}{hint(profile, config.load)}",
                why=f"it has: {', '.join(config.load) or 'none'}",
                fix="load_test.py --list, or flags such as --rate 50/s --duration 1m",
            )
        return profile, overridden(config.load[profile], flags)
    if any(value is not None for value in (flags.tasks, flags.rate, flags.in_flight, flags.duration_s)):
        return "load", overridden(LoadProfile(), flags)
    if swept:
        note(f"no load was asked for: {SWEEP_LOAD.in_flight} tasks in flight for {SWEEP_LOAD.duration_s:g}s")
        return "sweep", overridden(SWEEP_LOAD, flags)
    others = "--tasks N, --rate 50/s --duration 1m, --in-flight N"
    profiles = f", or a profile: {', '.join(config.load)}" if config.load else ""
    note(f"no load was asked for: a burst of {SMALL_BURST.tasks} tasks of each kind; there are {others}{profiles}")
    return "small-burst", overridden(SMALL_BURST, flags)
