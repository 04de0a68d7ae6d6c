"""What `scale.py` shows: the services and their nodes in tables, what is wrong with them, and the same as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

from harness.render.columns import columns
from harness.render.figures import duration_text
from harness.render.style import Style
from harness.render.visible import visible
from harness.service_status import Scaled, ServiceStatus, Status

_SERVICES = ("SERVICE", "QUEUE", "#WANTED", "#CONTAINERS", "#NODES", "#CONSUMERS", "#BACKLOG", "#UNACKED")
_NODES = ("NODE", "QUEUE", "#UNACKED", "CONTAINER", "STATUS")


def status_text(status: Status, style: Style) -> str:
    """Return a table of services, one of nodes, and a line for each thing that is wrong."""
    text = columns(_SERVICES, (_service_row(service, status) for service in status.services), style)
    nodes = [row for service in status.services for row in _node_rows(service)]
    if nodes:
        text += "\n" + columns(_NODES, nodes, style)
    wrong = [line for service in status.services if not service.complete for line in _problems(service, style)]
    if status.containers_unknown:
        wrong.insert(0, f"containers: not known: {visible(status.containers_unknown, 1000)}")
    return text + ("\n" + "\n".join(wrong) + "\n" if wrong else "")


def _service_row(service: ServiceStatus, status: Status) -> tuple[str, ...]:
    return (
        *(service.service, service.queue, str(service.wanted)),
        "" if status.containers_unknown else str(service.running),
        *(str(len(service.nodes)), str(service.consumers), str(service.backlog)),
        "" if service.unacked is None else str(service.unacked),
    )


def _node_rows(service: ServiceStatus) -> list[tuple[str, ...]]:
    states = {container.name: container.status for container in service.containers}
    return [
        (
            *(node.name, service.queue, "" if node.unacked is None else str(node.unacked)),
            *((node.container, states[node.container]) if node.container else ("", "")),
        )
        for node in service.nodes
    ]


def _problems(service: ServiceStatus, style: Style) -> list[str]:
    head = f"{service.service}: {len(service.nodes)} of {service.wanted} nodes consume {service.queue}"
    return [style.tint(style.bad, head), *(f"  {visible(problem, 1000)}" for problem in service.problems)]


def scaled_text(scaled: Scaled) -> str:
    """Return a line that says what was changed, and how long it took."""
    changes = ", ".join(f"{service} {scaled.before[service]} -> {count}" for service, count in scaled.after.items())
    return (
        f"{changes}: containers after {duration_text(scaled.containers_s)}, "
        f"exactly their nodes consume {duration_text(scaled.consuming_s)} later\n"
    )


def status_document(status: Status, scaled: Scaled | None, *, indent: int | None = 2) -> str:
    """Return the same as JSON; without `indent`, in a line."""
    content = {
        "schema_version": 1,
        "at": datetime.fromtimestamp(status.at, UTC).isoformat(timespec="milliseconds"),
        "broker": status.broker,
        "complete": status.complete,
        "containers_unknown": status.containers_unknown or None,
        "scaled": asdict(scaled) if scaled else None,
        "services": [
            {**asdict(service), "complete": service.complete, "unacked": service.unacked} for service in status.services
        ],
    }
    return json.dumps(content, indent=indent) + "\n"
