"""What makes two runs comparable: the same scenario, load and kind of broker, and a baseline that passed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.baseline import Baseline
from harness.baseline_rules import Rule
from harness.errors import ExitCode, UsageError
from harness.model.scenario import Scenario
from harness.render.asked import asked
from harness.render.visible import visible

#: What makes a load model, by its key in the document's tasks and workers, with the value where it is left out.
_OF_A_TASK: Mapping[str, object] = {
    "task": None, "count": 1, "args": [], "kwargs": {}, "rate_per_s": None, "delay_s": 0.0, "queue": None,
}  # fmt: skip
_OF_A_WORKER: Mapping[str, object] = {"service": None, "queue": None, "replicas": 1, "concurrency": None}


def refuse_other(scenario: Scenario, baseline: Baseline, rules: Sequence[Rule] = (), *, embedded: bool = False) -> None:
    """Find, before anything is published, that `baseline` says nothing about a run of `scenario`.

    Args:
        rules: What will be compared: the baseline must have measured it.
        embedded: Whether this run's broker is the embedded one.

    Raises:
        UsageError: It is of another scenario, load model or kind of broker, or did not pass itself.
    """
    if difference := next(_differences(asked(scenario), baseline.scenario), ""):
        raise UsageError(
            f"{baseline.path}: not comparable with scenario {scenario.name!r}",
            why=difference,
            fix="name a baseline of the same scenario with the same load, or run this one without --baseline",
        )
    if baseline.embedded is not embedded:
        kinds = {True: "the embedded broker", False: "a real broker"}
        raise UsageError(
            f"{baseline.path}: not comparable with this run",
            why=f"it ran on {kinds[baseline.embedded]}, this one runs on {kinds[embedded]}",
            fix="make a baseline on the same kind of broker",
        )
    if baseline.exit_code != ExitCode.OK:
        raise UsageError(
            f"{baseline.path}: the baseline run itself did not pass",
            why=f"exit code {baseline.exit_code}: {visible(baseline.exit_meaning)}",
            fix="take a run that passed",
        )
    for rule in rules:
        if baseline.figure_s(rule) is None:
            raise UsageError(f"{baseline.path}: the baseline has no {rule.figure}", why="nothing was measured there")


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    if ours["name"] != theirs.get("name"):
        yield f"it is of scenario {visible(theirs.get('name'))!r}"
    for kind, keys in (("tasks", _OF_A_TASK), ("workers", _OF_A_WORKER)):
        old, new = theirs.get(kind), ours[kind]
        if not isinstance(old, list) or len(old) != len(new):
            yield f"it has {len(old) if isinstance(old, list) else 'no'} {kind}, this one {len(new)}"
            continue
        for number, (one, other) in enumerate(zip(new, old, strict=True)):
            for key, default in keys.items():
                was = other.get(key, default) if isinstance(other, Mapping) else None
                if one.get(key, default) != was:
                    yield f"{kind}[{number}].{key} was {visible(was)}, is {visible(one.get(key, default))}"
    if bool(ours.get("reconnect")) != bool(theirs.get("reconnect")):
        yield "only one of them cuts the workers' connections first"
    if ours.get("faults") != theirs.get("faults"):
        yield "other faults strike during it"
