"""The reading of times behind every timeline: each span is within the run, in order, and nothing is invented."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.ledger import State
from harness.model.report import Report
from harness.render.lanes import Phase, lanes
from tests.sample_reports import AT, BASIC, basic, judged, outcome, retried, troubled


def spans(*, wall_s: float = 10.0, **more: object) -> list[tuple[str, float, float]]:
    report = judged(BASIC, [outcome(0, **more)], wall_s)  # type: ignore[arg-type]
    ((bar,),) = (lane.bars for lane in lanes(report))
    return [(span.phase.value, round(span.begin_s, 6), round(span.end_s, 6)) for span in bar.spans]


def test_a_task_waits_then_runs() -> None:
    assert spans(begin_s=0.2, run_s=0.5) == [("wait", 0.0, 0.2), ("run", 0.2, 0.7)]


def test_retries_are_attempts_with_their_waits_between() -> None:
    assert spans(
        begin_s=3.0, run_s=0.1, first_started_at=AT + 0.5, waits_s=(1.0, 1.3), retries=2, attempts=3
    ) == [
        ("wait", 0.0, 0.5),
        ("tried", 0.5, 0.6),
        ("backoff", 0.6, 1.6),
        ("tried", 1.6, 1.7),
        ("backoff", 1.7, 3.0),
        ("run", 3.0, 3.1),
    ]  # fmt: skip


def test_of_a_redelivered_task_it_is_not_known_how_long_the_first_attempt_ran() -> None:
    assert spans(begin_s=3.0, run_s=0.1, first_started_at=AT + 0.5, redelivered=True, attempts=2) == [
        ("wait", 0.0, 0.5),
        ("backoff", 0.5, 3.0),
        ("run", 3.0, 3.1),
    ]


def test_what_has_no_end_is_open_to_the_end_of_the_run() -> None:
    assert spans(begin_s=1.0, finished_at=None) == [("wait", 0.0, 1.0), ("open", 1.0, 10.0)]
    assert spans(first_started_at=None, started_at=None, finished_at=None, node=None) == [("open", 0.0, 10.0)]


def test_lanes_are_nodes_by_name_and_what_never_ran_comes_last() -> None:
    assert [(lane.node, lane.queues, len(lane.bars)) for lane in lanes(troubled())] == [
        ("worker-a@12514a296d7c", ("queue_a",), 27),
        ("worker-b@266b12387dae", ("queue_b",), 29),
        (None, (), 4),
    ]
    assert [lane.node for lane in lanes(basic())] == ["worker-a@12514a296d7c", "worker-b@266b12387dae"]


def test_a_lane_is_in_the_order_of_starts() -> None:
    for lane in lanes(retried()):
        starts = [next(span.begin_s for span in bar.spans if span.phase is not Phase.WAIT) for bar in lane.bars]
        assert starts == sorted(starts)


near = st.floats(AT - 0.2, AT + 1)
times = near | near | st.none() | st.floats()


@given(times, times, times, st.lists(st.floats(-0.1, 0.5) | st.floats(), max_size=3), st.sampled_from(State))
def test_whatever_the_clocks_say_spans_stay_inside_the_run(
    first: float | None, last: float | None, end: float | None, waits_s: list[float], state: State
) -> None:
    made = outcome(0, first_started_at=first, started_at=last, finished_at=end, waits_s=tuple(waits_s), state=state)
    report = basic()
    ((bar,),) = (lane.bars for lane in lanes(replace(report, outcomes=(made,))))
    for span in bar.spans:
        assert math.isfinite(span.begin_s)
        assert 0 <= span.begin_s <= span.end_s + 1e-9
        assert span.end_s <= report.metrics.wall_s + 1e-9


@pytest.mark.parametrize("report", [basic(), retried(), troubled()], ids=lambda report: report.scenario.name)
def test_spans_follow_each_other_without_a_gap(report: Report) -> None:
    for lane in lanes(report):
        for bar in lane.bars:
            for one, other in zip(bar.spans, bar.spans[1:], strict=False):
                assert abs(one.end_s - other.begin_s) < 1e-6
