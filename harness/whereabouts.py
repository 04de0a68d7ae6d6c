"""Where the tasks are that did not come back: asked of every node by id, and of the queues by number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from celery import Celery
from kombu import Connection

from harness import broker
from harness.app_facts import declared_queue
from harness.errors import HarnessError
from harness.in_flight import Entry
from harness.model.ledger import State
from harness.model.topology import Node
from harness.roster import roster

#: Looks at most. Between asking the nodes and counting the queues a message can go from the one to the other.
LOOKS = 2


def whereabouts(
    app: Celery,
    in_flight: Mapping[str, Entry],
    nodes: Collection[Node],
    late: Callable[[], Collection[str]],
    limit: int = 1000,
) -> Callable[[str], tuple[State, str]]:
    """Look for task ids without a final state; return what says of each in which column it ends, and where it is.

    Nodes are asked by name for the first `limit` ids. Ready messages cannot be told apart without taking them
    out of their queue, so as many ids as are ready there count as queued, from the last published one back.
    Where a consumer does not answer, what it may hold is unfinished. What one look does not find, while the workers
    work on, another may: only what can be nowhere is lost.

    Args:
        in_flight: The ledger's entries by task id, in publishing order.
        nodes: The nodes that answered before the run.
        late: Returns the ids whose final state has come since the run ended.
    """
    found: dict[str, str] = {}
    try:
        with broker.connect(app) as connection:
            for _ in range(LOOKS):
                found = _look(app, connection, in_flight, nodes, limit) | found
                found = dict.fromkeys(late(), "its result came after the end of the run") | found
                if found.keys() >= in_flight.keys():
                    break
    except (HarnessError, OSError) as exc:
        reason = f"not looked for: {str(exc).splitlines()[0]}"
        return lambda task_id: (State.UNFINISHED, reason)
    return lambda task_id: (
        (State.UNFINISHED, found[task_id])
        if task_id in found
        else (State.LOST, "confirmed, no final state, found nowhere")
    )


def _look(
    app: Celery, connection: Connection, in_flight: Mapping[str, Entry], nodes: Collection[Node], limit: int
) -> dict[str, str]:
    """Return where each id is that is found, in words."""
    found: dict[str, str] = {}
    silent = {node.name: node for node in nodes}
    for node_name, tasks in _query(app, connection, list(in_flight)[:limit]):
        silent.pop(node_name, None)
        found.update({task_id: f"{words} on {node_name}" for task_id, words in tasks.items()})
    seen = roster(app, connection, sorted({declared_queue(app, entry.spec) for entry in in_flight.values()}))
    for queue, ready in seen.backlog.items():
        holders = [name for name, node in silent.items() if queue in node.queues]
        unnamed = seen.consumers[queue] - sum(queue in node.queues for node in seen.nodes)
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
            elif unnamed > 0:
                found.setdefault(task_id, f"not seen; {queue} has {unnamed} consumers that do not answer")
    return found


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
