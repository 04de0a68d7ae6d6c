"""Loads for the tests of the reports, added up by the real figures: an open one, and what can become of one."""

from __future__ import annotations

from dataclasses import replace

from harness.load_figures import Figures
from harness.load_plan import LoadPlan, plan
from harness.load_report import Backlog, Generator, LoadReport, latency
from harness.model.ledger import State
from harness.model.load import LoadProfile
from harness.model.report import Check
from tests.sample_reports import AT, ROSTER, WORKERS, judged, outcome

QUEUES = {"task_a": "queue_a", "task_b": "queue_b"}
OPEN = LoadProfile(rate=20.0, duration_s=4.0, ramp_s=1.0, warmup_s=0.5, mix={"task_a": 3, "task_b": 1}, work_s=0.05)


def planned(asked: LoadProfile = OPEN, name: str = "steady") -> LoadPlan:
    return plan(name, asked, WORKERS, QUEUES)


def load(asked: LoadProfile = OPEN, *, late_s: float = 0.001, **more: object) -> LoadReport:
    """Return the report of a load whose tasks were published `late_s` late, waited 2 ms and ran for 50 to 90 ms."""
    from harness.load_pacing import schedule

    made = planned(asked)
    figures = Figures(made)
    figures.begin(AT)
    outcomes = []
    for index, (due_s, entry, spec) in enumerate(schedule(made.scenario.tasks, made.shares, made.load)):
        run_s = 0.05 + index % 5 / 100
        published_s = due_s + late_s
        begun_at = AT + published_s + 0.002
        outcomes.append(
            outcome(
                index,
                spec.task,
                entry=entry,
                intended_at=AT + due_s,
                published_at=AT + published_s,
                first_started_at=begun_at,
                started_at=begun_at,
                finished_at=begun_at + run_s,
                replied_at=begun_at + run_s + 0.001,
                state=State.FAILED if index == 17 else State.SUCCEEDED,
                error="ValueError: 17" if index == 17 else None,
            )
        )
    for each in outcomes:
        figures.observe(each, publishing=each is not outcomes[-1])
    ended_s = outcomes[-1].replied_at - AT  # type: ignore[operator]
    run = judged(made.scenario, outcomes, ended_s)
    published_s = outcomes[-1].published_at - AT
    looks = tuple((number / 4, number % 3) for number in range(17))
    report = LoadReport(
        plan=made,
        run=run,
        published_s=published_s,
        window=figures.window(published_s, ended_s, cut_short=False),
        latencies={name: latency(figures.distributions[name]) for name in ("queue_wait", "run_time", "round_trip")},
        slices=figures.slices(),
        backlog=(Backlog(queue="queue_a", looks=looks), Backlog(queue="queue_b", looks=((0.0, 0), (4.0, 0)))),
        shares=figures.shares(ROSTER),
        generator=Generator(
            cpu_s=0.021,
            wall_s=ended_s,
            publishing_cpu_s=0.02,
            peak_bytes=41_900_000,
            in_flight=3,
            lag=latency(figures.distributions["lag"]),
        ),
        checks=tuple(check for check in run.checks if check.passed and "overlapped" not in check.name),
        thresholds=(),
        invalid=(),
    )
    return replace(report, **more)  # type: ignore[arg-type]


def crossed() -> LoadReport:
    held = Check(name="throughput rate>10/s", passed=True, evidence="20.0/s")
    return load(
        thresholds=(held, Check(name="round_trip p(95)<10ms", passed=False, evidence="94.0 ms over 60 measured"))
    )


def invalid() -> LoadReport:
    return load(late_s=0.02, invalid=("tasks were published 20.0 ms late (p99 of 60)", "busy for 97%"))


def failed() -> LoadReport:
    report = load()
    return replace(report, checks=report.run.checks)


def interrupted() -> LoadReport:
    report = load()
    return replace(report, run=replace(report.run, interrupted=True, notes=("reconnected",)))
