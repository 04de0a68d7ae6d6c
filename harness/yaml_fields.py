"""Reads the entries and values that test-config.yml is made of; what is none of them is a located error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from harness.errors import UsageError
from harness.model.expectation import Bounds
from harness.quantities import A_DURATION, A_PERCENTAGE, A_RATE, duration_s, rate_per_s
from harness.quantities import share as share_of
from harness.spelling import choices, hint
from harness.yaml_nodes import Value
from harness.yaml_scalars import shown

#: A service also names its nodes (worker-a@HOST), and a scenario its files, so both stay simple.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
#: What RabbitMQ and Celery's command line (-Q one,two) take without quoting.
_BROKER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}")
_A_NAME = "letters, digits, '_', '.' and '-'"

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of one kind of mapping, as they are read here and listed in test-config.schema.json."""

    definitions: tuple[str, ...]  # what the schema calls it; "" is the whole file
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    some: bool = False  # an empty one would say nothing, and is an error
    extensions: bool = False  # x-... may be there too
    elsewhere: Mapping[str, str] = field(default_factory=dict)  # keys often put here -> where they belong

    @property
    def known(self) -> tuple[str, ...]:
        return (*self.required, *self.optional)


BOUNDS = Keys(definitions=("durations", "numbers", "count_range", "attempt_range"), optional=("min", "max"), some=True)


def fields(value: Value, keys: Keys) -> dict[str, Value]:
    """Return the mapping's entries: all that `keys` requires, some of the others, and no further one."""
    entries = value.mapping()
    for key, entry in entries.items():
        if key in keys.known or (keys.extensions and key.startswith("x-")):
            continue
        if key in keys.elsewhere:
            raise entry.key_error(f"the key {key!r} does not belong here", fix=keys.elsewhere[key])
        raise entry.key_error(f"unknown key {shown(key)}{hint(key, keys.known)}", fix=choices(keys.known))
    for key in keys.required:
        if key not in entries:
            raise value.error(f"the key {key!r} is missing")
    if keys.some and not entries:
        raise value.error("expected at least one key", fix=choices(keys.known))
    return entries


def given(entries: Mapping[str, Value], key: str, read: Callable[[Value], T], default: D) -> T | D:
    """Return what `read` makes of an entry, or `default` where it is left out."""
    return read(entries[key]) if key in entries else default


def named(value: Value, kind: str) -> dict[str, Value]:
    """Return the entries of a mapping whose keys are names of our own, at least one."""
    entries = value.mapping()
    if not entries:
        raise value.error(f"expected at least one {kind}")
    for name, entry in entries.items():
        if not _NAME.fullmatch(name):
            raise entry.key_error(f"{shown(name)} cannot name a {kind}", fix=f"use {_A_NAME}, at most 100 of them")
    return entries


def some(value: Value, kind: str) -> list[Value]:
    """Return the elements of a list, at least one."""
    elements = value.elements()
    if not elements:
        raise value.error(f"expected at least one {kind}")
    return elements


# --- text -----------------------------------------------------------------------------------------


def text(value: Value, wanted: str = "text") -> str:
    written = value.scalar(wanted)
    if not isinstance(written, str):
        raise value.expected(wanted, fix="" if written is None else "write it in quotes")
    return written


def line(value: Value) -> str:
    """Return one line of text that can be printed; the line break that `>` leaves at its end is dropped."""
    written = text(value).rstrip("\n")
    if not written.strip() or not written.isprintable():
        raise value.expected("one line of printable text")
    return written


def name(value: Value, kind: str) -> str:
    written = text(value)
    if not _NAME.fullmatch(written):
        raise value.expected(f"the name of a {kind}", fix=f"use {_A_NAME}, at most 100 of them")
    return written


def broker_name(value: Value, kind: str) -> str:
    written = text(value)
    if not _BROKER_NAME.fullmatch(written):
        raise value.expected(f"the name of a {kind}", fix=f"use {_A_NAME} (':' and '/' too), at most 200 of them")
    return written


def choice(value: Value, kind: str, known: tuple[str, ...]) -> str:
    written = text(value, f"a {kind}")
    if written not in known:
        raise value.error(f"unknown {kind} {shown(written)}{hint(written, known)}", fix=choices(known))
    return written


# --- numbers --------------------------------------------------------------------------------------


def boolean(value: Value) -> bool:
    written = value.scalar("true or false")
    if not isinstance(written, bool):
        raise value.expected("true or false")
    return written


def whole_number(value: Value, maximum: int, minimum: int = 1) -> int:
    wanted = f"a whole number of at least {minimum}"
    written = value.scalar(wanted)
    if isinstance(written, bool) or not isinstance(written, int) or written < minimum:
        quoted = isinstance(written, str) and written.isdecimal()
        raise value.expected(wanted, fix="write it without quotes" if quoted else "")
    if written > maximum:
        raise value.expected(f"a whole number of at most {maximum}")
    return written


def number(value: Value, maximum: float, minimum: float = 0) -> float:
    wanted = f"a number of at least {minimum}"
    written = value.scalar(wanted)
    if isinstance(written, bool) or not isinstance(written, int | float) or written < minimum:
        raise value.expected(wanted)
    if written > maximum:
        raise value.expected(f"a number of at most {maximum}")
    return written


def duration(value: Value, *, zero: bool = False) -> float:
    """Return seconds."""
    return _with_unit(value, A_DURATION, "s", lambda written: duration_s(written, zero=zero))


def rate(value: Value) -> float:
    """Return how many a second."""
    return _with_unit(value, A_RATE, "/s", rate_per_s)


def share(value: Value) -> float:
    """Return 0 to 1."""
    return _with_unit(value, A_PERCENTAGE, "%", share_of)


def _with_unit(value: Value, wanted: str, unit: str, parse: Callable[[str], float]) -> float:
    written = value.scalar(wanted)
    if not isinstance(written, str):
        bare = isinstance(written, int | float) and not isinstance(written, bool)
        raise value.expected(wanted, fix=f"write {written}{unit}" if bare else "")
    try:
        return parse(written)
    except UsageError as exc:
        raise value.error(exc.what, fix=exc.fix) from None


# --- ranges ---------------------------------------------------------------------------------------


def bounds(value: Value, read: Callable[[Value], float], example: str) -> Bounds:
    """Return the range of a mapping with min, max or both, each read by `read`."""
    if value.kind != "mapping":
        raise value.expected("a mapping with min, max or both", fix=f"write {example}")
    entries = fields(value, BOUNDS)
    low = given(entries, "min", read, None)
    high = given(entries, "max", read, None)
    if low is not None and high is not None and low > high:
        raise entries["max"].error("max is below min")
    return Bounds(low=low, high=high)


def durations(value: Value) -> Bounds:
    """Return a range of seconds; 0s is one of them."""
    return bounds(value, lambda side: duration(side, zero=True), "{max: 2s}, or {min: 100ms, max: 2s}")


def counts(value: Value, maximum: int) -> Bounds:
    """Return a range of whole numbers; a plain one is both of its ends."""
    if value.kind == "scalar":
        exactly = whole_number(value, maximum, minimum=0)
        return Bounds(low=exactly, high=exactly)
    return bounds(value, lambda side: whole_number(side, maximum, minimum=0), "2, or {min: 1, max: 2}")
