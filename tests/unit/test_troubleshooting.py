"""Errors point to places of docs/troubleshooting.md that are there, and say so on their last line."""

from __future__ import annotations

import ast
import io
import re
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


def test_every_place_is_above_a_heading_of_its_own() -> None:
    above = re.findall(r'^<a id="([^"]+)"></a>\n## \S', PAGE, re.MULTILINE)

    assert above == PLACES
    assert len(set(PLACES)) == len(PLACES)
    assert len(PLACES) > 10


def test_every_place_that_an_error_points_to_is_there() -> None:
    pointed = set(pointers())

    assert {"no-broker", "user-refused", "no-worker", "other-arguments", "docker-refuses"} <= pointed
    assert pointed <= set(PLACES)


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
