"""test-config.yml: what a valid file says, and the whole message for every mistake in one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.config import duration_s, load_config
from harness.errors import ConfigError, ExitCode, UsageError
from harness.model import Config, Scenario, Settings, TaskSpec, WorkerSpec

PROJECT_CONFIG = Path(__file__).parents[2] / "test-config.yml"

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


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str | bytes, **environ: str) -> Config:
    Path("t.yml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config("t.yml", environ)


def refusal(text: str | bytes, **environ: str) -> str:
    """Return the whole message with which the file is refused."""
    with pytest.raises(ConfigError) as caught:
        load(text, **environ)
    assert caught.value.exit_code is ExitCode.USAGE
    return str(caught.value)


def config(
    *,
    settings: str = "{}",
    workers: str = "{worker-a: {queue: queue_a}, worker-b: {queue: queue_b}}",
    scenario: str = "{description: Basic, tasks: [{task: task_a}]}",
) -> str:
    """Return a file of four lines: version, settings, workers, and one scenario in column 20."""
    return f"version: 1\nsettings: {settings}\nworkers: {workers}\nscenarios: {{basic: {scenario}}}\n"


# --- what a valid file says -----------------------------------------------------------------------


def test_the_project_s_own_file_holds_the_basic_scenario() -> None:
    loaded = load_config(PROJECT_CONFIG, {})
    assert loaded.workers == (WORKER_A, WORKER_B)
    assert loaded.settings == Settings()
    assert loaded.scenarios == (
        Scenario(
            name="basic",
            description="Basic two-task execution test",
            workers=(WORKER_A, WORKER_B),
            tasks=(
                TaskSpec(task="task_a", count=1, kwargs={"work_s": 0.5}),
                TaskSpec(task="task_b", count=1, kwargs={"work_s": 0.7}),
            ),
            timeout_s=30.0,
        ),
    )


def test_what_is_left_out_has_its_default() -> None:
    (scenario,) = load(config()).scenarios
    assert scenario.workers == (WORKER_A, WORKER_B)
    assert scenario.tasks == (TaskSpec(task="task_a", count=1, args=(), kwargs={}),)
    assert scenario.timeout_s == 30.0


def test_every_key_is_read() -> None:
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


# --- interpolation --------------------------------------------------------------------------------


def test_an_interpolated_plain_value_is_read_again() -> None:
    text = COUNT.replace("PUT", "${N:-1}\n    timeout: ${T:-30s}")
    assert load(text).scenarios[0].tasks[0].count == 1
    loaded = load(text, N="7", T="2s").scenarios[0]
    assert (loaded.tasks[0].count, loaded.timeout_s) == (7, 2.0)


def test_an_interpolated_quoted_value_stays_text() -> None:
    tasks = "[{task: t, kwargs: {n: '${N}', both: '${N}-${M:-x}', empty: '${E:-full}', dollar: 'a$$b$${N}'}}]"
    (scenario,) = load(config(scenario=f"{{description: Basic, tasks: {tasks}}}"), N="5", E="").scenarios
    assert scenario.tasks[0].kwargs == {"n": "5", "both": "5-x", "empty": "full", "dollar": "a$b${N}"}


def test_keys_and_the_values_of_variables_are_not_interpolated() -> None:
    tasks = "[{task: t, kwargs: {'${N}': '${N}'}}]"
    (scenario,) = load(config(scenario=f"{{description: Basic, tasks: {tasks}}}"), N="${M}").scenarios
    assert scenario.tasks[0].kwargs == {"${N}": "${M}"}


@pytest.mark.parametrize(
    ("put", "environ", "message"),
    [
        (
            "${N}",
            {},
            "the environment variable N is not set\n  try: set N in the environment or .env, or write ${N:-default}",
        ),
        ("${N", {}, "a ${ that no } closes\n  try: write ${NAME} or ${NAME:-default}, or $$ for a $ itself"),
        (
            "${N-1}",
            {},
            "expected ${NAME} or ${NAME:-default}\n  try: write ${NAME} or ${NAME:-default}, or $$ for a $ itself",
        ),
        ("$N", {}, "a $ that begins no ${NAME}\n  try: write ${NAME} or ${NAME:-default}, or $$ for a $ itself"),
        ("${N}", {"N": "x"}, "expected a whole number of at least 1, got 'x' (from '${N}')"),
        ("${N}", {"N": ""}, "expected a whole number of at least 1, got nothing (from '${N}')"),
        (
            "'${N}'",
            {"N": "5"},
            "expected a whole number of at least 1, got '5' (from '${N}')\n  try: write it without quotes",
        ),
        (
            "${N}",
            {"N": "010"},
            "expected a whole number of at least 1, got 010, which YAML 1.1 reads as 8 (from '${N}')\n"
            '  try: write 8, or "010" in quotes for text',
        ),
        ("${N}", {"N": "\udcff"}, "expected text that can be written as UTF-8"),
        (
            "${N}",
            {"N": "amqp://me:secret@host//"},
            "expected a whole number of at least 1, got 'amqp://me:***@host//' (from '${N}')",
        ),
    ],
)
def test_a_bad_interpolation_is_refused(put: str, environ: dict[str, str], message: str) -> None:
    text = COUNT.replace("PUT", put)
    assert refusal(text, **environ) == f"t.yml:9:16: scenarios.basic.tasks[0].count: {message}"


def test_interpolation_inside_braces_says_how_to_write_it() -> None:
    assert refusal(config(scenario="{description: ${D}}")) == (
        "t.yml:4:35: not YAML: expected ',' or '}', but got '{'\n"
        "  why: while parsing a flow mapping\n"
        "  try: write the entry over several lines: an unquoted ${NAME} cannot stand inside { } or [ ]"
    )


# --- values that are refused ----------------------------------------------------------------------

ONE = "expected a whole number of at least 1, got"


@pytest.mark.parametrize(
    ("put", "message"),
    [
        ("'10'", f"{ONE} '10'\n  try: write it without quotes"),
        ("ten", f"{ONE} 'ten'"),
        ("0", f"{ONE} 0"),
        ("-1", f"{ONE} -1"),
        ("1.0", f"{ONE} 1.0"),
        ("true", f"{ONE} true"),
        ("", f"{ONE} nothing"),
        ("~", f"{ONE} nothing"),
        ("[1]", f"{ONE} a list"),
        ("{a: 1}", f"{ONE} a mapping"),
        ("1000001", "expected a whole number of at most 1000000, got 1000001"),
        ("010", f'{ONE} 010, which YAML 1.1 reads as 8\n  try: write 8, or "010" in quotes for text'),
        ("0x1F", f'{ONE} 0x1F, which YAML 1.1 reads as 31\n  try: write 31, or "0x1F" in quotes for text'),
        ("0b11", f'{ONE} 0b11, which YAML 1.1 reads as 3\n  try: write 3, or "0b11" in quotes for text'),
        ("1:30", f'{ONE} 1:30, which YAML 1.1 reads as 90\n  try: write 90, or "1:30" in quotes for text'),
        ("1_000", f'{ONE} 1_000, which YAML 1.1 reads as 1000\n  try: write 1000, or "1_000" in quotes for text'),
        ("0x_", f'{ONE} 0x_, which YAML 1.1 takes for a number\n  try: write "0x_" in quotes'),
        ("yes", f'{ONE} yes, which YAML 1.1 reads as true\n  try: write true, or "yes" in quotes for text'),
        ("Off", f'{ONE} Off, which YAML 1.1 reads as false\n  try: write false, or "Off" in quotes for text'),
        (
            "1e3",
            f"{ONE} 1e3, which YAML 1.1 reads as text and YAML 1.2 as a number\n"
            '  try: write the number in plain digits, or "1e3" in quotes for text',
        ),
        (
            "08",
            f"{ONE} 08, which YAML 1.1 reads as text and YAML 1.2 as a number\n"
            '  try: write the number in plain digits, or "08" in quotes for text',
        ),
        (
            ".inf",
            f'{ONE} .inf, which is not a finite number\n  try: write a finite number, or ".inf" in quotes for text',
        ),
        (
            "-.INF",
            f'{ONE} -.INF, which is not a finite number\n  try: write a finite number, or "-.INF" in quotes for text',
        ),
        (
            ".nan",
            f'{ONE} .nan, which is not a finite number\n  try: write a finite number, or ".nan" in quotes for text',
        ),
        ("2025-09-17", f'{ONE} 2025-09-17, which YAML 1.1 reads as a date\n  try: write "2025-09-17" in quotes'),
        ("9" * 5000, f"{ONE} 9999999999…, a number of more than 40 characters\n  try: write it in quotes for text"),
        ('"\\ud800"', "expected text that can be written as UTF-8"),
    ],
)
def test_a_count_that_is_no_plain_whole_number_is_refused(put: str, message: str) -> None:
    column = 16 if put else 15  # nothing begins right after the colon
    assert refusal(COUNT.replace("PUT", put)) == f"t.yml:9:{column}: scenarios.basic.tasks[0].count: {message}"


@pytest.mark.parametrize(
    ("put", "got", "fix"),
    [
        ("yes", "yes, which YAML 1.1 reads as true", 'write true, or "yes" in quotes for text'),
        ("1:30", "1:30, which YAML 1.1 reads as 90", 'write 90, or "1:30" in quotes for text'),
        ("010", "010, which YAML 1.1 reads as 8", 'write 8, or "010" in quotes for text'),
        ("1_0.5", "1_0.5, which YAML 1.1 reads as 10.5", 'write 10.5, or "1_0.5" in quotes for text'),
        ("2025-13-45", "2025-13-45, which YAML 1.1 reads as a date", 'write "2025-13-45" in quotes'),
        (".nan", ".nan, which is not a finite number", 'write a finite number, or ".nan" in quotes for text'),
        (
            "1.0e+999",
            "1.0e+999, which is not a finite number",
            'write a finite number, or "1.0e+999" in quotes for text',
        ),
    ],
)
def test_args_and_kwargs_take_no_value_that_readers_differ_about(put: str, got: str, fix: str) -> None:
    kwargs = COUNT.replace("count: PUT", f"kwargs: {{a: [1, {put}]}}")
    assert refusal(kwargs) == (
        f"t.yml:9:25: scenarios.basic.tasks[0].kwargs.a[1]: expected a JSON value, got {got}\n  try: {fix}"
    )
    args = COUNT.replace("count: PUT", f"args: [{put}]")
    assert refusal(args) == (
        f"t.yml:9:16: scenarios.basic.tasks[0].args[0]: expected a JSON value, got {got}\n  try: {fix}"
    )


DURATION = "expected a duration such as 500ms, 30s, 1m30s or 1h, got"


@pytest.mark.parametrize(
    ("put", "message"),
    [
        ("30", f"{DURATION} 30\n  try: write 30s"),
        ("0.5", f"{DURATION} 0.5\n  try: write 0.5s"),
        ("'30'", f"{DURATION} '30'\n  try: write 30s"),
        ("soon", f"{DURATION} 'soon'"),
        ("''", f"{DURATION} ''"),
        ("true", f"{DURATION} true"),
        ("[30s]", f"{DURATION} a list"),
        ("1:30", f'{DURATION} 1:30, which YAML 1.1 reads as 90\n  try: write 90, or "1:30" in quotes for text'),
        ("30s1m", f"{DURATION} '30s1m'"),
        ("-1s", f"{DURATION} '-1s'"),
        ("0s", "expected a duration above 0 and of at most 24h, got '0s'"),
        ("25h", "expected a duration above 0 and of at most 24h, got '25h'"),
    ],
)
def test_a_timeout_that_is_no_duration_is_refused(put: str, message: str) -> None:
    text = COUNT.replace("        count: PUT", f"    timeout: {put}")
    assert refusal(text) == f"t.yml:9:14: scenarios.basic.timeout: {message}"


@pytest.mark.parametrize(
    ("put", "message"),
    [
        ("yes", 'expected text, got yes, which YAML 1.1 reads as true\n  try: write true, or "yes" in quotes for text'),
        ("123", "expected text, got 123\n  try: write it in quotes"),
        ("null", "expected text, got nothing"),
        ("[a]", "expected text, got a list"),
        ("''", "expected one line of printable text, got ''"),
        ('"a\\nb"', "expected one line of printable text, got 'a\\nb'"),
        ('"\\e[31mred"', "expected one line of printable text, got '\\x1b[31mred'"),
        (
            "2025-09-17",
            'expected text, got 2025-09-17, which YAML 1.1 reads as a date\n  try: write "2025-09-17" in quotes',
        ),
    ],
)
def test_a_description_that_is_no_line_of_text_is_refused(put: str, message: str) -> None:
    text = config(scenario=f"{{description: {put}, tasks: [{{task: t}}]}}")
    assert refusal(text) == f"t.yml:4:34: scenarios.basic.description: {message}"


@pytest.mark.parametrize("put", ["secret", "[secret]", "12345", "'amqp://u:secret@h /'", "'${URL}'", "''"])
def test_a_wrong_broker_url_is_refused_without_showing_it(put: str) -> None:
    message = refusal(config(settings=f"{{broker_url: {put}}}"), URL="secret")
    assert message in (
        "t.yml:2:24: settings.broker_url: expected the URL of a broker\n  try: write amqp://USER:PASSWORD@HOST:5672/VHOST",
        "t.yml:2:24: settings.broker_url: expected the URL of a broker, got a list",
    )


# --- the shape ------------------------------------------------------------------------------------

KEYS = "try: use one of"
NAMES = "try: use letters, digits, '_', '.' and '-', at most 100 of them"
BROKER_NAMES = "try: use letters, digits, '_', '.' and '-' (':' and '/' too), at most 200 of them"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            COUNT.replace("count: PUT", "cuont: 1"),
            "9:9: scenarios.basic.tasks[0]: unknown key 'cuont'; did you mean 'count'?\n"
            f"  {KEYS}: args, count, kwargs, task",
        ),
        (
            config() + "sceanrios: {}\n",
            f"5:1: unknown key 'sceanrios'; did you mean 'scenarios'?\n  {KEYS}: scenarios, settings, version, workers",
        ),
        (config() + "zzz: 1\n", f"5:1: unknown key 'zzz'\n  {KEYS}: scenarios, settings, version, workers"),
        (
            config(settings="{wait_worker: 1s}"),
            "2:12: settings: unknown key 'wait_worker'; did you mean 'wait_workers'?\n"
            f"  {KEYS}: broker_url, results_dir, wait_workers",
        ),
        (
            config(workers="{worker-a: {queue: q, x-note: 1}}"),
            f"3:32: workers.worker-a: unknown key 'x-note'\n  {KEYS}: queue, replicas",
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
            f"  {KEYS}: args, count, kwargs, task",
        ),
    ],
)
def test_a_wrong_shape_is_refused_where_it_is(text: str, message: str) -> None:
    assert refusal(text) == f"t.yml:{message}"


# --- the file -------------------------------------------------------------------------------------

BOMB = "x-a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"x-{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
CHAIN = "x-0: &a0 []\n" + "".join(f"x-{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 100))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the file is empty\n  try: start from the test-config.yml of this project"),
        ("# only this\n", "1:1: the file is empty\n  try: start from the test-config.yml of this project"),
        ("---\n", "2:1: expected a mapping, got nothing"),
        ("- a\n", "1:1: expected a mapping, got a list"),
        ("just text\n", "1:1: expected a mapping, got 'just text'"),
        (config() + "---\na: 1\n", "5:1: a second document begins here\n  try: keep one document; remove this ---"),
        ("a: b: c\n", "1:5: not YAML: mapping values are not allowed here"),
        (
            "a:\n\tb: 1\n",
            "2:1: not YAML: found character '\\t' that cannot start any token\n"
            "  why: while scanning for the next token\n  try: indent with spaces, not tabs",
        ),
        ("a: [1\n", "2:1: not YAML: expected ',' or ']', but got '<stream end>'\n  why: while parsing a flow sequence"),
        ("a: *b\n", "1:4: not YAML: found undefined alias 'b'"),
        ('a: "\\UFFFFFFFF"\n', "1:7: not YAML: a character or number out of range"),
        (b"a: 1\nb: \xfc\n", "2:4: not UTF-8 text\n  try: save the file as UTF-8"),
        (
            b"a: 1\nb: \x07\n",
            "2:4: a character that YAML does not allow\n"
            "  try: remove that character, or write it as an escape in double quotes",
        ),
        (
            "a: !!python/object:os.system x\n",
            "1:4: the tag '!!python/object:os.system' is not used here\n  try: remove it",
        ),
        ("a: !!int 3\n", "1:4: the tag '!!int' is not used here\n  try: remove it"),
        ("a: !mine {}\n", "1:4: the tag '!mine' is not used here\n  try: remove it"),
        ("a: &a [*a]\n", "1:8: the alias *a is inside what it stands for"),
        ("a: &a {<<: *a}\n", "1:12: the alias *a is inside what it stands for"),
        ("a: &a 1\nb: &a 2\n", "2:4: the anchor &a is taken\n  try: give the second one another name"),
        (BOMB, "5:25: more than 50000 values\n  why: an alias counts as often as it is used"),
        (CHAIN, "40:13: nested deeper than 40 levels"),
        ("a: " + "[" * 100_000, "1:43: nested deeper than 40 levels"),
        ("- " * 100_000, "1:81: nested deeper than 40 levels"),
    ],
)
def test_a_file_that_is_not_one_plain_document_is_refused(text: str | bytes, message: str) -> None:
    assert refusal(text) == f"t.yml:{message}"


def test_a_file_far_too_large_is_refused() -> None:
    assert refusal("#" * 300_000) == "t.yml: larger than 256 KiB, so hardly a configuration"


def test_a_missing_file_says_how_to_name_another() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("none.yml", {})
    assert str(caught.value) == (
        "none.yml: there is no such file\n"
        "  try: name it with --config FILE, or run the command where test-config.yml is"
    )


def _a_directory(path: Path) -> str:
    path.mkdir()
    return "Is a directory"


def _a_link_to_itself(path: Path) -> str:
    path.symlink_to(path)
    return "Too many levels of symbolic links"


@pytest.mark.parametrize("make", [_a_directory, _a_link_to_itself])
def test_what_cannot_be_read_as_a_file_is_refused_with_the_reason(make: Callable[[Path], str]) -> None:
    reason = make(Path("t.yml"))
    with pytest.raises(ConfigError) as caught:
        load_config("t.yml", {})
    assert str(caught.value) == f"t.yml: cannot be read\n  why: {reason}"


# --- durations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [("500ms", 0.5), ("2s", 2), ("1.5s", 1.5), ("1m30s", 90), ("1h", 3600), ("1h1m1s1ms", 3661.001), ("24h", 86400)],
)
def test_a_duration_is_read_in_seconds(text: str, expected_s: float) -> None:
    assert duration_s(text) == pytest.approx(expected_s)


@pytest.mark.parametrize(
    "text", ["", "s", "30", " 1s", "1s ", "1 s", "1s1h", "1d", "0ms", "24h1ms", "٣s", "9" * 999 + "h"]
)
def test_what_is_no_duration_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        duration_s(text)


# --- anything at all ------------------------------------------------------------------------------

SEEDS = [
    PROJECT_CONFIG.read_text(encoding="utf-8"),
    COUNT.replace("PUT", "${N:-1}"),
    config(
        settings="{broker_url: '${URL:-amqp://h}', wait_workers: 20s}",
        scenario="&s {<<: {description: x}, tasks: [{task: t}]}",
    ),
    BOMB,
]
SIGNS = ["&a ", "*a", "<<: ", "<<: *a", "{", "}", "[", "]", ": ", "- ", "? ", "| ", "> ", "'", '"', "#", "\t", "\n"]
MARKUP = ["---\n", "...\n", "!!str ", "!!set ", "!x ", "%YAML 1.1\n", "${", "${N}", "${N:-", "$$", "$", "\\", "\\U"]
SCALARS = [
    "yes",
    "010",
    "1:30",
    "1e3",
    ".nan",
    "0x_",
    "2025-01-01",
    "null",
    "=",
    "~",
    "1_0",
    "\ufeff",
    "\x85",
    "\u2028",
]
PIECES = st.one_of(
    st.sampled_from([*SIGNS, *MARKUP, *SCALARS]),
    st.text(max_size=4),
    st.integers().map(str),
)
EDITS = st.lists(st.tuples(st.integers(0, 600), st.integers(0, 20), PIECES), max_size=6)


def problem_or_config(**environ: str) -> str | Config:
    try:
        return load_config("t.yml", environ)
    except ConfigError as exc:
        return exc.what


# derandomize: the same examples on every machine, so that the suite never fails for one user alone
@settings(
    max_examples=400, deadline=5000, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.sampled_from(SEEDS), edits=EDITS, variable=st.text(max_size=8))
@example(seed="<<", edits=[], variable="")
@example(seed="=: =", edits=[], variable="")
def test_any_text_gives_a_config_or_a_located_error_and_nothing_else(
    seed: str, edits: list[tuple[int, int, str]], variable: str
) -> None:
    text = seed
    for place, cut, piece in edits:
        text = text[:place] + piece + text[place + cut :]
    Path("t.yml").write_bytes(text.encode("utf-8", "surrogatepass"))
    loaded = problem_or_config(N=variable)
    if isinstance(loaded, str):
        assert re.fullmatch(r"t\.yml:[1-9][0-9]*:[1-9][0-9]*: .+", loaded)
        return
    assert loaded.workers
    assert all(scenario.task_count >= 1 and scenario.timeout_s > 0 for scenario in loaded.scenarios)
    json.dumps(asdict(loaded), allow_nan=False).encode()
