"""Imports the system under test for a command, and tells a mistake in it by file and line."""

from __future__ import annotations

import importlib
import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from harness import broker
from harness.command import PACKAGES
from harness.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from celery import Celery

#: Celery reads them before the app's own setting (celery/app/utils.py).
OVERRIDES = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")


def load_app(module: str, root: Path) -> Celery:
    """Return the app of `module`, its settings read and its tasks made, on the broker that it names itself.

    From here on `BROKER_URL` of this process is that broker's, for what is started here.

    Args:
        module: Has `app` and `BROKER_URL`.
        root: Where it is, and what it imports of its own.

    Raises:
        ConfigError: It cannot be imported, or Celery cannot use what it says. The first line says where.
        UsageError: Its broker cannot be used here, or the environment names another one.
    """
    try:
        imported = importlib.import_module(module)
        app: Celery = imported.app
        url: str = imported.BROKER_URL
        app.finalize()  # makes the tasks
        _ = app.amqp.queues  # reads the settings: old and new names together are an error that Celery raises only then
    except (Exception, SystemExit) as exc:  # whatever a user's own code raises
        if isinstance(exc, ModuleNotFoundError) and (exc.name or "").partition(".")[0] in PACKAGES:
            raise  # this Python is another than the project's, which `command.told` says
        raise _mistake(exc, module, root) from exc
    broker.check_url(url)
    _check_overrides(app, module, url)
    os.environ["BROKER_URL"] = url
    return app


def _check_overrides(app: Celery, module: str, url: str) -> None:
    """Refuse a variable that Celery reads instead of the app's broker: containers have .env, and would be elsewhere.

    One that names the same broker is left out from here on: what is started here gets `BROKER_URL` alone, which may
    lead through a relay.
    """
    for variable in OVERRIDES:
        named = os.environ.get(variable)
        if named and named != url and named in (app.conf.broker_write_url, app.conf.broker_read_url):
            raise UsageError(
                f"{variable} is set to another broker than {module}.BROKER_URL",
                why=f"Celery takes it instead: {broker.public_url(named)}, not {broker.public_url(url)}",
                fix=f"unset {variable}",
            )
    for variable in OVERRIDES:
        os.environ.pop(variable, None)


def _mistake(exc: BaseException, module: str, root: Path) -> ConfigError:
    where, line = _place(exc, root) or (f"{module}.py", "")
    said = exc.msg if isinstance(exc, SyntaxError) else " ".join(str(exc).split())
    return ConfigError(
        f"{where}: {type(exc).__name__}{': ' if said else ''}{said}",
        why=f"it is in the line: {line}" if line else "",
        fix=f".venv/bin/python -c 'import {module}' shows the whole traceback",
        see="app-mistake",
    )


def _place(exc: BaseException, root: Path) -> tuple[str, str] | None:
    """Return file:line of the mistake and what is written there; None where it is in none of the user's files."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{_short(exc.filename, root)}:{exc.lineno or 1}", (exc.text or "").strip()
    inside = exc.__traceback__ and exc.__traceback__.tb_next  # behind `load_app`, in which it begins
    own = [frame for frame in traceback.extract_tb(inside) if _is_own(frame.filename, root)]
    return (f"{_short(own[-1].filename, root)}:{own[-1].lineno}", own[-1].line or "") if own else None


def _is_own(filename: str, root: Path) -> bool:
    path = Path(filename)
    return path.is_relative_to(root) and "site-packages" not in path.parts


def _short(filename: str, root: Path) -> str:
    path = Path(filename)
    return str(path.relative_to(root)) if path.is_relative_to(root) else filename
