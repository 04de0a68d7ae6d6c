"""The check of what nodes hold for later: tasks with an ETA or a countdown that the broker did not keep until then."""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness.doctor.nodes import AnsweringNode
from harness.finding import Finding, Level, Problem, judged
from harness.render.figures import duration_text

CHECK = "held for later"
#: How long RabbitMQ lets a message be held unless configured otherwise, in seconds (`consumer_timeout`, 30 min).
CONSUMER_TIMEOUT_S = 1800.0
#: Whoever does not know that its queues are quorum queues does not ask the broker to keep a message until it is due.
_PUBLISH = "publish it with the app's own task_queues: then the broker keeps it until it is due"


def held(nodes: Sequence[AnsweringNode], consumer_timeout_s: float | None, *, grows: bool) -> Finding:
    """Judge the tasks that nodes hold until their ETA, unacknowledged: how many, and until when.

    Args:
        consumer_timeout_s: After which the broker takes a message back; None: never. How long one was held already, no
            node says, so what is due within it may be taken back all the same.
        grows: Whether the broker gives a node one message more for each that it holds. With quorum queues it does not
            (`celery.worker.consumer.tasks`, "Prefetch count is now static").
    """
    now = time.time()
    problems: list[Problem] = []
    for node in nodes:
        if not node.later:
            continue
        furthest_s = node.later[-1] - now
        holds = f"{node.name} holds {_tasks(len(node.later))} for later, the last for {duration_text(furthest_s)}"
        if consumer_timeout_s is not None and furthest_s >= consumer_timeout_s:
            back = f"the broker takes it back after {duration_text(consumer_timeout_s)} (consumer_timeout)"
            problems.append((f"{holds}, and {back}", f"{_PUBLISH}; or an ETA sooner than that"))
        if not grows and node.active == 0 and node.prefetch and len(node.later) >= node.prefetch:
            first_s = max(node.later[0] - now, 0.0)
            cause = f"{node.name} executes nothing and holds {_tasks(len(node.later))} for later, all that it may take"
            problems.append((f"{cause}: it takes no other for {duration_text(first_s)}", _PUBLISH))
    waiting = sorted(eta for node in nodes for eta in node.later)
    otherwise = "no node holds a task until its ETA"
    if waiting:
        due = duration_text(max(waiting[-1] - now, 0.0))
        otherwise = f"nodes hold {_tasks(len(waiting))} for later, the last for {due}"
    return judged(CHECK, problems, otherwise, Level.WARNING)


def _tasks(number: int) -> str:
    return f"{number:,} task{'s' if number > 1 else ''}"
