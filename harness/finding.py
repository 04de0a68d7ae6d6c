"""Frozen values: what the doctor found, one named check each, with its cause and the command that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import HarnessError


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"  # it works and is unsafe, or it could not be found out
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check, judged."""

    check: str  # its name
    level: Level
    cause: str  # what was seen
    fix: str = ""  # the command, or the change, that mends it; empty where there is nothing to mend


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """The checks of one subject: environment, broker, topology, workers, configuration."""

    subject: str
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        return any(finding.level is Level.FAILED for finding in self.findings)


#: What is wrong, and what mends it.
Problem = tuple[str, str]


def good(check: str, cause: str) -> Finding:
    return Finding(check=check, level=Level.OK, cause=cause)


def failed(check: str, cause: str, fix: str) -> Finding:
    return Finding(check=check, level=Level.FAILED, cause=cause, fix=fix)


def warned(check: str, cause: str, fix: str) -> Finding:
    return Finding(check=check, level=Level.WARNING, cause=cause, fix=fix)


def unknown(check: str, why: str | HarnessError, fix: str = "") -> Finding:
    """Return the finding of a check that could not be carried out: never a good one."""
    if isinstance(why, HarnessError):
        return unknown(check, complaint(why), fix or why.fix)
    return Finding(check=check, level=Level.WARNING, cause=f"not known: {why}", fix=fix)


def complaint(error: HarnessError) -> str:
    """Return what happened and why, in a line."""
    return f"{error.what}: {error.why}" if error.why else error.what


def judged(check: str, problems: Sequence[Problem], otherwise: str, level: Level = Level.FAILED) -> Finding:
    """Return the finding of a check that may meet several problems; each fix is said once.

    Args:
        otherwise: What was seen where there is no problem.
        level: How bad a problem is.
    """
    if not problems:
        return good(check, otherwise)
    causes, fixes = zip(*problems, strict=True)
    return Finding(
        check=check,
        level=level,
        cause="; ".join(causes),
        fix="; ".join(dict.fromkeys(filter(None, fixes))),
    )
