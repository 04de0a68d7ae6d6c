"""What each fault does, and to what: the fleet's units, the broker's node, the run's own connection and queues."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

from celery import Celery

from harness import broker, malformed
from harness.broker_node import BrokerNode
from harness.errors import UnavailableError
from harness.fleet import Fleet, Unit
from harness.model.fault import BROKER, DISPATCHER, REPLIES, Fault, FaultKind
from harness.relay import Relay
from harness.strike import Action


class Actions:
    """Aims faults. What is missing for one is found out by `refuse_impossible`, before the run."""

    def __init__(
        self,
        app: Celery,
        fleet: Fleet,
        faults: Sequence[Fault],
        *,
        reply_queue: str,
        relay: Relay | None,
        spare_ids: Iterator[str],
    ) -> None:
        """Find what the faults need.

        Args:
            relay: What the run's own connection goes through.
            spare_ids: Task ids of the run that it does not publish itself.

        Raises:
            UnavailableError: One of the faults could not be applied.
        """
        self._app = app
        self._fleet = fleet
        self._reply_queue = reply_queue
        self._relay = relay
        self._spare_ids = spare_ids
        self._node = BrokerNode.find(app) if any(fault.target == BROKER for fault in faults) else None
        self._units: dict[str, Sequence[Unit]] = {}
        for service in {fault.target for fault in faults if _is_service(fault)}:
            self._units[service] = fleet.units(service)
            self._running(service)

    def __call__(self, fault: Fault, busy: Mapping[str, Sequence[int]]) -> Sequence[Action]:
        """Return what `fault` is to be done to now, at once: which nodes there are was looked up before.

        Args:
            busy: The nodes that execute a task, each with the processes that do.

        Raises:
            UnavailableError: There is nothing to do it to.
        """
        if fault.target == BROKER:
            return [self._on_broker(fault)]
        if fault.kind is FaultKind.DELETE_QUEUE:
            return [self._delete_queue(fault.target)]
        if fault.kind is FaultKind.MALFORMED:
            publish = partial(malformed.publish, self._app, fault.target, self._spare_ids)
            return [Action(hit=f"{len(malformed.KINDS)} messages to {fault.target}", nodes=frozenset(), do=publish)]
        if fault.target == DISPATCHER and fault.kind is FaultKind.KILL:
            end = partial(os.kill, os.getpid(), signal.SIGKILL)
            return [Action(hit="this dispatcher", nodes=None, do=end)]
        if fault.target == DISPATCHER:
            assert self._relay is not None
            return [Action(hit="this dispatcher's connection", nodes=None, do=self._relay.cut, undo=self._relay.heal)]
        if fault.kind is FaultKind.SCALE:
            return [self._scale(fault)]
        units = self._running(fault.target)
        if not fault.every_node:
            units = [next((unit for unit in units if unit.node in busy), units[0])]
        return [self._on_unit(fault, unit, busy.get(unit.node, ())) for unit in units]

    def _on_unit(self, fault: Fault, unit: Unit, pids: Sequence[int]) -> Action:
        fleet = self._fleet
        if fault.kind is FaultKind.KILL_CHILD:
            if not pids:
                raise UnavailableError(f"no process of {unit.node} executes a task now")
            do: Callable[[], None] = partial(fleet.kill_child, unit, pids[0])
            hit, node = f"{_words(unit)}, process {pids[0]}", frozenset({unit.node})
            return Action(hit=hit, nodes=node, pids=frozenset(pids[:1]), do=do)
        do, undo = {
            FaultKind.KILL: (partial(fleet.kill, unit), partial(fleet.revive, unit)),
            FaultKind.KILL_MAIN: (partial(fleet.kill_main, unit), partial(fleet.revive, unit)),
            FaultKind.STOP: (partial(fleet.halt, unit, fault.grace_s), partial(fleet.revive, unit)),
            FaultKind.PAUSE: (partial(fleet.pause, unit), partial(fleet.resume, unit)),
            FaultKind.DISCONNECT: (partial(fleet.disconnect, unit), partial(fleet.reconnect, unit)),
        }[fault.kind]
        gradual = fault.kind is FaultKind.STOP
        return Action(
            hit=_words(unit),
            nodes=frozenset({unit.node}),
            do=do,
            undo=undo,
            command=fleet.command_to_undo(fault.kind, unit),
            look=partial(self._look, unit.service),
            gradual=gradual,
        )

    def _scale(self, fault: Fault) -> Action:
        units = self._running(fault.target)
        before = {fault.target: len(units)}
        return Action(
            hit=f"{len(units)} nodes of {fault.target}",
            nodes=frozenset(unit.node for unit in units),
            do=partial(self._fleet.scale, {fault.target: fault.count}),
            undo=partial(self._fleet.scale, before),
            command=self._fleet.command_to_scale(before),
            look=partial(self._look, fault.target),
            gradual=True,
        )

    def _on_broker(self, fault: Fault) -> Action:
        node = self._node
        assert node is not None
        do, undo = {
            FaultKind.KILL: (node.kill, node.start),
            FaultKind.RESTART: (node.stop, node.start),
            FaultKind.FREEZE: (node.freeze, node.thaw),
            FaultKind.MEMORY_ALARM: (node.raise_memory_alarm, node.clear_memory_alarm),
            FaultKind.CLOSE_CONNECTIONS: (node.close_connections, None),
        }[fault.kind]

        def strike() -> None:
            do()

        by_command = fault.kind in (FaultKind.CLOSE_CONNECTIONS, FaultKind.MEMORY_ALARM)  # rabbitmqctl takes a second
        return Action(
            hit=f"the broker's node, virtual host {node.vhost}",
            nodes=None,
            do=strike,
            undo=undo,
            command=node.command_to_undo(fault.kind),
            gradual=by_command,
        )

    def _delete_queue(self, name: str) -> Action:
        queue = self._reply_queue if name == REPLIES else name

        def delete() -> None:
            with broker.connect(self._app) as connection, broker.said_plainly(self._app):
                connection.channel().queue_delete(queue)

        def declare() -> None:
            with broker.connect(self._app) as connection, broker.said_plainly(self._app):
                self._app.amqp.queues[name].bind(connection.channel()).declare()

        if name == REPLIES:
            return Action(hit=f"queue {queue}", nodes=None, do=delete)
        command = "docker compose restart"  # workers declare their queues when they start
        return Action(hit=f"queue {queue}", nodes=None, do=delete, undo=declare, command=command)

    def _running(self, service: str) -> Sequence[Unit]:
        units = self._units[service]
        if not units:
            raise UnavailableError(f"no node of {service} runs here", fix="docker compose up -d, or --local")
        return units

    def _look(self, service: str) -> None:
        """Look which nodes of it run: a fault has changed that."""
        with suppress(UnavailableError):  # what the next fault is done to is then found to be missing
            self._units[service] = self._fleet.units(service)


def _is_service(fault: Fault) -> bool:
    other = fault.target in (BROKER, DISPATCHER) or fault.kind in (FaultKind.DELETE_QUEUE, FaultKind.MALFORMED)
    return not other


def _words(unit: Unit) -> str:
    return f"{unit.name} ({unit.node})"
