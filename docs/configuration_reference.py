#!/usr/bin/env python
"""Write docs/configuration.md: every key of test-config.yml, from test-config.schema.json, which is what is checked.

    python docs/configuration_reference.py

The standard library is enough here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "configuration.md"

HEAD = """\
# Configuration reference

Every key of `test-config.yml`. This page is made by `docs/configuration_reference.py` from `test-config.schema.json`;
point your editor at that file for completion and checks as you type. What the keys are for is told in
[scenarios](scenarios.md), [faults](faults.md) and [load](load.md). Any value can come from the environment: `${NAME}`,
or `${NAME:-default}`.
"""

Schema = Mapping[str, Any]


def main() -> None:
    PAGE.write_text(reference(json.loads((ROOT / "test-config.schema.json").read_text())))


def reference(schema: Schema) -> str:
    """Return the page: the file, then each kind of mapping in it, then the kinds of values."""
    kinds = schema["definitions"]
    mappings = {name: kind for name, kind in kinds.items() if "properties" in kind}
    values = {name: kind for name, kind in kinds.items() if name not in mappings and name != "variable"}
    parts = [HEAD, "## The file\n", *_table(schema)]
    for name, kind in mappings.items():
        parts += [f"## {_title(name)}\n", f"{kind.get('description', '')}\n".lstrip("\n"), *_table(kind)]
    parts += ["## Values\n", "| value | |", "|---|---|"]
    for name, kind in values.items():
        parts.append(f"| {_anchor(name)} | {_cell(_words(kind))} |")
    return "\n".join(parts) + "\n"


def _table(kind: Schema) -> Iterator[str]:
    """Yield a row for each key of a mapping."""
    yield "| key | value | |"
    yield "|---|---|---|"
    for name, value in kind["properties"].items():
        must = " (required)" if name in kind.get("required", ()) else ""
        default = f" Default: `{value['default']}`." if "default" in value else ""
        yield f"| `{name}`{must} | {_cell(_type(value))} | {_cell(value.get('description', '') + default)} |"
    yield ""


def _type(value: Schema) -> str:
    """Return what a value may be, in words, with links to the kinds that have a place of their own."""
    if "$ref" in value:
        return _link(value["$ref"].rpartition("/")[2])
    if "enum" in value:
        return " or ".join(f"`{one}`" for one in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if choices := value.get("anyOf") or value.get("oneOf"):
        return " or ".join(_type(one) for one in choices if not one.get("$ref", "").endswith("/variable"))
    match value.get("type"):
        case "array":
            return f"list of {_type(value['items'])}" if "items" in value else "list"
        case "object" if isinstance(value.get("additionalProperties"), dict):
            return f"mapping of names to {_type(value['additionalProperties'])}"
        case "object":
            return "mapping"
        case "integer" | "number" as kind:
            bounds = [f"at least {value['minimum']}"] if "minimum" in value else []
            bounds += [f"above {value['exclusiveMinimum']}"] if "exclusiveMinimum" in value else []
            bounds += [f"at most {value['maximum']}"] if "maximum" in value else []
            return " ".join(["whole number" if kind == "integer" else "number", ", ".join(bounds)]).strip()
        case "string":
            return "text"
        case "boolean":
            return "`true` or `false`"
    return "any value"


def _words(kind: Schema) -> str:
    """Return the description of a kind of value, what it may be, and examples of it."""
    found = [kind.get("description", "")]
    if kind.get("type") != "string":
        found.append(f"A {_type(kind)}." if _type(kind)[0] not in "`[" else f"{_type(kind)}.")
    if examples := kind.get("examples"):
        found.append("Such as " + ", ".join(f"`{one}`" for one in examples) + ".")
    return " ".join(filter(None, found))


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _link(name: str) -> str:
    return f"[{name.replace('_', ' ')}](#{name.replace('_', '-')})"


def _anchor(name: str) -> str:
    return f'<a id="{name.replace("_", "-")}"></a>{name.replace("_", " ")}'


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    main()
