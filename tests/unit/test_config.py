"""test-config.yml: what a valid file says, and the whole message for a wrong shape."""

from __future__ import annotations

import pytest
from config_files import COUNT, PROJECT_CONFIG, WORKER_A, WORKER_B, config, load, refusal

from harness.config import load_config
from harness.model.config import Config, Settings
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import WorkerSpec

pytestmark = pytest.mark.usefixtures("empty_directory")


def test_the_project_s_own_file_begins_with_the_basic_scenario() -> None:
    loaded = load_config(PROJECT_CONFIG, {})
    assert [worker.service for worker in loaded.workers] == ["worker-a", "worker-b"]
    assert loaded.settings == Settings()
    assert loaded.scenarios[0] == Scenario(
        name="basic",
        description="Basic two-task execution test",
        workers=(WORKER_A, WORKER_B),
        tasks=(
            TaskSpec(task="task_a", count=1, kwargs={"work_s": 0.5}),
            TaskSpec(task="task_b", count=1, kwargs={"work_s": 0.7}),
        ),
        timeout_s=30.0,
        tags=("quick",),
    )


def test_what_is_left_out_has_its_default() -> None:
    (scenario,) = load(config()).scenarios
    assert scenario.workers == (WORKER_A, WORKER_B)
    assert scenario.tasks == (TaskSpec(task="task_a", count=1, args=(), kwargs={}),)
    assert scenario.timeout_s == 30.0


def test_settings_workers_and_tasks_are_read() -> None:
    loaded = load("""\
version: 1
settings: {broker_url: "amqp://u:p@h:5672/v", wait_workers: 20s, results_dir: out}
workers: {worker-a: {queue: queue_a, replicas: 3}, worker-b: {queue: queue_b}}
scenarios:
  second: {description: Only b, workers: [worker-b], timeout: 1m30s, tasks: [{task: task_b, count: 5}]}
  first: {description: "All", tasks: [{task: task_a, args: [1, [x, null]], kwargs: {deep: {ok: true, f: -0.5}}}]}
""")
    worker_a = WorkerSpec(service="worker-a", queue="queue_a", replicas=3)
    assert loaded == Config(
        path="t.yml",
        settings=Settings(broker_url="amqp://u:p@h:5672/v", wait_workers_s=20.0, results_dir="out"),
        workers=(worker_a, WORKER_B),
        scenarios=(
            Scenario(
                name="second",
                description="Only b",
                workers=(WORKER_B,),
                tasks=(TaskSpec(task="task_b", count=5),),
                timeout_s=90.0,
            ),
            Scenario(
                name="first",
                description="All",
                workers=(worker_a, WORKER_B),
                tasks=(TaskSpec(task="task_a", args=(1, ["x", None]), kwargs={"deep": {"ok": True, "f": -0.5}}),),
            ),
        ),
    )


def test_anchors_aliases_and_merge_keys_work_and_the_nearest_value_counts() -> None:
    loaded = load("""\
x-far: &far {count: 2, task: far, kwargs: {a: 1}}
x-near: &near {<<: *far, count: 3}
x-other: &other {count: 9, args: [1]}
version: 1
workers: {worker-a: {queue: queue_a}}
scenarios:
  basic:
    description: Basic
    tasks:
      - {<<: *near, task: own}
      - <<: [*near, *other]
      - *far
""")
    assert loaded.scenarios[0].tasks == (
        TaskSpec(task="own", count=3, kwargs={"a": 1}),
        TaskSpec(task="far", count=3, args=(1,), kwargs={"a": 1}),
        TaskSpec(task="far", count=2, kwargs={"a": 1}),
    )


def test_top_level_keys_that_begin_with_x_are_ignored_with_all_they_hold() -> None:
    assert load(config() + "x-notes: [yes, 010, {${unset}: $, 1: 2}]\n".replace("${unset}", "'${unset}'")).scenarios


def test_quotes_and_the_str_tag_make_text_of_anything() -> None:
    (scenario,) = load(
        config(scenario="{description: !!str 010, tasks: [{task: t, args: [\"yes\", '1:30']}]}")
    ).scenarios
    assert (scenario.description, scenario.tasks[0].args) == ("010", ("yes", "1:30"))


def test_a_folded_description_loses_its_last_line_break() -> None:
    text = COUNT.replace("PUT", "1").replace("description: Basic", "description: >\n      Two\n      words")
    assert load(text).scenarios[0].description == "Two words"


def test_a_byte_order_mark_and_windows_line_ends_are_no_trouble() -> None:
    assert load(b"\xef\xbb\xbf" + config().replace("\n", "\r\n").encode()) == load(config())


# --- the shape -------------------------------------------------------------------------------------

ONE = "expected a whole number of at least 1, got"
KEYS = "try: use one of"
NAMES = "try: use letters, digits, '_', '.' and '-', at most 100 of them"
BROKER_NAMES = "try: use letters, digits, '_', '.' and '-' (':' and '/' too), at most 200 of them"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            COUNT.replace("count: PUT", "cuont: 1"),
            "9:9: scenarios.basic.tasks[0]: unknown key 'cuont'; did you mean 'count'?\n"
            f"  {KEYS}: args, count, delay, expect, kwargs, queue, rate, task",
        ),
        (
            config() + "sceanrios: {}\n",
            "5:1: unknown key 'sceanrios'; did you mean 'scenarios'?\n"
            f"  {KEYS}: defaults, load, scaling, scenarios, settings, version, workers",
        ),
        (
            config() + "zzz: 1\n",
            f"5:1: unknown key 'zzz'\n  {KEYS}: defaults, load, scaling, scenarios, settings, version, workers",
        ),
        (
            config(settings="{wait_worker: 1s}"),
            "2:12: settings: unknown key 'wait_worker'; did you mean 'wait_workers'?\n"
            f"  {KEYS}: broker_url, results_dir, wait_workers",
        ),
        (
            config(workers="{worker-a: {queue: q, x-note: 1}}"),
            f"3:32: workers.worker-a: unknown key 'x-note'\n  {KEYS}: concurrency, queue, replicas",
        ),
        (
            COUNT.replace("count: PUT", "task: b"),
            "9:9: scenarios.basic.tasks[0]: the key 'task' is given twice; the first is in line 8",
        ),
        (config() + "version: 1\n", "5:1: the key 'version' is given twice; the first is in line 1"),
        (
            config(workers="{w: {queue: a}, w: {queue: b}}"),
            "3:26: workers: the key 'w' is given twice; the first is in line 3",
        ),
        (
            config(scenario="{description: B, tasks: [{task: t, kwargs: {a: {b: 1, b: 2}}}]}"),
            "4:74: scenarios.basic.tasks[0].kwargs.a: the key 'b' is given twice; the first is in line 4",
        ),
        ("workers: {}\n", "1:1: the key 'version' is missing"),
        ("version: 1\n", "1:1: the key 'workers' is missing"),
        (
            "version: 2\nanything: else\n",
            "1:10: version: expected 1, got 2\n  try: write version: 1, the only one that this release reads",
        ),
        (
            "version: '1'\n",
            "1:10: version: expected 1, got '1'\n  try: write version: 1, the only one that this release reads",
        ),
        (config().replace("version: 1", "version: true"), f"1:10: version: {ONE} true"),
        (config(workers="[a]"), "3:10: workers: expected a mapping, got a list"),
        (config(workers="{}"), "3:10: workers: expected at least one worker"),
        (config(workers="{w: }"), "3:13: workers.w: expected a mapping, got nothing"),
        (config(workers="{w: {}}"), "3:14: workers.w: the key 'queue' is missing"),
        (config(workers="{w@h: {queue: q}}"), f"3:11: workers: 'w@h' cannot name a worker\n  {NAMES}"),
        (config(workers="{a b: {queue: q}}"), f"3:11: workers: 'a b' cannot name a worker\n  {NAMES}"),
        (
            config(workers="{w: {queue: a b}}"),
            f"3:22: workers.w.queue: expected the name of a queue, got 'a b'\n  {BROKER_NAMES}",
        ),
        (
            config(workers="{w: {queue: 'a,b'}}"),
            f"3:22: workers.w.queue: expected the name of a queue, got 'a,b'\n  {BROKER_NAMES}",
        ),
        (config(workers="{w: {queue: q, replicas: 0}}"), f"3:35: workers.w.replicas: {ONE} 0"),
        (
            config(workers="{w: {queue: q, replicas: 1001}}"),
            "3:35: workers.w.replicas: expected a whole number of at most 1000, got 1001",
        ),
        (
            config(workers="{v: {queue: q}, w: {queue: q}}"),
            "3:37: workers.w.queue: 'q' is already the queue of v\n"
            "  try: give each worker a queue of its own; for more of one, use replicas",
        ),
        (
            "version: 1\nworkers: {w: {queue: q}}\nscenarios: {}\n",
            "3:12: scenarios: expected at least one scenario",
        ),
        (config().replace("basic", "a/b"), f"4:13: scenarios: 'a/b' cannot name a scenario\n  {NAMES}"),
        (config(scenario="{tasks: [{task: t}]}"), "4:20: scenarios.basic: the key 'description' is missing"),
        (config(scenario="{description: B}"), "4:20: scenarios.basic: the key 'tasks' is missing"),
        (config(scenario="{description: B, tasks: []}"), "4:44: scenarios.basic.tasks: expected at least one task"),
        (config(scenario="{description: B, tasks: t}"), "4:44: scenarios.basic.tasks: expected a list, got 't'"),
        (
            config(scenario="{description: B, tasks: [t]}"),
            "4:45: scenarios.basic.tasks[0]: expected a mapping, got 't'",
        ),
        (
            config(scenario="{description: B, tasks: [{task: t, args: 1}]}"),
            "4:61: scenarios.basic.tasks[0].args: expected a list, got 1",
        ),
        (
            config(scenario="{description: B, tasks: [{task: t, kwargs: [1]}]}"),
            "4:63: scenarios.basic.tasks[0].kwargs: expected a mapping, got a list",
        ),
        (
            config(scenario="{description: B, tasks: [{task: t, kwargs: {1: 2}}]}"),
            "4:64: scenarios.basic.tasks[0].kwargs: expected text as a key, got 1\n  try: write the key in quotes",
        ),
        (
            config(scenario="{description: B, tasks: [{task: t, kwargs: {[a]: 2}}]}"),
            "4:64: scenarios.basic.tasks[0].kwargs: expected text as a key, got a list",
        ),
        (
            config() + "on: 1\n",
            "5:1: expected text as a key, got on, which YAML 1.1 reads as true\n  try: write the key in quotes",
        ),
        (
            config(scenario="{description: B, tasks: [{task: t}], workers: [worker-c]}"),
            "4:67: scenarios.basic.workers[0]: no worker 'worker-c' in workers; did you mean 'worker-b'?\n"
            f"  {KEYS}: worker-a, worker-b",
        ),
        (
            config(scenario="{description: B, tasks: [{task: t}], workers: [worker-a, worker-a]}"),
            "4:77: scenarios.basic.workers[1]: the worker 'worker-a' is named twice",
        ),
        (
            config(scenario="{description: B, tasks: [{task: t}], workers: []}"),
            "4:66: scenarios.basic.workers: expected at least one worker",
        ),
        (config() + "<<: 3\n", "5:5: <<: expected a mapping to merge, got 3"),
        (
            "x-t: &t {task: t, cuont: 1}\n" + config(scenario="{description: B, tasks: [{<<: *t}]}"),
            "1:19: scenarios.basic.tasks[0]: unknown key 'cuont'; did you mean 'count'?\n"
            f"  {KEYS}: args, count, delay, expect, kwargs, queue, rate, task",
        ),
    ],
)
def test_a_wrong_shape_is_refused_where_it_is(text: str, message: str) -> None:
    assert refusal(text) == f"t.yml:{message}"
