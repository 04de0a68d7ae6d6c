"""The scenario language of test-config.yml: turns the file into a Config, or says what is wrong with it and where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.config_faults import FAULT, faults
from harness.config_load import LOAD_PROFILE, LOAD_THRESHOLDS, load_profiles
from harness.config_scaling import SCALING, scaling
from harness.config_workers import OVERRIDE, WORKER, chosen, deployed
from harness.expect_run import DEAD_LETTERS, LEDGER, RUN_EXPECT, THRESHOLDS, run_expectation, with_defaults
from harness.expect_task import MATCH, TASK_EXPECT, task_expectation
from harness.model.config import Config, Settings
from harness.model.expectation import RunExpectation, TaskExpectation
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import WorkerSpec
from harness.quantities import MAX_TASKS
from harness.yaml_document import read_node
from harness.yaml_fields import (
    BOUNDS,
    Keys,
    boolean,
    broker_name,
    duration,
    fields,
    given,
    line,
    name,
    named,
    rate,
    some,
    whole_number,
)
from harness.yaml_nodes import Value

__all__ = ["KEYS", "VERSION", "load_config"]

VERSION = 1
DEFAULT_TIMEOUT_S = 30.0

_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S*")
_UNDER_EXPECT = "put it under expect"

FILE = Keys(
    definitions=("",),
    required=("version", "workers", "scenarios"),
    optional=("settings", "defaults", "scaling", "load"),
    extensions=True,
)
SETTINGS = Keys(definitions=("settings",), optional=("broker_url", "wait_workers", "results_dir"))
DEFAULTS = Keys(
    definitions=("defaults",), optional=("timeout", "expect"), elsewhere=dict.fromkeys(RUN_EXPECT.known, _UNDER_EXPECT)
)
SCENARIO = Keys(
    definitions=("scenario",),
    required=("description", "tasks"),
    optional=("tags", "workers", "timeout", "reconnect", "faults", "expect"),
    elsewhere=dict.fromkeys(RUN_EXPECT.known, _UNDER_EXPECT),
)
TASK = Keys(
    definitions=("task",),
    required=("task",),
    optional=("count", "args", "kwargs", "delay", "rate", "queue", "expect"),
    elsewhere=dict.fromkeys(TASK_EXPECT.known, _UNDER_EXPECT),
)
#: Every kind of mapping with keys of ours; test-config.schema.json lists the same.
KEYS = (
    *(FILE, SETTINGS, DEFAULTS, WORKER, OVERRIDE, SCALING, SCENARIO, TASK, FAULT),
    *(RUN_EXPECT, TASK_EXPECT, MATCH, LEDGER, DEAD_LETTERS, THRESHOLDS, BOUNDS, LOAD_PROFILE, LOAD_THRESHOLDS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Defaults:
    """What a scenario that does not say it gets."""

    workers: Mapping[str, WorkerSpec]  # by service
    timeout_s: float
    expect: RunExpectation


def load_config(path: str | Path, environ: Mapping[str, str]) -> Config:
    """Return the whole of a test-config.yml, checked.

    Args:
        path: The file; messages name it as it is given here.
        environ: Where `${NAME}` in the file's values is looked up.

    Raises:
        ConfigError: The file cannot be read or is not valid; the first mistake, as FILE:LINE:COLUMN.
    """
    root = Value(read_node(Path(path)), "", environ)
    # The version comes first: in a file for another version every other message would mislead.
    if (version := root.mapping().get("version")) is not None and version.scalar(str(VERSION)) != VERSION:
        raise version.expected(str(VERSION), fix=f"write version: {VERSION}, the only one that this release reads")
    entries = fields(root, FILE)
    whole_number(entries["version"], VERSION)  # true and 1.0 equal 1 in Python
    settings = given(entries, "settings", _settings, Settings())
    workers = deployed(entries["workers"])
    wanted = given(entries, "defaults", lambda value: fields(value, DEFAULTS), {})
    defaults = _Defaults(
        workers={worker.service: worker for worker in workers},
        timeout_s=given(wanted, "timeout", duration, DEFAULT_TIMEOUT_S),
        expect=given(wanted, "expect", run_expectation, RunExpectation()),
    )
    scenarios = tuple(_scenario(key, value, defaults) for key, value in named(entries["scenarios"], "scenario").items())
    sizes = given(entries, "scaling", lambda value: scaling(value, defaults.workers), {})
    loads = given(entries, "load", load_profiles, {})
    return Config(path=str(path), workers=workers, scenarios=scenarios, settings=settings, scaling=sizes, load=loads)


def _settings(value: Value) -> Settings:
    entries = fields(value, SETTINGS)
    return Settings(
        broker_url=given(entries, "broker_url", _broker_url, None),
        wait_workers_s=given(entries, "wait_workers", duration, None),
        results_dir=given(entries, "results_dir", line, None),
    )


def _broker_url(value: Value) -> str:
    url = value.scalar("the URL of a broker")
    if not isinstance(url, str) or not _URL.fullmatch(url):
        # what is there instead is not shown: it may hold a password
        raise value.error("expected the URL of a broker", fix="write amqp://USER:PASSWORD@HOST:5672/VHOST")
    return url


def _scenario(key: str, value: Value, defaults: _Defaults) -> Scenario:
    entries = fields(value, SCENARIO)
    known = defaults.workers
    scenario = Scenario(
        name=key,
        description=line(entries["description"]),
        tags=given(entries, "tags", _tags, ()),
        tasks=tuple(_task(entry) for entry in some(entries["tasks"], "task")),
        workers=given(entries, "workers", lambda entry: chosen(entry, known), tuple(known.values())),
        timeout_s=given(entries, "timeout", duration, defaults.timeout_s),
        reconnect=given(entries, "reconnect", boolean, False),
        faults=given(entries, "faults", lambda entry: faults(entry, known), ()),
        expect=with_defaults(given(entries, "expect", run_expectation, RunExpectation()), defaults.expect),
    )
    if scenario.task_count > MAX_TASKS:
        raise entries["tasks"].error(f"{scenario.task_count} tasks in all, and a scenario has at most {MAX_TASKS}")
    for fault, entry in zip(scenario.faults, entries["faults"].elements() if scenario.faults else (), strict=True):
        if (fault.at_s or 0) >= scenario.timeout_s:
            raise entry.error(f"it is due {fault.at_s:g}s into the run, which ends after {scenario.timeout_s:g}s")
    for spec, entry in zip(scenario.tasks, entries["tasks"].elements(), strict=True):
        last_s = spec.delay_s + ((spec.count - 1) / spec.rate if spec.rate else 0.0)
        if last_s >= scenario.timeout_s:
            problem = f"the last is published {last_s:g}s into the run, which ends after {scenario.timeout_s:g}s"
            raise entry.error(problem, fix="raise timeout of the scenario, or publish sooner")
    return scenario


def _tags(value: Value) -> tuple[str, ...]:
    tags: list[str] = []
    for entry in some(value, "tag"):
        tag = name(entry, "tag")
        if tag in tags:
            raise entry.error(f"the tag {tag!r} is given twice")
        tags.append(tag)
    return tuple(tags)


def _task(value: Value) -> TaskSpec:
    entries = fields(value, TASK)
    return TaskSpec(
        task=broker_name(entries["task"], "task"),
        count=given(entries, "count", lambda entry: whole_number(entry, MAX_TASKS), 1),
        args=given(entries, "args", lambda entry: tuple(item.json() for item in entry.elements()), ()),
        kwargs=given(entries, "kwargs", lambda entry: {key: item.json() for key, item in entry.mapping().items()}, {}),
        delay_s=given(entries, "delay", lambda entry: duration(entry, zero=True), 0.0),
        rate=given(entries, "rate", rate, None),
        queue=given(entries, "queue", lambda entry: broker_name(entry, "queue"), None),
        expect=given(entries, "expect", task_expectation, TaskExpectation()),
    )
