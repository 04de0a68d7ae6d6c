"""`expect:` of a run and of a task: the whole message for every mistake in it."""

from __future__ import annotations

import pytest
from config_files import loaded_scenario, refusal, with_scenario, with_task

from harness.model.expectation import UNSET, Bounds, Match
from harness.model.ledger import State

pytestmark = pytest.mark.usefixtures("empty_directory")

DURATION = "expected a duration such as 500ms, 30s, 1m30s or 1h, got"
RANGE = "expected a mapping with min, max or both, got"
WRITE_RANGE = "try: write {max: 2s}, or {min: 100ms, max: 2s}"
RUN_KEYS = "try: use one of: dead_letters, fairness, ledger, overlap, recovery, routing, thresholds, wall_time"
TASK_KEYS = "try: use one of: attempts, backoff, error, queue, queue_wait, result, run_time, state, worker"
BACKOFF = "policy, or a list of ranges such as [{min: 0s, max: 1s}]"
STATES = "try: use one of: dead_lettered, failed, lost, succeeded, unacknowledged, unfinished"
COLUMNS = (
    "try: use one of: acknowledged, attempted, dead_lettered, duplicated, failed, lost, recovered, succeeded, "
    "unacknowledged, unexpected, unexplained, unfinished"
)
AGGREGATES = "try: use one of: avg, max, med, min, p(N)"
MATCHES = "try: use one of: contains, equals, matches"

# --- a run ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("put", "at", "message"),
    [
        ("{}", "13", f": expected at least one key\n  {RUN_KEYS}"),
        ("", "12", ": expected a mapping, got nothing"),
        ("{wal_time: 1}", "14", f": unknown key 'wal_time'; did you mean 'wall_time'?\n  {RUN_KEYS}"),
        (
            "{state: failed}",
            "14",
            ": the key 'state' does not belong here\n"
            "  try: it is judged task by task: put it in the expect of an entry of tasks",
        ),
        ("{wall_time: 2s}", "25", f".wall_time: {RANGE} '2s'\n  {WRITE_RANGE}"),
        ("{wall_time: {}}", "25", ".wall_time: expected at least one key\n  try: use one of: max, min"),
        (
            "{wall_time: {mix: 2s}}",
            "26",
            ".wall_time: unknown key 'mix'; did you mean 'min'?\n  try: use one of: max, min",
        ),
        ("{wall_time: {max: 2}}", "31", f".wall_time.max: {DURATION} 2\n  try: write 2s"),
        ("{wall_time: {max: 25h}}", "31", ".wall_time.max: expected a duration of at most 24h, got '25h'"),
        ("{wall_time: {min: 2s, max: 1999ms}}", "40", ".wall_time.max: max is below min"),
        ("{overlap: 2}", "23", f".overlap: {RANGE} 2\n  try: write {{min: 1.5}}"),
        ("{overlap: {min: -1}}", "29", ".overlap.min: expected a number of at least 0, got -1"),
        ("{overlap: {min: 1s}}", "29", ".overlap.min: expected a number of at least 0, got '1s'"),
        ("{overlap: {min: true}}", "29", ".overlap.min: expected a number of at least 0, got true"),
        ("{overlap: {max: 1000001}}", "29", ".overlap.max: expected a number of at most 1000000, got 1000001"),
        ("{fairness: 0.9}", "24", ".fairness: expected a number of at least 1, got 0.9"),
        ("{ledger: {}}", "22", f".ledger: expected at least one key\n  {COLUMNS}"),
        (
            "{ledger: {suceeded: 1}}",
            "23",
            f".ledger: unknown key 'suceeded'; did you mean 'succeeded'?\n  {COLUMNS}",
        ),
        ("{ledger: {lost: -1}}", "29", ".ledger.lost: expected a whole number of at least 0, got -1"),
        ("{ledger: {lost: 1.0}}", "29", ".ledger.lost: expected a whole number of at least 0, got 1.0"),
        ("{ledger: {lost: [1]}}", "29", f".ledger.lost: {RANGE} a list\n  try: write 2, or {{min: 1, max: 2}}"),
        ("{ledger: {lost: {min: 2, max: 1}}}", "43", ".ledger.lost.max: max is below min"),
        ("{dead_letters: []}", "28", ".dead_letters: expected at least one dead-letter queue"),
        ("{dead_letters: {queue: q}}", "28", ".dead_letters: expected a list, got a mapping"),
        ("{dead_letters: [{count: 1}]}", "29", ".dead_letters[0]: the key 'queue' is missing"),
        (
            "{dead_letters: [{queue: q, reason: expire}]}",
            "48",
            ".dead_letters[0].reason: unknown reason 'expire'; did you mean 'expired'?\n"
            "  try: use one of: delivery_limit, expired, maxlen, rejected",
        ),
        (
            "{dead_letters: [{queue: q, raeson: expired}]}",
            "40",
            ".dead_letters[0]: unknown key 'raeson'; did you mean 'reason'?\n"
            "  try: use one of: count, queue, reason, task",
        ),
    ],
)
def test_a_wrong_expectation_of_a_run_is_refused_where_it_is(put: str, at: str, message: str) -> None:
    assert refusal(with_scenario(f"expect: {put}")) == f"t.yml:5:{at}: scenarios.s.expect{message}"


@pytest.mark.parametrize(
    ("put", "at", "message"),
    [
        ("{}", "26", ": expected at least one key\n  try: use one of: failures, lag, queue_wait, round_trip, run_time"),
        (
            "{roundtrip: avg<1s}",
            "27",
            ": unknown key 'roundtrip'; did you mean 'round_trip'?\n"
            "  try: use one of: failures, lag, queue_wait, round_trip, run_time",
        ),
        ("{lag: []}", "32", ".lag: expected at least one threshold"),
        ("{lag: 5}", "32", ".lag: expected a threshold, or a list of them, got 5\n  try: write it in quotes"),
        ("{lag: {max: 5s}}", "32", ".lag: expected a threshold, or a list of them, got a mapping"),
        ("{lag: [max<1s, p95<1s]}", "41", f".lag[1]: lag has no 'p95'; did you mean 'p(95)'?\n  {AGGREGATES}"),
        (
            "{lag: max<500}",
            "32",
            ".lag: expected a duration such as 500ms, 30s, 1m30s or 1h, got '500'\n  try: write max<500ms",
        ),
    ],
)
def test_a_wrong_threshold_is_refused_where_it_is(put: str, at: str, message: str) -> None:
    assert (
        refusal(with_scenario(f"expect: {{thresholds: {put}}}"))
        == f"t.yml:5:{at}: scenarios.s.expect.thresholds{message}"
    )


# --- a task ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(State))
def test_a_task_may_be_expected_in_every_state(state: State) -> None:
    assert loaded_scenario(with_task(f"expect: {{state: {state.value}}}")).tasks[0].expect.state is state


def test_nothing_can_be_what_a_task_returns() -> None:
    (task,) = loaded_scenario(with_task("expect: {result: {equals: null}}")).tasks
    assert task.expect.result == Match(equals=None, contains=UNSET)


def test_a_whole_number_of_attempts_is_both_ends_of_the_range() -> None:
    (task,) = loaded_scenario(with_task("expect: {attempts: 4}")).tasks
    assert task.expect.attempts == Bounds(low=4, high=4)


@pytest.mark.parametrize(
    ("put", "at", "message"),
    [
        ("{}", "17", f": expected at least one key\n  {TASK_KEYS}"),
        ("{atempts: 3}", "18", f": unknown key 'atempts'; did you mean 'attempts'?\n  {TASK_KEYS}"),
        (
            "{ledger: {lost: 0}}",
            "18",
            ": the key 'ledger' does not belong here\n"
            "  try: it is judged of the whole run: put it in the expect of the scenario",
        ),
        ("{state: suceeded}", "25", f".state: unknown state 'suceeded'; did you mean 'succeeded'?\n  {STATES}"),
        (
            "{state: dead-lettered}",
            "25",
            f".state: unknown state 'dead-lettered'; did you mean 'dead_lettered'?\n  {STATES}",
        ),
        ("{state: [failed]}", "25", ".state: expected a state, got a list"),
        ("{error: {equals: e}}", "18", ": a task that succeeded has no error\n  try: add state: failed"),
        (
            "{state: dead_lettered, result: {equals: 1}}",
            "40",
            ": a task that is dead-lettered has no result\n  try: leave out result, or state",
        ),
        (
            "{result: Hello}",
            "26",
            ".result: expected a mapping with equals, contains or matches, got 'Hello'\n"
            "  try: write {equals: ...} with it, or {contains: ...}",
        ),
        ("{result: {}}", "26", f".result: expected at least one key\n  {MATCHES}"),
        ("{result: {equal: 1}}", "27", f".result: unknown key 'equal'; did you mean 'equals'?\n  {MATCHES}"),
        ("{result: {contains: ''}}", "37", ".result.contains: every result contains this"),
        ("{result: {contains: {}}}", "37", ".result.contains: every result contains this"),
        (
            "{result: {equals: [yes]}}",
            "36",
            ".result.equals[0]: expected a JSON value, got yes, which YAML 1.1 reads as true\n"
            '  try: write true, or "yes" in quotes for text',
        ),
        (
            "{result: {matches: '(a'}}",
            "36",
            ".result.matches: not a regular expression\n"
            "  why: missing ), unterminated subpattern at position 0\n  try: put a \\ before a sign that is meant",
        ),
        (
            "{result: {matches: '[[a]'}}",
            "36",
            ".result.matches: not a regular expression\n"
            "  why: Possible nested set at position 1\n  try: put a \\ before a sign that is meant",
        ),
        ("{result: {matches: ''}}", "36", ".result.matches: expected a regular expression of 1 to 1000 characters"),
        (
            f"{{result: {{matches: {'a' * 1001}}}}}",
            "36",
            ".result.matches: expected a regular expression of 1 to 1000 characters",
        ),
        (
            "{result: {matches: 5}}",
            "36",
            ".result.matches: expected a regular expression, got 5\n  try: write it in quotes",
        ),
        ("{state: failed, error: {equals: 5}}", "49", ".error.equals: expected text, got 5\n  try: write it in quotes"),
        ("{state: failed, error: {contains: ''}}", "51", ".error.contains: every error contains this"),
        ("{worker: ''}", "26", ".worker: expected one line of printable text, got ''"),
        (
            "{worker: worker-a}",
            "26",
            ".worker: no node has this name\n  why: a node is called SERVICE@HOST\n  try: write worker-a@*",
        ),
        ("{attempts: -1}", "28", ".attempts: expected a whole number of at least 0, got -1"),
        ("{attempts: 1001}", "28", ".attempts: expected a whole number of at most 1000, got 1001"),
        ("{attempts: {min: 3, max: 1}}", "42", ".attempts.max: max is below min"),
        (
            "{backoff: polic}",
            "27",
            f".backoff: unknown backoff 'polic'; did you mean 'policy'?\n  try: write {BACKOFF}",
        ),
        ("{backoff: 2s}", "27", f".backoff: expected {BACKOFF}, got '2s'"),
        ("{backoff: {max: 1s}}", "27", f".backoff: expected {BACKOFF}, got a mapping"),
        ("{backoff: []}", "27", ".backoff: expected at least one range of durations"),
        ("{backoff: [{max: 1s}, 2s]}", "39", f".backoff[1]: {RANGE} '2s'\n  {WRITE_RANGE}"),
        ("{run_time: 2s}", "28", f".run_time: {RANGE} '2s'\n  {WRITE_RANGE}"),
        ("{queue_wait: {min: -1s}}", "36", f".queue_wait.min: {DURATION} '-1s'"),
    ],
)
def test_a_wrong_expectation_of_a_task_is_refused_where_it_is(put: str, at: str, message: str) -> None:
    assert refusal(with_task(f"expect: {put}")) == f"t.yml:7:{at}: scenarios.s.tasks[0].expect{message}"


def test_a_regular_expression_that_python_cannot_read_is_refused() -> None:
    for pattern in ("(" * 480 + ")" * 480, "a{99999999999999999999}", "(?P<a>.)(?P<a>.)", "a**"):
        message = refusal(with_task(f"expect: {{result: {{matches: '{pattern}'}}}}"))
        assert message.startswith("t.yml:7:36: scenarios.s.tasks[0].expect.result.matches: not a regular expression\n")
