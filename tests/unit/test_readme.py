"""README.md describes what is there: commands, flags, files, exit codes, settings, links, the picture."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import load_test
from dispatch import build_parser
from harness.config import load_config
from harness.errors import ExitCode
from harness.model import FaultKind, ServiceScaling
from scale import build_parser as build_scale_parser

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURE = (ROOT / "docs/dispatch.svg").read_text(encoding="utf-8")
PAGES = ["README.md", "SECURITY.md"]

#: What a run or a set-up makes, and so is not in the tree.
MADE = {".env", ".venv", ".venv/bin/python", ".runs/"}
ENDINGS = (".py", ".yml", ".yaml", ".sh", ".md", ".txt", ".toml", ".svg", ".json")
MAKE_TARGET = re.compile(r"[a-z][a-z-]*")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets(text: str) -> list[str]:
    """Return what is set as code: each line of a shell block without its comment, and each inline piece."""
    lines = [line for kind, body in BLOCK.findall(text) if kind == "sh" for line in body.splitlines()]
    inline = re.findall(r"`([^`]+)`", BLOCK.sub("", text))
    return [line.partition(" #")[0].strip() for line in lines] + [" ".join(piece.split()) for piece in inline]


def commands(text: str) -> list[list[str]]:
    """Return the words of each command in the snippets, those after a `;` or a `|` as commands of their own."""
    return [command.split() for snippet in snippets(text) for command in re.split(r"[;|]", snippet) if command.strip()]


def section(title: str) -> str:
    """Return what stands under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"README.md has no section {title!r}"
    return found[1]


def tables(text: str) -> list[list[list[str]]]:
    """Return the tables in a text: their rows without the head, each as its cells."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [[[cell.strip() for cell in row[1:-1].split("|")] for row in rows.splitlines()[2:]] for rows in found]


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
        word for words in commands(README) if words[0] == "make" for word in words[1:] if MAKE_TARGET.fullmatch(word)
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
    rows = tables(section("Load"))[1]

    assert {words[0] for row in rows for words in commands(row[0])} == flags(load_test.build_parser())


def test_every_flag_and_command_that_is_given_exists() -> None:
    seen = set()
    for words in commands(README):
        if words[0].startswith("--"):
            unknown = {words[0]} - parser_flags() - setup_words() - flags(load_test.build_parser())
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
    used = [words[words.index("scale.py") + 1 :] for words in commands(README) if "scale.py" in words]
    used = [arguments for arguments in used if arguments]

    for arguments in used:
        build_scale_parser().parse_args(arguments)
    assert {arguments[0] for arguments in used} == {"set", "status"}
    flags = {flag for parser in scale_parsers() for action in parser._actions for flag in action.option_strings}
    named = {words[0] for words in commands(section("Replicas")) if words[0].startswith("--")}
    assert {"--yes", "--wait-workers"} <= named <= flags


def scale_parsers() -> list[argparse.ArgumentParser]:
    (subparsers,) = [a for a in build_scale_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return list(subparsers.choices.values())


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
    named = paths(page)

    assert len(named) > 2
    assert {name for name in named - MADE if not (ROOT / name).exists()} == set()


def test_every_command_and_package_at_the_top_is_named() -> None:
    top = {path.name for pattern in ("*.py", "*.sh") for path in ROOT.glob(pattern)}
    top |= {f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py")}

    assert {"dispatch.py", "setup.sh", "harness/"} <= top
    assert top <= {words[0] for row in tables(section("How it is built"))[0] for words in commands(row[0])}


def test_every_variable_is_explained_in_the_example() -> None:
    explained = set(re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    named = {piece for row in tables(section("Settings"))[0] for piece in re.findall(r"`([A-Z][A-Z_]+)`", row[2])}

    assert named == explained


def test_the_example_configuration_is_valid(tmp_path: Path) -> None:
    (example,) = [body for kind, body in BLOCK.findall(README) if kind == "yaml"]
    (tmp_path / "test-config.yml").write_text(example)

    config = load_config(tmp_path / "test-config.yml", {})
    shipped = load_config(ROOT / "test-config.yml", {})

    assert config.scenarios[0] == shipped.scenarios[0]
    assert config.workers == shipped.workers


def test_the_example_of_faults_is_valid(tmp_path: Path) -> None:
    (example,) = [body for kind, body in BLOCK.findall(section("Faults")) if kind == "yml"]
    workers = "workers: {worker-a: {queue: queue_a}, worker-b: {queue: queue_b}}"
    (tmp_path / "test-config.yml").write_text(f"version: 1\n{workers}\nscenarios:\n{example}")

    (scenario,) = load_config(tmp_path / "test-config.yml", {}).scenarios

    assert [fault.words for fault in scenario.faults] == ["kill worker-a at 1s for 2s", "kill worker-a after 50%"]


def test_the_example_of_loads_is_valid(tmp_path: Path) -> None:
    (example,) = [body for kind, body in BLOCK.findall(section("Load")) if kind == "yml"]
    rest = (ROOT / "test-config.yml").read_text(encoding="utf-8").replace("\nload: #", "\nx-load: #")
    (tmp_path / "test-config.yml").write_text(rest + example)

    loads = load_config(tmp_path / "test-config.yml", {}).load

    assert list(loads) == ["evening", "heap"]
    assert loads["evening"].max_error_rate == 0.005


def test_every_fault_is_described_and_no_other() -> None:
    rows = tables(section("Faults"))[0]
    described = {words[0].removesuffix(":") for row in rows for words in commands(row[0])}

    assert described == {kind.value for kind in FaultKind}


def test_the_shipped_scenarios_with_faults_are_named_by_their_tags() -> None:
    shipped = re.search(r"^Shipped are (.*?) \(tag\s+`fault`\); (.*?) \(tag\s+`broker-fault`\)", README, re.M | re.S)
    assert shipped
    scenarios = load_config(ROOT / "test-config.yml", {}).scenarios

    for named, tag in zip(shipped.groups(), ("fault", "broker-fault"), strict=True):
        assert set(re.findall(r"`([a-z-]+)`", named)) == {one.name for one in scenarios if tag in one.tags}


# --- claims ---------------------------------------------------------------------------------------


def test_the_table_of_exit_codes_is_the_products() -> None:
    rows = {int(code): meaning for code, meaning in tables(section("Exit codes"))[0]}

    assert rows == {code.value: code.meaning for code in ExitCode}


def test_the_table_of_checks_names_those_that_the_picture_shows() -> None:
    described = [row[0] for row in tables(section("How the proof works"))[-1]]
    shown = re.findall(r">PASS</text>\n.*?>([^:<]+):", PICTURE)

    assert described == shown
    assert described


# --- links and the picture ------------------------------------------------------------------------


def anchors(page: str) -> set[str]:
    """Return the anchors that a repository host makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_and_image_leads_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    relative = [target for target in targets if "://" not in target]

    assert relative or page != "README.md"
    for target in relative:
        path, _, anchor = target.partition("#")
        assert not path or (ROOT / path).exists(), target
        assert not anchor or anchor in anchors(path or page), target


def test_the_picture_is_well_formed_and_can_do_nothing() -> None:
    picture = ElementTree.fromstring(PICTURE)

    elements = {element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in picture.iter()}
    assert elements == {"svg", "title", "style", "rect", "path", "text"}
    attributes = {name.lower() for element in picture.iter() for name in element.attrib}
    assert not {name for name in attributes if name.startswith("on") or name.endswith("href")}
    style = "".join(element.text or "" for element in picture.iter() if element.tag.endswith("style"))
    assert "url(" not in style
    assert "@import" not in style


def test_the_picture_is_of_a_run_on_a_broker_that_succeeded_and_holds_no_password() -> None:
    picture = ElementTree.fromstring(PICTURE)
    text = "\n".join(element.text or "" for element in picture.iter() if element.tag.endswith("text"))

    assert "Dispatch completed successfully!" in text
    assert "every task confirmed by the broker" in text
    assert re.search(r"Broker: (py)?amqp://[^:@\s]+@", text)
