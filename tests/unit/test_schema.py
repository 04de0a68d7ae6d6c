"""test-config.schema.json and the loader say the same: the same keys, and the same of every example."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from config_files import EVERY_KEY, PROJECT_CONFIG, ROOT, config, load, refusal, with_scenario, with_task
from jsonschema import Draft7Validator

from harness.config import KEYS
from harness.expect_run import REASONS
from harness.model.ledger import State
from harness.yaml_fields import Keys

pytestmark = pytest.mark.usefixtures("empty_directory")

PATH = ROOT / "test-config.schema.json"
SCHEMA: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
VALIDATOR = Draft7Validator(SCHEMA)
#: By name; the file itself is "".
DEFINITIONS: dict[str, Any] = {"": SCHEMA, **SCHEMA["definitions"]}


def test_it_is_a_valid_schema_and_the_project_s_file_names_it_in_its_first_line() -> None:
    Draft7Validator.check_schema(SCHEMA)
    first = PROJECT_CONFIG.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema=./{PATH.name}"


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", KEYS, ids=lambda keys: keys.definitions[0] or "the file")
def test_the_schema_has_the_keys_of_the_loader_and_no_others(keys: Keys) -> None:
    for name in keys.definitions:
        definition = DEFINITIONS[name]
        assert set(definition["properties"]) == set(keys.known)
        assert set(definition.get("required", [])) == set(keys.required)
        assert definition["additionalProperties"] is False
        assert list(definition.get("patternProperties", [])) == (["^x-"] if keys.extensions else [])
        assert definition.get("minProperties", 0) == keys.some


def test_the_loader_has_the_mappings_of_the_schema_and_no_others() -> None:
    named = [name for keys in KEYS for name in keys.definitions]
    assert sorted(named) == sorted(name for name, definition in DEFINITIONS.items() if "properties" in definition)


def objects(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of the schema that lists properties."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield node
        for key, child in node.items():
            if key != "dependencies":
                yield from objects(child)
    elif isinstance(node, list):
        for child in node:
            yield from objects(child)


def test_no_mapping_hides_inside_a_definition() -> None:
    assert len(list(objects(SCHEMA))) == sum(len(keys.definitions) for keys in KEYS)


def test_every_key_is_described_for_the_reader_of_an_editor() -> None:
    for part in objects(SCHEMA):
        for key, described in part["properties"].items():
            target = DEFINITIONS[described["$ref"].rpartition("/")[2]] if "$ref" in described else {}
            assert "description" in {**described, **target} or key in ("min", "max"), key


def test_every_reference_leads_somewhere_and_every_definition_is_used() -> None:
    text = json.dumps(SCHEMA)
    used = {part.partition('"')[0] for part in text.split("#/definitions/")[1:]}
    assert used == set(SCHEMA["definitions"])


def test_the_words_of_the_schema_are_those_of_the_model() -> None:
    (states, _) = DEFINITIONS["task_expect"]["properties"]["state"]["anyOf"]
    assert states["enum"] == list(State)
    (reasons, _) = DEFINITIONS["dead_letters"]["properties"]["reason"]["anyOf"]
    assert tuple(reasons["enum"]) == REASONS


# --- examples -------------------------------------------------------------------------------------

MERGED = """\
x-far: &far {count: 2, task: far}
version: 1
workers: {worker-a: {queue: queue_a}}
scenarios:
  basic: &basic {description: Basic, tasks: [*far, {<<: *far, count: 3}]}
  again: *basic
"""
FROM_THE_ENVIRONMENT = """\
version: ${V}
settings: {broker_url: '${URL}', wait_workers: '1${S}'}
workers: {worker-a: {queue: '${Q}'}}
scenarios:
  basic:
    description: ${Q}
    tags: ['${Q}']
    workers: ['worker-${A}']
    timeout: 3${S}
    reconnect: ${YES}
    tasks:
    - task: ${Q}
      count: ${V}
      delay: 1${S}
      rate: ${V}/s
      expect:
        state: ${STATE}
        error: {matches: '${Q}'}
        attempts: ${V}
        backoff: ${POLICY}
    expect:
      overlap:
        min: ${V}
      fairness: ${V}
      wall_time:
        max: 1${S}
      ledger:
        lost: ${V}
      dead_letters:
      - queue: ${Q}
        reason: ${REASON}
      thresholds:
        lag: avg<1${S}
        failures: count<${V}
"""
ENVIRON = {
    "V": "1",
    "S": "s",
    "Q": "q",
    "A": "a",
    "YES": "true",
    "URL": "amqp://h",
    "STATE": "failed",
    "POLICY": "policy",
    "REASON": "expired",
}


@pytest.mark.parametrize(
    "text",
    [
        PROJECT_CONFIG.read_text(encoding="utf-8"),
        EVERY_KEY,
        MERGED,
        FROM_THE_ENVIRONMENT,
        config(),
        *(with_task(f"expect: {{state: {state.value}}}") for state in State),
        with_task("expect: {result: {contains: 0}}"),
        with_task("expect: {backoff: policy}"),
        with_task("expect: {worker: 'w?rker'}"),
        with_scenario("workers: {worker-a: {}}"),
        with_scenario("timeout: 1h1m1.5s1ms"),
        with_scenario("expect: {thresholds: {round_trip: ' p( 99.9 ) >= 1m30s '}}"),
    ],
)
def test_what_the_loader_takes_is_valid(text: str) -> None:
    load(text, **ENVIRON)
    VALIDATOR.validate(yaml.safe_load(text))


WRONG_FILES = {
    "no version": config().replace("version: 1\n", ""),
    "another version": config().replace("version: 1", "version: 2"),
    "unknown key": config() + "zzz: 1\n",
    "defaults without a key in expect": config() + "defaults: {expect: {}}\n",
    "no workers": config(workers="{}"),
    "a worker without a queue": config(workers="{w: {}}"),
    "a worker's name with a blank": config(workers="{a b: {queue: q}}"),
    "a queue's name with a comma": config(workers="{w: {queue: 'a,b'}}"),
    "no replicas": config(workers="{w: {queue: q, replicas: 0}}"),
    "scaling of nothing": config() + "scaling: {}\n",
    "scaling without a number": config() + "scaling: {worker-a: {}}\n",
    "scaling to none": config() + "scaling: {worker-a: {max: 0}}\n",
    "no loads": config() + "load: {}\n",
    "a load that says nothing": config() + "load: {p: {}}\n",
    "a load's mix of nothing": config() + "load: {p: {tasks: 1, mix: {}}}\n",
    "a load's rate without a unit": config() + "load: {p: {rate: 50, duration: 1m}}\n",
    "a load's error rate without a unit": config() + "load: {p: {tasks: 1, max_error_rate: 1}}\n",
    "a load's throughput without a unit": config() + "load: {p: {tasks: 1, thresholds: {throughput: rate>5}}}\n",
    "a load's backlog at a percentile": config() + "load: {p: {tasks: 1, thresholds: {backlog: p(95)<5}}}\n",
    "a broker that is no URL": config(settings="{broker_url: localhost}"),
    "no scenarios": "version: 1\nworkers: {w: {queue: q}}\nscenarios: {}\n",
    "a scenario's name with a slash": config().replace("basic", "a/b"),
    "no description": config(scenario="{tasks: [{task: t}]}"),
    "an empty description": config(scenario="{description: ' ', tasks: [{task: t}]}"),
    "no tasks": config(scenario="{description: B, tasks: []}"),
}
WRONG_SCENARIOS = [
    *("tags: slow", "tags: []", "tags: [a b]", "tags: [a, a]", "reconnect: 1", "reconnect: 'yes'", "zzz: 1"),
    *("timeout: 30", "timeout: 0s", "timeout: 30s1m", "timeout: 1:30", "timeout: 1d", "timeout: ''"),
    *("workers: []", "workers: {}", "workers: worker-a", "workers: [worker-a, worker-a]"),
    *("workers: {worker-a: {queue: queue_b}}", "workers: {worker-a: {concurrency: 0}}"),
    *("expect: {}", "expect: {state: failed}", "expect: {fairness: 0.9}", "expect: {overlap: 2}"),
    *("expect: {wall_time: 2s}", "expect: {wall_time: {}}", "expect: {wall_time: {max: 2}}"),
    *("expect: {ledger: {}}", "expect: {ledger: {suceeded: 1}}", "expect: {ledger: {lost: -1}}"),
    *("expect: {dead_letters: []}", "expect: {dead_letters: [{count: 1}]}"),
    "expect: {dead_letters: [{queue: q, reason: expire}]}",
    *(f"expect: {{thresholds: {put}}}" for put in ("{}", "{zzz: avg<1s}", "{lag: []}", "{lag: 5}", "{lag: rate<1}")),
    *(f"expect: {{thresholds: {{lag: {put}}}}}" for put in ("p95<1s", "avg=1s", "avg<500", "avg<", "avg<1s<2s")),
    *(f"expect: {{thresholds: {{failures: {put}}}}}" for put in ("avg<1s", "rate<1%", "count<1.5", "rate")),
]
WRONG_TASKS = [
    *("count: '10'", "count: 0", "count: true", "count: 1000001", "args: 1", "kwargs: [1]", "zzz: 1", "state: lost"),
    *("delay: 5", "rate: 50", "rate: 50/d", "rate: 0/s", "rate: 0.0/s", "queue: a b"),
    *("expect: {}", "expect: {ledger: {lost: 0}}", "expect: {state: suceeded}", "expect: {worker: worker-a}"),
    *("expect: {error: {equals: e}}", "expect: {state: succeeded, error: {equals: e}}"),
    *("expect: {state: lost, result: {equals: 1}}", "expect: {state: failed, error: {equals: 5}}"),
    *("expect: {result: Hello}", "expect: {result: {}}", "expect: {result: {equal: 1}}", "expect: {worker: ''}"),
    *("expect: {result: {contains: ''}}", "expect: {result: {contains: {}}}", "expect: {result: {matches: 5}}"),
    *("expect: {attempts: -1}", "expect: {attempts: 1001}", "expect: {attempts: {min: -1}}", "expect: {attempts: [1]}"),
    *("expect: {backoff: polic}", "expect: {backoff: []}", "expect: {backoff: [2s]}", "expect: {backoff: {max: 1s}}"),
    *("expect: {run_time: 2s}", "expect: {queue_wait: {min: -1s}}"),
]
WRONG = {
    **WRONG_FILES,
    **{put: with_scenario(put) for put in WRONG_SCENARIOS},
    **{f"task {put}": with_task(put) for put in WRONG_TASKS},
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_what_the_schema_can_tell_is_refused_by_both(text: str) -> None:
    refusal(text)
    assert not VALIDATOR.is_valid(yaml.safe_load(text))


#: What the loader alone refuses: an editor shows no mistake here, `dispatch.py --validate` does.
BEYOND_A_SCHEMA = {
    "a key twice": config() + "version: 1\n",
    "a queue of two workers": config(workers="{v: {queue: q}, w: {queue: q}}"),
    "a worker that there is not": with_scenario("workers: [worker-c]"),
    "a worker that there is not, sized": with_scenario("workers: {worker-c: {}}"),
    "scaling of a worker that there is not": config() + "scaling: {worker-c: {max: 2}}\n",
    "more by default than at most": config() + "scaling: {worker-a: {default: 3, max: 2}}\n",
    "a load of two models": config() + "load: {p: {rate: 5/s, duration: 1m, in_flight: 5}}\n",
    "a load of which all may fail, and more": config() + "load: {p: {tasks: 1, max_error_rate: 101%}}\n",
    "a number that readers differ about": with_task("count: 010"),
    "a word that readers differ about": with_scenario("reconnect: yes"),
    "a whole number with a point": with_task("count: 1.0"),
    "a tag of YAML": with_task("count: !!int 3"),
    "a variable that is not set": with_task("count: ${NOT_SET}"),
    "a description over two lines": with_scenario('expect: {fairness: 1}\n    tags: ["a"]').replace("S\n", '"a\\nb"\n'),
    "longer than a day": with_scenario("timeout: 25h"),
    "a faster rate than there is": with_task("rate: 100001/s"),
    "too many tasks in all": config(
        scenario="{description: B, tasks: [{task: t, count: 999999}, {task: t, count: 2}]}"
    ),
    "published after the end": with_task("delay: 30s"),
    "max below min": with_scenario("expect: {overlap: {min: 2, max: 1}}"),
    "a regular expression that is none": with_task("expect: {result: {matches: '('}}"),
    "a regular expression too long": with_task(f"expect: {{result: {{matches: {'a' * 1001}}}}}"),
    "a percentile above 100": with_scenario("expect: {thresholds: {lag: p(101)<1s}}"),
    "a share above 1": with_scenario("expect: {thresholds: {failures: rate<5}}"),
}


@pytest.mark.parametrize("text", BEYOND_A_SCHEMA.values(), ids=BEYOND_A_SCHEMA.keys())
def test_what_a_schema_cannot_tell_is_refused_by_the_loader(text: str) -> None:
    refusal(text)
    VALIDATOR.validate(yaml.safe_load(text))
