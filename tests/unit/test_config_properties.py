"""Files that nobody wrote: whatever is in one, the answer is a config or a located error, and no key is ignored."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_files import EVERY_KEY, PROJECT_CONFIG, ROOT, config
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from harness.config import KEYS, load_config
from harness.errors import ConfigError
from harness.model.config import Config
from harness.yaml_document import read_node
from harness.yaml_nodes import Value

pytestmark = pytest.mark.usefixtures("empty_directory")

SCHEMA = Draft7Validator(json.loads((ROOT / "test-config.schema.json").read_text(encoding="utf-8")))

# derandomize: the same examples on every machine, so that the suite never fails for one user alone
anything = settings(
    max_examples=200, deadline=5000, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def problem_or_config(**environ: str) -> str | Config:
    try:
        return load_config("t.yml", environ)
    except ConfigError as exc:
        return exc.what


def holds(text: str, **environ: str) -> bool:
    """Return whether the loader takes a file, which is then valid for the schema too; if not, its error has a place."""
    Path("t.yml").write_bytes(text.encode("utf-8", "surrogatepass"))
    loaded = problem_or_config(**environ)
    if isinstance(loaded, str):
        assert re.fullmatch(r"t\.yml:[1-9][0-9]*:[1-9][0-9]*: .+", loaded)
        return False
    entries = Value(read_node(Path("t.yml")), "", environ).mapping()
    SCHEMA.validate({key: value.json() for key, value in entries.items() if not key.startswith("x-")})
    assert loaded.workers
    assert all(1 <= scenario.task_count <= 1_000_000 for scenario in loaded.scenarios)
    assert all(scenario.workers and scenario.timeout_s > 0 for scenario in loaded.scenarios)
    json.dumps(asdict(loaded), allow_nan=False, default=str).encode()
    return True


# --- as text --------------------------------------------------------------------------------------

BOMB = "x-a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"x-{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
SEEDS = [
    PROJECT_CONFIG.read_text(encoding="utf-8"),
    EVERY_KEY,
    "version: 1\nworkers:\n  w:\n    queue: ${N:-q}\n    replicas: ${N:-1}\nscenarios:\n"
    "  s:\n    description: ${N:-d}\n    tasks:\n    - task: t\n      count: ${N:-1}\n",
    config(
        settings="{broker_url: '${URL:-amqp://h}', wait_workers: 20s}",
        scenario="&s {<<: {description: x}, tasks: [{task: t}]}",
    ),
    BOMB,
]
SIGNS = ["&a ", "*a", "<<: ", "<<: *a", "{", "}", "[", "]", ": ", "- ", "? ", "| ", "> ", "'", '"', "#", "\t", "\n"]
MARKUP = ["---\n", "...\n", "!!str ", "!!set ", "!x ", "%YAML 1.1\n", "${", "${N}", "${N:-", "$$", "$", "\\", "\\U"]
SCALARS = [
    "yes",
    "010",
    "1:30",
    "1e3",
    ".nan",
    "0x_",
    "2025-01-01",
    "null",
    "=",
    "~",
    "1_0",
    "\ufeff",
    "\x85",
    "\u2028",
]
PIECES = st.one_of(
    st.sampled_from([*SIGNS, *MARKUP, *SCALARS]),
    st.text(max_size=4),
    st.integers().map(str),
)
EDITS = st.lists(st.tuples(st.integers(0, len(EVERY_KEY)), st.integers(0, 20), PIECES), max_size=6)


@anything
@given(seed=st.sampled_from(SEEDS), edits=EDITS, variable=st.text(max_size=8))
@example(seed="<<", edits=[], variable="")
@example(seed="=: =", edits=[], variable="")
def test_any_text_gives_a_config_or_a_located_error_and_nothing_else(
    seed: str, edits: list[tuple[int, int, str]], variable: str
) -> None:
    text = seed
    for place, cut, piece in edits:
        text = text[:place] + piece + text[place + cut :]
    holds(text, N=variable)


# --- as data --------------------------------------------------------------------------------------

Path_ = tuple[str | int, ...]
VALID: Any = yaml.safe_load(EVERY_KEY)
#: What a user puts there is data, in which every key is welcome.
DATA = {"args", "kwargs", "equals", "contains"}


def places(node: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Yield the path of every value that the language describes."""
    yield path
    if isinstance(node, dict | list) and not DATA & set(path):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            if not str(key).startswith("x-"):
                yield from places(child, (*path, key))


def at(node: Any, path: Path_) -> Any:
    for key in path:
        node = node[key]
    return node


PLACES = list(places(VALID))
MAPPINGS = [path for path in PLACES if isinstance(at(VALID, path), dict) and not DATA & set(path)]
KNOWN = sorted({key for keys in KEYS for key in keys.known})
WORDS = st.one_of(st.sampled_from(KNOWN), st.from_regex(r"[a-z_-]{1,12}", fullmatch=True))
SCALARS_OF_ANY_KIND = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2_000_000),
    st.floats(-2, 1e7),
    WORDS,
    st.sampled_from(["0s", "1ms", "25h", "50/s", "p(95)<1s", "rate<2", "*", "worker-a", "policy", "(", "${N}", ""]),
)
VALUES = st.one_of(
    SCALARS_OF_ANY_KIND,
    st.lists(SCALARS_OF_ANY_KIND, max_size=2),
    st.dictionaries(WORDS, SCALARS_OF_ANY_KIND, max_size=2),
    st.sampled_from(PLACES).map(lambda path: at(VALID, path)),
)


@anything
@given(path=st.sampled_from(PLACES[1:]), value=VALUES)
def test_any_value_in_any_place_gives_a_config_or_a_located_error_and_nothing_else(path: Path_, value: Any) -> None:
    data = copy.deepcopy(VALID)
    at(data, path[:-1])[path[-1]] = copy.deepcopy(value)
    holds(json.dumps(data))


def test_a_valid_file_with_one_entry_less_is_valid_or_says_what_is_missing() -> None:
    for path in PLACES[1:]:
        data = copy.deepcopy(VALID)
        del at(data, path[:-1])[path[-1]]
        holds(json.dumps(data))


@anything
@given(
    path=st.sampled_from(MAPPINGS), graft=st.sampled_from([path for path in PLACES[1:] if isinstance(path[-1], str)])
)
def test_a_valid_entry_is_accepted_only_where_it_belongs(path: Path_, graft: Path_) -> None:
    data = copy.deepcopy(VALID)
    at(data, path)[graft[-1]] = copy.deepcopy(at(VALID, graft))
    holds(json.dumps(data))  # what is accepted is also in the schema, at this place


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda path: ".".join(map(str, path)) or "the file")
def test_an_unknown_key_is_refused_in_every_mapping(path: Path_) -> None:
    data = copy.deepcopy(VALID)
    at(data, path)["zzz_unknown"] = None
    assert not holds(json.dumps(data))
    assert not SCHEMA.is_valid(data)
