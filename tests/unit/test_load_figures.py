"""What is measured of a load: from when on, in which window, by whom, and when a figure is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ExitCode
from harness.load_figures import FINEST_S, SLICES, Figures
from harness.load_report import LEAST_COMPLETED, Latency, NodeShare, Window, latency
from harness.load_watch import thinned
from harness.model.ledger import State
from harness.model.load import LoadProfile
from harness.model.outcome import Outcome
from harness.model.report import Check
from harness.model.topology import Node, Roster
from harness.stats import Histogram
from tests.sample_loads import crossed, failed, interrupted, invalid, load, planned
from tests.sample_reports import AT, ROSTER, outcome

OPEN = LoadProfile(rate=10.0, duration_s=10.0, warmup_s=2.0)
CLOSED = LoadProfile(in_flight=5, duration_s=10.0, warmup_s=2.0)


def task(published_s: float, *, due_s: float | None = None, took_s: float = 0.1, **more: Any) -> Outcome:
    """Return a task that started 50 ms after its publish, and whose result was there `took_s` after it."""
    begun_at = AT + published_s + 0.05
    made = outcome(
        0,
        intended_at=AT + (published_s if due_s is None else due_s),
        published_at=AT + published_s,
        first_started_at=begun_at,
        started_at=begun_at,
        finished_at=begun_at + 0.01,
        replied_at=AT + published_s + took_s,
    )
    return replace(made, **more)


def figures(asked: LoadProfile, *outcomes: Outcome, publishing: bool = True) -> Figures:
    made = Figures(planned(asked))
    made.begin(AT)
    for each in outcomes:
        made.observe(each, publishing=publishing)
    return made


def largest(figures: Figures) -> dict[str, float]:
    return {name: round(one.max_s, 6) for name, one in figures.distributions.items() if one.count}


def test_at_a_rate_times_count_from_when_a_task_was_due_not_from_when_it_was_published() -> None:
    seen = figures(OPEN, task(3.4, due_s=3.0))
    assert largest(seen) == {"queue_wait": 0.45, "run_time": 0.01, "round_trip": 0.5, "lag": 0.4}


def test_in_the_other_models_times_count_from_the_publish_and_nothing_is_late() -> None:
    seen = figures(CLOSED, task(3.4, due_s=0.0))
    assert largest(seen) == {"queue_wait": 0.05, "run_time": 0.01, "round_trip": 0.1}


def test_what_was_due_in_ramp_or_warm_up_is_not_measured_however_late_it_ends() -> None:
    seen = figures(OPEN, task(2.5, due_s=1.999, took_s=5.0), task(2.0))
    assert [one.count for one in seen.distributions.values()] == [1, 1, 1, 1]
    assert largest(seen)["round_trip"] == 0.1
    ramped = figures(replace(OPEN, ramp_s=4.0), task(3.0), task(4.0))
    assert ramped.distributions["lag"].count == 1


def test_what_has_no_final_state_is_published_and_not_completed() -> None:
    lost = task(3.0, state=State.LOST, replied_at=None, started_at=None, first_started_at=None, node=None)
    seen = figures(OPEN, lost, task(3.1, state=State.FAILED))
    window = seen.window(9.9, 10.0, cut_short=False)
    assert (window.sent, window.completed, seen.all_completed) == (2, 1, 1)
    assert seen.distributions["round_trip"].count == 0  # a failure's time is not a success's
    assert seen.distributions["lag"].count == 2
    slices = seen.slices()
    assert [sum(row) for row in (slices.sent, slices.succeeded, slices.failed)] == [2, 0, 1]


def test_the_window_is_from_the_end_of_warm_up_to_the_end_of_publishing() -> None:
    inside = [task(2.0, took_s=0.5), task(9.4, took_s=0.5)]
    seen = figures(OPEN, task(0.5), task(1.9, took_s=0.05), task(1.95, took_s=0.5), *inside, task(9.9, took_s=0.2))
    assert seen.window(9.9, 10.1, cut_short=False) == Window(
        begin_s=2.0,
        end_s=10.0,
        words="from the end of warm-up and ramp to the end of publishing",
        sent=3,
        completed=3,  # the one that was published at 1.95 s, and not the one whose result came at 10.1 s
        busy_s=pytest.approx(0.04),  # of four: that of 1.95 s too
    )


def test_the_rates_are_of_the_window() -> None:
    window = Window(begin_s=2.0, end_s=10.0, words="", sent=16, completed=12, busy_s=0.0)
    assert (window.sent_per_s, window.throughput_per_s) == (2.0, 1.5)
    assert replace(window, end_s=2.0).throughput_per_s == 0.0


def test_without_a_duration_the_window_ends_with_the_last_publish() -> None:
    seen = Figures(planned(LoadProfile(in_flight=2, tasks=10)))
    seen.begin(AT)
    for _ in range(LEAST_COMPLETED):
        seen.observe(task(1.0), publishing=True)
    seen.observe(task(4.0), publishing=False)
    window = seen.window(4.0, 4.1, cut_short=False)
    assert (window.begin_s, window.end_s, window.sent, window.completed) == (0.0, 4.0, 11, 10)
    assert window.words == "from the first publish to the end of publishing"


def test_without_a_duration_too_little_before_the_last_publish_is_no_steady_part() -> None:
    seen = Figures(planned(LoadProfile(in_flight=8, tasks=4)))
    seen.begin(AT)
    for _ in range(LEAST_COMPLETED - 1):
        seen.observe(task(0.0), publishing=True)
    seen.observe(task(0.0, took_s=0.4), publishing=False)
    window = seen.window(0.01, 0.4, cut_short=False)
    assert (window.begin_s, window.end_s, window.completed) == (0.0, 0.4, 10)
    assert window.words.startswith("no steady part")


def ran(begun_s: float, ended_s: float | None, **more: Any) -> Outcome:
    """Return a task that a process executed between two times."""
    ended_at = None if ended_s is None else AT + ended_s
    return task(begun_s, started_at=AT + begun_s, finished_at=ended_at, replied_at=ended_at, **more)


def busy_s(*outcomes: Outcome, asked: LoadProfile = CLOSED, publishing: bool = True) -> float:
    return figures(asked, *outcomes, publishing=publishing).window(9.9, 30.0, cut_short=False).busy_s


@pytest.mark.parametrize(
    ("begun_s", "ended_s", "publishing", "within_s"),
    [
        (3.0, 4.5, True, 1.5),
        (0.0, 1.0, True, 0.0),  # in the warm-up
        (1.0, 3.0, True, 1.0),  # began in it
        (9.0, 25.0, False, 1.0),  # outlasts the window
        (0.5, 25.0, False, 8.0),  # all of it
        (10.5, 11.0, False, 0.0),
    ],
)
def test_processes_are_busy_with_what_outlasts_the_window_too(
    begun_s: float, ended_s: float, publishing: bool, within_s: float
) -> None:
    assert busy_s(ran(begun_s, ended_s), publishing=publishing) == pytest.approx(within_s)


def test_processes_are_busy_with_what_fails_or_is_never_done_and_not_with_what_was_lost() -> None:
    assert busy_s(ran(3.0, 4.0, state=State.FAILED)) == pytest.approx(1.0)
    assert busy_s(ran(7.0, None, state=State.UNFINISHED), publishing=False) == pytest.approx(3.0)
    assert busy_s(ran(7.0, None, state=State.LOST), publishing=False) == 0.0
    assert busy_s(task(3.0, started_at=None)) == 0.0


def test_of_a_whole_run_all_is_busy_time() -> None:
    burst = (ran(0.0, 1.0), ran(1.0, 3.0))
    assert busy_s(*burst, asked=LoadProfile(tasks=5)) == pytest.approx(3.0)
    assert busy_s(*burst, asked=LoadProfile(tasks=5), publishing=False) == pytest.approx(3.0)


def test_of_an_interrupted_run_the_window_ends_with_the_last_publish() -> None:
    seen = figures(OPEN, task(3.0))
    assert seen.window(5.0, 5.5, cut_short=True).end_s == 5.0


@pytest.mark.parametrize(("asked", "cut_short"), [(LoadProfile(tasks=5), False), (OPEN, True)])
def test_where_there_is_no_steady_part_the_window_is_the_whole_run(asked: LoadProfile, cut_short: bool) -> None:
    seen = figures(asked, task(0.0), task(0.001, took_s=1.0))
    assert seen.window(0.001, 1.001, cut_short=cut_short) == Window(
        begin_s=0.0,
        end_s=1.001,
        words="no steady part, so all of it, from the first publish to the last result",
        sent=2,
        completed=2,
        busy_s=pytest.approx(0.02),
    )


@given(st.lists(st.floats(min_value=0, max_value=100_000), max_size=60))
def test_slices_are_few_and_count_every_task(published: list[float]) -> None:
    slices = figures(OPEN, *(task(at_s) for at_s in published)).slices()
    assert len(slices.sent) <= SLICES
    assert sum(slices.sent) == sum(slices.succeeded) == len(published)
    assert len(slices.sent) == len(slices.succeeded) == len(slices.failed)
    assert slices.slice_s == FINEST_S or max(published) + 0.1 >= slices.slice_s * SLICES / 2
    for at_s in published:
        assert slices.sent[int(at_s / slices.slice_s)]


def test_each_node_has_its_share_also_one_that_ran_nothing_and_one_that_came_later() -> None:
    idle = Node(name="worker-a@idle", queues=("queue_a",))
    roster = Roster(nodes=(*ROSTER.nodes, idle))
    seen = figures(CLOSED, *[task(3.0)] * 3, task(3.0, node="worker-b@new"))
    assert seen.shares(roster) == (
        NodeShare(node=ROSTER.nodes[0].name, service="worker-a", queue="queue_a", tasks=3, share=1.0),
        NodeShare(node="worker-a@idle", service="worker-a", queue="queue_a", tasks=0, share=0.0),
        NodeShare(node=ROSTER.nodes[1].name, service="worker-b", queue="queue_b", tasks=0, share=0.0),
        NodeShare(node="worker-b@new", service="worker-b", queue="", tasks=1, share=1.0),
    )


# --- values ---------------------------------------------------------------------------------------


def measured(count: int) -> Latency:
    histogram = Histogram()
    for number in range(1, count + 1):
        histogram.record(float(number))
    found = latency(histogram)
    assert found
    return found


def test_nothing_measured_is_no_latency() -> None:
    assert latency(Histogram()) is None


@pytest.mark.parametrize(
    ("count", "percentiles"),
    [
        (9, (5.0, None, None, None)),
        (10, (5.0, 9.0, None, None)),
        (19, (10.0, 18.0, None, None)),
        (20, (10.0, 18.0, 19.0, None)),
        (99, (50.0, 90.0, 95.0, None)),
        (100, (50.0, 90.0, 95.0, 99.0)),
    ],
)
def test_a_percentile_of_too_few_is_left_out(count: int, percentiles: tuple[float | None, ...]) -> None:
    found = measured(count)
    shown = (found.p50_s, found.p90_s, found.p95_s, found.p99_s)
    assert [value and round(value) for value in shown] == [value and round(value) for value in percentiles]
    assert (found.count, found.min_s, found.max_s) == (count, 1.0, float(count))


@pytest.mark.parametrize("count", [1, 2, 50, 1000])
def test_the_curve_rises_and_goes_as_far_as_one_task_is_left(count: int) -> None:
    ranks, values = zip(*measured(count).curve, strict=True)
    assert ranks[0] == 0
    assert values[0] == 1.0
    assert list(ranks) == sorted(ranks)
    assert list(values) == sorted(values)
    assert 100 / count - 1e-9 <= 100 - ranks[-1] < 100 / count * 10 ** (1 / 12)


def test_the_verdict_is_the_worst_that_there_is_to_say() -> None:
    assert load().exit_code is ExitCode.OK
    assert crossed().exit_code is ExitCode.THRESHOLD
    assert failed().exit_code is ExitCode.CHECK_FAILED
    assert replace(failed(), thresholds=crossed().thresholds).exit_code is ExitCode.CHECK_FAILED
    assert replace(load(), checks=()).exit_code is ExitCode.CHECK_FAILED
    assert invalid().exit_code is ExitCode.UNAVAILABLE
    assert replace(failed(), invalid=("late",)).exit_code is ExitCode.UNAVAILABLE
    assert replace(interrupted(), invalid=("late",), checks=failed().checks).exit_code is ExitCode.INTERRUPTED


def test_fairness_compares_the_nodes_of_a_service_and_says_nothing_of_one() -> None:
    def share(node: str, tasks: int) -> NodeShare:
        return NodeShare(node=node, service=node.partition("@")[0], queue="", tasks=tasks, share=0.0)

    report = load()
    assert report.fairness == {}
    nodes = (share("worker-a@1", 30), share("worker-a@2", 20), share("worker-b@1", 5), share("worker-b@2", 0))
    assert replace(report, shares=nodes).fairness == {"worker-a": 1.5, "worker-b": float("inf")}
    assert replace(report, shares=(share("worker-a@1", 0), share("worker-a@2", 0))).fairness == {}


def test_of_a_burst_the_achieved_rate_is_of_its_publishing() -> None:
    burst = load(LoadProfile(tasks=50))
    assert replace(burst, published_s=0.5).achieved_per_s == 200.0
    assert replace(burst, published_s=0.0).achieved_per_s == 0.0
    assert load().achieved_per_s == pytest.approx(20.0)


def test_looks_are_thinned_without_losing_a_peak() -> None:
    looks = [(0.0, (5, 0)), (1.0, (1, 9)), (2.0, (0, 0)), (3.0, (2, 1)), (4.0, (7, 7))]
    assert thinned(looks[:4]) == [(1.0, (5, 9)), (3.0, (2, 1))]


def test_what_did_not_hold_is_told_apart() -> None:
    assert [check.passed for check in failed().failed_checks] == [False]
    assert crossed().crossed == (
        Check(name="round_trip p(95)<10ms", passed=False, evidence="94.0 ms over 60 measured"),
    )
