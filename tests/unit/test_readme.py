"""README.md and docs/ describe the commands and files that are there: flags, make targets, settings."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from documentation import BLOCK, GUIDE, LOAD, PAGES, README, ROOT, commands, section, tables

import load_test
import operate
from dispatch import build_parser
from harness.config import load_config
from harness.model.config import ServiceScaling
from scale import build_parser as build_scale_parser

#: What a run or a set-up makes, and so is not in the tree.
MADE = {".env", ".venv", ".venv/bin/python", ".runs/", ".runs/RUN.jsonl", "matrix.json"}
#: The user's own, in docs/your-own-app.md, and the rest of a word that is not told.
THEIRS = {"shop.py", "..."}
ENDINGS = (".py", ".yml", ".yaml", ".sh", ".md", ".txt", ".toml", ".svg", ".json")
MAKE_TARGET = re.compile(r"[a-z][a-z-]*")


# --- commands -------------------------------------------------------------------------------------


def make_targets() -> set[str]:
    return set(re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))


def flags(parser: argparse.ArgumentParser) -> set[str]:
    actions: list[argparse.Action] = parser._actions
    return {flag for action in actions for flag in action.option_strings}


def parser_flags() -> set[str]:
    return flags(build_parser())


def test_every_make_target_is_described_and_no_other() -> None:
    rows = tables(section("Commands"))[1]
    described = {words[1] for row in rows for words in commands(row[0])}
    named = {
        word for words in commands(GUIDE) if words[0] == "make" for word in words[1:] if MAKE_TARGET.fullmatch(word)
    }

    assert described == make_targets()
    assert named == make_targets()


def setup_words() -> set[str]:
    """Return the commands and flags that setup.sh tells of in its usage."""
    usage = re.search(r"<<'USAGE'\n(.*?)^USAGE$", (ROOT / "setup.sh").read_text(), re.MULTILINE | re.DOTALL)
    assert usage
    return set(re.findall(r"^  (\S+)  ", usage[1], re.MULTILINE))


def test_every_flag_of_dispatch_is_described_and_no_other() -> None:
    rows = tables(section("Commands"))[0]

    assert {words[0] for row in rows for words in commands(row[0])} == parser_flags()


def test_every_flag_of_load_test_is_described_and_no_other() -> None:
    rows = tables(section("Load", LOAD))[1]

    assert {words[0] for row in rows for words in commands(row[0])} == flags(load_test.build_parser())


def test_every_flag_and_command_that_is_given_exists() -> None:
    seen = set()
    for words in commands(GUIDE):
        if words[0].startswith("--"):
            unknown = {words[0]} - parser_flags() - setup_words() - flags(load_test.build_parser()) - further_flags()
        elif "load_test.py" in words:
            unknown = {word for word in words if word.startswith("-")} - flags(load_test.build_parser())
        elif words[0] == "./setup.sh":
            unknown = set(words[1:]) - setup_words()
        elif re.search(r"dispatch\.py|make run", " ".join(words)):
            unknown = set(re.findall(r"(?<!\S)'?(-[\w-]+)", " ".join(words).replace("ARGS='", ""))) - parser_flags()
        else:
            continue
        seen.add(words[0])
        assert not unknown, " ".join(words)
    assert {"./setup.sh", "make", ".venv/bin/python", "--embedded", "--yes"} <= seen


def test_every_use_of_scale_that_is_given_can_be_made() -> None:
    used = [words[words.index("scale.py") + 1 :] for words in commands(GUIDE) if "scale.py" in words]
    used = [arguments for arguments in used if arguments]

    for arguments in used:
        build_scale_parser().parse_args(arguments)
    assert {arguments[0] for arguments in used} == {"set", "status"}
    known = {flag for parser in subparsers(build_scale_parser()) for flag in flags(parser)}
    named = {words[0] for words in commands(section("Replicas")) if words[0].startswith("--")}
    assert {"--yes", "--wait-workers"} <= named <= known


def test_every_use_of_operate_that_is_given_can_be_made() -> None:
    used = [words[words.index("operate.py") + 1 :] for words in commands(GUIDE) if "operate.py" in words]
    used = [[word.strip("'") for word in arguments] for arguments in used if arguments]

    for arguments in used:
        operate.build_parser().parse_args(arguments)
    assert {arguments[0] for arguments in used} == {"runs", "dead-letters", "matrix", "doctor"}


def subparsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of a command's own commands, and of theirs."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for made in action.choices.values():
                yield made
                yield from subparsers(made)


def further_flags() -> set[str]:
    """Return the flags of the commands that have commands of their own."""
    parsers = [*subparsers(operate.build_parser()), *subparsers(build_scale_parser())]
    return {flag for parser in parsers for flag in flags(parser)}


def test_the_scaling_that_is_given_is_valid(tmp_path: Path) -> None:
    (example,) = [body for kind, body in BLOCK.findall(section("Replicas")) if not kind]
    (tmp_path / "test-config.yml").write_text((ROOT / "test-config.yml").read_text() + example)

    assert load_config(tmp_path / "test-config.yml", {}).scaling == {"worker-a": ServiceScaling(default=2, max=20)}


def test_every_further_command_of_setup_exists() -> None:
    also = re.search(r"`\./setup\.sh` also takes (.*?)\n\n", README, re.DOTALL)
    assert also
    named = set(re.findall(r"`([a-z-]+)`", also[1]))

    assert len(named) > 3
    assert named <= setup_words()


# --- files and settings ---------------------------------------------------------------------------


def paths(page: str) -> set[str]:
    """Return the words in code that look like a path of the project."""
    text = (ROOT / page).read_text(encoding="utf-8")
    words = {word for command in commands(text) if command[0] != "jq" for word in command}
    return {w for w in words if w.endswith((*ENDINGS, "/")) or w.startswith(".") if re.fullmatch(r"[.\w][\w./-]+", w)}


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_exists(page: str) -> None:
    tests = {path.name for path in ROOT.glob("tests/**/*.py")}  # docs/guarantees.md names them without their folder
    named = paths(page)

    assert len(named) >= 2
    assert {name for name in named - MADE - THEIRS - tests if not (ROOT / name).exists()} == set()


def test_every_command_and_package_at_the_top_is_named() -> None:
    top = {path.name for pattern in ("*.py", "*.sh") for path in ROOT.glob(pattern)}
    top |= {f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py")}

    assert {"dispatch.py", "setup.sh", "harness/"} <= top
    assert top <= {words[0] for row in tables(section("How it is built"))[0] for words in commands(row[0])}


def test_every_variable_is_explained_in_the_example() -> None:
    explained = set(re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    named = {piece for row in tables(section("Settings"))[0] for piece in re.findall(r"`([A-Z][A-Z_]+)`", row[2])}

    assert named == explained
