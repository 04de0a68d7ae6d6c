"""One load run: the same courier, ledger and judge as any other, and what is measured of it meanwhile."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from celery import Celery

from harness import app_facts, memory, thresholds
from harness.checks import EVERY_TASK_SUCCEEDED
from harness.errors import UsageError
from harness.load_figures import Figures
from harness.load_plan import IN_FLIGHT_BYTES, LoadPlan
from harness.load_report import LEAST_COMPLETED, Generator, LoadReport, Window, latency
from harness.load_watch import BacklogWatch
from harness.model.outcome import Outcome
from harness.model.report import Check, Report
from harness.model.topology import Roster
from harness.render.figures import duration_text
from harness.render.load_progress import Progress
from harness.render.load_words import rate_text
from harness.run import Run
from harness.stats import Histogram

#: The part of the memory that is left which tasks in flight may take.
MEMORY_SHARE = 0.5
#: The rate of the live line is of the last so many seconds.
RATE_OVER_S = 2.0


def queues(app: Celery) -> dict[str, str]:
    """Return the queue of each registered task that the app routes somewhere."""
    return {task: route.queue for task, route in app_facts.routes(app).items() if route is not None}


def refuse_too_many_in_flight(plan: LoadPlan, available_bytes: int | None) -> None:
    """Refuse what this machine has no room for, before anything is published.

    Raises:
        UsageError: The tasks in flight need more memory than `MEMORY_SHARE` of what is left.
    """
    if available_bytes is None or plan.most_bytes <= available_bytes * MEMORY_SHARE:
        return
    fits = int(available_bytes * MEMORY_SHARE / IN_FLIGHT_BYTES)
    raise UsageError(
        f"{plan.most_bytes // IN_FLIGHT_BYTES:,} tasks in flight are more than memory allows",
        why=f"each takes about {IN_FLIGHT_BYTES / 1000:g} kB here, and {available_bytes / 1e6:,.0f} MB are left",
        fix=f"--in-flight {fits}, at most",
    )


class LoadRun:
    """A load on the wire. `execute` once; `run.interrupt` from a signal handler."""

    def __init__(
        self,
        app: Celery,
        plan: LoadPlan,
        roster: Roster,
        *,
        on_note: Callable[[str], None],
        on_progress: Callable[[Progress], None],
        wants_progress: Callable[[], bool],
    ) -> None:
        """Args:
        on_note: Called with what a user should know at once.
        on_progress: Called with how far it is, where `wants_progress`.
        """
        self._plan = plan
        self.roster = roster
        self._figures = Figures(plan)
        self._on_progress = on_progress
        self._wants_progress = wants_progress
        self._most_in_flight = 0
        self._cpu_s = 0.0  # of this process, when the run began
        self._publishing_cpu_s: float | None = None
        self._recent: deque[tuple[float, int]] = deque()  # when, and how many had been completed
        self.run = Run(
            app,
            plan.scenario,
            roster,
            None,
            journals=Path(),
            on_begin=self._begin,
            on_outcome=self._observe,
            on_tick=self._tick,
            on_note=on_note,
            load=plan,
        )
        self._watch = BacklogWatch(app, [worker.queue for worker in plan.scenario.workers], self.run.courier.now)

    def execute(self) -> LoadReport:
        """Publish, gather and judge.

        Raises:
            UnavailableError: The broker was lost before anything was published, or refuses the reply queue.
            KeyboardInterrupt: The run was interrupted before anything was published.
        """
        self._watch.start()
        try:
            report = self.run.execute()
        finally:
            self._watch.stop()
        return self._report(report, time.process_time() - self._cpu_s)

    def _begin(self, at: float) -> None:
        self._cpu_s = time.process_time()
        self._figures.begin(at)

    def _observe(self, outcome: Outcome) -> None:
        self._figures.observe(outcome, publishing=self.run.courier.publishing)

    def _tick(self, run: Run) -> None:
        self._most_in_flight = max(self._most_in_flight, len(run.ledger.in_flight))
        if self._publishing_cpu_s is None and not run.courier.publishing:
            self._publishing_cpu_s = time.process_time() - self._cpu_s
        if not self._wants_progress():
            return
        now_s = run.courier.now() - run.courier.started_at
        done = run.ledger.attempted - len(run.ledger.in_flight)
        self._recent.append((now_s, done))
        while len(self._recent) > 2 and self._recent[0][0] < now_s - RATE_OVER_S:
            self._recent.popleft()
        then_s, before = self._recent[0]
        self._on_progress(
            Progress(
                elapsed_s=now_s,
                sent=run.ledger.attempted,
                done=done,
                in_flight=len(run.ledger.in_flight),
                failed=run.failed,
                backlog=self._watch.latest,
                rate=(done - before) / (now_s - then_s) if now_s > then_s else None,
                offered=self._plan.offered,
                duration_s=self._plan.load.duration_s,
            )
        )

    def _report(self, report: Report, cpu_s: float) -> LoadReport:
        courier, figures, plan = self.run.courier, self._figures, self._plan
        began_at = courier.started_at
        published_s = max(courier.published_at - began_at, 0.0)
        ended_s = max(courier.last_at - began_at, published_s)
        window = figures.window(published_s, ended_s, cut_short=report.interrupted)
        lag = figures.distributions["lag"]
        generator = Generator(
            cpu_s=cpu_s,
            wall_s=report.metrics.wall_s,
            publishing_cpu_s=cpu_s if self._publishing_cpu_s is None else self._publishing_cpu_s,
            peak_bytes=memory.peak_bytes(),
            in_flight=self._most_in_flight,
            lag=latency(lag),
        )
        return LoadReport(
            plan=plan,
            run=report,
            published_s=published_s,
            window=window,
            latencies={name: latency(figures.distributions[name]) for name in ("queue_wait", "run_time", "round_trip")},
            slices=figures.slices(),
            backlog=self._watch.backlog(began_at),
            shares=figures.shares(self.roster),
            generator=generator,
            checks=_checks(report, plan),
            thresholds=thresholds.judge(
                plan.thresholds, figures.distributions, report.ledger, self._counted(window, began_at)
            ),
            invalid=_invalid(plan, report, window, published_s, generator, lag),
        )

    def _counted(self, window: Window, began_at: float) -> dict[tuple[str, str], tuple[float, str]]:
        """Return what thresholds on other figures than durations are judged by, with its evidence."""
        rate = window.throughput_per_s
        counted = {("throughput", "rate"): (rate, f"{rate_text(rate)}/s, {window.words}")}
        if totals := self._watch.totals(began_at + window.begin_s, began_at + window.end_s):
            mean = sum(totals) / len(totals)
            words = f"{max(totals):,} messages at most, {mean:,.1f} on average, over {len(totals)} looks"
            counted |= {("backlog", "max"): (max(totals), words), ("backlog", "avg"): (mean, words)}
        return counted


def _checks(report: Report, plan: LoadPlan) -> tuple[Check, ...]:
    """Leave out that every task succeeds, where some may fail: how many is a threshold then."""
    if plan.max_error_rate is None:
        return report.checks
    return tuple(check for check in report.checks if check.name != EVERY_TASK_SUCCEEDED)


def _invalid(
    plan: LoadPlan, report: Report, window: Window, published_s: float, generator: Generator, lag: Histogram
) -> tuple[str, ...]:
    """Return why the figures say nothing of the system; nothing where they do, or where the run was interrupted."""
    if report.interrupted:
        return ()
    return (*_late(plan, report, published_s, generator, lag), *_few(plan, window))


def _few(plan: LoadPlan, window: Window) -> tuple[str, ...]:
    """Return that too little ended within the window for a rate; nothing where the load ends with its tasks."""
    if plan.load.duration_s is None or window.completed >= LEAST_COMPLETED:
        return ()
    ended = f"{window.completed} ended" if window.completed else "nothing ended"
    within = f"{ended} within the window of {duration_text(window.length_s)}"
    return (f"{within}, and a rate takes {LEAST_COMPLETED} tasks: a longer duration",)


def _late(plan: LoadPlan, report: Report, published_s: float, generator: Generator, lag: Histogram) -> tuple[str, ...]:
    """Return why the figures are this process's own; nothing where they are not."""
    if plan.max_lag_s is None or plan.offered is None:
        return ()
    reasons = []
    if lag.count and (late_s := lag.percentile(99)) > plan.max_lag_s:
        reasons.append(
            f"tasks were published {duration_text(late_s)} late (p99 of {lag.count:,}): "
            f"more than {duration_text(plan.max_lag_s)} is not the rate that was asked for"
        )
    if missing := plan.offered - report.ledger.attempted:
        reasons.append(f"{missing:,} of {plan.offered:,} tasks were not published in time")
    if generator.in_flight >= plan.load.window:
        reasons.append(f"{generator.in_flight:,} tasks were in flight: from there on, each waited for another to end")
    if reasons and published_s:
        busy = generator.publishing_cpu_s / published_s
        reasons.append(f"while it published, the generator used {busy:.0%} of one processor")
    return tuple(reasons)
