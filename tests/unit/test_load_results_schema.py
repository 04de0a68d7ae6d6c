"""load-results.schema.json: every document of load_test.py fits it, and one with a key more or less does not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from harness.errors import UnavailableError
from harness.load_report import SCHEMA_VERSION, LoadReport, NodeShare
from harness.model.expectation import Threshold
from harness.model.ledger import Cause, Duplicate
from harness.model.load import LoadModel, LoadProfile
from harness.render.load_json import load_document
from harness.render.sweep_json import sweep_document
from harness.sweep import SCHEMA_VERSION as SWEEP_VERSION
from harness.sweep import Limit, Step, Sweep
from tests.sample_loads import crossed, failed, interrupted, invalid, load, planned

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA = json.loads((ROOT / "load-results.schema.json").read_text())
VALIDATOR = Draft7Validator(SCHEMA)
AT = 1_700_000_000.0
BROKER = "amqp://guest@localhost:5672//"


def uneven() -> LoadReport:
    """Return a load with a node that ran nothing, of which each list has something."""
    report = load()
    idle = NodeShare(node="worker-a@idle", service="worker-a", queue="queue_a", tasks=0, share=0.0)
    duplicate = Duplicate(task_id="1", cause=Cause.REDELIVERED, evidence="attempt 1 began again")
    limit = Threshold(metric="round_trip", aggregate="p", rank=95.0, operator="<", limit=1.0, text="p(95)<1s")
    return replace(
        report,
        plan=replace(report.plan, thresholds=(limit,), max_error_rate=0.1),
        run=replace(report.run, duplicates=(duplicate,), notes=("reconnected",)),
        shares=(*report.shares, idle),
        thresholds=crossed().thresholds,
        invalid=("nothing ended",),
    )


def swept(*reports: LoadReport, **more: Any) -> dict[str, Any]:
    steps = tuple(
        Step(replicas=number, slots=number, machine_busy=0.3, report=report) for number, report in enumerate(reports, 1)
    )
    return sweep_document(Sweep(steps=steps, **more), planned(), AT, BROKER)


def nothing() -> LoadReport:
    """Return a load of which nothing was measured."""
    report = load(LoadProfile(rate=20.0, duration_s=0.1))
    window = replace(report.window, completed=0)
    return replace(report, window=window, latencies=dict.fromkeys(report.latencies), shares=(), backlog=())


KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "passed": lambda: load_document(load()),
    "burst": lambda: load_document(load(LoadProfile(tasks=5))),
    "closed": lambda: load_document(load(LoadProfile(in_flight=5, tasks=20))),
    "crossed": lambda: load_document(crossed()),
    "failed": lambda: load_document(failed()),
    "invalid": lambda: load_document(invalid()),
    "interrupted": lambda: load_document(interrupted()),
    "uneven": lambda: load_document(uneven()),
    "nothing measured": lambda: load_document(nothing()),
    "sweep": lambda: swept(load(), load()),
    "sweep, crossed": lambda: swept(load(), crossed()),
    "sweep, too little ended": lambda: swept(nothing(), load()),
    "sweep, interrupted": lambda: swept(interrupted()),
    "sweep, not finished": lambda: swept(load(), error=UnavailableError("1 of 2 nodes consume", why="?", fix="!")),
}


def errors(value: Any) -> list[str]:
    return [f"{'/'.join(map(str, error.path))}: {error.message}" for error in VALIDATOR.iter_errors(value)]


def test_the_schema_is_one_of_draft_7() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    definitions = SCHEMA["definitions"]
    assert definitions["load"]["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    assert definitions["sweep"]["properties"]["schema_version"]["const"] == SWEEP_VERSION


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_of_each_kind_fits(kind: str) -> None:
    assert errors(KINDS[kind]()) == []


def test_what_a_load_and_a_run_both_say_is_the_same() -> None:
    run = json.loads((ROOT / "results.schema.json").read_text())
    definitions, said = SCHEMA["definitions"], SCHEMA["definitions"]["load"]["properties"]
    for name in ("time", "check", "outcome"):
        assert definitions[name] == run["definitions"][name]
    assert definitions["ledger"] == run["properties"]["ledger"]
    for name in ("duplicates", "notes", "embedded"):
        assert said[name] == run["properties"][name]


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every object in a document that the schema fixes the keys of; of a list, the first item's."""
    if isinstance(value, dict):
        yield path
        for key, inner in value.items():
            if key not in ("mix", "fairness", "result"):  # names of the user's own
                yield from objects(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from objects(value[0], (*path, 0))


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


WHOLE = swept(uneven(), error=UnavailableError("1 of 2 nodes consume"))


@pytest.mark.parametrize("path", list(objects(WHOLE)), ids=lambda path: "/".join(map(str, path)) or "document")
def test_a_key_more_does_not_fit_nor_does_a_key_less(path: tuple[str | int, ...]) -> None:
    more = copy.deepcopy(WHOLE)
    at(more, path)["surprise"] = 1
    assert not VALIDATOR.is_valid(more)
    for key in at(WHOLE, path):
        less = copy.deepcopy(WHOLE)
        del at(less, path)[key]
        assert not VALIDATOR.is_valid(less), f"{path} without {key}"


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("schema_version",), 2),
        (("kind",), "load"),
        (("verdict",), "ok"),
        (("curve", 0, "limit"), "luck"),
        (("curve", 0, "efficiency"), "100%"),
        (("steps", 0, "verdict"), "crossed"),
        (("steps", 0, "exit_code"), 3),
        (("steps", 0, "ledger", "lost"), -1),
        (("steps", 0, "rates", "throughput_per_s"), None),
        (("steps", 0, "latencies", "run_time", "p50_s"), None),
        (("steps", 0, "latencies", "run_time", "curve", 0), [1.0]),
        (("steps", 0, "backlog", 0, "looks", 0), ["0 s", 1]),
        (("steps", 0, "nodes", 0, "share"), 2),
        (("steps", 0, "load", "mix", "task_a"), 0),
        (("steps", 0, "fairness", "worker-a"), 0.5),
        (("steps", 0, "not_succeeded", 0, "state"), "done"),
    ],
)
def test_a_wrong_value_does_not_fit(path: tuple[str | int, ...], wrong: Any) -> None:
    changed = copy.deepcopy(WHOLE)
    at(changed, path[:-1])[path[-1]] = wrong
    assert not VALIDATOR.is_valid(changed)


def test_the_schema_knows_every_word_of_the_model() -> None:
    definitions = SCHEMA["definitions"]
    assert set(definitions["asked"]["properties"]["model"]["enum"]) == {model.value for model in LoadModel}
    assert set(definitions["sweep"]["properties"]["curve"]["items"]["properties"]["limit"]["enum"]) == {
        limit.value for limit in Limit
    }
    nodes = definitions["load"]["properties"]["nodes"]["items"]["properties"]
    assert nodes.keys() == {field.name for field in fields(NodeShare)}
