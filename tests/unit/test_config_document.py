"""test-config.yml as a file and a YAML document, and the whole message where it is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from config_files import config, refusal

from harness.config import load_config
from harness.errors import ConfigError

pytestmark = pytest.mark.usefixtures("empty_directory")

BOMB = "x-a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"x-{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
CHAIN = "x-0: &a0 []\n" + "".join(f"x-{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 100))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the file is empty\n  try: start from the test-config.yml of this project"),
        ("# only this\n", "1:1: the file is empty\n  try: start from the test-config.yml of this project"),
        ("---\n", "2:1: expected a mapping, got nothing"),
        ("- a\n", "1:1: expected a mapping, got a list"),
        ("just text\n", "1:1: expected a mapping, got 'just text'"),
        (config() + "---\na: 1\n", "5:1: a second document begins here\n  try: keep one document; remove this ---"),
        ("a: b: c\n", "1:5: not YAML: mapping values are not allowed here"),
        (
            "a:\n\tb: 1\n",
            "2:1: not YAML: found character '\\t' that cannot start any token\n"
            "  why: while scanning for the next token\n  try: indent with spaces, not tabs",
        ),
        ("a: [1\n", "2:1: not YAML: expected ',' or ']', but got '<stream end>'\n  why: while parsing a flow sequence"),
        ("a: *b\n", "1:4: not YAML: found undefined alias 'b'"),
        ('a: "\\UFFFFFFFF"\n', "1:7: not YAML: a character or number out of range"),
        (b"a: 1\nb: \xfc\n", "2:4: not UTF-8 text\n  try: save the file as UTF-8"),
        (
            b"a: 1\nb: \x07\n",
            "2:4: a character that YAML does not allow\n"
            "  try: remove that character, or write it as an escape in double quotes",
        ),
        (
            "a: !!python/object:os.system x\n",
            "1:4: the tag '!!python/object:os.system' is not used here\n  try: remove it",
        ),
        ("a: !!int 3\n", "1:4: the tag '!!int' is not used here\n  try: remove it"),
        ("a: !mine {}\n", "1:4: the tag '!mine' is not used here\n  try: remove it"),
        ("a: &a [*a]\n", "1:8: the alias *a is inside what it stands for"),
        ("a: &a {<<: *a}\n", "1:12: the alias *a is inside what it stands for"),
        ("a: &a 1\nb: &a 2\n", "2:4: the anchor &a is taken\n  try: give the second one another name"),
        (BOMB, "5:25: more than 50000 values\n  why: an alias counts as often as it is used"),
        (CHAIN, "40:13: nested deeper than 40 levels"),
        ("a: " + "[" * 100_000, "1:43: nested deeper than 40 levels"),
        ("- " * 100_000, "1:81: nested deeper than 40 levels"),
    ],
)
def test_a_file_that_is_not_one_plain_document_is_refused(text: str | bytes, message: str) -> None:
    assert refusal(text) == f"t.yml:{message}"


def test_a_file_far_too_large_is_refused() -> None:
    assert refusal("#" * 300_000) == "t.yml: larger than 256 KiB, so hardly a configuration"


def test_a_missing_file_says_how_to_name_another() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("none.yml", {})
    assert str(caught.value) == (
        "none.yml: there is no such file\n"
        "  try: name it with --config FILE, or run the command where test-config.yml is"
    )


def _a_directory(path: Path) -> str:
    path.mkdir()
    return "Is a directory"


def _a_link_to_itself(path: Path) -> str:
    path.symlink_to(path)
    return "Too many levels of symbolic links"


@pytest.mark.parametrize("make", [_a_directory, _a_link_to_itself])
def test_what_cannot_be_read_as_a_file_is_refused_with_the_reason(make: Callable[[Path], str]) -> None:
    reason = make(Path("t.yml"))
    with pytest.raises(ConfigError) as caught:
        load_config("t.yml", {})
    assert str(caught.value) == f"t.yml: cannot be read\n  why: {reason}"
