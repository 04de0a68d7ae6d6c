"""`.env`: read as Compose reads it, or refused; a message never shows a value. What is kept changes its line alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.errors import ConfigError, ExitCode, UsageError
from harness.settings import keep_settings, load_env, read_env_file


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str | bytes) -> dict[str, str]:
    Path(".env").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_env_file(".env")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("KEY=value", "value"),
        ("KEY=", ""),
        ("export KEY=value", "value"),
        ("  KEY = value  ", "value"),
        ("KEY=a=b", "a=b"),
        ("KEY=two words", "two words"),
        ("KEY=value # a comment", "value"),
        ("KEY=value#no-comment", "value#no-comment"),
        ("KEY=amqp://me:p%40ss@host:5672/v", "amqp://me:p%40ss@host:5672/v"),
        ("KEY='single $ # \\n'", "single $ # \\n"),
        ("KEY='value' # a comment", "value"),
        ("KEY=''", ""),
        ('KEY="double # \' \\"\\\\\\n\\t"', "double # ' \"\\\n\t"),
        ('KEY="value"  # a comment', "value"),
        ("KEY=in\"side's", "in\"side's"),
        ("KEY=first\nKEY=last", "last"),
        ("\ufeffKEY=value\r\n", "value"),
        ("# comment\n\n   # another\nKEY=value\n", "value"),
        ("KEY=a\x0cb\u2028c", "a\x0cb\u2028c"),
    ],
)
def test_a_line_is_read_as_compose_reads_it(line: str, value: str) -> None:
    assert read(line) == {"KEY": value}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("secret", ".env:2: expected KEY=VALUE\n  try: write KEY=VALUE, or put # before a comment"),
        ("2KEY=secret", ".env:2: expected KEY=VALUE\n  try: write KEY=VALUE, or put # before a comment"),
        ("MY KEY=secret", ".env:2: expected KEY=VALUE\n  try: write KEY=VALUE, or put # before a comment"),
        ("=secret", ".env:2: expected KEY=VALUE\n  try: write KEY=VALUE, or put # before a comment"),
        ("KEY=sec\0ret", ".env:2: expected KEY=VALUE\n  try: write KEY=VALUE, or put # before a comment"),
        (
            "KEY='secret",
            ".env:2: KEY: the quoted value is not complete\n"
            "  try: close the quote on the same line, with nothing but a # comment after it: KEY='...'",
        ),
        (
            'KEY="secret" more',
            ".env:2: KEY: the quoted value is not complete\n"
            "  try: close the quote on the same line, with nothing but a # comment after it: KEY='...'",
        ),
        (
            "KEY='sec\\'ret'",
            ".env:2: KEY: the quoted value is not complete\n"
            "  try: close the quote on the same line, with nothing but a # comment after it: KEY='...'",
        ),
        ('KEY="\\d secret"', ".env:2: KEY: a \\ before 'd'\n  try: use single quotes: KEY='...'"),
        (
            "KEY=sec$ret",
            ".env:2: KEY: a $ outside single quotes\n"
            "  why: Compose would fill in a variable there\n  try: put the value in single quotes",
        ),
        (
            'KEY="${secret}"',
            ".env:2: KEY: a $ outside single quotes\n"
            "  why: Compose would fill in a variable there\n  try: put the value in single quotes",
        ),
        ("KEY= # secret", ".env:2: KEY: a # where the value begins\n  try: write KEY= and nothing, or quote it"),
    ],
)
def test_a_line_that_cannot_be_read_for_certain_is_refused_without_showing_it(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f"FIRST=1\n{line}\n")
    assert str(caught.value) == message
    assert caught.value.exit_code is ExitCode.USAGE
    assert "secret" not in message


def test_a_file_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        read(b"KEY=\xfc")
    assert str(caught.value) == ".env: not UTF-8 text\n  try: save the file as UTF-8"


def test_a_directory_in_its_place_is_refused() -> None:
    Path(".env").mkdir()
    with pytest.raises(ConfigError) as caught:
        load_env()
    assert str(caught.value) == ".env: cannot be read\n  why: Is a directory"


def test_the_environment_wins_over_the_file_also_when_it_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"SET": "mine", "EMPTY": ""})
    Path("other.env").write_text("SET=file\nEMPTY=file\nNEW=file\n")
    load_env("other.env")
    assert os.environ == {"SET": "mine", "EMPTY": "", "NEW": "file"}


def test_no_file_is_no_error() -> None:
    load_env()


# --- keeping --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "A=3\n"),
        ("B=1\n", "B=1\nA=3\n"),
        ("B=1", "B=1\nA=3\n"),
        ("A=1\nB=2\n", "A=3\nB=2\n"),
        ("A=1", "A=3\n"),
        ("A=\n", "A=3\n"),
        ("A='1'\n", "A=3\n"),
        ("  export A = 1  # how many\n", "  export A =3  # how many\n"),
        ("#A=1\nAA=1\nB=A=1\n", "#A=1\nAA=1\nB=A=1\nA=3\n"),
        ("A=1\nA=2\n", "A=3\nA=3\n"),  # the last one counts
        ("A=1\r\nB=2\r\n", "A=3\r\nB=2\r\n"),
        ("P='p#ss wörd'\n\n# A\nA=1\n", "P='p#ss wörd'\n\n# A\nA=3\n"),
    ],
)
def test_what_is_kept_changes_its_own_line_alone(before: str, after: str) -> None:
    Path(".env").write_bytes(before.encode())
    keep_settings(".env", {"A": "3"})
    assert Path(".env").read_bytes().decode() == after
    assert read_env_file(".env")["A"] == "3"
    assert os.listdir() == [".env"]


def test_several_are_kept_at_once() -> None:
    Path(".env").write_text("B=1\n")
    keep_settings(".env", {"A": "3", "B": "4"})
    assert read_env_file(".env") == {"A": "3", "B": "4"}


def test_a_file_that_is_made_is_its_owners_alone_and_one_that_is_there_stays_as_it_is() -> None:
    keep_settings(".env", {"A": "1"})
    assert Path(".env").stat().st_mode & 0o777 == 0o600
    Path("real").write_text("A=1\n")
    Path("real").chmod(0o640)
    Path("link").symlink_to("real")
    keep_settings("link", {"A": "2"})
    assert Path("link").is_symlink()
    assert read_env_file("real") == {"A": "2"}
    assert Path("real").stat().st_mode & 0o777 == 0o640


def test_a_file_that_cannot_be_written_is_refused_and_left_alone() -> None:
    Path(".env").write_text("A=1\n")
    Path(".env.new").mkdir()  # where the new one is written first
    with pytest.raises(UsageError, match=r"^\.env: cannot be written"):
        keep_settings(".env", {"A": "2"})
    assert read_env_file(".env") == {"A": "1"}
