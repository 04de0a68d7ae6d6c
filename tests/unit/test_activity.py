"""How busy the nodes were: exact in sum, bounded in size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.activity import SLICES, Busyness
from harness.model.ledger import State
from harness.model.outcome import Outcome


def ran(start_s: float, end_s: float) -> Outcome:
    return Outcome(
        task_id="id",
        index=0,
        task="task_a",
        declared_queue="queue_a",
        state=State.SUCCEEDED,
        published_at=100.0,
        started_at=100.0 + start_s,
        finished_at=100.0 + end_s,
        node="worker-a@h",
        queue="queue_a",
    )


def test_two_tasks_at_a_time_show_as_two() -> None:
    busy = Busyness(100.0)
    busy.observe(ran(0.0, 0.1))
    busy.observe(ran(0.0, 0.1))
    (node,), slice_s = busy.result()
    assert (node.node, node.queue, node.tasks, slice_s) == ("worker-a@h", "queue_a", 2, 0.01)
    assert node.busy[:10] == pytest.approx((2.0,) * 10, abs=0.01)


@given(st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 50)), min_size=1, max_size=30))
def test_time_is_neither_lost_nor_made_and_slices_stay_few(runs: list[tuple[float, float]]) -> None:
    busy = Busyness(100.0)
    for start_s, took_s in runs:
        busy.observe(ran(start_s, start_s + took_s))
    (node,), slice_s = busy.result()
    assert len(node.busy) <= SLICES
    expected_s = sum(took_s for _, took_s in runs)
    assert sum(node.busy) * slice_s == pytest.approx(expected_s, abs=slice_s * 0.0005 * SLICES + 1e-6)
