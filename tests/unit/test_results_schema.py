"""results.schema.json: every document that is written fits it, and one with a key more or less does not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from harness.model.expectation import Bounds, DeadLetters, Match, RunExpectation, TaskExpectation, Threshold
from harness.model.fault import Fault, FaultKind, FaultRecord, Recovery
from harness.model.ledger import Cause, Duplicate, State
from harness.model.report import MAX_HELD, SCHEMA_VERSION, Check, Report
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import WorkerSpec
from harness.render.outcome_json import outcome_line
from harness.render.results_json import document, pieces
from tests.sample_reports import (
    BASIC,
    basic,
    crossed,
    disturbed,
    embedded,
    interrupted,
    invalid,
    judged,
    many,
    outcome,
    retried,
    troubled,
)

SCHEMA = json.loads((Path(__file__).resolve().parent.parent.parent / "results.schema.json").read_text())
VALIDATOR = Draft7Validator(SCHEMA)

EVERYTHING = Scenario(
    name="everything",
    description="each setting once",
    workers=(WorkerSpec(service="worker-a", queue="queue_a", replicas=2, concurrency=4),),
    tasks=(
        TaskSpec(
            task="task_a",
            count=2,
            args=(1, "two", [3]),
            kwargs={"work_s": 0.5, "deep": {"a": [None]}},
            delay_s=1.0,
            rate=2.0,
            queue="queue_b",
            expect=TaskExpectation(
                state=State.FAILED,
                result=Match(equals=None),
                error=Match(matches="x", contains="y"),
                queue="queue_a",
                worker="worker-a@*",
                attempts=Bounds(low=1, high=2),
                backoff=(Bounds(low=1.0), Bounds()),
                backoff_policy=True,
                run_time=Bounds(high=1.0),
                queue_wait=Bounds(high=1.0),
            ),
        ),
    ),
    timeout_s=5.0,
    tags=("slow",),
    expect=RunExpectation(
        wall_time=Bounds(high=5.0),
        overlap=Bounds(low=1.5),
        fairness=2.0,
        ledger={"succeeded": Bounds(low=1)},
        dead_letters=(DeadLetters(queue="queue_a.dead", count=Bounds(low=1, high=1), reason="rejected", task="t"),),
        thresholds=(Threshold(metric="run_time", aggregate="p", rank=95.0, operator="<", limit=1.0, text="p(95)<1s"),),
        routing=True,
        recovery=Bounds(high=10.0),
    ),
    reconnect=True,
    faults=(
        Fault(
            kind=FaultKind.STOP,
            target="worker-a",
            at_s=1.0,
            after=0.5,
            on_start=True,
            times=2,
            for_s=1.0,
            every_node=True,
            count=1,
            grace_s=5.0,
        ),
    ),
)
KINDS: dict[str, Callable[[], Report]] = {
    "passed": basic,
    "embedded": embedded,
    "retried": retried,
    "troubled": troubled,
    "crossed": crossed,
    "interrupted": interrupted,
    "disturbed": disturbed,
    "invalid": invalid,
    "nothing judged": lambda: replace(basic(), checks=()),
    "nothing seen": lambda: judged(BASIC, [], 0.0),
    "every setting": lambda: replace(basic(), scenario=EVERYTHING),
    "strange values": lambda: judged(
        BASIC, [outcome(0, result=float("nan")), outcome(1, "task_b", run_s=0.7, result=[b"bytes", {1: "key"}])], 0.7
    ),
}


def errors(value: Any) -> list[str]:
    return [f"{'/'.join(map(str, error.path))}: {error.message}" for error in VALIDATOR.iter_errors(value)]


def test_the_schema_is_one_of_draft_7() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert SCHEMA["properties"]["schema_version"]["const"] == SCHEMA_VERSION


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_of_each_kind_fits(kind: str) -> None:
    assert errors(json.loads("".join(pieces(KINDS[kind]())))) == []


def test_a_document_with_streamed_outcomes_fits() -> None:
    report = many(MAX_HELD + 50)
    streamed = [outcome_line(outcome(MAX_HELD + index)) for index in range(50)]
    found = json.loads("".join(pieces(report, streamed)))
    assert len(found["outcomes"]) == MAX_HELD + 50
    assert errors(found) == []


def test_a_clock_that_says_anything_fits_too() -> None:
    strange = outcome(0, finished_at=float("nan"), started_at=float("inf"))
    assert errors(document(replace(basic(), outcomes=(strange,)))) == []


#: Where the user's own keys are: anything may stand there.
FREE = ("kwargs", "result", "equals", "contains", "consumers", "backlog", "args")
#: What may be missing: settings that were left at their defaults, and what was not measured.
OPTIONAL = ("scenario", "distributions")


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every object in a document that the schema fixes the keys of; of a list, the first item's."""
    if isinstance(value, dict):
        yield path
        for key, inner in value.items():
            if key not in FREE:
                yield from objects(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from objects(value[0], (*path, 0))


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


WHOLE = document(replace(troubled(), scenario=EVERYTHING, faults=disturbed().faults, duplicates=disturbed().duplicates))


@pytest.mark.parametrize("path", list(objects(WHOLE)), ids=lambda path: "/".join(map(str, path)) or "document")
def test_a_key_more_does_not_fit_nor_does_a_key_less(path: tuple[str | int, ...]) -> None:
    more = copy.deepcopy(WHOLE)
    at(more, path)["surprise"] = 1
    assert errors(more)
    if set(path) & set(OPTIONAL):
        return
    for key in at(WHOLE, path):
        less = copy.deepcopy(WHOLE)
        del at(less, path)[key]
        assert errors(less) or key in OPTIONAL, f"{path} without {key}"


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("schema_version",), 2),
        (("verdict",), "ok"),
        (("exit_code",), 3),
        (("outcomes", 0, "state"), "done"),
        (("outcomes", 0, "run_time_s"), "0.5 s"),
        (("metrics", "wall_s"), None),
        (("ledger", "lost"), -1),
        (("duplicates", 0, "cause"), "by chance"),
        (("faults", 0, "recovery", "tasks"), None),
        (("faults", 0, "at_s"), "1s"),
        (("scenario", "faults", 0, "kind"), "explode"),
        (("checks", 0, "passed"), "yes"),
    ],
)
def test_a_wrong_value_does_not_fit(path: tuple[str | int, ...], wrong: Any) -> None:
    changed = copy.deepcopy(WHOLE)
    at(changed, path[:-1])[path[-1]] = wrong
    assert errors(changed)


def test_the_schema_knows_every_setting_of_the_model() -> None:
    renamed = {
        "run_time": "run_time_s",
        "queue_wait": "queue_wait_s",
        "wall_time": "wall_time_s",
        "backoff": "backoff_s",
        "rate": "rate_per_s",
        "recovery": "recovery_s",
    }
    asked = SCHEMA["properties"]["scenario"]["properties"]
    struck = SCHEMA["properties"]["faults"]["items"]["properties"]
    known = {
        Fault: SCHEMA["definitions"]["fault"]["properties"],
        FaultRecord: struck,
        Recovery: struck["recovery"]["anyOf"][1]["properties"],
        Duplicate: SCHEMA["properties"]["duplicates"]["items"]["properties"],
        Scenario: asked,
        WorkerSpec: asked["workers"]["items"]["properties"],
        TaskSpec: asked["tasks"]["items"]["properties"],
        TaskExpectation: SCHEMA["definitions"]["taskExpectation"]["properties"],
        RunExpectation: SCHEMA["definitions"]["runExpectation"]["properties"],
        Match: SCHEMA["definitions"]["match"]["properties"],
        Check: SCHEMA["definitions"]["check"]["properties"],
    }
    for kind, properties in known.items():
        names = {field.name if kind is FaultRecord else renamed.get(field.name, field.name) for field in fields(kind)}
        assert names == properties.keys() - {"task_count"}
    assert set(SCHEMA["definitions"]["fault"]["properties"]["kind"]["enum"]) == {kind.value for kind in FaultKind}
    assert set(SCHEMA["properties"]["duplicates"]["items"]["properties"]["cause"]["enum"]) == {
        cause.value for cause in Cause
    }
