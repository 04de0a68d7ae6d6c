"""Pure judgements of where tasks ran: each from its own queue, on a node that consumes that queue alone."""

from __future__ import annotations

from collections import Counter

from harness.model.ledger import State
from harness.model.outcome import Outcome
from harness.model.report import Check
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import Roster
from harness.tally import Tally

#: What a worker whose result backend is another one leaves to be said of a task.
_NO_EVIDENCE = (
    "came back without evidence of where it ran: its worker's result_backend is not that of worker/settings.py"
)
_NOTHING_RAN = "no task was seen to run"


class Placement:
    """Compares where each task ran with the roster: who consumes which queue."""

    def __init__(self, roster: Roster, scenario: Scenario) -> None:
        self._roster = roster
        self._scenario = scenario
        self._nodes = {node.name: node for node in roster.nodes}
        self._owners = {worker.queue: worker.service for worker in scenario.workers}
        self._queues = Tally()
        self._homes = Tally()
        self._probes = Tally()
        self._seen: Counter[str] = Counter()  # "queue_a on worker-a@host" -> outcomes
        self._evidence: set[str] = set()
        self._away: dict[tuple[str, str], Tally] = {}  # by node and queue: tasks of nodes that came during the run
        self._newcomers: set[str] = set()  # those of them that consume what they should

    def observe(self, outcome: Outcome, spec: TaskSpec) -> None:
        """Take one outcome of `spec` into account."""
        who = f"{outcome.task} {outcome.task_id}"
        if spec.queue is not None:
            where = f"{who} was executed on {outcome.node}, from {outcome.queue}"
            self._probes.note(outcome.attempts == 0 and outcome.state is not State.SUCCEEDED, where)
            return
        if not outcome.state.is_completed and outcome.node is None:
            return  # it was never delivered, as far as we know: it ran nowhere
        own = spec.expect.queue or outcome.declared_queue
        self._seen[f"{outcome.queue} on {outcome.node}"] += 1
        if outcome.queue_evidence is None:
            self._queues.note(False, f"{who} {_NO_EVIDENCE}")
            self._homes.note(False, f"{who} {_NO_EVIDENCE}")
            return
        self._evidence.add(outcome.queue_evidence)
        self._queues.note(outcome.queue == own, f"{who} arrived on {outcome.queue}, declared for {own}")
        if outcome.node and outcome.node not in self._nodes:
            self._away.setdefault((outcome.node, own), Tally()).note(False, who)
        else:
            self._homes.note(*self._home(outcome, own, who))

    def _home(self, outcome: Outcome, own: str, who: str) -> tuple[bool, str]:
        """Judge whether the node that ran it is one of the queue's service, and consumes that queue alone."""
        node = self._nodes.get(outcome.node or "")
        if node is None:
            return False, f"{who} ran on a node that is not named"
        if node.queues != (own,):
            return False, f"{who} ran on {node.name}, which consumes {', '.join(node.queues) or 'nothing'}"
        if node.service != self._owners.get(own):
            return (
                False,
                f"{who} ran on {node.name}, but {own} belongs to {self._owners.get(own, 'no declared worker')}",
            )
        return True, ""

    @property
    def newcomers(self) -> bool:
        """Whether tasks ran on nodes of which nobody knows yet where they belong: ask, and tell `arrived`."""
        return bool(self._away)

    def arrived(self, roster: Roster, *, last: bool = False) -> None:
        """Judge the tasks of nodes that came during the run, by what they consume now.

        Args:
            last: The run is over: who has not answered by now never will. Until then, only a node that consumes what
                it should is known: one that is stopping consumes nothing any more.
        """
        nodes = {node.name: node for node in roster.nodes}
        for (name, own), tasks in list(self._away.items()):
            node = nodes.get(name)
            at_home = node is not None and node.queues == (own,) and node.service == self._owners.get(own)
            if node is not None and at_home:
                self._nodes[name] = node
                self._newcomers.add(name)
            elif not last:
                continue
            seen = f"consumes {', '.join(node.queues)}" if node else "answered neither before the run nor after it"
            for number in range(tasks.judged):
                who = tasks.offenders[min(number, len(tasks.offenders) - 1)]
                self._homes.note(at_home, f"{who} ran on {name}, which {seen}")
            del self._away[name, own]

    def checks(self, attempted: int) -> list[Check]:
        """Judge the tasks and the roster. Who came during the run and has not answered by now never will."""
        self.arrived(Roster(), last=True)
        places = ", ".join(f"{count} from {place}" for place, count in sorted(self._seen.items())[:8])
        by = f" (by {' and '.join(sorted(self._evidence))})" if self._evidence else ""
        homes = sorted({*self._newcomers, *(node.name for node in self._roster.nodes if node.queues)})
        checks = []
        if any(spec.queue is None for spec in self._scenario.tasks):
            checks += [
                self._queues.check("every task on its declared queue", f"{places}{by}", unseen=_NOTHING_RAN),
                self._homes.check(
                    "every task on a worker of that queue alone",
                    f"{self._homes.held} of {attempted}, on {', '.join(homes[:8])}",
                    unseen=_NOTHING_RAN,
                ),
            ]
        if self._probes.judged:
            evidence = f"{self._probes.held} of {self._probes.judged} refused"
            checks.append(self._probes.check("no task executed from a queue that is not its own", evidence))
        return [*checks, self._deployment()]

    def _deployment(self) -> Check:
        """Judge the roster: each node consumes one queue, and it is the one of its service."""
        tally = Tally()
        for node in self._roster.nodes:
            queues = ", ".join(node.queues) or "no queue"
            if len(node.queues) > 1:
                tally.note(False, f"{node.name} consumes {len(node.queues)} queues: {queues}")
            elif not node.queues or self._owners.get(node.queues[0]) != node.service:
                tally.note(False, f"{node.name} consumes {queues}, which is not declared")
            else:
                tally.note(True, "")
        for queue, consumers in self._roster.consumers.items():
            named = sum(queue in node.queues for node in self._roster.nodes)
            tally.note(named == consumers, f"{queue} has {consumers} consumers, {named} nodes named themselves")
        evidence = ", ".join(f"{node.name}: {', '.join(node.queues)}" for node in self._roster.nodes[:8])
        return tally.check("every node consumes exactly its queue", evidence)
