"""Reads what has a unit, from a flag or from test-config.yml: durations, rates and percentages."""

from __future__ import annotations

import re

from harness.errors import UsageError
from harness.yaml_scalars import shown

#: Tasks of a scenario.
MAX_TASKS = 1_000_000
MAX_DURATION_S = 24 * 3600.0
#: Tasks per second, far above what one publisher reaches.
MAX_RATE = 100_000.0

NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
A_DURATION = "a duration such as 500ms, 30s, 1m30s or 1h"
A_RATE = "a rate such as 50/s, 3/m or 100/h"
A_PERCENTAGE = "a percentage such as 1% or 0.5%"

_NUMBER = re.compile(NUMBER)
_DURATION = re.compile(rf"(?:{NUMBER}h)?(?:{NUMBER}m)?(?:{NUMBER}s)?(?:{NUMBER}ms)?")
_UNITS_S = (3600.0, 60.0, 1.0, 0.001)
_RATE = re.compile(rf"{NUMBER}/([smh])")
_PERCENTAGE = re.compile(rf"{NUMBER}%")
_PERIODS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


def duration_s(text: str, *, zero: bool = False) -> float:
    """Return the seconds of a duration such as 500ms, 30s, 1m30s or 1h: above 0 and at most 24h.

    Args:
        text: The duration.
        zero: Whether it may be 0s.

    Raises:
        UsageError: It is none. A bare number is none either: it does not say its unit.
    """
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise UsageError(f"expected {A_DURATION}, got {shown(text)}", fix=_with_unit(text, "s"))
    total_s = sum(float(number) * unit_s for number, unit_s in zip(match.groups(), _UNITS_S, strict=True) if number)
    if total_s > MAX_DURATION_S or (total_s <= 0 and not zero):
        least = "of" if zero else "above 0 and of"
        raise UsageError(f"expected a duration {least} at most 24h, got {shown(text)}")
    return total_s


def rate_per_s(text: str) -> float:
    """Return how many a second a rate such as 50/s, 3/m or 100/h means: above 0 and at most `MAX_RATE`.

    Raises:
        UsageError: It is none.
    """
    match = _RATE.fullmatch(text)
    if match is None:
        raise UsageError(f"expected {A_RATE}, got {shown(text)}", fix=_with_unit(text, "/s"))
    rate = float(match[1]) / _PERIODS_S[match[2]]
    if not 0 < rate <= MAX_RATE:
        raise UsageError(f"expected a rate above 0 and of at most {MAX_RATE:.0f}/s, got {shown(text)}")
    return rate


def share(text: str) -> float:
    """Return the share, 0 to 1, of a percentage such as 1% or 0.5%: from 0% to 100%.

    Raises:
        UsageError: It is none. A bare number is none either: 1 is all of it, or a hundredth.
    """
    match = _PERCENTAGE.fullmatch(text)
    if match is None or float(match[1]) > 100:
        raise UsageError(f"expected {A_PERCENTAGE}, got {shown(text)}", fix=_with_unit(text, "%"))
    return float(match[1]) / 100


def _with_unit(text: str, unit: str) -> str:
    return f"write {text}{unit}" if _NUMBER.fullmatch(text) else ""
