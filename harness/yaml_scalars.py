"""What one YAML scalar says: `${NAME}` filled in, and plain text that reads otherwise than it looks made visible."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml
from yaml.resolver import Resolver

from harness.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Surprise:
    """A plain scalar that YAML reads otherwise than it looks; no field takes one."""

    text: str
    reading: str  # "which YAML 1.1 reads as 8"
    fix: str


Scalar = None | bool | int | float | str | Surprise

#: Longer numbers are typing errors, and Python takes quadratic time to read them.
MAX_NUMBER_LENGTH = 40

_RESOLVER = Resolver()
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+][0-9]+)?")
#: Numbers of YAML 1.2 that YAML 1.1 takes as text.
_NUMBER_1_2 = re.compile(r"0o[0-7]+|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_REFERENCE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^${}]*))?\}|\$")
_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^\s]*@")


def shown(text: str) -> str:
    """Return `text` as a message may show it: quoted, shortened, without the password of a URL."""
    text = _PASSWORD.sub(r"\1***@", text)
    return repr(text if len(text) <= 60 else text[:59] + "…")


def resolve_plain(text: str) -> Scalar:
    """Return the value of a plain (unquoted) scalar, or a Surprise where readers would differ about it."""
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    kind = tag.rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return _resolve_bool(text)
    if kind == "timestamp":
        return Surprise(text, "which YAML 1.1 reads as a date", f'write "{text}" in quotes')
    if kind in ("int", "float") or _NUMBER_1_2.fullmatch(text):
        return _resolve_number(text, kind)
    return text


def _resolve_bool(text: str) -> bool | Surprise:
    word = text.lower()
    if word in ("true", "false"):
        return word == "true"
    meant = "true" if word in ("yes", "on") else "false"
    return Surprise(text, f"which YAML 1.1 reads as {meant}", f'write {meant}, or "{text}" in quotes for text')


def _resolve_number(text: str, kind: str) -> int | float | Surprise:
    if len(text) > MAX_NUMBER_LENGTH:
        reading = f"a number of more than {MAX_NUMBER_LENGTH} characters"
        return Surprise(f"{text[:10]}…", reading, "write it in quotes for text")
    if kind == "int" and _INT.fullmatch(text):
        return int(text)
    if kind == "float" and _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if kind not in ("int", "float"):
        reading = "which YAML 1.1 reads as text and YAML 1.2 as a number"
        return Surprise(text, reading, f'write the number in plain digits, or "{text}" in quotes for text')
    try:
        read = yaml.safe_load(text)
    except ValueError:  # "0x_" looks like a number to YAML and is none
        return Surprise(text, "which YAML 1.1 takes for a number", f'write "{text}" in quotes')
    if not math.isfinite(read):
        return Surprise(text, "which is not a finite number", f'write a finite number, or "{text}" in quotes for text')
    return Surprise(text, f"which YAML 1.1 reads as {read}", f'write {read}, or "{text}" in quotes for text')


def interpolate(text: str, environ: Mapping[str, str]) -> str:
    """Return `text` with `${NAME}` and `${NAME:-default}` filled in from `environ`, and `$$` as one `$`.

    As in a shell and in Compose, the default also stands in for a variable that is set but empty.

    Raises:
        ConfigError: A variable is not set and has no default, or a `$` begins none of these. It has no
            place and never quotes the text, which may hold a password.
    """

    def fill(match: re.Match[str]) -> str:
        name, default = match.groups()
        if name is not None:
            value = environ.get(name)
            if default is not None:
                return value or default
            if value is None:
                raise ConfigError(
                    f"the environment variable {name} is not set",
                    fix=f"set {name} in the environment or .env, or write ${{{name}:-default}}",
                )
            return value
        if match[0] == "$$":
            return "$"
        rest = text[match.start() :]
        if not rest.startswith("${"):
            problem = "a $ that begins no ${NAME}"
        else:
            problem = "expected ${NAME} or ${NAME:-default}" if "}" in rest else "a ${ that no } closes"
        raise ConfigError(problem, fix="write ${NAME} or ${NAME:-default}, or $$ for a $ itself")

    return _REFERENCE.sub(fill, text)
