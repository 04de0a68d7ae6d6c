"""The tables of the HTML report that name tasks: by kind, retried, not succeeded, set aside, and each one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from harness.model.dead_letter import DeadLetter
from harness.model.ledger import State
from harness.model.metrics import TaskTally
from harness.model.outcome import Outcome
from harness.model.report import Report
from harness.render.figures import duration_text
from harness.render.html_parts import MOST_ROWS, code, table, text
from harness.render.html_timeline import MOST_BARS
from harness.render.visible import message, state_text


def tallies(report: Report) -> str:
    """Return a row for each name of a task."""
    columns = (
        "Task",
        "#Count",
        "#Succeeded",
        "#Failed",
        "#Neither",
        "#Retries",
        "#Run time p50",
        "#p95",
        "#Most",
        "Ran on",
    )
    return table("Tasks by name", columns, map(_tally_row, report.metrics.tallies))


def _tally_row(tally: TaskTally) -> tuple[str, ...]:
    run = tally.run_time
    durations = ("", "", "") if run is None else map(duration_text, (run.p50_s, run.p95_s, run.max_s))
    counts = (
        tally.count,
        tally.succeeded,
        tally.failed,
        tally.count - tally.succeeded - tally.failed,
        tally.retries,
    )
    nodes = "<br/>".join(map(code, tally.nodes[:5]))
    more = f"<br/>and {len(tally.nodes) - 5:,} more" if len(tally.nodes) > 5 else ""
    return code(tally.task), *(f"{count:,}" for count in counts), *durations, nodes + more


def retried(report: Report) -> str:
    """Return who was tried again, and how long each waited for it."""
    outcomes = [outcome for outcome in report.outcomes if outcome.retries or outcome.attempts > 1]
    if not outcomes:
        return ""
    rows = (
        (
            _name(outcome),
            str(outcome.attempts),
            str(outcome.retries),
            ", ".join(map(duration_text, outcome.waits_s)) or ("redelivered" if outcome.redelivered else ""),
            text(state_text(outcome.state)),
            code(outcome.node),
        )
        for outcome in sorted(outcomes, key=lambda outcome: (-outcome.attempts, outcome.index))
    )
    columns = ("Task", "#Attempts", "#Retries", "Waits between attempts", "Ended", "Last node")
    return table("Tasks that were tried again", columns, rows) + _not_held(report)


def not_succeeded(report: Report) -> str:
    """Return the outcomes that did not succeed, with why."""
    outcomes = [outcome for outcome in report.outcomes if outcome.state is not State.SUCCEEDED]
    if not outcomes:
        return ""
    outcomes.sort(key=lambda outcome: outcome.index)
    rows = (
        (
            _name(outcome),
            text(state_text(outcome.state)),
            text("; ".join(filter(None, [outcome.error, outcome.where])) or "not known", 500),
            str(outcome.attempts),
            code(outcome.node),
            code(outcome.queue),
        )
        for outcome in outcomes
    )
    columns = ("Task", "Ended", "~Why", "#Attempts", "Node", "Arrived on")
    shown = table("Tasks that did not succeed", columns, rows)
    total = report.ledger.attempted - report.ledger.succeeded
    missing = f"<p>{total - len(outcomes):,} more are in the results file.</p>" if total > len(outcomes) else ""
    return _whys(outcomes) + shown + missing


def _whys(outcomes: Sequence[Outcome]) -> str:
    """Return how often each reason was given, where there are too many rows to see it from them."""
    if len(outcomes) <= MOST_ROWS:
        return ""
    whys = Counter((outcome.task, outcome.state, outcome.error or outcome.where or "not known") for outcome in outcomes)
    rows = (
        (f"{count:,}", code(task), text(state_text(state)), text(why, 500))
        for (task, state, why), count in whys.most_common(10)
    )
    return table("The most frequent reasons", ("#Count", "Task", "Ended", "~Why"), rows)


def dead_letters(letters: Iterable[DeadLetter]) -> str:
    """Return what was set aside, the same kind in one row."""
    kinds: dict[tuple[str, str, str, str], list[DeadLetter]] = {}
    for letter in letters:
        kinds.setdefault((letter.queue, letter.task, letter.reason, letter.came_from), []).append(letter)
    rows = (
        (
            code(queue),
            f"{len(of_kind):,}",
            code(task),
            text(reason),
            code(came_from),
            f'<span class="id">{text(of_kind[0].task_id)}</span>',
        )
        for (queue, task, reason, came_from), of_kind in sorted(kinds.items())
    )
    columns = ("Dead-letter queue", "#Messages", "Task", "Reason", "Came from", "First task id")
    return table("Dead letters", columns, rows)


def every_outcome(report: Report) -> str:
    """Return each outcome in a row, folded away; empty where there are too many."""
    if not report.outcomes or report.outcome_count > MOST_BARS:
        return ""
    rows = (
        (
            _name(outcome),
            text(state_text(outcome.state)),
            *(
                "" if value_s is None else duration_text(value_s)
                for value_s in (outcome.queue_wait_s, outcome.run_time_s, outcome.round_trip_s)
            ),
            code(outcome.node),
            code(outcome.queue),
            text(message(outcome.result)) if outcome.state is State.SUCCEEDED else text(outcome.error or ""),
        )
        for outcome in sorted(report.outcomes, key=lambda outcome: outcome.index)
    )
    columns = ("Task", "Ended", "#Queue wait", "#Run time", "#Round trip", "Node", "Queue", "~Result")
    shown = table("Every task", columns, rows, most=MOST_BARS)
    return f"<details><summary>Every task in figures ({report.outcome_count:,})</summary>{shown}</details>"


def _name(outcome: Outcome) -> str:
    return f'{code(outcome.task)} #{outcome.index + 1}<br/><span class="id quiet">{text(outcome.task_id)}</span>'


def _not_held(report: Report) -> str:
    if len(report.outcomes) == report.outcome_count:
        return ""
    return f"<p>Among {len(report.outcomes):,} of {report.outcome_count:,} outcomes; the results file has all.</p>"
