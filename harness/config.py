"""The schema of test-config.yml: turns the file into a Config, or says what is wrong with it and where."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.errors import UsageError
from harness.model import Config, Scenario, Settings, TaskSpec, WorkerSpec
from harness.yaml_document import read_node
from harness.yaml_nodes import Value
from harness.yaml_scalars import shown

VERSION = 1
MAX_COUNT = 1_000_000
MAX_REPLICAS = 1_000
MAX_DURATION_S = 24 * 3600.0

#: A service also names its nodes (worker-a@HOST), and a scenario its files, so both stay simple.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
#: What RabbitMQ and Celery's command line (-Q one,two) take without quoting.
_BROKER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S*")
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?")
_UNITS_S = (3600.0, 60.0, 1.0, 0.001)

_A_DURATION = "a duration such as 500ms, 30s, 1m30s or 1h"
_A_NAME = "letters, digits, '_', '.' and '-'"


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
    fields = _fields(root, required=("version", "workers", "scenarios"), optional=("settings",), extensions=True)
    _whole_number(fields["version"], VERSION)  # true and 1.0 equal 1 in Python
    settings = _settings(fields["settings"]) if "settings" in fields else Settings()
    workers = _workers(fields["workers"])
    scenarios = tuple(
        _scenario(name, value, workers) for name, value in _named(fields["scenarios"], "scenario").items()
    )
    return Config(path=str(path), workers=workers, scenarios=scenarios, settings=settings)


def duration_s(text: str) -> float:
    """Return the seconds of a duration such as 500ms, 30s, 1m30s or 1h: above 0 and at most 24h.

    Raises:
        UsageError: It is none. A bare number is none either: it does not say its unit.
    """
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        fix = f"write {text}s" if re.fullmatch(_NUMBER, text) else ""
        raise UsageError(f"expected {_A_DURATION}, got {shown(text)}", fix=fix)
    total_s = sum(float(number) * unit_s for number, unit_s in zip(match.groups(), _UNITS_S, strict=True) if number)
    if not 0 < total_s <= MAX_DURATION_S:
        raise UsageError(f"expected a duration above 0 and of at most 24h, got {shown(text)}")
    return total_s


def _settings(value: Value) -> Settings:
    fields = _fields(value, optional=("broker_url", "wait_workers", "results_dir"))
    return Settings(
        broker_url=_broker_url(fields["broker_url"]) if "broker_url" in fields else None,
        wait_workers_s=_duration_s(fields["wait_workers"]) if "wait_workers" in fields else None,
        results_dir=_line(fields["results_dir"]) if "results_dir" in fields else None,
    )


def _workers(value: Value) -> tuple[WorkerSpec, ...]:
    owners: dict[str, str] = {}  # queue -> service
    workers = []
    for service, entry in _named(value, "worker").items():
        fields = _fields(entry, required=("queue",), optional=("replicas",))
        queue = _broker_name(fields["queue"], "queue")
        if queue in owners:
            problem = f"{queue!r} is already the queue of {owners[queue]}"
            raise fields["queue"].error(
                problem, fix="give each worker a queue of its own; for more of one, use replicas"
            )
        owners[queue] = service
        replicas = _whole_number(fields["replicas"], MAX_REPLICAS) if "replicas" in fields else 1
        workers.append(WorkerSpec(service=service, queue=queue, replicas=replicas))
    return tuple(workers)


def _scenario(name: str, value: Value, workers: tuple[WorkerSpec, ...]) -> Scenario:
    fields = _fields(value, required=("description", "tasks"), optional=("workers", "timeout"))
    description = _line(fields["description"])
    tasks = tuple(_task(entry) for entry in _some(fields["tasks"], "task"))
    if "workers" in fields:
        workers = _chosen(fields["workers"], workers)
    if "timeout" not in fields:
        return Scenario(name=name, description=description, workers=workers, tasks=tasks)
    timeout_s = _duration_s(fields["timeout"])
    return Scenario(name=name, description=description, workers=workers, tasks=tasks, timeout_s=timeout_s)


def _task(value: Value) -> TaskSpec:
    fields = _fields(value, required=("task",), optional=("count", "args", "kwargs"))
    return TaskSpec(
        task=_broker_name(fields["task"], "task"),
        count=_whole_number(fields["count"], MAX_COUNT) if "count" in fields else 1,
        args=tuple(entry.json() for entry in fields["args"].elements()) if "args" in fields else (),
        kwargs={key: entry.json() for key, entry in fields["kwargs"].mapping().items()} if "kwargs" in fields else {},
    )


def _chosen(value: Value, workers: tuple[WorkerSpec, ...]) -> tuple[WorkerSpec, ...]:
    """Return the workers that a scenario names, in its order."""
    known = {worker.service: worker for worker in workers}
    chosen: dict[str, WorkerSpec] = {}
    for entry in _some(value, "worker"):
        service = _text(entry)
        if service not in known:
            raise entry.error(f"no worker {shown(service)} in workers{_hint(service, known)}", fix=_known(known))
        if service in chosen:
            raise entry.error(f"the worker {service!r} is named twice")
        chosen[service] = known[service]
    return tuple(chosen.values())


# --- shapes ---------------------------------------------------------------------------------------


def _fields(
    value: Value, *, required: tuple[str, ...] = (), optional: tuple[str, ...] = (), extensions: bool = False
) -> dict[str, Value]:
    """Return the mapping's entries: all of `required`, some of `optional`, and `x-...` ones if they may be there."""
    fields = value.mapping()
    known = (*required, *optional)
    for key, entry in fields.items():
        if key not in known and not (extensions and key.startswith("x-")):
            raise entry.key_error(f"unknown key {shown(key)}{_hint(key, known)}", fix=_known(known))
    for key in required:
        if key not in fields:
            raise value.error(f"the key {key!r} is missing")
    return fields


def _named(value: Value, kind: str) -> dict[str, Value]:
    """Return the entries of a mapping whose keys are names of our own, at least one."""
    entries = value.mapping()
    if not entries:
        raise value.error(f"expected at least one {kind}")
    for name, entry in entries.items():
        if not _NAME.fullmatch(name):
            raise entry.key_error(f"{shown(name)} cannot name a {kind}", fix=f"use {_A_NAME}, at most 100 of them")
    return entries


def _some(value: Value, kind: str) -> list[Value]:
    entries = value.elements()
    if not entries:
        raise value.error(f"expected at least one {kind}")
    return entries


def _text(value: Value) -> str:
    text = value.scalar("text")
    if not isinstance(text, str):
        raise value.expected("text", fix="" if text is None else "write it in quotes")
    return text


def _line(value: Value) -> str:
    """Return one line of text that can be printed; the line break that `>` leaves at its end is dropped."""
    line = _text(value).rstrip("\n")
    if not line.strip() or not line.isprintable():
        raise value.expected("one line of printable text")
    return line


def _broker_name(value: Value, kind: str) -> str:
    name = _text(value)
    if not _BROKER_NAME.fullmatch(name):
        raise value.expected(f"the name of a {kind}", fix=f"use {_A_NAME} (':' and '/' too), at most 200 of them")
    return name


def _broker_url(value: Value) -> str:
    url = value.scalar("the URL of a broker")
    if not isinstance(url, str) or not _URL.fullmatch(url):
        # what is there instead is not shown: it may hold a password
        raise value.error("expected the URL of a broker", fix="write amqp://USER:PASSWORD@HOST:5672/VHOST")
    return url


def _whole_number(value: Value, maximum: int) -> int:
    wanted = "a whole number of at least 1"
    number = value.scalar(wanted)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        quoted = isinstance(number, str) and number.isdecimal()
        raise value.expected(wanted, fix="write it without quotes" if quoted else "")
    if number > maximum:
        raise value.expected(f"a whole number of at most {maximum}")
    return number


def _duration_s(value: Value) -> float:
    text = value.scalar(_A_DURATION)
    if not isinstance(text, str):
        bare = isinstance(text, int | float) and not isinstance(text, bool)
        raise value.expected(_A_DURATION, fix=f"write {text}s" if bare else "")
    try:
        return duration_s(text)
    except UsageError as exc:
        raise value.error(exc.what, fix=exc.fix) from None


def _hint(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _known(known: Iterable[str]) -> str:
    return f"use one of: {', '.join(sorted(known))}"
