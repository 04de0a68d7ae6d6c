"""The edge to the reader, on real terminals, pipes, files and processes."""

import io
import json
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import ConfigError, ExitCode, UsageError
from harness.model.ledger import LedgerCounts, State
from harness.model.metrics import Metrics
from harness.model.outcome import Outcome
from harness.model.report import Check, Report
from harness.model.scenario import Scenario
from harness.model.topology import Roster
from harness.output import Console, ProgressLine, ResultsFile, Terminal, print_error
from harness.render.console import rich_dispatching

ROOT = Path(__file__).resolve().parents[2]
AT = 1758137336.0
OUTCOME = Outcome(
    task_id="id",
    index=0,
    task="task_a",
    declared_queue="queue_a",
    state=State.SUCCEEDED,
    published_at=AT,
    result={"message": "Hellö"},
)
REPORT = Report(
    run_id="r1",
    scenario=Scenario(name="basic", description="Basic", workers=(), tasks=()),
    started_at=AT,
    broker="amqp://localhost//",
    embedded=False,
    roster=Roster(),
    outcomes=(OUTCOME,),
    outcome_count=1,
    ledger=LedgerCounts(attempted=1, acknowledged=1, succeeded=1),
    metrics=Metrics(),
    checks=(Check(name="every task succeeded", passed=True, evidence="1 of 1"),),
)


@pytest.fixture
def tty():
    """A text stream on a real terminal, and a function that returns what was written to it."""
    ours, theirs = os.openpty()
    stream = os.fdopen(theirs, "w", encoding="utf-8")

    def written():
        stream.write(END)  # a terminal hands text on piece by piece, a moment later
        stream.flush()
        text = b""
        while not text.endswith(END.encode()):
            text += os.read(ours, 100_000)
        return text.decode().removesuffix(END)

    yield stream, written
    stream.close()
    os.close(ours)


@pytest.fixture
def pipe():
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        yield stream
    os.close(ours)


#: Marks where a test stops reading from a terminal.
END = "\x04"


class Clock:
    """Seconds that a test moves by hand."""

    now_s = 100.0

    def __call__(self):
        return self.now_s


def run_python(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=30, **options
    )


# --- colour ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "environ", "on_terminal", "in_pipe"),
    [
        ("auto", {}, True, False),
        ("auto", {"TERM": "dumb"}, False, False),
        ("auto", {"FORCE_COLOR": "1"}, True, True),
        ("auto", {"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ("auto", {"FORCE_COLOR": "0"}, True, False),
        ("auto", {"FORCE_COLOR": ""}, True, False),
        ("auto", {"NO_COLOR": "1"}, False, False),
        ("auto", {"NO_COLOR": ""}, True, False),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ("always", {"NO_COLOR": "1", "TERM": "dumb"}, True, True),
        ("never", {"FORCE_COLOR": "1"}, False, False),
    ],
)
def test_colour_is_the_flag_then_no_color_then_force_color_then_the_terminal(
    tty, pipe, flag, environ, on_terminal, in_pipe
):
    stream, _ = tty
    assert Terminal.detect(flag, stream, environ).color is on_terminal
    assert Terminal.detect(flag, pipe, environ).color is in_pipe
    assert bool(Terminal.detect(flag, stream, environ).style.good) is on_terminal


@pytest.mark.parametrize(
    ("encoding", "signs"), [("utf-8", True), ("utf-16", True), ("ascii", False), ("latin-1", False), ("cp437", False)]
)
def test_signs_are_used_only_where_the_stream_can_encode_them(encoding, signs):
    terminal = Terminal.detect("auto", io.TextIOWrapper(io.BytesIO(), encoding=encoding), {})
    assert terminal.signs is signs
    rich_dispatching(terminal.style).encode(encoding)


def test_a_line_is_drawn_again_only_on_a_terminal_that_can(tty, pipe):
    stream, _ = tty
    assert Terminal.detect("never", stream, {}).live
    assert not Terminal.detect("always", stream, {"TERM": "dumb"}).live
    assert not Terminal.detect("always", pipe, {}).live


def test_a_missing_or_closed_stream_shows_nothing():
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        terminal = Terminal.detect("auto", stream, {})
        assert (terminal.color, terminal.live, terminal.width) == (False, False, 80)


# --- console --------------------------------------------------------------------------------------


def test_results_go_to_stdout_and_notes_to_stderr():
    out, err = io.StringIO(), io.StringIO()
    console = Console(out, err)
    console.write("result\n")
    console.note("note")
    assert (out.getvalue(), err.getvalue()) == ("result\n", "note\n")


def test_quiet_prints_only_what_is_always_printed():
    out, err = io.StringIO(), io.StringIO()
    console = Console(out, err, quiet=True)
    console.write("timeline\n")
    console.write("failed\n", always=True)
    console.note("note")
    assert (out.getvalue(), err.getvalue()) == ("failed\n", "")


@pytest.mark.parametrize(("encoding", "expected"), [("ascii", b"\\U0001f680 \\xfc"), ("latin-1", b"\\U0001f680 \xfc")])
def test_text_that_the_stream_cannot_encode_is_spelt_out(encoding, expected):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    Console(stream, None).write("🚀 ü")
    assert raw.getvalue() == expected


def test_a_lone_surrogate_does_not_stop_the_output():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8")
    Console(stream, None).write("a\ud800b")
    assert raw.getvalue() == b"a\\ud800b"


READER_GONE = """
import sys
from harness.output import Console
console = Console(sys.stdout, sys.stderr)
for number in range(20000):
    console.write(f"line {number}\\n")
console.note("the run went on")
raise SystemExit(7)
"""


def test_a_reader_that_goes_away_leaves_the_run_its_own_exit_code_and_no_traceback():
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", READER_GONE], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    os.read(reading, 10)
    os.close(reading)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (7, "the run went on\n")


def test_a_process_without_stdout_and_stderr_goes_on():
    code = f"import os; os.close(1); os.close(2)\n{READER_GONE}"
    result = run_python(f"import subprocess, sys\nraise SystemExit(subprocess.call([sys.executable, '-c', {code!r}]))")
    assert result.returncode == 7
    result = run_python("import sys; sys.stdout = sys.stderr = None\n" + READER_GONE)
    assert result.returncode == 7


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_output_that_cannot_be_written_is_said_once_and_the_run_goes_on():
    with open("/dev/full", "w") as full:
        result = run_python(READER_GONE, stdout=full)
    assert result.stderr == (
        "warning: standard output: No space left on device; the rest is not shown\nthe run went on\n"
    )
    assert result.returncode == 7


# --- progress -------------------------------------------------------------------------------------


def test_on_a_terminal_one_line_is_drawn_again_at_most_ten_times_a_second_and_cleared(tty):
    stream, written = tty
    clock = Clock()
    line = ProgressLine(stream, clock=clock, live=True)
    line.show("10 of 100")
    line.show("11 of 100")
    clock.now_s += 0.05
    assert not line.due
    line.show("12 of 100")
    assert written() == "\r10 of 100"
    clock.now_s += 0.06
    line.show("done")
    assert written() == "\rdone     "
    line.clear()
    line.clear()
    assert written() == "\r    \r"


def test_a_line_that_shrinks_twice_leaves_nothing_behind(tty):
    stream, written = tty
    clock = Clock()
    line = ProgressLine(stream, clock=clock, live=True)
    for text in ("aaaaaa", "bbb", "c"):
        line.show(text)
        clock.now_s += 1
    line.clear()
    screen = [" "] * 10
    column = 0
    for character in written():
        column = 0 if character == "\r" else column + 1
        if character != "\r":
            screen[column - 1] = character
    assert "".join(screen).strip() == ""
    assert column == 0


def test_in_a_pipe_progress_is_a_plain_line_every_five_seconds():
    stream, clock = io.StringIO(), Clock()
    line = ProgressLine(stream, clock=clock, live=False)
    for done in range(100):
        line.show(f"{done} of 100")
        clock.now_s += 0.125
    line.clear()
    assert stream.getvalue() == "40 of 100\n80 of 100\n"


def test_the_console_takes_the_progress_line_away_before_it_prints(tty):
    stream, written = tty
    line = ProgressLine(stream, clock=Clock(), live=True)
    console = Console(stream, stream, progress=line)
    line.show("half")
    console.write("result\n")
    assert written() == "\rhalf\r    \rresult\r\n"


def test_progress_to_a_reader_that_went_away_does_not_stop_the_run():
    reading, writing = os.pipe()
    os.close(reading)
    line = ProgressLine(os.fdopen(writing, "w"), clock=Clock(), live=True)
    line.show("half")
    line.clear()


# --- errors and logs ------------------------------------------------------------------------------


def test_an_error_is_three_lines():
    err = io.StringIO()
    print_error(ConfigError("x.yml:1:2: bad", why="because", fix="python dispatch.py --list"), err)
    assert err.getvalue() == "error: x.yml:1:2: bad\n  why: because\n  try: python dispatch.py --list\n"


def test_an_error_shows_the_control_characters_of_what_it_quotes():
    err = io.StringIO()
    print_error(ConfigError("bad \x1b[2J"), err)
    assert err.getvalue() == "error: bad \\x1b[2J\n"


def test_logs_are_json_lines_on_stderr_from_warning_up():
    result = run_python(
        "import logging, sys\n"
        "from harness.output import configure_logging\n"
        "configure_logging()\n"
        "log = logging.getLogger('harness.x')\n"
        "log.info('unseen')\n"
        "assert 'pythonjsonlogger' not in sys.modules\n"
        "log.warning('two\\nlines', extra={'task_id': 'id-1'})\n",
        stdout=subprocess.PIPE,
    )
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    record = json.loads(line)
    assert record.pop("time")
    assert record == {"level": "WARNING", "logger": "harness.x", "message": "two\nlines", "task_id": "id-1"}


def test_what_is_rarely_needed_is_not_imported_at_the_start():
    result = run_python(
        "import sys, harness.output, harness.render.console\n"
        "late = {'colorama', 'pythonjsonlogger', 'celery', 'kombu', 'yaml', 'logging.config', 'shutil', 'asyncio'}\n"
        "assert not late & set(sys.modules), late & set(sys.modules)\n"
    )
    assert (result.returncode, result.stderr) == (0, "")


# --- results file ---------------------------------------------------------------------------------


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def default_name(monkeypatch):
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield "dispatch_results_20250917_212856.json"
    monkeypatch.undo()
    time.tzset()


def test_what_a_killed_run_left_is_removed_where_it_is_empty_old_and_nobody_s(tmp_path):
    def left(name, text="", age_s=3600.0):
        path = tmp_path / f"dispatch_results_1.json.{name}.part"
        path.write_text(text)
        os.utime(path, (time.time() - age_s,) * 2)
        return path.name

    left("00000000")
    kept = [left("11111111", text="outcomes"), left("22222222", age_s=1.0), left("of-a-user")]
    running = ResultsFile.reserve(tmp_path / "running.json", AT)
    (part,) = (name for name in names(tmp_path) if name.startswith("running"))
    os.utime(tmp_path / part, (1.0, 1.0))
    ResultsFile.reserve(tmp_path / "next.json", AT).discard()
    assert names(tmp_path) == sorted([*kept, part])
    running.discard()


def test_the_default_name_has_the_local_time_and_only_the_results_are_left(tmp_path, default_name):
    file = ResultsFile.reserve(None, AT, tmp_path)
    assert file.wanted.name == default_name
    assert [name.endswith(".part") for name in names(tmp_path)] == [True]
    path = file.finish(REPORT)
    assert path == tmp_path / default_name
    assert names(tmp_path) == [default_name]
    found = json.loads(path.read_text(encoding="utf-8"))
    assert (found["verdict"], found["outcomes"][0]["result"]) == ("passed", {"message": "Hellö"})


def test_a_run_that_published_nothing_leaves_no_file(tmp_path):
    file = ResultsFile.reserve(None, AT, tmp_path)
    file.discard()
    file.discard()
    assert names(tmp_path) == []


def test_runs_of_the_same_second_get_names_of_their_own(tmp_path, default_name):
    stem = default_name.removesuffix(".json")
    files = [ResultsFile.reserve(None, AT, tmp_path) for _ in range(3)]
    paths = [file.finish(REPORT).name for file in files]
    assert paths == [f"{stem}.json", f"{stem}_2.json", f"{stem}_3.json"]
    assert ResultsFile.reserve(None, AT, tmp_path).wanted.name == f"{stem}_4.json"


def test_many_runs_that_finish_at_once_all_keep_their_results(tmp_path):
    start = threading.Barrier(16)
    paths = []

    def one(number):
        file = ResultsFile.reserve(None, AT, tmp_path)
        start.wait()
        paths.append((number, file.finish(replace(REPORT, run_id=str(number)))))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(tmp_path)) == 16
    assert all(json.loads(path.read_text())["run_id"] == str(number) for number, path in paths)


def test_a_file_that_exists_is_refused_before_anything_is_published(tmp_path):
    old = tmp_path / "out.json"
    old.write_text("precious")
    with pytest.raises(UsageError) as caught:
        ResultsFile.reserve(old, AT)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.fix == f"give another name: -o {tmp_path / 'out_2.json'}"
    assert names(tmp_path) == ["out.json"]


def test_a_file_that_appears_during_the_run_is_not_overwritten_and_the_results_are_kept(tmp_path):
    wanted = tmp_path / "out.json"
    file = ResultsFile.reserve(wanted, AT)
    wanted.write_text("precious")
    assert file.finish(REPORT) == tmp_path / "out_2.json"
    assert wanted.read_text() == "precious"
    assert names(tmp_path) == ["out.json", "out_2.json"]


def test_a_link_to_nowhere_is_not_written_through(tmp_path):
    (tmp_path / "out.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(UsageError, match="exists already"):
        ResultsFile.reserve(tmp_path / "out.json", AT)


def test_paths_that_cannot_be_written_are_told_before_anything_is_published(tmp_path):
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path, "is a directory"),
        ("/", "is a directory"),
        ("", "is a directory"),
        (tmp_path / "none" / "out.json", "there is no directory"),
        (tmp_path / "file" / "out.json", "could not be written there"),
        (tmp_path / ("x" * 300), "could not be written there"),
    ):
        with pytest.raises(UsageError, match=said) as caught:
            ResultsFile.reserve(path, AT)
        assert caught.value.fix
    with pytest.raises(UsageError, match="there is no directory"):
        ResultsFile.reserve(None, AT, tmp_path / "none")
    assert names(tmp_path) == ["file"]


def test_a_directory_without_permission_is_told(tmp_path):
    tmp_path.chmod(0o500)
    we = os.geteuid()
    try:
        if we == 0:  # root may write anywhere: be nobody for a moment
            os.seteuid(65534)
        with pytest.raises(UsageError, match="could not be written there") as caught:
            ResultsFile.reserve(None, AT, tmp_path)
    finally:
        os.seteuid(we)
    assert caught.value.why == "Permission denied"


def test_outcomes_beyond_those_held_are_streamed_into_one_document_in_constant_memory(tmp_path):
    count = 5_000
    file = ResultsFile.reserve(tmp_path / "out.json", AT)
    tracemalloc.start()
    for index in range(1, count):
        file.add(replace(OUTCOME, index=index, task_id=f"id-{index}"))
    path = file.finish(replace(REPORT, outcome_count=count))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 2_000_000
    assert peak_bytes < 500_000
    found = json.loads(path.read_text(encoding="utf-8"))
    assert [record["index"] for record in found["outcomes"]] == list(range(count))
    assert file.streamed == count - 1
    assert names(tmp_path) == ["out.json"]


def test_the_document_can_be_shown_whole_after_it_is_written(tmp_path):
    file = ResultsFile.reserve(tmp_path / "out.json", AT)
    for index in range(1, 500):
        file.add(replace(OUTCOME, index=index))
    path = file.finish(REPORT)
    out = io.StringIO()
    Console(out, None, quiet=True).write_file(path)
    assert out.getvalue() == path.read_text(encoding="utf-8")


def test_a_new_file_has_the_permissions_that_the_user_wants_for_files(tmp_path):
    (tmp_path / "usual").touch()
    path = ResultsFile.reserve(tmp_path / "out.json", AT).finish(REPORT)
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_file_system_without_links_is_written_to_as_safely(tmp_path, monkeypatch):
    def no_links(*_args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    first = ResultsFile.reserve(None, AT, tmp_path)
    second = ResultsFile.reserve(None, AT, tmp_path)
    paths = [first.finish(REPORT), second.finish(REPORT)]
    assert names(tmp_path) == sorted(path.name for path in paths)
    assert all(json.loads(path.read_text())["outcome_count"] == 1 for path in paths)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
sys.path.insert(0, {here!r})
from test_output import AT, OUTCOME, REPORT
from harness.errors import UsageError
from harness.output import ResultsFile, print_error
file = ResultsFile.reserve({path!r}, AT)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
for _ in range({streamed}):
    file.add(OUTCOME)
try:
    file.finish(REPORT)
except UsageError as exc:
    print_error(exc)
    raise SystemExit(exc.exit_code)
"""


@pytest.mark.parametrize(
    ("streamed", "limit", "left"),
    [
        pytest.param(0, 100, 0, id="nothing streamed"),
        pytest.param(1000, 10_000, 1, id="no room for what is streamed"),
        pytest.param(100, 50_500, 1, id="room for what is streamed, not for the document"),
    ],
)
def test_a_disk_that_fills_up_during_the_run_is_told_without_a_traceback(tmp_path, streamed, limit, left):
    path = str(tmp_path / "out.json")
    here = str(Path(__file__).parent)
    code = FULL_DISK.format(root=str(ROOT), here=here, path=path, streamed=streamed, limit=limit)
    result = run_python(code)
    assert result.returncode == 2, result.stderr
    assert result.stderr.splitlines()[1:] == [
        "  why: File too large",
        "  try: free some space or use another directory (-o), then run again",
    ]
    assert len(names(tmp_path)) == left
    assert all(name.endswith(".part") and name in result.stderr for name in names(tmp_path))
