"""Pure: which scenarios of test-config.yml `dispatch.py` was asked to run, or why they cannot be run like that."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UsageError
from harness.model.config import Config
from harness.model.scenario import Scenario
from harness.spelling import hint


def choose(config: Config, names: Sequence[str], tags: Sequence[str], *, every: bool, default: str) -> list[Scenario]:
    """Return the scenarios to run, in the order asked for.

    Args:
        names: Scenarios by name.
        tags: All scenarios that have one of these.
        every: All that have no faults.
        default: What is run where nothing is asked for.

    Raises:
        UsageError: One is not there, or the request contradicts itself.
    """
    known = {scenario.name: scenario for scenario in config.scenarios}
    if every and (names or tags):
        raise UsageError("--all runs every scenario that has no faults: name none and no tag, or leave it out")
    for name in names:
        if name not in known:
            raise UsageError(
                f"no scenario {name!r} in {config.path}{hint(name, known)}",
                why=f"it has: {', '.join(known)}",
                fix="dispatch.py --list",
            )
    wanted = list(dict.fromkeys(names))
    if every:
        wanted = [name for name, scenario in known.items() if not scenario.faults]  # those are asked for
    for tag in tags:
        tagged = [scenario.name for scenario in config.scenarios if tag in scenario.tags]
        if not tagged:
            there = sorted({tag for scenario in config.scenarios for tag in scenario.tags})
            raise UsageError(f"no scenario has the tag {tag!r}{hint(tag, there)}", why=f"there are: {', '.join(there)}")
        wanted += [name for name in tagged if name not in wanted]
    chosen = [known[name] for name in wanted or [default] if name in known]
    if not chosen:
        raise UsageError(f"no scenario {default!r} in {config.path}", fix="name one: dispatch.py --list")
    return chosen


def refuse_embedded(chosen: Sequence[Scenario]) -> None:
    """Refuse what the embedded broker cannot show: it has no dead letters and no connections to lose.

    Raises:
        UsageError: One of the scenarios asks for that.
    """
    beyond = [
        scenario.name
        for scenario in chosen
        if scenario.reconnect
        or scenario.faults
        or scenario.expect.dead_letters
        or any(spec.queue for spec in scenario.tasks)
    ]
    if beyond:
        raise UsageError(
            f"{', '.join(beyond)}: not in embedded mode",
            why="the embedded broker has no dead letters, no redelivery and no connections that could be lost",
            fix="./setup.sh, or BROKER_URL=amqp://... with --local",
        )


def refuse_broker_faults(chosen: Sequence[Scenario]) -> None:
    """Refuse what would reach beyond what a run makes itself.

    Raises:
        UsageError: A fault of one of the scenarios does.
    """
    touching = [scenario.name for scenario in chosen if any(fault.touches_broker for fault in scenario.faults)]
    if touching:
        raise UsageError(
            f"{', '.join(touching)}: would disturb the broker itself",
            why="others may use it",
            fix="--allow-broker-faults, with a broker that is there for tests",
        )
