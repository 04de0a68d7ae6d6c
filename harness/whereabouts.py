"""Where the tasks are that did not come back: asked of every node by id, and of the queues by number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from celery import Celery
from kombu import Connection

from harness import broker
from harness.app_facts import declared_queue
from harness.errors import HarnessError
from harness.ledger import Entry
from harness.model import Node, State


def whereabouts(
    app: Celery, in_flight: Mapping[str, Entry], nodes: Collection[Node], limit: int = 1000
) -> Callable[[str], tuple[State, str]]:
    """Look for task ids without a final state; return what says of each in which column it ends, and where it is.

    Nodes are asked by name for the first `limit` ids. Ready messages cannot be told apart without taking them
    out of their queue, so as many ids as are ready there count as queued, from the last published one back.
    Where a node does not answer, what it may hold is unfinished: only what can be nowhere is lost.

    Args:
        in_flight: The ledger's entries by task id, in publishing order.
        nodes: The nodes that answered before the run.
    """
    found: dict[str, str] = {}
    try:
        with broker.connect(app) as connection:
            silent = {node.name: node for node in nodes}
            for node_name, tasks in _query(app, connection, list(in_flight)[:limit]):
                silent.pop(node_name, None)
                found.update({task_id: f"{words} on {node_name}" for task_id, words in tasks.items()})
            for queue in {declared_queue(app, entry.spec) for entry in in_flight.values()}:
                ready, _ = broker.count(connection, queue)
                holders = [name for name, node in silent.items() if queue in node.queues]
                rest = {
                    task_id: entry
                    for task_id, entry in in_flight.items()
                    if task_id not in found and declared_queue(app, entry.spec) == queue
                }
                waiting = [task_id for task_id, entry in rest.items() if not entry.last_state]
                found.update(dict.fromkeys(waiting[-ready:] if ready else (), f"queued in {queue}"))
                for task_id, entry in rest.items():
                    if entry.last_state == "RETRY":
                        found[task_id] = f"waiting for attempt {entry.retries + 2}"
                    elif entry.node in silent:
                        found.setdefault(task_id, f"started on {entry.node}, which does not answer")
                    elif holders:
                        found.setdefault(task_id, f"not seen; {', '.join(holders)} may hold it and does not answer")
    except (HarnessError, OSError) as exc:
        reason = f"not looked for: {str(exc).splitlines()[0]}"
        return lambda task_id: (State.UNFINISHED, reason)
    return lambda task_id: (
        (State.UNFINISHED, found[task_id])
        if task_id in found
        else (State.LOST, "confirmed, no final state, found nowhere")
    )


def _query(app: Celery, connection: Connection, ids: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Ask every node for `ids`; yield its name and, in words, what it does with those it knows."""
    words = {"active": "running", "reserved": "held, not started,", "scheduled": "waiting for its time"}
    answers: list[dict[str, Any]] = (
        app.control.broadcast(
            "query_task", arguments={"ids": ids}, reply=True, timeout=broker.ANSWER_TIMEOUT_S, connection=connection
        )
        or []
    )
    for answer in answers:
        for node, tasks in answer.items():
            yield node, {task_id: words[seen[0]] for task_id, seen in tasks.items() if seen[0] in words}
