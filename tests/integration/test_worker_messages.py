"""Malformed messages: each ends in the dead letters, none ends the worker, costs it a slot or vanishes."""

from __future__ import annotations

import json
import pickle
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from amqp import Message
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import Workers, eventually
from tests.integration.caller import Caller, both_slots_work


@pytest.fixture(scope="module")
def caller(deployment: Workers) -> Iterator[Caller]:
    made = Caller(deployment)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _the_worker_goes_on(deployment: Workers, caller: Caller) -> Iterator[None]:
    """Whatever a test sends: afterwards it is the same process, with the same connection, and executes tasks."""
    yield
    process, _ = deployment._processes
    assert process.poll() is None
    assert caller.final(caller.send())["status"] == "SUCCESS"
    assert "Connection to broker lost" not in deployment.log("worker-a")


BODIES = {
    "garbage": b"{nope",
    "bad UTF-8": b'["\xff\xfe", {}, {}]',
    "nothing": b"",
    "null": b"null",
    "a number": b"1",
    "a string": b'"args"',
    "a list of one": b"[1]",
    "a list of two": b"[[], {}]",
    "a list of four": b"[[], {}, {}, {}]",
    "a list that holds the word args": b'["args", {}, {}]',
    "a mapping without arguments": b'{"a": 1, "b": 2, "c": 3}',
    "args a number": b"[1, {}, {}]",
    "args null": b"[null, {}, {}]",
    "args a mapping": b"[{}, {}, {}]",
    "kwargs a number": b"[[], 1, {}]",
    "kwargs null": b"[[], null, {}]",
    "kwargs a list": b"[[], [], {}]",
    "embed a number": b"[[], {}, 1]",
    "embed a string": b'[[], {}, "abc"]',
    "embed with the reply queue": b'[[], {}, {"reply_to": "elsewhere"}]',
    "embed with the queue's evidence": b'[[], {}, {"consumed_queue": "queue_b"}]',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_task_is_dead_lettered(caller: Caller, body: bytes) -> None:
    task_id = caller.send(body=body)
    (letter,) = caller.dead_letters("queue_a", 1)
    assert (letter.headers["id"], letter.body or b"") == (task_id, body)
    assert letter.headers["x-death"][0]["reason"] == "rejected"
    assert caller.states(task_id) == []


HEADERS = {
    "id empty": {"id": ""},
    "id null": {"id": None},
    "id a number": {"id": 5},
    "id a list": {"id": ["a"]},
    "task empty": {"task": ""},
    "task null": {"task": None},
    "task a number": {"task": 5},
    "task a list": {"task": ["task_a"]},
    "task a mapping": {"task": {"a": 1}},
    "retries a word": {"retries": "x"},
    "retries negative": {"retries": -1},
    "retries a fraction": {"retries": 1.5},
    "timelimit a number": {"timelimit": 5},
    "timelimit a word": {"timelimit": "ab"},
    "timelimit of words": {"timelimit": ["a", "b"]},
    "timelimit negative": {"timelimit": [-1, None]},
    "timelimit of three": {"timelimit": [1, 1, 1]},
    "eta a word": {"eta": "soon"},
    "eta a number": {"eta": 5},
    "eta after RabbitMQ has taken it back": {"eta": "2999-01-01T00:00:00+00:00"},
    "expires a word": {"expires": "never"},
    "stamped_headers a number": {"stamped_headers": 5},
    "stamps a list": {"stamped_headers": ["a"], "stamps": [1]},
    "compression that it has not": {"compression": "application/x-gzip"},
    "compression unknown": {"compression": [1]},
    "a header that would replace a method": {"get": 5},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_a_header_that_is_wrong_is_dead_lettered(caller: Caller, headers: dict[str, Any]) -> None:
    for _ in range(3):  # one more than the node has slots
        caller.send(headers=headers)
    caller.dead_letters("queue_a", 3)


@pytest.mark.parametrize("name", ["id", "task"])
def test_a_message_without_its_name_is_dead_lettered(caller: Caller, name: str) -> None:
    caller.send(omit=name)
    caller.dead_letters("queue_a", 1)


@pytest.mark.parametrize("headers", [None, {}])
def test_a_message_without_headers_is_dead_lettered(caller: Caller, headers: dict[str, Any] | None) -> None:
    caller.publish(b"[[], {}, {}]", headers, queue="queue_a")
    caller.dead_letters("queue_a", 1)


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        (pickle.dumps(([], {}, {})), {"content_type": "application/x-python-serialize", "content_encoding": "binary"}),
        (b"[[], {}, {}]", {"content_type": "application/x-yaml"}),
        (b"[[], {}, {}]", {"content_type": "application/nonsense"}),
        (b"[[], {}, {}]", {"content_type": None, "content_encoding": None}),
        (b"abc", {"content_type": "text/plain"}),
    ],
    ids=["pickle", "YAML", "nonsense", "none", "text"],
)
def test_another_content_type_than_json_is_dead_lettered(
    caller: Caller, body: bytes, properties: dict[str, Any]
) -> None:
    task_id = caller.send(body=body, properties=properties)
    (letter,) = caller.dead_letters("queue_a", 1)
    assert letter.body == body
    assert caller.states(task_id) == []


class _Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def test_a_pickle_is_dead_lettered_as_it_came_and_never_loaded(caller: Caller, tmp_path: Path) -> None:
    body = pickle.dumps(([_Bomb(tmp_path / "loaded")], {}, {}))
    caller.send(body=body, properties={"content_type": "application/x-python-serialize", "content_encoding": "binary"})

    (letter,) = caller.dead_letters("queue_a", 1)

    assert letter.body == body
    assert not (tmp_path / "loaded").exists()
    pickle.loads(body)  # which would have made it
    assert (tmp_path / "loaded").exists()


def test_a_refusal_is_logged_with_its_reason(deployment: Workers, caller: Caller) -> None:
    task_id = caller.send(headers={"timelimit": 5, "run_id": "run-7"})
    caller.dead_letters("queue_a", 1)
    (line,) = [record for record in deployment.records("worker-a") if record.get("task_id") == task_id]
    assert line["message"] == "malformed message, rejected to the dead letters"
    assert line["reason"] == "Malformed: timelimit is missing, of the wrong type or out of range"
    assert (line["task"], line["queue"], line["attempt"], line["run_id"]) == ("task_a", "queue_a", 1, "run-7")


@pytest.mark.parametrize("content_type", ["application/json", "application/x-python-serialize"])
def test_a_remote_control_command_that_cannot_be_decoded_disturbs_no_task(
    deployment: Workers, caller: Caller, content_type: str
) -> None:
    task_id = caller.send(work_s=1)
    caller.until(task_id, "STARTED")
    said = "undecodable remote control command, dropped"
    before = deployment.log("worker-a").count(said)
    caller.channel.basic_publish(Message(b"{nope", content_type=content_type), exchange="celery.pidbox")
    eventually(lambda: deployment.log("worker-a").count(said) > before, "the log says so")

    assert caller.final(task_id)["evidence"]["redelivered"] is False
    assert caller.states(task_id) == ["STARTED", "SUCCESS"]
    assert deployment.app.control.ping(timeout=2, limit=2)


# --- what is unusual, and well-formed -----------------------------------------------------------------


@pytest.mark.parametrize("task_args", [{"args": []}, {}], ids=["with args", "without"])
def test_protocol_1_runs_and_is_guarded(caller: Caller, task_args: dict[str, Any]) -> None:
    def send(task: str, task_id: str) -> None:
        body = {"task": task, "id": task_id, "kwargs": {"work_s": 0}, **task_args}
        caller.publish(json.dumps(body).encode(), None, queue="queue_a", reply_to=caller.reply_queue)

    suffix = len(task_args)
    send("task_a", f"right-{suffix}")
    assert caller.final(f"right-{suffix}")["evidence"]["queue_evidence"] == "consumer"
    send("task_b", f"wrong-{suffix}")
    assert caller.final(f"wrong-{suffix}")["result"]["exc_type"] == "WrongQueue"
    caller.dead_letters("queue_a", 1)
    assert caller.states(f"wrong-{suffix}") == ["FAILURE"]


def test_protocol_1_without_an_id_is_dead_lettered(caller: Caller) -> None:
    caller.publish(b'{"task": "task_a", "args": [], "kwargs": {}}', None, queue="queue_a")
    caller.dead_letters("queue_a", 1)


def test_a_compressed_body_runs(caller: Caller) -> None:
    body = zlib.compress(b'[[], {"work_s": 0}, null]')
    assert caller.final(caller.send(body=body, headers={"compression": "application/x-gzip"}))["status"] == "SUCCESS"


def test_a_task_that_expired_on_its_way_is_not_run_and_is_said_to_be_revoked(caller: Caller) -> None:
    # told, so not dead-lettered: one final state. What expires in its queue is dead-lettered by RabbitMQ
    task_id = caller.send(headers={"expires": "2001-01-01T00:00:00+00:00"})
    assert caller.final(task_id)["result"]["exc_message"] == ["expired"]
    caller.dead_letters("queue_a", 0)
    assert caller.states(task_id) == ["REVOKED"]


def test_arguments_that_the_task_does_not_take_are_its_failure(caller: Caller) -> None:
    task_id = caller.send(wrok_s=1)
    assert caller.final(task_id)["result"]["exc_type"] == "TypeError"
    (letter,) = caller.dead_letters("queue_a", 1)
    assert letter.headers["id"] == task_id
    assert caller.states(task_id) == ["FAILURE"]


# --- fifty at once ------------------------------------------------------------------------------------

_simple = st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=5)
_values = _simple | st.lists(_simple, max_size=3) | st.dictionaries(st.text(max_size=5), _simple, max_size=2)
_not_a_name = _values.filter(lambda value: not isinstance(value, str) or not value)
_not_a_list = _values.filter(lambda value: not isinstance(value, list))
_not_a_mapping = _values.filter(lambda value: not isinstance(value, dict))
_not_a_count = _values.filter(lambda value: value is not None and (isinstance(value, bool) or not _at_least_0(value)))
_not_limits = _values.filter(lambda value: value is not None and value != [None, None])
_no_task = _values.filter(lambda value: not (isinstance(value, list) and len(value) == 3))


def _at_least_0(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


_malformed = st.one_of(
    st.binary(max_size=50).map(lambda junk: {"body": b"\xff" + junk}),
    _no_task.map(lambda value: {"body": _json(value)}),
    _not_a_list.map(lambda value: {"body": _json([value, {}, {}])}),
    _not_a_mapping.map(lambda value: {"body": _json([[], value, {}])}),
    _not_a_mapping.filter(lambda value: value is not None).map(lambda value: {"body": _json([[], {}, value])}),
    _not_a_name.map(lambda value: {"headers": {"id": value}}),
    _not_a_name.map(lambda value: {"headers": {"task": value}}),
    _not_a_count.map(lambda value: {"headers": {"retries": value}}),
    _not_limits.map(lambda value: {"headers": {"timelimit": value}}),
    _not_a_name.filter(lambda value: value is not None).map(lambda value: {"headers": {"eta": value}}),
    _not_a_name.filter(lambda value: value is not None).map(lambda value: {"headers": {"expires": value}}),
)


@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(batch=st.lists(_malformed, min_size=50, max_size=50))
def test_fifty_at_once_are_fifty_dead_letters(deployment: Workers, caller: Caller, batch: list[Any]) -> None:
    for message in batch:
        caller.send(**message, queue="queue_a", properties={"reply_to": None})
    caller.dead_letters("queue_a", 50)
    eventually(lambda: both_slots_work(caller), "two tasks at a time")


def test_after_all_of_it_nothing_is_left_on_the_way_and_no_slot_is_lost(caller: Caller) -> None:
    eventually(lambda: both_slots_work(caller), "two tasks at a time")
    eventually(lambda: caller.ready("queue_a") == 0, "an empty queue")
    caller.dead_letters("queue_a", 0)
