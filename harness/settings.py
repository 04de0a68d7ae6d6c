"""Reads .env the way Compose does, so that the commands and the containers see the same settings; keeps new ones."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from harness.errors import ConfigError, UsageError

_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*)")
_QUOTED = re.compile(r"""(?:'(?P<single>(?:[^'\\]|\\(?!'))*)'|"(?P<double>(?:[^"\\]|\\.)*)")\s*(?:#.*)?""")
_ESCAPES = {"\\n": "\n", "\\r": "\r", "\\t": "\t", '\\"': '"', "\\\\": "\\"}


def load_env(path: str | Path = ".env") -> None:
    """Put what .env sets into the environment, where that does not set it already; no file, nothing to do."""
    if not Path(path).exists():
        return
    for name, value in read_env_file(path).items():
        os.environ.setdefault(name, value)


def read_env_file(path: str | Path) -> dict[str, str]:
    """Return the settings of an .env file.

    What the releases of Compose read differently (a `$` or an odd `\\` outside single quotes, a value
    over several lines) is an error instead of a guess.

    Raises:
        ConfigError: The file cannot be read, or a line is no KEY=VALUE. No message shows a value: it may be a password.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not UTF-8 text", fix="save the file as UTF-8") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read", why=exc.strerror or str(exc)) from exc
    settings: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if line and not line.startswith("#"):
            name, value = _read_line(line, f"{path}:{number}")
            settings[name] = value
    return settings


def keep_settings(path: str | Path, settings: Mapping[str, str]) -> None:
    """Write `settings` into an .env file, all at once, and leave every other line as it is.

    A file that is not there is made, for its owner alone: it is where passwords belong.

    Raises:
        UsageError: The file cannot be read or written.
    """
    file = Path(os.path.realpath(path))  # a link stays one
    try:
        mode = stat.S_IMODE(file.stat().st_mode) if file.exists() else 0o600
        lines = file.read_bytes().decode().splitlines(keepends=True) if file.exists() else []
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        for name, value in settings.items():
            line = re.compile(rf"(\s*(?:export\s+)?{re.escape(name)}\s*=)[^#\r\n]*?(\s+#[^\r\n]*)?(\r?\n)")
            changed = [line.sub(rf"\g<1>{value}\g<2>\g<3>", one) if line.fullmatch(one) else one for one in lines]
            lines = changed if any(map(line.fullmatch, lines)) else [*lines, f"{name}={value}\n"]
        new = file.with_name(f"{file.name}.new")
        new.touch(mode=mode)
        new.chmod(mode)
        new.write_bytes("".join(lines).encode())
        new.replace(file)
    except OSError as exc:
        raise UsageError(f"{path}: cannot be written", why=exc.strerror or str(exc)) from exc


def _read_line(line: str, where: str) -> tuple[str, str]:
    match = _ASSIGNMENT.fullmatch(line)
    if match is None or "\0" in line:
        raise ConfigError(f"{where}: expected KEY=VALUE", fix="write KEY=VALUE, or put # before a comment")
    name, rest = match.groups()
    if rest[:1] not in ("'", '"'):
        if rest.startswith("#"):  # Compose takes it as the value; who writes it means a comment
            raise ConfigError(
                f"{where}: {name}: a # where the value begins", fix=f"write {name}= and nothing, or quote it"
            )
        value = rest.partition(" #")[0].rstrip()
        return name, _without_variables(value, f"{where}: {name}")
    quoted = _QUOTED.fullmatch(rest)
    if quoted is None:
        fix = f"close the quote on the same line, with nothing but a # comment after it: {name}='...'"
        raise ConfigError(f"{where}: {name}: the quoted value is not complete", fix=fix)
    if quoted["single"] is not None:
        return name, quoted["single"]
    for escape in re.findall(r"\\.", quoted["double"]):
        if escape not in _ESCAPES:
            raise ConfigError(f"{where}: {name}: a \\ before {escape[1]!r}", fix=f"use single quotes: {name}='...'")
    value = _without_variables(quoted["double"], f"{where}: {name}")
    return name, re.sub(r"\\.", lambda match: _ESCAPES[match[0]], value)


def _without_variables(value: str, where: str) -> str:
    if "$" in value:
        raise ConfigError(
            f"{where}: a $ outside single quotes",
            why="Compose would fill in a variable there",
            fix="put the value in single quotes",
        )
    return value
