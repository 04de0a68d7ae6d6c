"""Files of the scenario language for the tests, and what the loader makes of them. They need `empty_directory`."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import load_config
from harness.errors import ConfigError, ExitCode
from harness.model.config import Config
from harness.model.scenario import Scenario
from harness.model.topology import WorkerSpec

ROOT = Path(__file__).parents[2]
PROJECT_CONFIG = ROOT / "test-config.yml"

WORKER_A = WorkerSpec(service="worker-a", queue="queue_a")
WORKER_B = WorkerSpec(service="worker-b", queue="queue_b")

#: A valid file with a place to put something else: line 9, column 16.
COUNT = """\
version: 1
workers:
  worker-a: {queue: queue_a}
scenarios:
  basic:
    description: Basic
    tasks:
      - task: task_a
        count: PUT
"""

#: Every key of the language, at least once.
EVERY_KEY = """\
version: 1
settings: {broker_url: "amqp://u:p@h:5672/v", wait_workers: 20s, results_dir: out}
defaults:
  timeout: 1m
  expect: {wall_time: {max: 30s}, ledger: {duplicated: 0}, fairness: 2}
workers:
  worker-a: {queue: queue_a, replicas: 2, concurrency: 4}
  worker-b: {queue: queue_b}
scaling: {worker-a: {default: 2, max: 20}, worker-b: {max: 4}}
load:
  steady: {description: A rate, rate: 50/s, duration: 1m, ramp: 10s, warmup: 5s, mix: {task_a: 3, task_b: 1}, work: 0s,
           max_error_rate: 0.5%, max_lag: 20ms, timeout: 5m,
           thresholds: {run_time: avg<1s, queue_wait: [med<1s, max<5s], round_trip: p(95)<500ms, lag: max<1s,
                        failures: [rate<0.1, count<5], throughput: [rate>50/s, rate < 3/m], backlog: max<10}}
  burst: {tasks: 10}
  closed: {in_flight: 4, tasks: 10}
x-retried: &retried {attempts: 3, backoff: policy}
scenarios:
  short: {description: Five lines, tasks: [{task: task_a}]}
  full:
    description: All that can be said
    tags: [slow, nightly]
    workers: {worker-b: {}, worker-a: {replicas: 3, concurrency: 8}}
    timeout: 20s
    reconnect: true
    faults:
      - {at: 1s, kill: worker-a, for: 2s, nodes: all}
      - {after: 50%, kill_main: worker-a}
      - {each: start, kill_child: worker-b, times: 3}
      - {at: 0s, stop: worker-a, grace: 5s, nodes: one}
      - {at: 2s, pause: worker-b, for: 1s}
      - {at: 3s, scale: {worker-a: 1}}
      - {at: 4s, disconnect: dispatcher, for: 1s}
      - {at: 5s, restart: broker, for: 500ms}
      - {at: 6s, freeze: broker, for: 1s}
      - {at: 7s, close_connections: broker}
      - {at: 8s, memory_alarm: broker, for: 1s}
      - {at: 9s, delete_queue: replies}
      - {at: 10s, malformed: queue_a}
    tasks:
      - task: task_a
        count: 40
        args: [1, {deep: [null, true, -0.5]}]
        kwargs: {work_s: 0.1}
        delay: 500ms
        rate: 50/s
        expect:
          state: succeeded
          result: {equals: {n: null}, contains: {n: null}, matches: "^Hello|[0-9]+$$"}
          queue: queue_a
          worker: worker-a@*
          attempts: {min: 1, max: 3}
          backoff: [{min: 0s, max: 1s}, {max: 1500ms}]
          run_time: {min: 100ms, max: 2s}
          queue_wait: {max: 5s}
      - {task: task_b, expect: {<<: *retried, state: failed, error: {equals: "e", contains: "e", matches: "e"}}}
      - {task: task_a, queue: queue_b, rate: 3/m, delay: 0s, expect: {state: dead_lettered, attempts: 0}}
    expect:
      wall_time: {min: 1s, max: 20s}
      overlap: {min: 1.5, max: 12}
      ledger: {attempted: 42, acknowledged: 42, succeeded: {min: 40}, failed: 1, unfinished: 0, lost: 0,
               unacknowledged: 0, dead_lettered: 1, duplicated: {max: 1}, unexplained: 0, recovered: 0, unexpected: 0}
      dead_letters:
        - {queue: queue_b.dead, count: {min: 1, max: 2}, reason: rejected, task: task_a}
        - {queue: queue_a.dead, count: 0}
        - {queue: queue_a.dead}
      recovery: {max: 10s}
      routing: all
      thresholds:
        run_time: avg<1s
        queue_wait: [med <= 1s, "min>=0s"]
        round_trip: [p(95)<500ms, "p( 99.9 ) != 1m30s", max==2s]
        lag: max<100ms
        failures: [rate<0.01, count<5]
"""


def config(
    *,
    settings: str = "{}",
    workers: str = "{worker-a: {queue: queue_a}, worker-b: {queue: queue_b}}",
    scenario: str = "{description: Basic, tasks: [{task: task_a}]}",
) -> str:
    """Return a file of four lines: version, settings, workers, and one scenario in column 20."""
    return f"version: 1\nsettings: {settings}\nworkers: {workers}\nscenarios: {{basic: {scenario}}}\n"


def with_scenario(put: str) -> str:
    """Return a file whose scenario has `put` in line 5, from column 5."""
    workers = "{worker-a: {queue: queue_a, concurrency: 2}, worker-b: {queue: queue_b}}"
    return (
        f"version: 1\nworkers: {workers}\nscenarios:\n  s:\n    {put}\n    description: S\n    tasks: [{{task: t}}]\n"
    )


def with_task(put: str) -> str:
    """Return a file whose one task has `put` in line 7, from column 9."""
    head = "version: 1\nworkers: {worker-a: {queue: queue_a}}\nscenarios:\n  s:\n    description: S\n    tasks:\n"
    return f"{head}      - {put}\n        task: t\n"


def load(text: str | bytes, **environ: str) -> Config:
    Path("t.yml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config("t.yml", environ)


def loaded_scenario(text: str) -> Scenario:
    """Return the one scenario of a file."""
    (scenario,) = load(text).scenarios
    return scenario


def refusal(text: str | bytes, **environ: str) -> str:
    """Return the whole message with which the file is refused."""
    with pytest.raises(ConfigError) as caught:
        load(text, **environ)
    assert caught.value.exit_code is ExitCode.USAGE
    return str(caught.value)
