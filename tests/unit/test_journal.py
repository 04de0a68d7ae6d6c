"""The run journal: on disk before it is relied on, and gone when nobody needs it any more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import ExitCode, UsageError
from harness.journal import Journal


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_was_noted_is_on_disk_after_a_sync(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "runs", "r1", {"scenario": "basic"})
    journal.attempted(0, 2)
    journal.ended(1, "succeeded")
    journal.sync()
    assert lines(journal.path) == [
        {"run": "r1", "scenario": "basic"},
        {"attempted": [0, 2]},
        {"ended": [1, "succeeded"]},
    ]


def test_a_complete_run_leaves_no_journal_and_an_unfinished_one_keeps_it(tmp_path: Path) -> None:
    complete, unfinished = Journal(tmp_path, "r1", {}), Journal(tmp_path, "r2", {})
    unfinished.attempted(0, 1)
    complete.close(complete=True)
    unfinished.close(complete=False)
    assert not complete.path.exists()
    assert lines(unfinished.path)[-1] == {"attempted": [0, 1]}


def test_a_directory_that_cannot_be_made_is_a_usage_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as caught:
        Journal(tmp_path / "file" / "runs", "r1", {})
    assert caught.value.exit_code is ExitCode.USAGE
    assert str(caught.value) == (
        f"the run journal {tmp_path}/file/runs/r1.jsonl cannot be written\n"
        "  why: Not a directory\n"
        f"  try: make {tmp_path}/file/runs writable: a run notes its ids there before it publishes them"
    )


def test_a_journal_is_never_written_over(tmp_path: Path) -> None:
    Journal(tmp_path, "r1", {})
    with pytest.raises(UsageError):
        Journal(tmp_path, "r1", {})
