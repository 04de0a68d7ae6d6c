"""The basic and plain outputs: a few lines that scripts and tutorials can rely on."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model.event import Event, Moment
from harness.model.ledger import State
from harness.model.outcome import Outcome
from harness.model.report import Report
from harness.model.scenario import Scenario
from harness.render.style import Style
from harness.render.verdict import MANY, failure
from harness.render.visible import message, state_text, title, visible
from harness.stats import percentile


def basic_intro(scenario: Scenario) -> str:
    """Return the lines before anything is published."""
    expected = sum(worker.replicas for worker in scenario.workers)
    described = visible(scenario.description or scenario.name)
    return f"Loaded config: {described}\nExpected workers: {expected}\nDispatching tasks...\n"


def basic_sent(event: Event) -> str:
    """Return the line of a task that was sent; empty for any other event."""
    if event.moment is not Moment.SENT:
        return ""
    return f"{title(event.task)} sent with ID: {visible(event.task_id)}\n"


def basic_waiting(scenario: Scenario) -> str:
    """Return the line between the last publish and the results; with many tasks it counts them."""
    sent = f"{scenario.task_count:,} tasks sent\n" if scenario.task_count > MANY else ""
    return f"{sent}Waiting for results...\n"


def basic_report(report: Report, style: Style) -> str:
    """Return the results in declared order with their times, the totals, and what did not hold."""
    metrics = report.metrics
    lines: list[str] = []
    if report.outcome_count > MANY:
        for task, outcomes in _by_task(report).items():
            lines += [_count_line(report, task, outcomes), *_distribution_lines(task, outcomes)]
    else:
        for outcome in _declared_order(report):
            lines.append(_result_line(outcome))
            if outcome.run_time_s is not None:
                lines.append(f"{title(outcome.task)} execution time: {outcome.run_time_s:.3f}s")
            lines.append(f"{title(outcome.task)} retries: {outcome.retries}")
    lines += [
        f"Total dispatcher time: {metrics.wall_s:.3f}s (concurrent execution)",
        f"Sequential time would be: {metrics.sequential_s:.3f}s",
        f"Total retries: {metrics.retries}",
    ]
    return "\n".join(lines) + "\n" + failure(report, style)


def plain_intro(scenario: Scenario) -> str:
    """Return the lines before anything is published: basic's."""
    return basic_intro(scenario)


def plain_report(report: Report, style: Style) -> str:
    """Return one line a result in declared order, and what did not hold."""
    if report.outcome_count > MANY:
        lines = [_count_line(report, task, outcomes) for task, outcomes in _by_task(report).items()]
    else:
        lines = [_result_line(outcome) for outcome in _declared_order(report)]
    return "".join(f"{line}\n" for line in lines) + failure(report, style)


def _declared_order(report: Report) -> list[Outcome]:
    return sorted(report.outcomes, key=lambda outcome: outcome.index)


def _by_task(report: Report) -> dict[str, list[Outcome]]:
    """Return the outcomes of each task, tasks in declared order."""
    by_task: dict[str, list[Outcome]] = {spec.task: [] for spec in report.scenario.tasks}
    for outcome in _declared_order(report):
        by_task.setdefault(outcome.task, []).append(outcome)
    return by_task


def _result_line(outcome: Outcome) -> str:
    task = visible(outcome.task)
    if outcome.state is State.SUCCEEDED:
        return f"Result from {task}: {message(outcome.result)}"
    where = f" ({visible(outcome.where)})" if outcome.where else ""
    return f"No result from {task}: {state_text(outcome.state)}: {visible(outcome.error or 'not known')}{where}"


def _count_line(report: Report, task: str, outcomes: list[Outcome]) -> str:
    succeeded = sum(outcome.state is State.SUCCEEDED for outcome in outcomes)
    if len(report.outcomes) < report.outcome_count:  # the rest is in the results file only
        seen = f"{len(outcomes):,}"
        among = f" (among the first {len(report.outcomes):,} of {report.outcome_count:,} outcomes)"
    else:
        asked = sum(spec.count for spec in report.scenario.tasks if spec.task == task)
        seen, among = f"{max(asked, len(outcomes)):,}", ""
    return f"Results from {visible(task)}: {succeeded:,} of {seen} succeeded{among}"


def _distribution_lines(task: str, outcomes: list[Outcome]) -> Iterator[str]:
    run_times_s = [outcome.run_time_s for outcome in outcomes if outcome.run_time_s is not None]
    if run_times_s:
        p50_s, p95_s = percentile(run_times_s, 50), percentile(run_times_s, 95)
        yield f"{title(task)} execution time: p50 {p50_s:.3f}s, p95 {p95_s:.3f}s ({len(run_times_s):,} measured)"
    yield f"{title(task)} retries: {sum(outcome.retries for outcome in outcomes):,}"
