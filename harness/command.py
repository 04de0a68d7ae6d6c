"""What every command does around its own work: its exit codes in --help, its settings, its errors in three lines."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import interrupts
from harness.errors import ExitCode, HarnessError, UsageError

VERSION = "1.0.0"
#: What requirements.txt installs, by the names that are imported.
PACKAGES = ("celery", "kombu", "amqp", "billiard", "vine", "yaml", "colorama", "pythonjsonlogger")


def parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser that answers --version, and with --help what its exit codes mean."""
    made = argparse.ArgumentParser(prog=prog, **described(description))
    made.add_argument("--version", action="version", version=f"{prog} {VERSION}")
    return made


def described(description: str | None) -> dict[str, Any]:
    """Return what every parser is made with, a subcommand's too."""
    codes = "\n".join(f"  {code.value:>3}  {code.meaning}" for code in ExitCode)
    return {
        "description": description,
        "epilog": f"exit codes:\n{codes}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }


def run(work: Callable[[], int], *, prog: str, root: Path) -> int:
    """Read the settings, do `work` and return the exit code; whatever goes wrong is told on stderr.

    Args:
        root: Where the command is, with its .env and test-config.yml.
    """

    def settled() -> int:
        _settle(root)
        return work()

    return told(settled, prog=prog)


def told(work: Callable[[], int], *, prog: str) -> int:
    """Do `work`, which reads its settings itself, and return the exit code; whatever goes wrong is told on stderr."""
    interrupts.raised()
    try:
        return work()
    except HarnessError as exc:
        from harness.output import print_error

        print_error(exc)
        return exc.exit_code
    except KeyboardInterrupt as exc:
        print("; ".join(["interrupted", *map(str, exc.args)]), file=sys.stderr)
        return ExitCode.INTERRUPTED
    except Exception as exc:
        if isinstance(exc, ModuleNotFoundError) and (exc.name or "").partition(".")[0] in PACKAGES:
            print(
                f"error: this Python ({sys.executable}) lacks the package {exc.name}\n"
                "  why: the project's packages are in its own environment, .venv\n"
                f"  try: make install; .venv/bin/python {prog}",
                file=sys.stderr,
            )
            return ExitCode.USAGE
        import logging

        logging.getLogger(__name__).exception("unexpected error; this is a bug")
        return ExitCode.INTERNAL


def confirm(deed: str, yes: bool) -> bool:
    """Return whether to do it: asked on a terminal, said by --yes anywhere.

    Args:
        deed: What would be done, as in "remove 3 dead letters".

    Raises:
        UsageError: Nobody can be asked, and the flag is not there.
    """
    if yes:
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            f"nobody can be asked whether to {deed}", why="standard input is no terminal", fix="the same with --yes"
        )
    print(f"{deed[0].upper()}{deed[1:]}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _settle(root: Path) -> None:
    """Take the settings in their order: the environment, then .env, then test-config.yml."""
    from harness.output import configure_logging
    from harness.settings import load_env

    configure_logging()
    load_env(root / ".env")
    if not os.environ.get("BROKER_URL"):
        from harness.config import load_config

        url = load_config(root / "test-config.yml", os.environ).settings.broker_url
        if url:
            os.environ["BROKER_URL"] = url
