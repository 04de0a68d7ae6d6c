"""What a dead letter says of itself, and what is sent back of it, without a broker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from amqp import Message

from harness.dead_letters import listed, read
from harness.redrive import again

NOW = datetime(2025, 9, 17, 12, 0, tzinfo=UTC)


def message(body: bytes = b"[]", properties: dict[str, Any] | None = None, **headers: Any) -> Message:
    return Message(body, application_headers=headers, **(properties or {}))


@pytest.mark.parametrize(
    ("expires", "kept"),
    [
        ("2025-09-17T11:59:59+00:00", False),
        ("2025-09-17T13:59:59+02:00", False),
        ("2025-09-17T11:59:59Z", False),
        ("2025-09-17T11:59:59.123456", False),  # Celery's own, where the app's time zone is UTC
        ("2025-09-17T12:00:01+00:00", True),
        ("soon", True),  # the worker's to refuse
        (17, True),
        (None, True),
    ],
)
def test_an_expiry_that_has_passed_is_taken_off(expires: object, kept: bool) -> None:
    sent = again(message(id="a", expires=expires), NOW).headers
    assert sent == {"id": "a", "expires": expires if kept else None}


def test_a_message_without_headers_is_sent_without() -> None:
    sent = again(Message(b"\xff", content_type="x"), NOW)
    assert (sent.body, sent.properties) == (b"\xff", {"application_headers": {}, "content_type": "x"})


@pytest.mark.parametrize("deaths", [None, [], "rejected", 7, [7], {"queue": "q"}, [{"count": "many", "time": 3}]])
def test_deaths_that_somebody_made_up_do_no_harm(deaths: object) -> None:
    seen = listed("q.dead", message(**{"x-death": deaths}))
    assert (seen.letter.came_from, seen.letter.times, seen.first_at, seen.last_at) == ("", 1, None, None)


def test_the_times_are_those_of_the_queue_it_came_from() -> None:
    def death(queue: str, reason: str, minute: int) -> dict[str, Any]:
        return {"queue": queue, "reason": reason, "count": 2, "time": datetime(2025, 9, 17, 11, minute)}

    deaths = [death("q", "rejected", 7), death("celery_delayed_1", "expired", 1), death("q", "expired", 5)]
    seen = listed("q.dead", message(id="a", task="t", **{"x-death": deaths}))
    assert (seen.letter.came_from, seen.letter.reason, seen.letter.times) == ("q", "rejected", 2)
    assert seen.first_at == datetime(2025, 9, 17, 11, 5, tzinfo=UTC).timestamp()
    assert seen.last_at == datetime(2025, 9, 17, 11, 7, tzinfo=UTC).timestamp()


def test_an_id_is_the_tasks_or_else_the_correlation_id() -> None:
    assert read("q.dead", message(id="a", properties={"correlation_id": "b"})).task_id == "a"
    assert read("q.dead", message(properties={"correlation_id": "b"})).task_id == "b"
    assert read("q.dead", message()).task_id == ""
