"""What scale.py shows of a deployment, and when it calls it complete."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from harness.render.status import scaled_text, status_document, status_text
from harness.render.style import ASCII, style_for
from harness.service_status import ConsumingNode, Container, Scaled, ServiceStatus, Status

UP = Container(service="worker-a", id="12514a296d7c", name="p-worker-a-1", state="running", status="Up 5 s (healthy)")
DOWN = Container(
    service="worker-b", id="266b12387dae", name="p-worker-b-1", state="exited", status="Exited (1) 2 s ago"
)
NODE = ConsumingNode(name=UP.node, container=UP.name, unacked=2)
A = ServiceStatus(
    service="worker-a", queue="queue_a", wanted=1, exact=True, containers=(UP,), nodes=(NODE,), consumers=1, backlog=40
)
B = ServiceStatus(
    service="worker-b",
    queue="queue_b",
    wanted=1,
    exact=True,
    containers=(DOWN,),
    nodes=(),
    consumers=0,
    backlog=0,
    problems=("p-worker-b-1 is exited (Exited (1) 2 s ago): MemoryError\x1b[2J",),
)
STATUS = Status(at=1758137334.5, broker="amqp://u@h:5672/v", services=(A, B))
SCALED = Scaled(before={"worker-a": 1}, after={"worker-a": 3}, containers_s=1.24, consuming_s=0.5)


@pytest.mark.parametrize(
    ("change", "complete"),
    [
        ({}, True),
        ({"consumers": 2}, False),  # somebody who does not say its name
        ({"nodes": ()}, False),
        ({"nodes": (), "consumers": 0}, False),
        ({"nodes": (NODE, NODE), "consumers": 2}, False),  # one too many
        ({"wanted": 2}, False),
        ({"nodes": (replace(NODE, container=None),)}, False),  # not in a container of ours
        ({"wanted": 0, "nodes": (), "consumers": 0}, True),
        ({"exact": False, "nodes": (replace(NODE, container=None),)}, True),
        ({"exact": False, "nodes": (NODE, NODE), "consumers": 2}, True),
        ({"exact": False, "nodes": (), "consumers": 0}, False),
    ],
)
def test_a_service_is_complete_when_its_nodes_consume(change: dict[str, Any], complete: bool) -> None:
    assert replace(A, **change).complete is complete
    assert Status(at=0, broker="", services=(A, replace(A, **change))).complete is complete


def test_what_nodes_hold_is_known_when_each_has_said_it() -> None:
    assert replace(A, nodes=(NODE, replace(NODE, unacked=3))).unacked == 5
    assert replace(A, nodes=(NODE, replace(NODE, unacked=None))).unacked is None
    assert replace(A, nodes=()).unacked == 0


def test_a_paused_container_counts_as_running() -> None:
    states = ("running", "paused", "exited", "created", "restarting", "dead")
    assert replace(A, containers=tuple(replace(UP, state=state) for state in states)).running == 2


def test_the_text() -> None:
    assert status_text(STATUS, ASCII) == (
        "SERVICE   QUEUE    WANTED  CONTAINERS  NODES  CONSUMERS  BACKLOG  UNACKED\n"
        "worker-a  queue_a       1           1      1          1       40        2\n"
        "worker-b  queue_b       1           0      0          0        0        0\n"
        "\n"
        "NODE                   QUEUE    UNACKED  CONTAINER     STATUS\n"
        "worker-a@12514a296d7c  queue_a        2  p-worker-a-1  Up 5 s (healthy)\n"
        "\n"
        "worker-b: 0 of 1 nodes consume queue_b\n"
        "  p-worker-b-1 is exited (Exited (1) 2 s ago): MemoryError\\x1b[2J\n"
    )


def test_the_text_without_docker() -> None:
    node = replace(NODE, container=None, unacked=None)
    service = replace(A, exact=False, containers=(), nodes=(node,))
    unknown = replace(STATUS, services=(service,), containers_unknown="docker is not installed")
    assert status_text(unknown, ASCII) == (
        "SERVICE   QUEUE    WANTED  CONTAINERS  NODES  CONSUMERS  BACKLOG  UNACKED\n"
        "worker-a  queue_a       1           -      1          1       40        -\n"
        "\n"
        "NODE                   QUEUE    UNACKED  CONTAINER  STATUS\n"
        "worker-a@12514a296d7c  queue_a        -  -          -\n"
        "\n"
        "containers: not known: docker is not installed\n"
    )


def test_colour_adds_nothing_but_colour() -> None:
    colored = status_text(STATUS, style_for(color=True, signs=True))
    assert "\x1b[" in colored
    plain = status_text(STATUS, ASCII)
    for code in ("\x1b[1m", "\x1b[31m", "\x1b[0m"):
        colored = colored.replace(code, "")
    assert colored == plain


def test_the_line_after_a_change() -> None:
    more = replace(SCALED, before={"worker-a": 1, "worker-b": 4}, after={"worker-a": 3, "worker-b": 2})
    assert scaled_text(more) == (
        "worker-a 1 -> 3, worker-b 4 -> 2: containers after 1.24 s, exactly their nodes consume 500 ms later\n"
    )


def test_the_document() -> None:
    document = json.loads(status_document(STATUS, SCALED))
    assert {key: value for key, value in document.items() if key not in ("services", "scaled")} == {
        "schema_version": 1,
        "at": "2025-09-17T19:28:54.500+00:00",
        "broker": "amqp://u@h:5672/v",
        "complete": False,
        "containers_unknown": None,
    }
    assert document["scaled"] == {
        "before": {"worker-a": 1},
        "after": {"worker-a": 3},
        "containers_s": 1.24,
        "consuming_s": 0.5,
    }
    first, second = document["services"]
    assert (first["complete"], first["unacked"], second["complete"]) == (True, 2, False)
    assert first["nodes"] == [{"name": UP.node, "container": UP.name, "unacked": 2}]
    assert first["containers"][0]["status"] == "Up 5 s (healthy)"
    assert json.loads(status_document(STATUS, None))["scaled"] is None
    assert status_document(STATUS, None, indent=None).count("\n") == 1
