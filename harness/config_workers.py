"""Reads the workers of test-config.yml: those that the deployment should have, and those that a scenario needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.model.topology import WorkerSpec
from harness.spelling import choices, hint
from harness.yaml_fields import Keys, broker_name, fields, named, some, text, whole_number
from harness.yaml_nodes import Value
from harness.yaml_scalars import shown

MAX_REPLICAS = 1_000
MAX_CONCURRENCY = 1_000

WORKER = Keys(definitions=("worker",), required=("queue",), optional=("replicas", "concurrency"))
OVERRIDE = Keys(definitions=("override",), optional=("replicas", "concurrency"))


def deployed(value: Value) -> tuple[WorkerSpec, ...]:
    """Return `workers:` of the file: what the deployment should have."""
    owners: dict[str, str] = {}  # queue -> service
    workers = []
    for service, entry in named(value, "worker").items():
        entries = fields(entry, WORKER)
        queue = broker_name(entries["queue"], "queue")
        if queue in owners:
            fix = "give each worker a queue of its own; for more of one, use replicas"
            raise entries["queue"].error(f"{queue!r} is already the queue of {owners[queue]}", fix=fix)
        owners[queue] = service
        workers.append(WorkerSpec(service=service, queue=queue, **_size(entries)))
    return tuple(workers)


def _size(entries: Mapping[str, Value]) -> dict[str, Any]:
    """Return how many nodes and processes are asked for; what is left out stays as it is."""
    limits = {"replicas": MAX_REPLICAS, "concurrency": MAX_CONCURRENCY}
    return {key: whole_number(entries[key], limit) for key, limit in limits.items() if key in entries}


def chosen(value: Value, known: Mapping[str, WorkerSpec]) -> tuple[WorkerSpec, ...]:
    """Return the workers that a scenario names, in its order: from a list, or a mapping with other sizes."""
    picked: dict[str, WorkerSpec] = {}
    if value.kind == "mapping":
        for service, entry in named(value, "worker").items():
            if service not in known:
                raise entry.key_error(_no_worker(service, known), fix=choices(known))
            picked[service] = replace(known[service], **_size(fields(entry, OVERRIDE)))
        return tuple(picked.values())
    for entry in some(value, "worker"):
        service = text(entry)
        if service not in known:
            raise entry.error(_no_worker(service, known), fix=choices(known))
        if service in picked:
            raise entry.error(f"the worker {service!r} is named twice")
        picked[service] = known[service]
    return tuple(picked.values())


def _no_worker(service: str, known: Mapping[str, WorkerSpec]) -> str:
    return f"no worker {shown(service)} in workers{hint(service, known)}"
