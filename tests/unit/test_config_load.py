"""`load:` of test-config.yml: loads by name."""

from __future__ import annotations

import pytest
from config_files import PROJECT_CONFIG, config, load, refusal

from harness.load_plan import plan
from harness.model.load import LoadModel, LoadProfile
from harness.threshold_grammar import LOAD_METRICS, parse_threshold

pytestmark = pytest.mark.usefixtures("empty_directory")

EVERY_KEY = """\
load:
  steady:
    description: A rate
    rate: 3/m
    duration: 2m
    ramp: 10s
    warmup: 500ms
    mix: {task_a: 3, task_b: 1}
    work: 0s
    thresholds:
      round_trip: [p(95)<500ms, max<2s]
      throughput: rate>0.04/s
      backlog: avg<2.5
      failures: count<3
    max_error_rate: 0.5%
    max_lag: 20ms
    timeout: 5m
  burst: {tasks: 10}
  closed: {in_flight: 4, tasks: 10}
"""

KEYS = (
    "\n  try: use one of: description, duration, in_flight, max_error_rate, max_lag, mix, ramp, rate, tasks, "
    "thresholds, timeout, warmup, work"
)


def test_every_key_is_read_and_what_is_left_out_is_not_said() -> None:
    assert load(config()).load == {}
    profiles = load(config() + EVERY_KEY).load
    rules = ("round_trip p(95)<500ms", "round_trip max<2s", "throughput rate>0.04/s", "backlog avg<2.5")
    assert profiles["steady"] == LoadProfile(
        description="A rate",
        rate=0.05,
        duration_s=120.0,
        ramp_s=10.0,
        warmup_s=0.5,
        mix={"task_a": 3, "task_b": 1},
        work_s=0.0,
        thresholds=tuple(parse_threshold(*rule.split(" "), LOAD_METRICS) for rule in (*rules, "failures count<3")),
        max_error_rate=0.005,
        max_lag_s=0.02,
        timeout_s=300.0,
    )
    assert profiles["burst"] == LoadProfile(tasks=10)
    assert profiles["closed"] == LoadProfile(in_flight=4, tasks=10)


@pytest.mark.parametrize(("name", "model"), [("steady", LoadModel.OPEN), ("burst", LoadModel.BURST)])
def test_the_profiles_of_the_project_are_loads_of_its_tasks(name: str, model: LoadModel) -> None:
    shipped = load(PROJECT_CONFIG.read_text())
    made = plan(name, shipped.load[name], shipped.workers, {"task_a": "queue_a", "task_b": "queue_b"})
    assert made.load.model is model
    assert made.scenario.workers == shipped.workers


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("{}", f"load.p: expected at least one key{KEYS}"),
        ("{rates: 50/s}", f"load.p: unknown key 'rates'; did you mean 'rate'?{KEYS}"),
        ("{rate: 50/s}", "load.p: a rate needs a duration\n  try: --duration 1m"),
        ("{tasks: 0}", "load.p.tasks: expected a whole number of at least 1, got 0"),
        (
            "{tasks: 1, mix: {}}",
            "load.p.mix: expected at least one task and its share\n  try: write {task_a: 3, other: 1}",
        ),
        ("{tasks: 1, mix: {a: 0}}", "load.p.mix.a: expected a whole number of at least 1, got 0"),
        (
            "{tasks: 1, max_error_rate: 1}",
            "load.p.max_error_rate: expected a percentage such as 1% or 0.5%, got 1\n  try: write 1%",
        ),
        (
            "{tasks: 1, max_error_rate: 101%}",
            "load.p.max_error_rate: expected a percentage such as 1% or 0.5%, got '101%'",
        ),
        (
            "{tasks: 1, thresholds: {throughput: rate>50}}",
            "load.p.thresholds.throughput: expected a rate such as 50/s, 3/m or 100/h, got '50'\n  try: write 50/s",
        ),
        (
            "{tasks: 1, thresholds: {backlog: max<5ms}}",
            "load.p.thresholds.backlog: expected a number of messages, got '5ms'",
        ),
        (
            "{tasks: 1, thresholds: {backlog: p(95)<5}}",
            "load.p.thresholds.backlog: backlog has no 'p(95)'\n  try: use one of: avg, max",
        ),
    ],
)
def test_a_mistake_is_located(profile: str, message: str) -> None:
    where, _, said = refusal(config() + f"load: {{p: {profile}}}\n").partition(": ")
    assert said == message
    assert where.startswith("t.yml:5:")


def test_only_a_load_has_throughput_and_backlog() -> None:
    scenario = "{description: B, tasks: [{task: t}], expect: {thresholds: {backlog: max<5}}}"
    assert "unknown key 'backlog'" in refusal(config(scenario=scenario))
