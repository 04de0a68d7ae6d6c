"""What scale.py is asked for: services and numbers, or nonsense with its reason."""

from __future__ import annotations

import pytest

from harness.errors import ExitCode, UsageError
from harness.model.config import Config, ServiceScaling
from harness.model.topology import WorkerSpec
from harness.scale_request import beyond_the_limits, of_all, of_some, refuse_nothing_left

CONFIG = Config(
    path="t.yml",
    workers=(WorkerSpec(service="worker-a", queue="queue_a"), WorkerSpec(service="worker-b", queue="queue_b")),
    scenarios=(),
    scaling={"worker-b": ServiceScaling(default=2, max=4)},
)


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        (["worker-a=3"], {"worker-a": 3}),
        (["worker-b=2", "queue_a=1"], {"worker-b": 2, "worker-a": 1}),
        (["worker-a=0"], {"worker-a": 0}),
        (["worker-a=0", "worker-b=1"], {"worker-a": 0, "worker-b": 1}),
        (["worker-a=007"], {"worker-a": 7}),
        (["worker-a=1000"], {"worker-a": 1000}),
        (["worker-a=default", "worker-b=default"], {"worker-a": 1, "worker-b": 2}),
    ],
)
def test_services_and_queues_name_what_gets_how_many(words: list[str], counts: dict[str, int]) -> None:
    assert of_some(CONFIG, words) == counts


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["worker-a"], "expected SERVICE=COUNT, got 'worker-a'\n  try: scale.py set worker-a=3"),
        (["=3"], "expected SERVICE=COUNT, got '=3'\n  try: scale.py set worker-a=3"),
        ([""], "expected SERVICE=COUNT, got ''\n  try: scale.py set worker-a=3"),
        (["="], "expected SERVICE=COUNT, got '='\n  try: scale.py set worker-a=3"),
        (
            ["wroker-a=3"],
            "no service or queue 'wroker-a'; did you mean 'worker-a'?\n  why: t.yml has worker-a, worker-b",
        ),
        (["x=1"], "no service or queue 'x'\n  why: t.yml has worker-a, worker-b"),
        (["worker-a=1", "queue_a=1"], "worker-a is given twice\n  try: give each service one number"),
        (
            ["worker-a=0", "worker-b=0"],
            "no service would have a replica left\n"
            "  why: nothing would consume any queue\n"
            "  try: make down stops them all",
        ),
        *(
            (
                [f"queue_b={number}"],
                f"worker-b: expected a whole number from 0 to 1000, or default, got {number!r}\n"
                "  try: scale.py set worker-b=3",
            )
            for number in ("", "abc", "-1", "+1", "1.5", "1e3", "1_0", " 1", "1001", "9" * 5000, "٣")
        ),
    ],
)
def test_nonsense_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as error:
        of_some(CONFIG, words)
    assert str(error.value) == message
    assert error.value.exit_code is ExitCode.USAGE


def test_the_same_for_all() -> None:
    assert of_all(CONFIG, "4") == {"worker-a": 4, "worker-b": 4}
    assert of_all(CONFIG, "default") == {"worker-a": 1, "worker-b": 2}
    with pytest.raises(UsageError, match="no service would have a replica left"):
        of_all(CONFIG, "0")


@pytest.mark.parametrize(
    ("counts", "running", "left"),
    [
        ({"worker-a": 0}, {"worker-a": 3, "worker-b": 1}, True),
        ({"worker-a": 0}, {"worker-a": 3, "worker-b": 0}, False),
        ({"worker-a": 1}, {"worker-a": 0, "worker-b": 0}, True),
    ],
)
def test_what_is_not_named_counts_as_it_runs(counts: dict[str, int], running: dict[str, int], left: bool) -> None:
    if left:
        refuse_nothing_left(counts, running)
    else:
        with pytest.raises(UsageError):
            refuse_nothing_left(counts, running)


def test_more_than_the_file_allows_is_named() -> None:
    assert beyond_the_limits(CONFIG, {"worker-a": 10, "worker-b": 4}) == []
    asked = beyond_the_limits(CONFIG, {"worker-a": 11, "worker-b": 5})
    assert asked == ["worker-a=11 (at most 10)", "worker-b=5 (at most 4)"]
