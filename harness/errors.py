"""Exit codes, and the errors that carry one."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What a command tells its caller."""

    OK = 0  # every check held
    CHECK_FAILED = 1  # the run finished; at least one check did not hold
    USAGE = 2  # bad flags, an invalid test-config.yml or an unwritable path; argparse's own code
    UNAVAILABLE = 69  # broker, workers or Docker did not answer, as `celery status`; or a fault or load was not applied
    INTERNAL = 70  # a bug in this project
    THRESHOLD = 99  # every check held, but a threshold or the baseline was crossed; as k6
    INTERRUPTED = 130  # Ctrl-C: 128 + SIGINT

    @property
    def meaning(self) -> str:
        return _MEANING[self]


_MEANING = {
    ExitCode.OK: "every check held",
    ExitCode.CHECK_FAILED: "a check did not hold (a task failed, was lost, ran in the wrong place)",
    ExitCode.USAGE: "bad flags, an invalid test-config.yml or an unwritable path",
    ExitCode.UNAVAILABLE: (
        "broker, workers or Docker did not answer in time, or refused, or a fault or a load was not applied"
    ),
    ExitCode.INTERNAL: "a bug in this project",
    ExitCode.THRESHOLD: "checks held, but a threshold or the baseline was crossed",
    ExitCode.INTERRUPTED: "interrupted",
}


class HarnessError(Exception):
    """A mistake or an outage that a user can act on, told in three lines.

    Args:
        what: What happened, one line.
        why: The cause, one line; empty where it is not known.
        fix: What to do about it, with a command that can be pasted.
        see: Where docs/troubleshooting.md tells more of it: an anchor there; empty where nothing more is to be told.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __init__(self, what: str, *, why: str = "", fix: str = "", see: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.see = see

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.fix:
            lines.append(f"  try: {self.fix}")
        return "\n".join(lines)


class ConfigError(HarnessError):
    """test-config.yml cannot be used; the first line says where: file:line:column."""

    exit_code = ExitCode.USAGE


class UsageError(HarnessError):
    """A flag or a path cannot be used."""

    exit_code = ExitCode.USAGE


class UnavailableError(HarnessError):
    """Broker, workers or Docker did not answer in time, or refused."""

    exit_code = ExitCode.UNAVAILABLE
