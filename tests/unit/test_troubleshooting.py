"""Errors point to places of docs/troubleshooting.md that are there, and say so on their last line."""

from __future__ import annotations

import ast
import io
import itertools
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UnavailableError
from harness.output import TROUBLESHOOTING, print_error

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / TROUBLESHOOTING).read_text(encoding="utf-8")
PLACES = re.findall(r'^<a id="([^"]+)"></a>$', PAGE, re.MULTILINE)


def pointers() -> Iterator[str]:
    """Yield each place that an error of the product points to: what every `see=` can be."""
    for path in [*ROOT.glob("*.py"), *ROOT.glob("harness/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "see":
                choices = [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
                yield from (str(one.value) for one in choices if isinstance(one, ast.Constant) and one.value)


def scripts() -> Iterator[str]:
    """Yield each place that an error of setup.sh points to: the last word of `fail`, or what `explain` finds."""
    for path in [ROOT / "setup.sh", *ROOT.glob("deploy/setup/*.sh")]:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for call in re.findall(r"(?<!\w)fail (\d+ .*)", text):
            words = shlex.shlex(call, posix=True, punctuation_chars=";&|")
            words.whitespace_split = True
            yield from list(itertools.takewhile(lambda word: word not in (";", ";;", "&&", "||"), words))[4:5]
        yield from re.findall(r"place=([\w-]+)", text)
        yield from re.findall(rf"# {TROUBLESHOOTING}#([\w-]+)", text)


def test_every_place_is_above_a_heading_of_its_own() -> None:
    above = re.findall(r'^<a id="([^"]+)"></a>\n## \S', PAGE, re.MULTILINE)

    assert above == PLACES
    assert len(set(PLACES)) == len(PLACES)
    assert len(PLACES) > 10


def test_every_place_that_an_error_points_to_is_there() -> None:
    pointed = set(pointers())

    assert {"no-broker", "user-refused", "no-worker", "other-arguments", "docker-refuses"} <= pointed
    assert pointed <= set(PLACES)


def test_every_place_that_setup_points_to_is_there() -> None:
    pointed = {place for place in scripts() if place != "$place"}

    assert {"no-python", "another-copy", "step-failed", "no-virtual-host", "docker-refuses", "unhealthy"} <= pointed
    assert pointed <= set(PLACES)


def test_an_error_of_setup_ends_with_its_place_as_those_of_the_commands_do() -> None:
    script = "source ./setup.sh; (fail 69 what why this no-broker) || true; fail 2 what why this"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        *("error: what", "  why: why", f"  do:  this  # {TROUBLESHOOTING}#no-broker"),
        *("error: what", "  why: why", "  do:  this"),
    ]


@pytest.mark.parametrize(
    ("see", "last"),
    [("no-broker", "  try: ./setup.sh  # docs/troubleshooting.md#no-broker"), ("", "  try: ./setup.sh")],
)
def test_the_last_line_of_an_error_points_to_its_place_as_a_shells_comment(see: str, last: str) -> None:
    printed = io.StringIO()

    print_error(UnavailableError("no broker answers", why="refused", fix="./setup.sh", see=see), printed)

    assert printed.getvalue().splitlines() == ["error: no broker answers", "  why: refused", last]


def test_the_example_on_the_page_is_what_is_printed() -> None:
    (example,) = re.findall(r"^```\n(error: .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    what, why, more = re.findall(r"(?:error|why|try): (.*)", example)
    fix, _, place = more.rpartition("  # ")
    printed = io.StringIO()

    print_error(UnavailableError(what, why=why, fix=fix, see=place.rpartition("#")[2]), printed)

    assert printed.getvalue() == example
    assert place.rpartition("#")[2] in PLACES
