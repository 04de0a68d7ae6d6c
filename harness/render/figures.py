"""Durations as people read them, and the marks of a time axis."""

from __future__ import annotations

import math

#: Readable distances between two marks from a minute on, in seconds; below, 1, 2 and 5 times a power of 10.
_LONG_STEPS_S = (60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0, 21600.0)


def duration_text(seconds: float) -> str:
    """Return a duration in three digits or so: `4.21 ms`, `506 ms`, `1.20 s`, `2 min 05 s`, `1 h 30 min`."""
    if not math.isfinite(seconds):
        return repr(seconds)
    sign, size_ms = ("-" if seconds < 0 else ""), abs(seconds) * 1000
    for below_ms, decimals in ((9.995, 2), (99.95, 1), (999.5, 0)):
        if size_ms < below_ms:
            return f"{sign}{size_ms:.{decimals}f} ms"
    size_s = size_ms / 1000
    if size_s < 99.95:
        return f"{sign}{size_s:.{2 if size_s < 9.995 else 1}f} s"
    whole_s = round(size_s)
    if whole_s < 3600:
        return f"{sign}{whole_s // 60} min {whole_s % 60:02d} s"
    minutes = round(size_s / 60)
    return f"{sign}{minutes // 60:,} h {minutes % 60:02d} min"


def share_text(part: int, whole: int) -> str:
    """Return a percentage that is 100% or 0% only when it is all or none of it."""
    if part in (0, whole) or not whole:
        return "100%" if part and part == whole else "0%"
    return f"{min(max(100 * part / whole, 0.1), 99.9):.1f}%"


def marks(length_s: float, most: int = 6) -> tuple[tuple[float, str], ...]:
    """Return at most `most` evenly spaced times from 0 up to `length_s`, each with its text."""
    if not (0 < length_s < math.inf):
        return ()
    step_s = _step(length_s / (most - 1))
    count = math.floor(length_s / step_s + 1e-9) + 1
    return tuple((number * step_s, _mark_text(number * step_s, step_s)) for number in range(count))


def _step(least_s: float) -> float:
    """Return the smallest readable distance of at least `least_s`."""
    if least_s <= 50:
        power = 10.0 ** math.floor(math.log10(least_s))
        return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least_s * (1 - 1e-9))
    return next((step_s for step_s in _LONG_STEPS_S if step_s >= least_s), 86400.0 * math.ceil(least_s / 86400))


def _mark_text(at_s: float, step_s: float) -> str:
    if not at_s:
        return "0"
    if step_s < 0.2:
        return f"{at_s * 1000:.10g} ms" if at_s < 1 else f"{at_s:.10g} s"
    if step_s < 60:
        return f"{at_s:.10g} s"
    return f"{at_s / 60:.10g} min" if step_s < 3600 else f"{at_s / 3600:.10g} h"
