"""Reads a task's `expect:` of test-config.yml: what every outcome of an entry should be."""

from __future__ import annotations

import re
import warnings

from harness.expect_run import RUN_EXPECT
from harness.model.expectation import UNSET, Bounds, Match, TaskExpectation
from harness.model.ledger import State
from harness.spelling import hint
from harness.yaml_fields import Keys, broker_name, choice, counts, durations, fields, given, line, some, text
from harness.yaml_nodes import Value

MAX_ATTEMPTS = 1_000
#: Characters. Longer ones are no longer read by anybody.
MAX_REGEX = 1_000

STATES = tuple(state.value for state in State)

TASK_EXPECT = Keys(
    definitions=("task_expect",),
    optional=tuple(RUN_EXPECT.elsewhere),
    some=True,
    elsewhere=dict.fromkeys(RUN_EXPECT.known, "it is judged of the whole run: put it in the expect of the scenario"),
)
MATCH = Keys(definitions=("result", "error"), optional=("equals", "contains", "matches"), some=True)


def task_expectation(value: Value) -> TaskExpectation:
    entries = fields(value, TASK_EXPECT)
    state = State(given(entries, "state", lambda entry: choice(entry, "state", STATES), State.SUCCEEDED))
    if state is State.SUCCEEDED and "error" in entries:
        raise entries["error"].key_error("a task that succeeded has no error", fix="add state: failed")
    if state is not State.SUCCEEDED and "result" in entries:
        problem = f"a task that is {state.value.replace('_', '-')} has no result"
        raise entries["result"].key_error(problem, fix="leave out result, or state")
    backoff = given(entries, "backoff", _backoff, None)
    return TaskExpectation(
        state=state,
        result=given(entries, "result", _result, None),
        error=given(entries, "error", _error, None),
        queue=given(entries, "queue", lambda entry: broker_name(entry, "queue"), None),
        worker=given(entries, "worker", _glob, None),
        attempts=given(entries, "attempts", lambda entry: counts(entry, MAX_ATTEMPTS), None),
        backoff=backoff or None,
        backoff_policy=backoff == (),
        run_time=given(entries, "run_time", durations, None),
        queue_wait=given(entries, "queue_wait", durations, None),
    )


def _result(value: Value) -> Match:
    entries = _match_entries(value)
    contains = given(entries, "contains", Value.json, UNSET)
    if contains in ("", {}):
        raise entries["contains"].error("every result contains this")
    return Match(
        equals=given(entries, "equals", Value.json, UNSET),
        contains=contains,
        matches=given(entries, "matches", _regex, None),
    )


def _error(value: Value) -> Match:
    entries = _match_entries(value)
    if (contains := given(entries, "contains", text, UNSET)) == "":
        raise entries["contains"].error("every error contains this")
    return Match(
        equals=given(entries, "equals", text, UNSET),
        contains=contains,
        matches=given(entries, "matches", _regex, None),
    )


def _match_entries(value: Value) -> dict[str, Value]:
    if value.kind != "mapping":
        wanted = "a mapping with equals, contains or matches"
        raise value.expected(wanted, fix="write {equals: ...} with it, or {contains: ...}")
    return fields(value, MATCH)


def _regex(value: Value) -> str:
    written = text(value, "a regular expression")
    if not written or len(written) > MAX_REGEX:
        raise value.error(f"expected a regular expression of 1 to {MAX_REGEX} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what a later Python will read otherwise
            re.compile(written)
    except (re.error, Warning, OverflowError, RecursionError) as exc:
        raise value.error(
            "not a regular expression", why=str(exc), fix="put a \\ before a sign that is meant"
        ) from None
    return written


def _glob(value: Value) -> str:
    written = line(value)
    if not any(sign in written for sign in "@*?["):
        raise value.error("no node has this name", why="a node is called SERVICE@HOST", fix=f"write {written}@*")
    return written


def _backoff(value: Value) -> tuple[Bounds, ...]:
    """Return the ranges of the waits; none of them stands for the task's own policy."""
    if value.kind == "list":
        return tuple(durations(entry) for entry in some(value, "range of durations"))
    wanted = "policy, or a list of ranges such as [{min: 0s, max: 1s}]"
    written = value.scalar(wanted)
    if written != "policy":
        if isinstance(written, str) and (meant := hint(written, ["policy"])):
            raise value.error(f"unknown backoff {written!r}{meant}", fix=f"write {wanted}")
        raise value.expected(wanted)
    return ()
