"""Pure judgements: what a run's outcomes, ledger and roster mean.

Outcomes are seen one by one and not kept: memory does not grow with the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.model import Check, LedgerCounts, Metrics, Outcome, Roster, State, WorkerSpec
from harness.stats import Histogram

#: Offenders named in a failed check's evidence; the others are counted.
NAMED = 3
#: Overlap is judged where running in parallel could have saved at least this much, in seconds.
TELLING_S = 0.1


@dataclass(slots=True)
class _Tally:
    """How often a statement held, and the first offenders where it did not."""

    held: int = 0
    offenders: list[str] = field(default_factory=list)
    offences: int = 0

    def note(self, holds: bool, offender: str) -> None:
        if holds:
            self.held += 1
            return
        self.offences += 1
        if len(self.offenders) < NAMED:
            self.offenders.append(offender)

    def check(self, name: str, evidence: str) -> Check:
        if not self.offences:
            return Check(name=name, passed=True, evidence=evidence)
        more = self.offences - len(self.offenders)
        words = "; ".join(self.offenders) + (f"; and {more} more" if more else "")
        return Check(name=name, passed=False, evidence=words)


class Judge:
    """Watches a run's outcomes and judges what needs no configuration."""

    def __init__(self, roster: Roster, workers: Sequence[WorkerSpec], *, confirms: bool) -> None:
        """Args:
        workers: The worker services as they should be.
        confirms: Whether the broker confirms messages (the embedded one does not).
        """
        self._roster = roster
        self._workers = workers
        self._confirms = confirms
        self._nodes = {node.name: node for node in roster.nodes}
        self._owners = {worker.queue: worker.service for worker in workers}
        self._succeeded = _Tally()
        self._queues = _Tally()
        self._homes = _Tally()
        self._seen: Counter[str] = Counter()  # "queue_a on worker-a@host" -> outcomes
        self._evidence: set[str] = set()
        self._run_times = Histogram()
        self._queue_waits = Histogram()
        self._round_trips = Histogram()
        self._sequential_s = 0.0
        self._retries = 0
        self._negative_waits = 0

    def observe(self, outcome: Outcome) -> None:
        """Take one outcome into account."""
        who = f"{outcome.task} {outcome.task_id}"
        words = outcome.where or outcome.error or ""
        self._succeeded.note(outcome.state is State.SUCCEEDED, f"{who} {outcome.state.value}: {words}")
        self._retries += outcome.retries
        if outcome.run_time_s is not None:
            self._run_times.record(outcome.run_time_s)
            self._sequential_s += outcome.run_time_s
        if outcome.queue_wait_s is not None:
            self._queue_waits.record(outcome.queue_wait_s)
            self._negative_waits += outcome.queue_wait_s < 0
        if outcome.round_trip_s is not None:
            self._round_trips.record(outcome.round_trip_s)
        if not outcome.state.is_completed and outcome.node is None:
            return  # it was never delivered, as far as we know: counted above, and it ran nowhere
        own = outcome.declared_queue
        self._seen[f"{outcome.queue} on {outcome.node}"] += 1
        if outcome.queue_evidence:
            self._evidence.add(outcome.queue_evidence)
        self._queues.note(outcome.queue == own, f"{who} arrived on {outcome.queue}, declared for {own}")
        self._homes.note(*self._home(outcome, who))

    def _home(self, outcome: Outcome, who: str) -> tuple[bool, str]:
        """Judge whether the node that ran it is one of the queue's service, and consumes that queue alone."""
        own = outcome.declared_queue
        node = self._nodes.get(outcome.node or "")
        if node is None:
            return False, f"{who} ran on {outcome.node}, which did not answer before the run"
        if node.queues != (own,):
            return False, f"{who} ran on {node.name}, which consumes {', '.join(node.queues) or 'nothing'}"
        if node.service != self._owners.get(own):
            return (
                False,
                f"{who} ran on {node.name}, but {own} belongs to {self._owners.get(own, 'no declared worker')}",
            )
        return True, ""

    # --- the verdict ------------------------------------------------------------------------------

    def metrics(self, wall_s: float) -> Metrics:
        return Metrics(
            wall_s=wall_s,
            sequential_s=self._sequential_s,
            retries=self._retries,
            run_time=self._run_times.summary(),
            queue_wait=self._queue_waits.summary(),
            round_trip=self._round_trips.summary(),
            negative_waits=self._negative_waits,
        )

    def checks(self, ledger: LedgerCounts, wall_s: float) -> tuple[Check, ...]:
        """Judge the whole run; in the order in which a reader asks."""
        attempted = ledger.attempted
        checks = []
        if self._confirms:
            checks.append(
                Check(
                    name="every task confirmed by the broker",
                    passed=ledger.acknowledged == attempted,
                    evidence=f"{ledger.acknowledged} of {attempted} confirmed",
                )
            )
        places = ", ".join(f"{count} from {place}" for place, count in sorted(self._seen.items())[:8])
        by = f" (by {' and '.join(sorted(self._evidence))})" if self._evidence else ""
        homes = sorted({node.name for node in self._roster.nodes if node.queues})
        checks += [
            self._succeeded.check("every task succeeded", f"{ledger.succeeded} of {attempted} succeeded"),
            self._ran(self._queues, "every task on its declared queue", f"{places}{by}"),
            self._ran(
                self._homes,
                "every task on a worker of that queue alone",
                f"{self._homes.held} of {attempted}, on {', '.join(homes[:8])}",
            ),
            self._deployment(),
        ]
        overlap = self._overlap(wall_s)
        if overlap:
            checks.append(overlap)
        checks += [
            self._none("nothing lost", ledger.lost + ledger.unacknowledged + ledger.unfinished, _whereabouts(ledger)),
            self._none("nothing duplicated", ledger.duplicated, f"{ledger.duplicated} ids ran or ended more than once"),
            self._none("nothing unexpected", ledger.unexpected, f"{ledger.unexpected} replies for ids never sent"),
            Check(name="every id accounted for", passed=ledger.balanced, evidence=_columns(ledger)),
        ]
        return tuple(checks)

    def overlap_note(self, wall_s: float) -> str | None:
        """Return why overlap was not judged; None where it was."""
        if self._overlap(wall_s) is not None:
            return None
        return "overlap in time not judged: running in parallel could have saved next to nothing"

    @staticmethod
    def _ran(tally: _Tally, name: str, evidence: str) -> Check:
        if not tally.held and not tally.offences:
            return Check(name=name, passed=False, evidence="no task was seen to run")
        return tally.check(name, evidence)

    @staticmethod
    def _none(name: str, count: int, evidence: str) -> Check:
        return Check(name=name, passed=count == 0, evidence=evidence)

    def _deployment(self) -> Check:
        """Judge the roster: each node consumes one queue, and it is the one of its service."""
        tally = _Tally()
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

    def _overlap(self, wall_s: float) -> Check | None:
        run = self._run_times.summary()
        if run is None or run.count < 2 or self._sequential_s - run.max_s < TELLING_S:
            return None
        factor = self._sequential_s / wall_s if wall_s > 0 else 0.0
        return Check(
            name="the runs overlapped in time",
            passed=wall_s < 0.9 * self._sequential_s,
            evidence=f"{self._sequential_s:.3f}s of work in {wall_s:.3f}s ({factor:.2f} at a time)",
        )


def _whereabouts(ledger: LedgerCounts) -> str:
    return f"{ledger.lost} lost, {ledger.unfinished} unfinished, {ledger.unacknowledged} never confirmed"


def _columns(ledger: LedgerCounts) -> str:
    columns = {state.value: getattr(ledger, state.value) for state in State}
    ended = (
        ", ".join(f"{count} {name.replace('_', '-')}" for name, count in columns.items() if count) or "nothing ended"
    )
    return f"{ledger.attempted} attempted = {ended}"
