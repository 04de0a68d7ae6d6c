"""`faults:` of a scenario: what each can be said to do, and the whole message for every mistake in it."""

from __future__ import annotations

import pytest
from config_files import loaded_scenario, refusal, with_scenario
from hypothesis import given
from hypothesis import strategies as st

from harness.config_faults import FAULT
from harness.errors import ConfigError
from harness.model.fault import Fault, FaultKind

pytestmark = pytest.mark.usefixtures("empty_directory")

VERBS = (
    "close_connections, delete_queue, disconnect, freeze, kill, kill_child, kill_main, malformed, memory_alarm, "
    "pause, restart, scale, stop"
)
KEYS = (
    "try: use one of: after, at, close_connections, delete_queue, disconnect, each, for, freeze, grace, kill, "
    "kill_child, kill_main, malformed, memory_alarm, nodes, pause, restart, scale, stop, times"
)
DURATION = "expected a duration such as 500ms, 30s, 1m30s or 1h, got"
NOT_ZERO = "expected a duration above 0 and of at most 24h, got '0s'"
PERCENT = "expected a percentage from 0% to 99%, got"
WHEN = "expected one of at, after and each\n  try: write at: 1s, after: 50% or each: start"
WORKERS = "try: use one of: worker-a, worker-b"
QUEUES = "try: use one of: queue_a, queue_b, replies"
NO_START = "a start can only kill or stop a worker\n  try: write at: 1s, or after: 50%"


def foreign(key: str, why: str) -> str:
    return f": the key {key!r} does not belong to this fault\n  try: {why}"


def fault(text: str) -> Fault:
    (read,) = loaded_scenario(with_scenario(f"faults: [{text}]")).faults
    return read


def tried(text: str) -> Fault | str:
    """Return the fault, or why there is none."""
    try:
        return fault(text)
    except ConfigError as exc:
        return str(exc)


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("{at: 0s, kill: worker-a}", Fault(kind=FaultKind.KILL, target="worker-a", at_s=0.0)),
        ("{after: 0%, kill: worker-a}", Fault(kind=FaultKind.KILL, target="worker-a", after=0.0)),
        ("{after: 99%, stop: worker-a}", Fault(kind=FaultKind.STOP, target="worker-a", after=0.99)),
        ("{each: start, kill: worker-a}", Fault(kind=FaultKind.KILL, target="worker-a", on_start=True)),
        (
            "{each: start, stop: worker-a, grace: 1s, times: 2, for: 3s, nodes: one}",
            Fault(kind=FaultKind.STOP, target="worker-a", on_start=True, times=2, grace_s=1.0, for_s=3.0),
        ),
        (
            "{at: 1s, kill_main: worker-a, for: 1s}",
            Fault(kind=FaultKind.KILL_MAIN, target="worker-a", at_s=1.0, for_s=1.0),
        ),
        ("{at: 1s, kill: dispatcher}", Fault(kind=FaultKind.KILL, target="dispatcher", at_s=1.0)),
        ("{at: 1s, kill: broker, for: 2s}", Fault(kind=FaultKind.KILL, target="broker", at_s=1.0, for_s=2.0)),
        (
            "{at: 1s, disconnect: worker-b, nodes: all}",
            Fault(kind=FaultKind.DISCONNECT, target="worker-b", at_s=1.0, every_node=True),
        ),
        ("{at: 1s, delete_queue: queue_b}", Fault(kind=FaultKind.DELETE_QUEUE, target="queue_b", at_s=1.0)),
        (
            "{at: 1s, scale: {worker-a: 1000}, for: 1s}",
            Fault(kind=FaultKind.SCALE, target="worker-a", at_s=1.0, count=1000, for_s=1.0),
        ),
    ],
)
def test_a_fault_is_read_as_it_is_written(text: str, read: Fault) -> None:
    assert fault(text) == read


@given(kind=st.sampled_from(sorted(FaultKind)), keys=st.lists(st.sampled_from(sorted(FAULT.known)), unique=True))
def test_whatever_keys_are_put_together_it_is_a_fault_or_a_message_with_its_place(
    kind: FaultKind, keys: list[str]
) -> None:
    said = {"at": "1s", "after": "50%", "each": "start", "for": "1s", "times": "2", "nodes": "all", "grace": "1s"}
    targets = {FaultKind.SCALE: "{worker-a: 2}", FaultKind.MALFORMED: "queue_a", FaultKind.DELETE_QUEUE: "replies"}
    values = {**said, **{one.value: targets.get(one, "broker") for one in FaultKind}}
    text = ", ".join(f"{key}: {values[key]}" for key in dict.fromkeys([kind.value, *keys]))
    read = tried(f"{{{text}}}")
    if isinstance(read, str):
        assert read.startswith("t.yml:5:")
        assert "scenarios.s.faults[0]" in read
    else:
        assert read.kind is kind
        assert sum((read.at_s is not None, read.after is not None, read.on_start)) == 1


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("put", "message"),
    [
        ("[]", "13: s.faults: expected at least one fault"),
        ("{at: 1s, kill: worker-a}", "13: s.faults: expected a list, got a mapping"),
        (
            "[{at: 1s, kill: dispatcher}, {at: 2s, kill: worker-a}]",
            "14: s.faults[0]: a dispatcher that is killed can undo nothing\n"
            "  try: make it the only fault of its scenario",
        ),
        ("[{at: 30s, kill: worker-a}]", "14: s.faults[0]: it is due 30s into the run, which ends after 30s"),
    ],
)
def test_a_wrong_list_of_faults_is_refused_where_it_is(put: str, message: str) -> None:
    column, _, rest = message.partition(": ")
    assert refusal(with_scenario(f"faults: {put}")) == f"t.yml:5:{column}: scenarios.{rest}"


@pytest.mark.parametrize(
    ("put", "at", "message"),
    [
        ("1", "14", ": expected a mapping, got 1"),
        ("{}", "14", f": expected at least one key\n  {KEYS}"),
        ("{at: 1s}", "14", f": expected one thing that goes wrong, got none\n  try: use one of: {VERBS}"),
        ("{at: 1s, kil: worker-a}", "23", f": unknown key 'kil'; did you mean 'kill'?\n  {KEYS}"),
        (
            "{at: 1s, kill: worker-a, stop: worker-b}",
            "14",
            f": expected one thing that goes wrong, got kill and stop\n  try: use one of: {VERBS}",
        ),
        # when
        ("{kill: worker-a}", "14", f": {WHEN}"),
        ("{at: 1s, after: 50%, kill: worker-a}", "14", f": {WHEN}"),
        ("{at: 1s, each: start, kill: worker-a}", "14", f": {WHEN}"),
        ("{at: 1, kill: worker-a}", "19", f".at: {DURATION} 1\n  try: write 1s"),
        ("{at: -1s, kill: worker-a}", "19", f".at: {DURATION} '-1s'"),
        ("{after: 50, kill: worker-a}", "22", f".after: {PERCENT} 50"),
        ("{after: 0.5, kill: worker-a}", "22", f".after: {PERCENT} 0.5"),
        ("{after: 100%, kill: worker-a}", "22", f".after: {PERCENT} '100%'"),
        ("{after: [50%], kill: worker-a}", "22", ".after: expected a percentage such as 50%, got a list"),
        ("{each: end, kill: worker-a}", "21", ".each: unknown event 'end'\n  try: use one of: start"),
        ("{each: start, kill: broker}", "15", f": {NO_START}"),
        ("{each: start, kill: dispatcher}", "15", f": {NO_START}"),
        ("{each: start, pause: worker-a}", "15", f": {NO_START}"),
        # what it is done to
        (
            "{at: 1s, kill: brokr}",
            "29",
            ".kill: no target 'brokr' for this fault; did you mean 'broker'?\n"
            "  try: use one of: broker, dispatcher, worker-a, worker-b",
        ),
        ("{at: 1s, kill: [worker-a]}", "29", ".kill: expected text, got a list"),
        ("{at: 1s, kill: 5}", "29", ".kill: expected text, got 5\n  try: write it in quotes"),
        ("{at: 1s, kill_main: broker}", "34", f".kill_main: no target 'broker' for this fault\n  {WORKERS}"),
        ("{at: 1s, kill_child: broker}", "35", f".kill_child: no target 'broker' for this fault\n  {WORKERS}"),
        ("{at: 1s, stop: broker}", "29", f".stop: no target 'broker' for this fault\n  {WORKERS}"),
        ("{at: 1s, pause: dispatcher}", "30", f".pause: no target 'dispatcher' for this fault\n  {WORKERS}"),
        (
            "{at: 1s, disconnect: broker}",
            "35",
            ".disconnect: no target 'broker' for this fault\n  try: use one of: dispatcher, worker-a, worker-b",
        ),
        *(
            (
                f"{{at: 1s, {verb}: worker-a}}",
                str(25 + len(verb)),
                f".{verb}: no target 'worker-a' for this fault\n  try: use one of: broker",
            )
            for verb in ("restart", "freeze", "close_connections", "memory_alarm")
        ),
        (
            "{at: 1s, delete_queue: queue_c}",
            "37",
            f".delete_queue: no queue 'queue_c' for this fault; did you mean 'queue_b'?\n  {QUEUES}",
        ),
        ("{at: 1s, delete_queue: worker-a}", "37", f".delete_queue: no queue 'worker-a' for this fault\n  {QUEUES}"),
        (
            "{at: 1s, delete_queue: ''}",
            "37",
            ".delete_queue: expected the name of a queue, got ''\n"
            "  try: use letters, digits, '_', '.' and '-' (':' and '/' too), at most 200 of them",
        ),
        (
            "{at: 1s, malformed: replies}",
            "34",
            ".malformed: no queue 'replies' for this fault\n  try: use one of: queue_a, queue_b",
        ),
        ("{at: 1s, scale: worker-a}", "30", ".scale: expected a mapping, got 'worker-a'"),
        ("{at: 1s, scale: {}}", "30", ".scale: expected at least one worker"),
        (
            "{at: 1s, scale: {worker-a: 1, worker-b: 1}}",
            "30",
            ".scale: expected one service and its number of nodes\n  try: write {worker-a: 1}",
        ),
        (
            "{at: 1s, scale: {worker-c: 1}}",
            "31",
            f".scale: no worker 'worker-c' in workers; did you mean 'worker-b'?\n  {WORKERS}",
        ),
        (
            "{at: 1s, scale: {worker-a: 0}}",
            "41",
            ".scale.worker-a: expected a whole number of at least 1, got 0",
        ),
        (
            "{at: 1s, scale: {worker-a: 1001}}",
            "41",
            ".scale.worker-a: expected a whole number of at most 1000, got 1001",
        ),
        # what goes with it
        (
            "{at: 1s, kill: worker-a, nodes: both}",
            "46",
            ".nodes: unknown choice of nodes 'both'\n  try: use one of: all, one",
        ),
        ("{at: 1s, kill: broker, nodes: all}", "37", foreign("nodes", "it is for a fault of a worker")),
        ("{at: 1s, scale: {worker-a: 1}, nodes: all}", "45", foreign("nodes", "it is for a fault of a worker")),
        ("{at: 1s, kill: worker-a, grace: 1s}", "39", foreign("grace", "it is for stop")),
        ("{at: 1s, stop: worker-a, grace: 0s}", "46", f".grace: {NOT_ZERO}"),
        ("{at: 1s, kill: worker-a, times: 2}", "39", foreign("times", "it goes with each: start")),
        (
            "{each: start, kill: worker-a, times: 0}",
            "51",
            ".times: expected a whole number of at least 1, got 0",
        ),
        ("{at: 1s, pause: worker-a, for: 0s}", "45", f".for: {NOT_ZERO}"),
        *(
            (
                f"{{at: 1s, {does}, for: 1s}}",
                str(25 + len(does)),
                foreign("for", "leave it out: it is not undone before the run ends"),
            )
            for does in (
                "kill: dispatcher",
                "kill_child: worker-a",
                "close_connections: broker",
                "delete_queue: queue_a",
                "malformed: queue_a",
            )
        ),
    ],
)
def test_a_wrong_fault_is_refused_where_it_is(put: str, at: str, message: str) -> None:
    assert refusal(with_scenario(f"faults: [{put}]")) == f"t.yml:5:{at}: scenarios.s.faults[0]{message}"


# --- what it means --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{at: 1s, kill: worker-a}", "kill worker-a at 1s"),
        ("{at: 500ms, kill_child: worker-a}", "kill child worker-a at 0.5s"),
        ("{after: 50%, pause: worker-a, for: 1m}", "pause worker-a after 50% for 60s"),
        ("{after: 0%, memory_alarm: broker, for: 1s}", "memory alarm broker after 0% for 1s"),
        ("{at: 2s, scale: {worker-a: 1}}", "scale worker-a to 1 at 2s"),
        (
            "{each: start, kill: worker-a, times: 3}",
            "kill worker-a each time a task starts there, at most 3 times",
        ),
    ],
)
def test_a_fault_says_what_it_does_and_when(text: str, words: str) -> None:
    assert fault(text).words == words


@pytest.mark.parametrize(
    ("text", "touches"),
    [
        *((f"{{at: 1s, {verb}: broker}}", True) for verb in ("kill", "restart", "freeze", "close_connections")),
        ("{at: 1s, memory_alarm: broker}", True),
        ("{at: 1s, delete_queue: queue_a}", True),
        ("{at: 1s, delete_queue: replies}", False),
        ("{at: 1s, kill: worker-a}", False),
        ("{at: 1s, kill: dispatcher}", False),
        ("{at: 1s, disconnect: dispatcher}", False),
        ("{at: 1s, malformed: queue_a}", False),
    ],
)
def test_what_reaches_beyond_the_runs_own_touches_the_broker(text: str, touches: bool) -> None:
    assert fault(text).touches_broker is touches
