"""Reads `faults:` of a scenario in test-config.yml."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.model.fault import BROKER, DISPATCHER, REPLIES, Fault, FaultKind
from harness.model.topology import WorkerSpec
from harness.quantities import MAX_TASKS
from harness.spelling import choices, hint
from harness.yaml_fields import Keys, broker_name, choice, duration, fields, given, named, some, text, whole_number
from harness.yaml_nodes import Value
from harness.yaml_scalars import shown

MAX_NODES = 1_000

FAULT = Keys(
    definitions=("fault",),
    optional=(*(kind.value for kind in FaultKind), "at", "after", "each", "times", "for", "nodes", "grace"),
    some=True,
)
#: What else than a service a fault can have for its target.
_OTHERS: Mapping[FaultKind, tuple[str, ...]] = {
    FaultKind.KILL: (BROKER, DISPATCHER),
    FaultKind.DISCONNECT: (DISPATCHER,),
    FaultKind.RESTART: (BROKER,),
    FaultKind.FREEZE: (BROKER,),
    FaultKind.CLOSE_CONNECTIONS: (BROKER,),
    FaultKind.MEMORY_ALARM: (BROKER,),
}
_BROKER_ONLY = frozenset({FaultKind.RESTART, FaultKind.FREEZE, FaultKind.CLOSE_CONNECTIONS, FaultKind.MEMORY_ALARM})
#: What lasts until it is undone, and so can be asked to last `for` a while.
_LASTING = frozenset(FaultKind) - {
    FaultKind.KILL_CHILD,
    FaultKind.CLOSE_CONNECTIONS,
    FaultKind.DELETE_QUEUE,
    FaultKind.MALFORMED,
}
_ON_START = frozenset({FaultKind.KILL, FaultKind.KILL_MAIN, FaultKind.KILL_CHILD, FaultKind.STOP})
_PERCENT = re.compile(r"([0-9]{1,2})%")


def faults(value: Value, workers: Mapping[str, WorkerSpec]) -> tuple[Fault, ...]:
    """Args:
    workers: By service: what a fault can have for its target.
    """
    entries = some(value, "fault")
    read = tuple(_fault(entry, workers) for entry in entries)
    for fault, entry in zip(read, entries, strict=True):
        if (fault.kind, fault.target) == (FaultKind.KILL, DISPATCHER) and len(read) > 1:
            raise entry.error(
                "a dispatcher that is killed can undo nothing", fix="make it the only fault of its scenario"
            )
    return read


def _fault(value: Value, workers: Mapping[str, WorkerSpec]) -> Fault:
    entries = fields(value, FAULT)
    kinds = [kind for kind in FaultKind if kind.value in entries]
    if len(kinds) != 1:
        said = f"got {' and '.join(kinds)}" if kinds else "got none"
        raise value.error(
            f"expected one thing that goes wrong, {said}", fix=choices([kind.value for kind in FaultKind])
        )
    kind = kinds[0]
    target, count = _target(entries[kind.value], kind, workers)
    if sum(key in entries for key in ("at", "after", "each")) != 1:
        raise value.error("expected one of at, after and each", fix="write at: 1s, after: 50% or each: start")
    lasts = kind is FaultKind.DISCONNECT or (kind in _LASTING and target != DISPATCHER)
    _refuse(entries, "for", lasts, "leave it out: it is not undone before the run ends")
    _refuse(entries, "nodes", target in workers and kind is not FaultKind.SCALE, "it is for a fault of a worker")
    _refuse(entries, "grace", kind is FaultKind.STOP, "it is for stop")
    _refuse(entries, "times", "each" in entries, "it goes with each: start")
    if "each" in entries and (kind not in _ON_START or target not in workers):
        raise entries["each"].key_error("a start can only kill or stop a worker", fix="write at: 1s, or after: 50%")
    return Fault(
        kind=kind,
        target=target,
        at_s=given(entries, "at", lambda entry: duration(entry, zero=True), None),
        after=given(entries, "after", _share, None),
        on_start=given(entries, "each", lambda entry: choice(entry, "event", ("start",)), "") == "start",
        times=given(entries, "times", lambda entry: whole_number(entry, MAX_TASKS), 1),
        for_s=given(entries, "for", duration, None),
        every_node=given(entries, "nodes", lambda entry: choice(entry, "choice of nodes", ("one", "all")), "") == "all",
        count=count,
        grace_s=given(entries, "grace", duration, None),
    )


def _target(value: Value, kind: FaultKind, workers: Mapping[str, WorkerSpec]) -> tuple[str, int]:
    """Return what is hit, and for scale how many nodes it is to have."""
    if kind in (FaultKind.DELETE_QUEUE, FaultKind.MALFORMED):
        queues = [worker.queue for worker in workers.values()]
        known = [REPLIES, *queues] if kind is FaultKind.DELETE_QUEUE else queues
        return _one_of(value, broker_name(value, "queue"), "queue", known), 0
    if kind is FaultKind.SCALE:
        entries = named(value, "worker")
        if len(entries) != 1:
            raise value.error("expected one service and its number of nodes", fix="write {worker-a: 1}")
        ((service, entry),) = entries.items()
        if service not in workers:
            raise entry.key_error(
                f"no worker {shown(service)} in workers{hint(service, workers)}", fix=choices(workers)
            )
        return service, whole_number(entry, MAX_NODES)
    known = [*([] if kind in _BROKER_ONLY else workers), *_OTHERS.get(kind, ())]
    return _one_of(value, text(value), "target", known), 0


def _one_of(value: Value, written: str, kind: str, known: list[str]) -> str:
    if written not in known:
        raise value.error(f"no {kind} {shown(written)} for this fault{hint(written, known)}", fix=choices(known))
    return written


def _share(value: Value) -> float:
    written = value.scalar("a percentage such as 50%")
    match = _PERCENT.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        raise value.expected("a percentage from 0% to 99%")
    return int(match[1]) / 100


def _refuse(entries: Mapping[str, Value], key: str, allowed: bool, why: str) -> None:
    if key in entries and not allowed:
        raise entries[key].key_error(f"the key {key!r} does not belong to this fault", fix=why)
