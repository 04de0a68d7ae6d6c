"""JSON of any value: what JSON can hold of it, as one line or laid out to be read from top to bottom."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

#: Containers inside containers that a value may have before the rest is repr'd: below json's own limit.
_DEEPEST = 64
#: Decimals of durations (microseconds, finer than any clock here), rates and shares.
_DECIMALS = 6
#: Columns of a line of the text, where it holds more than one value.
_WIDTH = 120

_repr = reprlib.Repr()  # bounded, and not upset by an object whose own repr raises
_repr.maxother = _repr.maxstring = 1000

#: Text, in one line, of what `json_value` makes.
encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def json_value(value: object, depth: int = 0) -> Any:
    """Return `value` as JSON can hold it; what JSON cannot hold (NaN, objects, bytes) is repr'd."""
    if value is None or type(value) is bool or type(value) is int:  # the exact types first: nearly all are of one
        return value
    if type(value) is str and value.isascii():
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, Enum):
        return json_value(value.value, depth)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        # a lone surrogate has no UTF-8
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            return {str(json_value(str(key))): json_value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [json_value(item, depth + 1) for item in value]
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: json_value(getattr(value, field.name), depth + 1) for field in fields(value)}
    return json_value(_repr.repr(value))


def rounded(value: float | None) -> Any:
    """Return a figure to six decimals: an outcome's and a percentile's alike, so that they can be matched."""
    return None if value is None else json_value(round(value, _DECIMALS))


def laid_out(value: Any, indent: str = "") -> str:
    """Return `value` as text that is read from top to bottom: what fits into a line, or is one row, has one."""
    line = encode(value)
    inner = indent + "  "
    if not isinstance(value, (dict, list)) or (indent and len(inner) + len(line) <= _WIDTH):
        return line
    if isinstance(value, list):
        if not any(isinstance(item, (dict, list)) for item in value):
            return line
        items = [laid_out(item, inner) for item in value]
    else:
        items = [f"{encode(key)}: {laid_out(item, inner)}" for key, item in value.items()]
    opening, closing = "[]" if isinstance(value, list) else "{}"
    return f"{opening}\n{inner}" + f",\n{inner}".join(items) + f"\n{indent}{closing}"
