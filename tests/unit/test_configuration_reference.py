"""docs/configuration.md is what the schema says, and every link in it leads to a place of its own."""

from __future__ import annotations

import json
import re

from docs.configuration_reference import PAGE, ROOT, reference

SCHEMA = json.loads((ROOT / "test-config.schema.json").read_text())


def test_the_page_is_made_from_the_schema() -> None:
    assert PAGE.read_text() == reference(SCHEMA), "python docs/configuration_reference.py"


def test_every_link_leads_to_one_place() -> None:
    text = reference(SCHEMA)
    headings = [title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", text, re.MULTILINE)]
    places = [*headings, *re.findall(r'<a id="([^"]+)">', text)]
    assert len(places) == len(set(places))
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= set(places)


def test_every_key_of_the_schema_is_there() -> None:
    text = reference(SCHEMA)
    kinds = [SCHEMA, *SCHEMA["definitions"].values()]
    assert all(f"| `{key}`" in text for kind in kinds for key in kind.get("properties", {}))
