"""The HTML report in a real browser: it asks the network for nothing, logs nothing, and fits a phone, light and dark.

Two pages made to misbehave show that the test would see it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.model.report import Report
from harness.render.headline import NotRun
from harness.render.html import html
from harness.render.html_style import DARK, LIGHT
from harness.render.load_html import load_html
from tests.sample_loads import crossed
from tests.sample_reports import basic, many, retried, troubled

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # the page is ours, and a container has none
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--proxy-server=127.0.0.1:9",  # nobody is there: whatever is asked for, also by Chromium itself, goes nowhere
    "--proxy-bypass-list=<-loopback>",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=3000",
)
#: How the log calls a request that no page asked for.
CHROMIUMS_OWN = "not an origin"
#: As Blink numbers them.
SCHEMES = {"dark": 0, "light": 1}

KINDS: dict[str, Callable[[], list[Report | NotRun]]] = {
    "small": lambda: [basic()],
    "retried": lambda: [retried()],
    "troubled": lambda: [troubled()],
    "drawn": lambda: [many(200)],
    "large": lambda: [many(2_000)],
    "several": lambda: [basic(), troubled(), NotRun(scenario="isolation", what="no broker", why="refused")],
}


@dataclass(frozen=True)
class Visit:
    """What came of opening a page."""

    dom: str  # its elements as they were in the end
    console: list[str]
    requests: list[str]  # URLs that the page, not Chromium, asked for


class Browser:
    """Chromium without a window."""

    def __init__(self, program: str, home: Path) -> None:
        self._program = program
        self._home = home

    def save(self, name: str, page: str) -> Path:
        file = self._home / name
        file.write_text(page, encoding="utf-8")
        return file

    def open(self, page: str, *, scheme: str = "light") -> Visit:
        """Open a page from a file, and wait until it is at rest."""
        log = self._home / "net-log.json"
        flags = (
            f"--user-data-dir={self._home / 'profile'}",
            f"--log-net-log={log}",
            f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
            "--dump-dom",
            self.save("page.html", page).as_uri(),
        )
        done = subprocess.run([self._program, *FLAGS, *flags], capture_output=True, text=True, timeout=120, check=True)
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return Visit(done.stdout, console, _requests(json.loads(log.read_text())))


def _requests(log: dict[str, Any]) -> list[str]:
    kind = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [event["params"] for event in log["events"] if event["type"] == kind and "url" in event.get("params", {})]
    return [params["url"] for params in asked if params["initiator"] != CHROMIUMS_OWN]


@pytest.fixture(scope="session")
def needs_chromium() -> str:
    """The program. Where it is missing: skip here, fail in CI."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        why = "Chromium is not installed; to enable: sudo apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(f"{why}; with CI=true that is a failure")
        pytest.skip(why)
    return program


@pytest.fixture
def browser(needs_chromium: str, tmp_path: Path) -> Browser:
    return Browser(needs_chromium, tmp_path)


def seen(browser: Browser, page: str, expression: str, *, width: int = 1200, scheme: str = "light") -> str:
    """Return what `expression` is in a copy of a page that may run a script, shown `width` pixels wide."""
    unlocked = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    script = f"<script>parent.postMessage(String({expression}), '*')</script></body>"
    copy = browser.save("copy.html", unlocked.replace("</body>", script))
    # in a frame: Chromium's own window is never as narrow as a phone
    visit = browser.open(
        "<!DOCTYPE html><script>onmessage = event => { document.body.dataset.seen = event.data }</script>"
        f'<body><iframe width="{width}" height="2000" style="border:0" src="{copy.as_uri()}"></iframe></body>',
        scheme=scheme,
    )
    found = re.search(r'data-seen="([^"]*)"', visit.dom)
    assert found, "the script did not run"
    return found[1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_asks_for_nothing_and_logs_nothing(browser: Browser, kind: str) -> None:
    visit = browser.open(html(KINDS[kind]()))
    assert visit.requests == []
    assert visit.console == []
    assert "</footer>" in visit.dom  # it was read to the end


def test_the_page_of_a_load_asks_for_nothing_logs_nothing_and_fits_a_phone(browser: Browser) -> None:
    page = load_html(crossed())
    visit = browser.open(page)
    assert visit.requests == []
    assert visit.console == []
    assert "</footer>" in visit.dom
    widths = seen(browser, page, "[innerWidth, document.documentElement.scrollWidth]", width=390)
    assert widths == "390,390"


def test_a_request_would_be_seen(browser: Browser) -> None:
    visit = browser.open('<!DOCTYPE html><title>x</title><img src="http://somewhere.invalid/pixel.png">')
    assert visit.requests == ["http://somewhere.invalid/pixel.png"]


def test_what_gets_into_the_report_is_held_by_its_policy_and_said_on_the_console(browser: Browser) -> None:
    smuggled = '<img src="http://somewhere.invalid/pixel.png"/><script>document.title="owned"</script></main>'
    visit = browser.open(html(basic()).replace("</main>", smuggled))
    assert visit.requests == []
    assert "<title>basic: passed</title>" in visit.dom
    assert len([line for line in visit.console if "Content Security Policy" in line]) >= 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_fits_a_phone(browser: Browser, kind: str) -> None:
    widths = seen(browser, html(KINDS[kind]()), "[innerWidth, document.documentElement.scrollWidth]", width=390)
    assert widths == "390,390"


@pytest.mark.parametrize(("scheme", "colors"), [("light", LIGHT), ("dark", DARK)])
def test_the_report_is_light_or_dark_as_the_reader_prefers(
    browser: Browser, scheme: str, colors: dict[str, str]
) -> None:
    expression = "getComputedStyle(document.body).backgroundColor + getComputedStyle(document.body).color"
    assert seen(browser, html(basic()), expression, scheme=scheme) == _rgb(colors["page"]) + _rgb(colors["ink"])


def test_bars_are_as_long_as_their_tasks_ran(browser: Browser) -> None:
    expression = (
        "[...document.querySelectorAll('.lane rect.r')].map(bar => Math.round(714 *"
        " bar.getBoundingClientRect().width / bar.ownerSVGElement.getBoundingClientRect().width))"
    )
    assert seen(browser, html(basic()), expression) == "500,700"  # milliseconds


def _rgb(color: str) -> str:
    return f"rgb({', '.join(str(int(color[at : at + 2], 16)) for at in (1, 3, 5))})"
