"""Reads `scaling:` of test-config.yml: how many replicas of a service there should be, and how many there may be."""

from __future__ import annotations

from collections.abc import Mapping

from harness.config_workers import MAX_REPLICAS
from harness.model.config import ServiceScaling
from harness.model.topology import WorkerSpec
from harness.spelling import choices, hint
from harness.yaml_fields import Keys, fields, named, whole_number
from harness.yaml_nodes import Value
from harness.yaml_scalars import shown

SCALING = Keys(definitions=("service_scaling",), optional=("default", "max"), some=True)


def scaling(value: Value, known: Mapping[str, WorkerSpec]) -> dict[str, ServiceScaling]:
    """Return what the file says of some of the services.

    Args:
        known: The workers, by service.
    """
    read: dict[str, ServiceScaling] = {}
    for service, entry in named(value, "worker").items():
        if service not in known:
            raise entry.key_error(f"no worker {shown(service)} in workers{hint(service, known)}", fix=choices(known))
        read[service] = _scaling(entry)
    return read


def _scaling(value: Value) -> ServiceScaling:
    entries = fields(value, SCALING)
    read = ServiceScaling(**{key: whole_number(entry, MAX_REPLICAS) for key, entry in entries.items()})
    if read.default > read.max:
        problem = f"by default {read.default} replicas, and at most {read.max}"
        raise value.error(problem, fix=f"write max: {read.default}, or more")
    return read
