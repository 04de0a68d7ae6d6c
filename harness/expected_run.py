"""Pure judgements of what a scenario expects of the run as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.expected import bounds_text
from harness.model.dead_letter import DeadLetter
from harness.model.expectation import Bounds, DeadLetters
from harness.model.fault import FaultRecord
from harness.model.ledger import LedgerCounts
from harness.model.outcome import Outcome
from harness.model.report import Check
from harness.model.scenario import Scenario
from harness.model.topology import Roster, Route


class Shares:
    """Who ran how much: tasks of each node, and how far each kind was when half of the run was done."""

    def __init__(self, scenario: Scenario) -> None:
        self._half = scenario.task_count // 2
        self._kinds: Counter[str] = Counter()
        for spec in scenario.tasks:
            self._kinds[spec.task] += spec.count
        self._nodes: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._at_half: dict[str, int] = {}

    def observe(self, outcome: Outcome) -> None:
        if not outcome.state.is_completed:
            return
        if outcome.node:
            self._nodes[outcome.node] += 1
        self._done[outcome.task] += 1
        if self._done.total() == self._half:
            self._at_half = dict(self._done)

    def check(self, roster: Roster, factor: float) -> Check:
        """Judge that no node of a service, and no kind of task, got more than `factor` times what another did."""
        name = f"fair shares: at most {factor:g} times"
        ratios = []
        services: dict[str, list[int]] = {}
        for node in roster.nodes:
            services.setdefault(node.service, []).append(self._nodes[node.name])
        for service, counts in services.items():
            if len(counts) > 1:
                ratios.append((_ratio(counts), f"{service}'s nodes ran {_counts(counts)}"))
        if len(self._kinds) > 1:
            progress = {kind: self._at_half.get(kind, 0) / count for kind, count in self._kinds.items()}
            words = ", ".join(f"{share:.0%} of {kind}" for kind, share in progress.items())
            ratios.append((_ratio(list(progress.values())), f"halfway through, {words} were done"))
        if not ratios:
            return Check(name=name, passed=False, evidence="one kind of task on one node each: no shares to compare")
        return Check(
            name=name,
            passed=all(ratio <= factor for ratio, _ in ratios),
            evidence="; ".join(f"{words} ({ratio:.2f})" for ratio, words in ratios),
        )


class Routes:
    """Follows every registered task from the router to the delivery that was observed."""

    def __init__(self, routes: Mapping[str, Route | None]) -> None:
        """Args:
        routes: By name of each registered task: where the router sends it; None where nowhere.
        """
        self._routes = routes
        self._delivered: dict[str, Counter[tuple[str | None, str | None]]] = {task: Counter() for task in routes}

    def observe(self, outcome: Outcome) -> None:
        if outcome.task in self._delivered and outcome.node is not None:
            self._delivered[outcome.task][outcome.queue, outcome.node] += 1

    def checks(self) -> list[Check]:
        return [self._check(task, route) for task, route in sorted(self._routes.items())]

    def _check(self, task: str, route: Route | None) -> Check:
        if route is None:
            return Check(name=f"route of {task}", passed=False, evidence="registered, and routed to no queue")
        path = f"exchange {route.exchange or '(default)'}, key {route.routing_key}, queue {route.queue}"
        name = f"route of {task}: {path}"
        delivered = self._delivered[task]
        if not delivered:
            return Check(name=name, passed=False, evidence="registered, and no delivery of it was observed")
        return Check(
            name=name,
            passed=all(queue == route.queue for queue, _ in delivered),
            evidence=", ".join(f"{count} from {queue} on {node}" for (queue, node), count in delivered.items()),
        )


def _ratio(counts: Sequence[float]) -> float:
    if not max(counts):
        return 1.0
    return max(counts) / min(counts) if min(counts) else float("inf")


_NOT_MEASURED = "not measured: no fault was applied, or by a dispatcher that has ended"


def _counts(counts: Sequence[int]) -> str:
    return " and ".join(map(str, sorted(counts, reverse=True)))


def run_checks(
    scenario: Scenario,
    ledger: LedgerCounts,
    wall_s: float,
    sequential_s: float,
    shares: Shares,
    roster: Roster,
    dead_letters: Sequence[DeadLetter],
    faults: Sequence[FaultRecord],
) -> list[Check]:
    """Judge `expect:` of the scenario itself."""
    expect = scenario.expect
    checks = []
    if expect.wall_time:
        checks.append(_within(f"wall time: {bounds_text(expect.wall_time, 's')}", expect.wall_time, wall_s, "s"))
    if expect.overlap:
        overlap = sequential_s / wall_s if wall_s > 0 else 0.0
        evidence = f"{overlap:.2f} ran at a time: {sequential_s:.3f}s of work in {wall_s:.3f}s"
        name = f"overlap: {bounds_text(expect.overlap)} at a time"
        checks.append(Check(name=name, passed=overlap in expect.overlap, evidence=evidence))
    if expect.fairness is not None:
        checks.append(shares.check(roster, expect.fairness))
    for column, bounds in expect.ledger.items():
        words = column.replace("_", "-")
        checks.append(_within(f"{words}: {bounds_text(bounds)}", bounds, getattr(ledger, column), ""))
    checks += [_dead(wanted, dead_letters) for wanted in expect.dead_letters]
    if expect.recovery:
        checks.append(_recovered(expect.recovery, faults))
    return checks


def _recovered(wanted: Bounds, faults: Sequence[FaultRecord]) -> Check:
    """Judge how long after each fault the last task that it hit had ended; faults that hit none show nothing."""
    name = f"recovery: {bounds_text(wanted, 's')} from a fault to the last task it hit"
    hits = [recovery for fault in faults if (recovery := fault.recovery) and recovery.tasks]
    lasts = [recovery.last_s for recovery in hits if recovery.last_s is not None]
    words = [
        f"{recovery.ended} of {recovery.tasks} ended"
        + (
            f", the first after {recovery.first_s:.2f}s, the last after {recovery.last_s:.2f}s"
            if recovery.ended
            else ""
        )
        for recovery in hits
    ]
    if faults and not any(fault.recovery for fault in faults):
        return Check(name=name, passed=False, evidence=_NOT_MEASURED)
    return Check(
        name=name,
        passed=bool(lasts)
        and all(recovery.ended == recovery.tasks for recovery in hits)
        and all(last_s in wanted for last_s in lasts),
        evidence="; ".join(words) or "no task was in flight where a fault struck",
    )


def _within(name: str, bounds: Bounds, value: float, unit: str) -> Check:
    return Check(name=name, passed=value in bounds, evidence=f"{value:.4g}{unit}")


def _dead(wanted: DeadLetters, dead_letters: Sequence[DeadLetter]) -> Check:
    """Judge how many of this run's messages are in a dead-letter queue, with the reason that the broker gives."""
    there = [letter for letter in dead_letters if letter.queue == wanted.queue]
    found = sum(wanted.reason in (None, letter.reason) and wanted.task in (None, letter.task) for letter in there)
    kind = " ".join(filter(None, [wanted.task, wanted.reason]))
    reasons = Counter(f"{letter.task} {letter.reason}" for letter in there)
    seen = ", ".join(f"{count} {words}" for words, count in sorted(reasons.items())) or "none of this run"
    name = f"dead letters in {wanted.queue}: {bounds_text(wanted.count)}{' ' + kind if kind else ''}"
    return Check(name=name, passed=found in wanted.count, evidence=f"found {found}: {seen}" if there else seen)
