"""Single values of test-config.yml: variables, numbers, durations and texts, and the whole message for a wrong one."""

from __future__ import annotations

import pytest
from config_files import COUNT, config, load, refusal

from harness.errors import UsageError
from harness.quantities import duration_s

pytestmark = pytest.mark.usefixtures("empty_directory")

# --- interpolation ---------------------------------------------------------------------------------


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


# --- values that are refused -----------------------------------------------------------------------

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


# --- durations -------------------------------------------------------------------------------------


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
