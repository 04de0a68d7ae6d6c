"""The suite on several processes (`pytest -n`): which tests share one, and what all of them tell at the end.

What shares a costly fixture shares a process: the tests of one module. Those that use the project as ./setup.sh
installed it are more than a third of the whole, so every other module of them has an installation of its own. Those
that install copies of their own share one process: they build images. The unit tests fill the gaps.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

#: Services that are missing, each with why and with what enables it.
_unproved: dict[str, str] = {}
#: How many processes install the project for the tests that share an installation.
_INSTALLATIONS = 2
_SHOWN = "shown"


def pytest_configure() -> None:
    """A run in the background ignores Ctrl-C, one under nohup SIGHUP, and so would each command: they inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in this hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not hasattr(config, "workerinput"):
        return  # one process runs them all
    sharing = sorted({item.path.stem for item in items if "installed" in _fixtures(item)})
    for item in items:
        if group := _group(item, sharing):
            item.add_marker(pytest.mark.xdist_group(group))


def _group(item: pytest.Item, sharing: list[str]) -> str:
    """Return the name of what shares a process with a test; empty where it may run anywhere.

    Args:
        sharing: The modules that use the shared installation.
    """
    used = _fixtures(item)
    if "installed" in used:
        return f"installed-{sharing.index(item.path.stem) % _INSTALLATIONS}"
    if "needs_docker" in used or "fresh_copy" in used:
        return "copies"
    return item.path.stem if item.path.parent.name != "unit" else ""


def _fixtures(item: pytest.Item) -> tuple[str, ...]:
    return tuple(getattr(item, "fixturenames", ()))


@pytest.fixture
def shown(record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """Puts a command's output where a reader of the test run, or of CI's log, sees it."""
    return lambda title, text: record_property(_SHOWN, f"--- {title}\n{text}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, text in report.user_properties:
                    if name == _SHOWN:
                        terminalreporter.write_line(f"\n{text}")


# --- what was not proved --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def missing() -> Callable[[str, str, str], None]:
    """Takes a service, why it is missing and what enables it: skips the test, or fails it where `CI=true`."""

    def end(service: str, why: str, enable: str) -> None:
        if os.environ.get("CI"):
            pytest.fail(f"{service} is missing ({why}); with CI=true that is a failure. To enable: {enable}")
        _unproved[service] = f"{why}; to enable: {enable}"
        pytest.skip(f"{service}: {why}; to enable: {enable}")

    return end


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a process of this run noted."""
    _unproved.update(getattr(node, "workeroutput", {}).get("unproved", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    workeroutput = getattr(session.config, "workeroutput", None)
    if workeroutput is not None:
        workeroutput["unproved"] = _unproved


def pytest_unconfigure(config: pytest.Config) -> None:
    if _unproved and not hasattr(config, "workeroutput"):
        print("\n" + "\n".join(f"skipped for want of {service}: {why}" for service, why in _unproved.items()))
        print("NOT PROVED: the deployment on " + " and ".join(sorted(_unproved)))
