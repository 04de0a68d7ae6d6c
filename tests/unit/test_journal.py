"""The run journal: on disk before it is relied on, read up to where its process was killed, and written by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ExitCode, UsageError
from harness.journal import Journal, in_use, read

ROOT = Path(__file__).resolve().parents[2]
AT = 1758137336.5


def created(directory: Path, run_id: str = "r1", **header: Any) -> Journal:
    return Journal.create(directory, run_id, header)


def left(directory: Path, text: str | bytes) -> Path:
    """Return the journal of a process that has ended."""
    path = directory / "r1.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- what is noted --------------------------------------------------------------------------------


def test_everything_that_is_noted_is_read_as_it_was_and_in_its_order(tmp_path: Path) -> None:
    journal = created(tmp_path / "runs", scenario="basic")
    journal.note({"began": AT})
    journal.attempted(0, 2)
    journal.sent(0, 2, AT)
    journal.confirmed(0, AT + 1)
    journal.refused(1, "returned: NO_ROUTE")
    journal.got('{"status": "SUCCESS", "result": "ü"}', AT + 2)
    journal.note({"again": [1]})
    journal.close(complete=False)
    assert list(read(journal.path)) == [
        {"run": "r1", "scenario": "basic"},
        {"began": AT},
        {"attempted": [0, 2]},
        {"sent": [0, 2], "at": AT},
        {"confirmed": [0, 1], "at": AT + 1},
        {"refused": 1, "reason": "returned: NO_ROUTE"},
        {"at": AT + 2, "got": {"status": "SUCCESS", "result": "ü"}},
        {"again": [1]},
    ]


def test_confirms_that_come_together_are_ranges_whatever_their_order(tmp_path: Path) -> None:
    journal = created(tmp_path)
    for index in (0, 1, 2, 5, 6, 4):
        journal.confirmed(index, AT + index)
    journal.flush()
    journal.confirmed(5, AT)
    journal.close(complete=False)
    assert list(read(journal.path))[1:] == [
        {"confirmed": [0, 3], "at": AT + 4},
        {"confirmed": [4, 7], "at": AT + 4},
        {"confirmed": [5, 6], "at": AT},
    ]


@given(indexes=st.lists(st.integers(0, 9)))
def test_every_confirm_is_noted_once_and_before_what_happens_next(
    indexes: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    journal = created(tmp_path_factory.mktemp("runs"))
    for index in indexes:
        if index == 9:
            journal.note({"again": []})
        else:
            journal.confirmed(index, AT)
    journal.close(complete=False)
    found: list[list[int]] = [[]]
    for record in list(read(journal.path))[1:]:
        if "confirmed" in record:
            found[-1] += range(*record["confirmed"])
        else:
            found.append([])
    together: list[list[int]] = [[]]
    for index in indexes:
        if index == 9:
            together.append([])
        else:
            together[-1].append(index)
    assert found == [sorted(some) for some in together]


@pytest.mark.parametrize("breaks", ["\n", "\r\n", "\r"])
def test_a_state_that_is_written_over_several_lines_is_one_record(tmp_path: Path, breaks: str) -> None:
    journal = created(tmp_path)
    journal.got(f'{{{breaks}"status": "SUCCESS",{breaks} "result": "two\\nlines"{breaks}}}', AT)
    journal.attempted(0, 1)
    journal.close(complete=False)
    assert list(read(journal.path))[1:] == [
        {"at": AT, "got": {"status": "SUCCESS", "result": "two\nlines"}},
        {"attempted": [0, 1]},
    ]


def test_what_was_flushed_outlives_the_process_and_what_was_synced_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    journal = created(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(journal.path.read_bytes()))
    header = journal.path.read_bytes()

    journal.attempted(0, 1)
    journal.confirmed(0, AT)
    assert journal.path.read_bytes() == header
    journal.flush()
    flushed = journal.path.read_bytes()
    assert flushed.splitlines()[1:] == [b'{"attempted":[0,1]}', f'{{"confirmed":[0,1],"at":{AT}}}'.encode()]
    assert synced == []

    journal.sync()
    journal.sync()  # nothing was noted since
    assert synced == [flushed]
    journal.attempted(1, 2)
    journal.sync()
    assert synced[1:] == [flushed + b'{"attempted":[1,2]}\n']


def test_a_complete_run_leaves_no_journal_and_an_unfinished_one_keeps_it(tmp_path: Path) -> None:
    complete, unfinished = created(tmp_path, "r1"), created(tmp_path, "r2")
    unfinished.attempted(0, 1)
    complete.close(complete=True)
    unfinished.close(complete=False)
    assert not complete.path.exists()
    assert list(read(unfinished.path))[-1] == {"attempted": [0, 1]}


def test_a_directory_that_cannot_be_made_is_a_usage_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as caught:
        created(tmp_path / "file" / "runs")
    assert caught.value.exit_code is ExitCode.USAGE
    assert str(caught.value) == (
        f"the run journal {tmp_path}/file/runs/r1.jsonl cannot be written\n"
        "  why: Not a directory\n"
        f"  try: make {tmp_path}/file/runs writable: a run notes its ids there before it publishes them"
    )


def test_a_journal_is_never_written_over(tmp_path: Path) -> None:
    created(tmp_path)
    with pytest.raises(UsageError, match=r"r1\.jsonl cannot be written\n  why: File exists"):
        created(tmp_path)


# --- what is left ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "torn", [b'{"atte', b'{"attempted":[0,1]}', b'{"at":1.0,"got":{"result":"\xc3', b" ", b'{"a":1}' * 30_000]
)
def test_a_line_that_was_cut_off_is_not_read_and_is_gone_once_the_journal_is_taken_over(
    tmp_path: Path, torn: bytes
) -> None:
    path = left(tmp_path, b'{"run":"r1"}\n{"began":1.0}\n' + torn)
    assert list(read(path)) == [{"run": "r1"}, {"began": 1.0}]
    journal = Journal.take_over(path)
    journal.attempted(0, 1)
    journal.close(complete=False)
    first, began, resumed, attempted = read(path)
    assert (first, began, attempted) == ({"run": "r1"}, {"began": 1.0}, {"attempted": [0, 1]})
    assert resumed.keys() == {"resumed"}


def test_a_journal_whose_first_line_was_cut_off_holds_nothing(tmp_path: Path) -> None:
    path = left(tmp_path, '{"run":')
    assert list(read(path)) == []
    Journal.take_over(path).close(complete=False)
    assert path.read_text().startswith('{"resumed":')


def test_a_journal_that_is_whole_is_taken_over_as_it_is(tmp_path: Path) -> None:
    path = left(tmp_path, '{"run":"r1"}\n{"began":1.0}\n')
    Journal.take_over(path).close(complete=False)
    assert list(read(path))[:2] == [{"run": "r1"}, {"began": 1.0}]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"run":"r1"}\n{"began"\n{"attempted":[0,1]}\n', "line 2: Expecting ':' delimiter: line 2 column 1 (char 9)"),
        ('{"began":1.0}\n', "line 1: no record of a run"),
        ("[]\n", "line 1: no record of a run"),
        (b"\xff\n", "line 1: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_what_is_no_journal_is_refused_with_its_line(tmp_path: Path, text: str | bytes, why: str) -> None:
    path = left(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        list(read(path))
    assert str(caught.value) == f"the run journal {path} cannot be read\n  why: {why}"


def test_a_journal_that_is_not_there_is_no_unfinished_run(tmp_path: Path) -> None:
    path = tmp_path / "r1.jsonl"
    for ask in (lambda: list(read(path)), lambda: Journal.take_over(path), lambda: in_use(path)):
        with pytest.raises(UsageError) as caught:
            ask()
        assert str(caught.value) == (
            f"no unfinished run r1\n  why: {path}: No such file or directory\n  try: operate.py runs lists them"
        )


# --- who writes it --------------------------------------------------------------------------------


def test_a_journal_is_written_by_one_process_and_is_free_once_that_is_killed(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pathlib, sys\n"
            "from harness.journal import Journal\n"
            "journal = Journal.create(pathlib.Path(sys.argv[1]), 'r1', {})\n"
            "print('ready', flush=True)\n"
            "sys.stdin.read()\n",
            str(tmp_path),
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
        path = tmp_path / "r1.jsonl"
        before = path.read_bytes()
        assert in_use(path)
        with pytest.raises(UsageError) as caught:
            Journal.take_over(path)
        assert str(caught.value) == "the run r1 is still going on\n  why: another process writes its journal"
        assert path.read_bytes() == before
    finally:
        writer.kill()
        writer.communicate()
    assert not in_use(path)
    journal = Journal.take_over(path)
    assert in_use(path)
    journal.close(complete=False)
    assert not in_use(path)


def test_every_line_of_a_journal_is_json_of_its_own(tmp_path: Path) -> None:
    journal = created(tmp_path, scenario="ü\n")
    journal.refused(0, "two\nlines")
    journal.close(complete=False)
    assert [json.loads(line) for line in journal.path.read_text().splitlines()] == list(read(journal.path))
