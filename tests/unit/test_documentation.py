"""What README.md and docs/ say holds: examples are valid, tables are the code's, links lead somewhere."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from documentation import BLOCK, FAULTS, LOAD, PAGES, README, ROOT, SCENARIOS, TEXTS, commands, section, tables

from harness.config import load_config
from harness.errors import ExitCode
from harness.model.expectation import Bounds
from harness.model.fault import FaultKind
from harness.model.ledger import Cause, LedgerCounts, State

PICTURE = (ROOT / "docs/dispatch.svg").read_text(encoding="utf-8")

# --- examples -------------------------------------------------------------------------------------


def test_the_example_configuration_is_valid(tmp_path: Path) -> None:
    (example,) = [body for kind, body in BLOCK.findall(SCENARIOS) if kind == "yaml"]
    (tmp_path / "test-config.yml").write_text(example)

    config = load_config(tmp_path / "test-config.yml", {})
    shipped = load_config(ROOT / "test-config.yml", {})

    assert config.scenarios[0] == shipped.scenarios[0]
    assert config.workers == shipped.workers


def test_the_scenario_in_the_readme_is_valid(tmp_path: Path) -> None:
    (example,) = [body for kind, body in BLOCK.findall(section("Scenarios")) if not kind]
    workers = "workers: {worker-a: {queue: queue_a}, worker-b: {queue: queue_b}}"
    (tmp_path / "test-config.yml").write_text(f"version: 1\n{workers}\nscenarios:\n{example}")

    (scenario,) = load_config(tmp_path / "test-config.yml", {}).scenarios

    assert len(example.splitlines()) == 5
    assert (scenario.task_count, scenario.expect.wall_time) == (5, Bounds(high=2.0))


def test_the_example_of_faults_is_valid(tmp_path: Path) -> None:
    (example,) = [body for kind, body in BLOCK.findall(FAULTS) if kind == "yml"]
    workers = "workers: {worker-a: {queue: queue_a}, worker-b: {queue: queue_b}}"
    (tmp_path / "test-config.yml").write_text(f"version: 1\n{workers}\nscenarios:\n{example}")

    (scenario,) = load_config(tmp_path / "test-config.yml", {}).scenarios

    assert [fault.words for fault in scenario.faults] == ["kill worker-a at 1s for 2s", "kill worker-a after 50%"]


def test_the_example_of_loads_is_valid(tmp_path: Path) -> None:
    (example,) = [body for kind, body in BLOCK.findall(LOAD) if kind == "yml"]
    rest = (ROOT / "test-config.yml").read_text(encoding="utf-8").replace("\nload: #", "\nx-load: #")
    (tmp_path / "test-config.yml").write_text(rest + example)

    loads = load_config(tmp_path / "test-config.yml", {}).load

    assert list(loads) == ["evening", "heap"]
    assert loads["evening"].max_error_rate == 0.005


def test_every_fault_is_described_and_no_other() -> None:
    rows = tables(FAULTS)[0]
    described = {words[0].removesuffix(":") for row in rows for words in commands(row[0])}

    assert described == {kind.value for kind in FaultKind}


def test_the_shipped_scenarios_with_faults_are_named_by_their_tags() -> None:
    shipped = re.search(r"^Shipped are (.*?) \(tag\s+`fault`\); (.*?) \(tag\s+`broker-fault`\)", FAULTS, re.M | re.S)
    assert shipped
    scenarios = load_config(ROOT / "test-config.yml", {}).scenarios

    for named, tag in zip(shipped.groups(), ("fault", "broker-fault"), strict=True):
        assert set(re.findall(r"`([a-z-]+)`", named)) == {one.name for one in scenarios if tag in one.tags}


# --- claims ---------------------------------------------------------------------------------------


def test_the_table_of_exit_codes_is_the_products() -> None:
    rows = {int(code): meaning for code, meaning in tables(section("Exit codes"))[0]}

    assert rows == {code.value: code.meaning for code in ExitCode}


def test_the_table_of_checks_names_those_that_the_picture_shows() -> None:
    described = [row[0] for row in tables(section("Judged in every run", TEXTS["docs/how-it-is-proved.md"]))[0]]
    shown = re.findall(r">PASS</text>\n.*?>([^:<]+):", PICTURE)

    assert described == shown
    assert described


def test_the_page_of_the_ledger_has_its_columns_counts_and_causes() -> None:
    columns, counts, causes = (
        {
            name
            for row in tables(section(title, TEXTS["docs/ledger.md"]))[0]
            for name in re.findall(r"`([\w ]+)`", row[0])
        }
        for title in ("The columns", "The equation", "Duplicates and their causes")
    )

    assert columns == {state.value for state in State}
    assert columns | counts | {"attempted"} == {field.name for field in fields(LedgerCounts)}
    assert causes == {cause.value for cause in Cause}


# --- links ----------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """Return the anchors of a page: its own, and those that a repository host makes of its headings."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", text), re.MULTILINE)
    made = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_and_image_leads_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", TEXTS[page])
    relative = [target for target in targets if "://" not in target]

    assert relative or page != "README.md"
    for target in relative:
        path, _, anchor = target.partition("#")
        leads_to = (ROOT / page).parent / path if path else ROOT / page
        assert leads_to.exists(), target
        assert not anchor or anchor in anchors(leads_to.read_text(encoding="utf-8")), target


def test_every_page_is_reached_from_the_readme() -> None:
    reached, new = set(), {"README.md"}
    while new:
        reached |= new
        linked = {
            (page, path) for page in new & TEXTS.keys() for path in re.findall(r"\]\(([^)\s#]+\.md)", TEXTS[page])
        }
        new = {str(((ROOT / page).parent / path).resolve().relative_to(ROOT)) for page, path in linked} - reached

    assert set(PAGES) <= reached


def test_the_readme_is_read_in_ten_minutes() -> None:
    """Some 200 words a minute, of what is no code."""
    assert len(README.splitlines()) <= 330
    assert len(BLOCK.sub("", README).split()) <= 2500
