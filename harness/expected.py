"""Pure judgements of what a scenario expects of its tasks, one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from harness.model.expectation import UNSET, Bounds, Match, TaskExpectation
from harness.model.outcome import Outcome
from harness.model.report import Check
from harness.model.scenario import Scenario
from harness.tally import Tally

#: What a wait before another attempt may be longer than its backoff: the delay queues, and a place in the queue.
BACKOFF_SLACK_S = 0.75
#: Clocks of one machine agree to this; a wait may be shorter than its backoff by so much.
CLOCK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """A task's retry settings, as Celery reads them (`celery.app.autoretry`)."""

    max_retries: int | None
    backoff_s: float  # factor of the exponential backoff; 0: none
    backoff_max_s: float
    jitter: bool
    delay_s: float  # default_retry_delay, where there is no backoff

    def wait(self, retry: int) -> Bounds:
        """Return the bounds of the wait before `retry`, counted from 0, without what delivering it takes."""
        if not self.backoff_s:
            return Bounds(low=self.delay_s, high=self.delay_s)
        full = min(self.backoff_max_s, max(1, int(self.backoff_s)) * 2**retry)
        return Bounds(low=0.0 if self.jitter else full, high=full)


def bounds_text(bounds: Bounds, unit: str = "") -> str:
    """Return bounds in words: `3`, `at least 1s`, `0.5s to 2s`."""
    low, high = (None if side is None else f"{side:g}{unit}" for side in (bounds.low, bounds.high))
    if low == high:
        return str(low)
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def mismatch(match: Match, value: Any) -> str | None:
    """Return why `value` is not what `match` asks for; None where it is."""
    if match.equals is not UNSET and value != match.equals:
        return f"is {_short(value)}, not {_short(match.equals)}"
    if match.contains is not UNSET and not _contains(value, match.contains):
        return f"{_short(value)} does not contain {_short(match.contains)}"
    if match.matches is not None and not re.search(match.matches, value if isinstance(value, str) else _text(value)):
        return f"{_short(value)} does not match {match.matches!r}"
    return None


def _contains(value: Any, part: Any) -> bool:
    if isinstance(value, Mapping) and isinstance(part, Mapping):
        return all(key in value and value[key] == wanted for key, wanted in part.items())
    if isinstance(value, str):
        return isinstance(part, str) and part in value
    return isinstance(value, (list, tuple, Mapping)) and part in value


def _text(value: Any) -> str:
    return json.dumps(value, default=repr, ensure_ascii=False, sort_keys=True)


def _short(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class ExpectedTasks:
    """Judges every outcome against the expectation of its `tasks` entry."""

    def __init__(self, scenario: Scenario, policies: Mapping[str, RetryPolicy]) -> None:
        """Args:
        policies: The tasks' own retry settings, by task name: for `backoff: policy`.
        """
        self._entries = scenario.tasks
        self._policies = policies
        self._tallies: dict[str, Tally] = {}
        self._asked: dict[str, str] = {}
        for spec in scenario.tasks:
            for name, words in _asked(spec.expect):
                self._tallies.setdefault(name, Tally())
                known = self._asked.setdefault(name, words)
                if known != words:
                    self._asked[name] = "as each entry says"

    def observe(self, outcome: Outcome) -> None:
        spec = self._entries[outcome.entry]
        expect = spec.expect
        who = f"{outcome.task} {outcome.task_id}"
        if expect.result:
            self._note("result", who, mismatch(expect.result, outcome.result))
        if expect.error:
            self._note("error", who, mismatch(expect.error, outcome.error or ""))
        if expect.worker is not None:
            fits = outcome.node is not None and fnmatchcase(outcome.node, expect.worker)
            self._note("worker", who, None if fits else f"ran on {outcome.node}, not on {expect.worker}")
        for name, bounds, value, unit in (
            ("attempts", expect.attempts, float(outcome.attempts), ""),
            ("run time", expect.run_time, outcome.run_time_s, "s"),
            ("queue wait", expect.queue_wait, outcome.queue_wait_s, "s"),
        ):
            if bounds is not None:
                self._note(name, who, _outside(bounds, value, unit))
        if expect.backoff is not None or expect.backoff_policy:
            self._note("backoff", who, self._wrong_wait(outcome, expect))

    def checks(self) -> list[Check]:
        return [
            tally.check(f"{name}: {self._asked[name]}", f"{tally.held} of {tally.judged}", unseen="no outcome to judge")
            for name, tally in self._tallies.items()
        ]

    def _note(self, name: str, who: str, problem: str | None) -> None:
        self._tallies[name].note(problem is None, f"{who} {problem}")

    def _wrong_wait(self, outcome: Outcome, expect: TaskExpectation) -> str | None:
        """Return which wait between two attempts is out of bounds; None where all are within."""
        if expect.backoff is not None:
            wanted = [Bounds(low=b.low, high=b.high) for b in expect.backoff]
            if len(outcome.waits_s) != len(wanted):
                return f"waited {len(outcome.waits_s)} times, not {len(wanted)}"
        else:
            policy = self._policies.get(outcome.task)
            if policy is None:
                return "has no retry policy that is known here"
            if len(outcome.waits_s) != outcome.retries:
                return f"{len(outcome.waits_s)} waits seen for {outcome.retries} retries"
            if not outcome.waits_s:
                return "was never retried: there is no wait to judge"
            wanted = [policy.wait(retry) for retry in range(len(outcome.waits_s))]
            wanted = [Bounds(low=b.low, high=(b.high or 0.0) + BACKOFF_SLACK_S) for b in wanted]
        for number, (wait_s, bounds) in enumerate(zip(outcome.waits_s, wanted, strict=True), start=1):
            if wait_s + CLOCK_S not in bounds and wait_s not in bounds:
                return f"waited {wait_s:.2f}s before attempt {number + 1}, not {bounds_text(bounds, 's')}"
        return None


def _asked(expect: TaskExpectation) -> list[tuple[str, str]]:
    """Return what an expectation judges, and in words what it asks for."""
    asked: list[tuple[str, str]] = []
    for name, match in (("result", expect.result), ("error", expect.error)):
        if match is not None:
            asked.append((name, _match_text(match)))
    if expect.worker is not None:
        asked.append(("worker", expect.worker))
    for name, bounds, unit in (
        ("attempts", expect.attempts, ""),
        ("run time", expect.run_time, "s"),
        ("queue wait", expect.queue_wait, "s"),
    ):
        if bounds is not None:
            asked.append((name, bounds_text(bounds, unit)))
    if expect.backoff_policy:
        asked.append(("backoff", "as the retry policy allows"))
    elif expect.backoff is not None:
        asked.append(("backoff", ", ".join(bounds_text(bounds, "s") for bounds in expect.backoff)))
    return asked


def _match_text(match: Match) -> str:
    parts = []
    if match.equals is not UNSET:
        parts.append(f"equals {_short(match.equals)}")
    if match.contains is not UNSET:
        parts.append(f"contains {_short(match.contains)}")
    if match.matches is not None:
        parts.append(f"matches {match.matches}")
    return " and ".join(parts)


def _outside(bounds: Bounds, value: float | None, unit: str) -> str | None:
    if value is None:
        return "was not measured"
    return None if value in bounds else f"{value:.3g}{unit}, not {bounds_text(bounds, unit)}"
