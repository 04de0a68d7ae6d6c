"""Measures one combination of the promise matrix: hits a worker in the middle of its tasks, accounts for each task."""

from __future__ import annotations

import contextlib
import json
import signal
import time
import uuid
from collections.abc import Callable, Mapping
from threading import Event
from typing import Any

from amqp import Message
from celery import Celery
from kombu import Connection

from harness import broker
from harness.errors import UnavailableError
from harness.matrix import CONCURRENCY, QUICK_S, WORK_S, Account, Combination, Kill, Ledger
from harness.matrix_nodes import Node, Place

#: The fault comes this long after as many tasks as can have begun, in seconds: by then Celery has acknowledged them
#: where it does so early.
MID_TASK_S = 0.4
#: The grace of a stop, in seconds: enough for all that a worker has prefetched; and too little for what runs.
GRACE_S, SHORT_GRACE_S = 30.0, 0.8
#: How long a worker may take to be ready, and Docker to show what it did, in seconds.
READY_S, SHOWN_S = 60.0, 10.0
#: What no process told of within this time, in seconds, has ended. Celery notices the death of a child within 5.
QUIET_S = 8.0
#: How long a combination may take after its kill, in seconds, besides the work of its quick tasks.
SETTLE_S = 60.0
#: The pause between two looks, in seconds: at what the processes tell; at whether a worker is there, and whether one
#: that is to end has ended, which costs a Docker command.
_LOOK_S, _LOOK_AT_NODE_S, _LOOK_AT_END_S = 0.1, 1.0, 0.25
#: A queue that is left behind, because this process was killed, is gone after this time, in milliseconds.
_EXPIRES_MS = 600_000
#: How long the broker may take to confirm a message, in seconds.
_CONFIRM_TIMEOUT_S = 5.0


class Stopped(Exception):
    """The user has interrupted the measurement."""


class NeverReady(UnavailableError):
    """A worker ended, or was silent, before it consumed."""


class Bench:
    """Measures one combination, on queues of its own."""

    def __init__(self, app: Celery, place: Place, combination: Combination, stop: Event, seen: dict[str, Any]) -> None:
        self._app = app
        self._place = place
        self._combination = combination
        self._stop = stop
        self._seen = seen  # what the workers say of themselves
        name = f"dispatch.matrix.{uuid.uuid4().hex[:12]}"  # the dispatcher may declare what begins with dispatch.
        self._queue, self._reports = f"{name}.tasks", f"{name}.reports"
        self._nodes: list[Node] = []
        self._ready: dict[int, Mapping[str, Any]] = {}  # by the number of the node
        self._cut = 0  # sockets that the relay has closed
        self._told_at = 0.0  # when something was last told, on the monotonic clock

    def measure(self, tasks: int) -> Account:
        try:
            with broker.connect(self._app) as connection, broker.said_plainly(self._app):
                return self._measure(connection, tasks)
        finally:
            for node in self._nodes:
                node.remove()
            with contextlib.suppress(UnavailableError), broker.connect(self._app) as connection:
                for queue in (self._queue, self._reports):
                    connection.channel().queue_delete(queue)

    def _measure(self, connection: Connection, tasks: int) -> Account:
        self._channel = connection.channel()
        self._declare(self._queue, self._combination.queue)
        self._declare(self._reports, "classic")
        task_ids = [str(uuid.uuid4()) for _ in range(tasks)]
        self._ledger, fence = Ledger(task_ids), str(uuid.uuid4())
        self._fence = Ledger([fence])
        self._start_node()
        for number, task_id in enumerate(task_ids):
            self._send(task_id, WORK_S if number < CONCURRENCY else QUICK_S)
        self._until(lambda: len(self._ledger.began()) >= CONCURRENCY, "two tasks began")
        began_at, pid = self._ledger.began()[CONCURRENCY - 1]
        self._pause(min(max(began_at + MID_TASK_S - time.time(), 0.0), MID_TASK_S))
        killed_at = time.time()
        self._strike(pid)
        self._settle(killed_at + SETTLE_S + tasks * QUICK_S, fence)
        for node in self._nodes:
            node.remove()
        return self._ledger.account(self._combination, killed_at, self._found())

    # --- the fault --------------------------------------------------------------------------------

    def _strike(self, pid: int) -> None:
        """Do to the first node what this combination is about; `pid` executes a task."""
        node, said = self._nodes[0], self._ready[0]
        kill = self._combination.kill
        if kill is Kill.CHILD:
            node.signal(pid, signal.SIGKILL)
        elif kill is Kill.CONNECTION:
            node.signal(said["relay"], signal.SIGUSR1)
            self._until(lambda: self._cut > 0, "its connection was closed")
        elif kill is Kill.MAIN:
            node.signal(said["pid"], signal.SIGKILL)
        elif kill is Kill.CONTAINER:
            node.kill()
        else:
            node.terminate()
            grace_s = GRACE_S if kill is Kill.STOP else SHORT_GRACE_S
            ended = self._ends(node, grace_s)
            if ended is (kill is Kill.STOP_SHORT):
                raise UnavailableError(f"the worker {'ended' if ended else 'did not end'} within {grace_s:g} s")
            if not ended:
                node.kill()
        if kill not in (Kill.CHILD, Kill.CONNECTION) and not self._ends(node, SHOWN_S):
            raise UnavailableError(f"the worker still runs {SHOWN_S:g} s after it was killed")

    def _ends(self, node: Node, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while node.runs():
            if time.monotonic() >= deadline:
                return False
            self._pause(min(_LOOK_AT_END_S, within_s / 8))
        return True

    # --- until nothing moves ----------------------------------------------------------------------

    def _settle(self, deadline: float, fence: str) -> None:
        """Replace workers that end, as an orchestrator does, until every task has run or nothing moves any more.

        Where all have run, a last task shows that no message of theirs is before it in the queue.
        """
        fenced, looked_at = False, 0.0
        while time.time() < deadline:
            if time.monotonic() - looked_at > _LOOK_AT_NODE_S:
                looked_at = time.monotonic()
                if not self._nodes[-1].runs():
                    self._start_node()
            self._listen()
            busy = self._ledger.running(time.time())
            if not self._ledger.unfinished and not fenced:
                fenced = True
                self._send(fence, 0)
            if not busy and (not self._fence.unfinished or time.monotonic() - self._told_at > QUIET_S):
                return
            self._pause(_LOOK_S)

    def _found(self) -> set[str]:
        """Return the tasks that are in the queue now that nobody consumes it, or may still be running."""
        deadline = time.monotonic() + SHOWN_S
        while self._channel.queue_declare(self._queue, passive=True).consumer_count:
            if time.monotonic() > deadline:
                raise UnavailableError(f"the broker still counts a consumer {SHOWN_S:g} s after all were killed")
            self._pause(_LOOK_S)
        self._listen()
        found = self._ledger.running(time.time())
        while message := self._channel.basic_get(self._queue, no_ack=True):
            found.add(message.headers["id"])
        return found

    # --- nodes and messages -------------------------------------------------------------------------

    def _start_node(self) -> None:
        number = len(self._nodes)
        given = {
            "of": number,
            "acks": str(self._combination.acks),
            "queue": self._queue,
            "queue_type": str(self._combination.queue),
            "reports": self._reports,
            "relay": self._combination.kill is Kill.CONNECTION,
            "concurrency": CONCURRENCY,
        }
        node = self._place.start(given)
        self._nodes.append(node)
        self._until(lambda: number in self._ready, "it was ready", node)
        self._seen.update(self._ready[number])

    def _until(self, holds: Callable[[], bool], what: str, node: Node | None = None) -> None:
        """Listen until `holds`; a node that ends before is an error, with the last complaint of its log."""
        deadline, looked_at = time.monotonic() + READY_S, time.monotonic()
        node = node or self._nodes[-1]
        while not holds():
            late = time.monotonic() > deadline
            if time.monotonic() - looked_at > _LOOK_AT_NODE_S:
                looked_at = time.monotonic()
                if late or not node.runs():
                    told = f"not within {READY_S:g} s: {what}" if late else f"a worker ended before {what}"
                    error = UnavailableError if self._ready else NeverReady
                    raise error(told, why=node.complaint() or "its log does not say why", fix=self._place.way_on)
            self._pause(_LOOK_S)
            self._listen()

    def _listen(self) -> None:
        """Take what the processes have told."""
        while message := self._channel.basic_get(self._reports, no_ack=True):
            report = json.loads(message.body)
            self._told_at = time.monotonic()
            if report["what"] == "ready":
                self._ready[report["of"]] = report
            elif report["what"] == "cut":
                self._cut = report["sockets"]
            else:
                self._ledger.take(report)
                self._fence.take(report)

    def _send(self, task_id: str, work_s: float) -> None:
        """Publish a task as Celery does; returns once it is confirmed."""
        message = self._app.amqp.as_task_v2(task_id, "matrix.task", args=(work_s,))
        self._channel.basic_publish_confirm(
            Message(
                json.dumps(message.body),
                application_headers=message.headers,
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=2,
                correlation_id=task_id,
            ),
            exchange="",
            routing_key=self._queue,
            mandatory=True,
            confirm_timeout=_CONFIRM_TIMEOUT_S,
        )

    def _declare(self, queue: str, kind: str) -> None:
        arguments = {"x-queue-type": kind, "x-expires": _EXPIRES_MS}
        self._channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped
