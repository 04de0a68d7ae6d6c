"""What a worker's log says of the error that keeps it from working."""

from __future__ import annotations

import json

import pytest

from harness.fleet import last_complaint


def line(level: str, message: str, logger: str = "celery.worker") -> str:
    return json.dumps({"time": "2025-09-17 21:28:54", "level": level, "logger": logger, "message": message})


REFUSED = line(
    "ERROR", "consumer: Cannot connect to amqp://u:**@h:5672//: [Errno 111] Connection refused.\nTrying again"
)
CONNECTED = line("INFO", "topology declared")
SAID = "consumer: Cannot connect to amqp://u:**@h:5672//: [Errno 111] Connection refused."


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], ""),
        ([CONNECTED], ""),
        ([REFUSED], SAID),
        ([CONNECTED, REFUSED, line("INFO", "something else")], SAID),
        ([REFUSED, CONNECTED], ""),  # over
        (
            [REFUSED, CONNECTED, line("CRITICAL", "Unrecoverable error: MemoryError()")],
            "Unrecoverable error: MemoryError()",
        ),
        ([REFUSED, line("CRITICAL", "Frequent restarts detected: 5 in 1 s")], SAID),
        ([REFUSED, line("WARNING", "a warning")], SAID),
        ([line("ERROR", "malformed message, rejected to the dead letters", "worker.consumer")], ""),
        ([REFUSED, line("ERROR", "Task task_a[1] raised unexpected: ValueError()", "celery.app.trace")], SAID),
        (["Traceback (most recent call last):", "ImportError: no module"], "ImportError: no module"),
        (["\x1b[2K" + REFUSED], SAID),  # as Compose writes it
        ([REFUSED, "12", "[]", '"text"'], SAID),
        ([line("ERROR", "x" * 300)], "x" * 200),
        (
            ['{"level": "ERROR", "message": "refused", "reason": "(406) PRECONDITION_FAILED\\nat once"}'],
            "refused: (406) PRECONDITION_FAILED",
        ),
    ],
)
def test_the_last_error_that_is_not_over(lines: list[str], complaint: str) -> None:
    assert last_complaint("\n".join(lines)) == complaint
