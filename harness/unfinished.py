"""The runs whose dispatcher ended before every id had a final state: what their journals hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.journal import in_use, read


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftFault:
    """A fault that its dispatcher applied, and did not come to undo. Perhaps it was only about to apply it."""

    what: str  # as asked: "pause worker-a at 1s"
    target: str  # "container demo-worker-a-1 (worker-a@12514a296d7c)"
    command: str  # undoes it, in a shell


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedRun:
    """A run's journal, counted."""

    run_id: str
    path: Path
    scenario: str
    broker: str  # URL without its password
    began_at: float  # ours: the journal was created
    asked: Mapping[str, Any]  # the scenario, as the results document has it
    total: int  # tasks that were asked for
    sent: int
    confirmed: int
    ended: int  # final states received
    in_use: bool  # its dispatcher is still there
    left: tuple[LeftFault, ...] = ()  # those of its faults that may still be applied


def unfinished_run(directory: Path, run_id: str) -> UnfinishedRun:
    """Return one unfinished run.

    Raises:
        UsageError: There is none of this id, or its journal cannot be read.
    """
    path = directory / f"{run_id}.jsonl"
    records = read(path)
    first = next(records, None)
    if first is None:
        raise UsageError(f"the run journal {path} is empty", why="its process was killed before it published anything")
    try:
        return _counted(path, first, records)
    except (KeyError, TypeError) as exc:
        raise UsageError(f"the run journal {path} cannot be read", why=f"written by another version: {exc!r}") from exc


def unfinished_runs(directory: Path) -> Iterator[UnfinishedRun]:
    """Yield all of them, oldest first; what is no journal is passed over."""
    found = []
    for path in directory.glob("*.jsonl"):
        try:
            found.append(unfinished_run(directory, path.stem))
        except UsageError:
            continue
    yield from sorted(found, key=lambda run: run.began_at)


def _counted(path: Path, first: Mapping[str, Any], records: Iterator[Mapping[str, Any]]) -> UnfinishedRun:
    sent = confirmed = 0
    ended = set()
    faults: dict[int, Mapping[str, Any]] = {}  # by number, the last word of each
    for record in records:
        match record:
            case {"sent": [_, stop]}:
                sent = stop
            case {"confirmed": [start, stop]}:
                confirmed += stop - start
            case {"got": {"status": "SUCCESS" | "FAILURE" | "REVOKED", "task_id": task_id}}:
                ended.add(task_id)
            case {"refused": index}:
                ended.add(index)
            case {"fault": noted}:
                faults[noted["number"]] = noted
    return UnfinishedRun(
        run_id=first["run"],
        path=path,
        scenario=first["scenario"],
        broker=first["broker"],
        began_at=first["at"],
        asked=first["asked"],
        total=first["asked"]["task_count"],
        sent=sent,
        confirmed=confirmed,
        ended=len(ended),
        in_use=in_use(path),
        left=tuple(
            LeftFault(what=one["what"], target=one["target"], command=one["command"])
            for one in faults.values()
            if not one["undone"] and one["command"]
        ),
    )
