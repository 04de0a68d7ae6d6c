"""`scaling:` of test-config.yml: how many replicas of a service there should and may be."""

from __future__ import annotations

import pytest
from config_files import config, load, refusal

from harness.model.config import ServiceScaling

pytestmark = pytest.mark.usefixtures("empty_directory")


def test_what_is_left_out_is_one_replica_and_at_most_ten() -> None:
    assert load(config()).scaling == {}
    scaling = load(config() + "scaling: {worker-a: {default: 2}, worker-b: {max: 3}}\n").scaling
    assert scaling == {"worker-a": ServiceScaling(default=2, max=10), "worker-b": ServiceScaling(default=1, max=3)}


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        (
            "{worker-c: {max: 2}}",
            "5:11: scaling: no worker 'worker-c' in workers; did you mean 'worker-b'?\n"
            "  try: use one of: worker-a, worker-b",
        ),
        (
            "{worker-a: {default: 11}}",
            "5:21: scaling.worker-a: by default 11 replicas, and at most 10\n  try: write max: 11, or more",
        ),
        ("{worker-a: {}}", "5:21: scaling.worker-a: expected at least one key\n  try: use one of: default, max"),
        ("{worker-a: {max: 1001}}", "5:27: scaling.worker-a.max: expected a whole number of at most 1000, got 1001"),
        ("{}", "5:10: scaling: expected at least one worker"),
    ],
)
def test_a_mistake_is_located(scaling: str, message: str) -> None:
    assert refusal(config() + f"scaling: {scaling}\n") == f"t.yml:{message}"
