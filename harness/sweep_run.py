"""Plays a sweep: the same load on one number of replicas after the other, on containers or on processes here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from celery import Celery

from harness import broker
from harness.deployment import workers_here
from harness.errors import HarnessError, UnavailableError
from harness.fleet import Fleet
from harness.load_plan import LoadPlan
from harness.load_report import LoadReport
from harness.model.topology import Roster, WorkerSpec
from harness.processors import Ticks
from harness.replicas import as_before
from harness.scaling import Scaling
from harness.sweep import Step, Sweep, refuse_unlike

#: Gives so many replicas of each service of the load, that consume, while its block runs.
Replicas = Callable[[int], AbstractContextManager[Fleet]]
#: Plays a load on a deployment of so many replicas.
Play = Callable[[Fleet, LoadPlan], tuple[LoadReport, Roster]]


def sweep(
    app: Celery, plan: LoadPlan, steps: Sequence[int], replicas: Replicas, play: Play, on_step: Callable[[Step], None]
) -> Sweep:
    """Play the load on each number of replicas; what was measured until an error is kept beside it.

    Args:
        on_step: Called with each step as soon as it is measured.
    """
    played: list[Step] = []
    try:
        for number in steps:
            with replicas(number) as fleet:
                before = Ticks.now()
                report, roster = play(fleet, _with(plan, number))
                after = Ticks.now()
                step = Step(
                    replicas=number,
                    slots=slots(app, roster),
                    machine_busy=after.busy_since(before) if after and before else None,
                    report=report,
                )
            if report.run.interrupted and played:  # cut short, it is no point of the curve
                return Sweep(steps=tuple(played), interrupted=True)
            if played:
                refuse_unlike(played[0], step)
            played.append(step)
            on_step(step)
            if report.run.interrupted:
                break
    except HarnessError as exc:
        return Sweep(steps=tuple(played), error=exc)
    except KeyboardInterrupt:  # between two steps
        if not played:
            raise
        return Sweep(steps=tuple(played), interrupted=True)
    return Sweep(steps=tuple(played))


def _with(plan: LoadPlan, number: int) -> LoadPlan:
    workers = tuple(replace(worker, replicas=number) for worker in plan.scenario.workers)
    return replace(plan, scenario=replace(plan.scenario, workers=workers))


def slots(app: Celery, roster: Roster) -> int:
    """Return how many processes of these nodes execute tasks, as they say themselves (`celery inspect stats`).

    Raises:
        UnavailableError: The broker does not answer.
    """
    with broker.connect(app) as connection:
        answers = app.control.broadcast(
            "stats",
            destination=[node.name for node in roster.nodes],
            reply=True,
            timeout=broker.ANSWER_TIMEOUT_S,
            limit=len(roster.nodes),
            connection=connection,
        )
    return sum(
        told.get("pool", {}).get("max-concurrency", 0)
        for answer in answers or []
        for told in answer.values()
        if isinstance(told, dict)
    )


@contextmanager
def of_containers(
    scaling: Scaling,
    fleet: Fleet,
    services: Sequence[str],
    wait_s: float,
    instead: str,
    note: Callable[[str], None],
) -> Iterator[Replicas]:
    """Scale containers; in the end as many run as before, whatever happened. `.env` is left as it is.

    Args:
        services: Those that are scaled.
        wait_s: How long their nodes may take to consume.
        instead: What can be done where there are no containers.
        note: Told what takes long in the end.

    Raises:
        UnavailableError: Docker does not answer.
    """
    try:
        scaling.running(dict.fromkeys(services, 1))
    except UnavailableError as exc:
        fix = f"{exc.fix}; {instead}" if exc.fix else instead
        raise UnavailableError(exc.what, why=exc.why, fix=fix, see=exc.see) from exc

    @contextmanager
    def replicas(number: int) -> Iterator[Fleet]:
        scaling.set(dict.fromkeys(services, number), wait_s, keep=False)
        yield fleet

    with as_before(fleet, services, note):
        yield replicas


@contextmanager
def of_processes(root: Path, workers: Sequence[WorkerSpec], broker_url: str) -> Iterator[Replicas]:
    """Start workers as processes on this host, anew for each number, so that no number finds its caches warm."""

    @contextmanager
    def replicas(number: int) -> Iterator[Fleet]:
        specs = [replace(worker, replicas=number) for worker in workers]
        with workers_here(root, specs, broker_url, abrupt=False) as fleet:
            yield fleet

    yield replicas
