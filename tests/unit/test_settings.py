"""`.env`: read as Compose reads it, or refused; a message never shows a value."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.errors import ConfigError, ExitCode
from harness.settings import load_env, read_env_file


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
