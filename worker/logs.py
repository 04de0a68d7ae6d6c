"""JSON logs: one object a line on stderr, with the ids that tie a line to a task and a run.

Where OpenTelemetry's semantic conventions (messaging, error, service) have a name for what a short one says, the
line has both: whoever collects logs of many systems searches for the one, whoever reads these for the other.
"""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from celery._state import get_current_task
from celery.signals import celeryd_init, setup_logging

from worker.evidence import CONSUMED_QUEUE, evidence

_about: ContextVar[dict[str, Any]] = ContextVar("about")

#: Short name -> OpenTelemetry's. `task` and `attempt` have none.
CONVENTIONAL = {
    "task_id": "messaging.message.id",
    "queue": "messaging.destination.name",
    "node": "service.instance.id",
    "run_id": "messaging.message.conversation_id",
}


@contextmanager
def about(said: Mapping[str, Any], node: str) -> Iterator[None]:
    """Put the ids of a task on what is logged meanwhile: for the main process, in which no task runs.

    Args:
        said: What the message says, by Celery's names (`id`, `task`, `retries`); of any type, so far.
        node: The node that received it.
    """
    retries = said.get("retries")
    fields = {
        "task_id": said.get("id"),
        "task": said.get("task"),
        "queue": said.get(CONSUMED_QUEUE),
        "node": node,
        "attempt": retries + 1 if isinstance(retries, int) else None,
        "run_id": said.get("run_id"),
    }
    token = _about.set(fields)
    try:
        yield
    finally:
        _about.reset(token)


class TaskFields(logging.Filter):
    """Adds task_id, task, queue, node, attempt and run_id to what is logged of a task, error.type to an exception."""

    def filter(self, record: logging.LogRecord) -> bool:
        task = get_current_task()
        if task is not None and task.request.id:
            seen = evidence(task.request)
            fields = {
                "task_id": task.request.id,
                "task": task.name,
                "queue": seen["queue"],
                "node": seen["node"],
                "attempt": seen["attempt"],
                "run_id": getattr(task.request, "run_id", None),
            }
        else:
            fields = _about.get({})
        said = record.__dict__
        said.pop("data", None)  # repeats the message, with the task's arguments
        for name, value in fields.items():
            if value is not None:
                said.setdefault(name, value)
        said.update({name: said[short] for short, name in CONVENTIONAL.items() if short in said})
        if record.exc_info and record.exc_info[0]:
            said["error.type"] = _full_name(record.exc_info[0])
        return True


def _full_name(error: type[BaseException]) -> str:
    """Return the name as the conventions want it: with its module, unless that is Python itself."""
    return error.__qualname__ if error.__module__ == "builtins" else f"{error.__module__}.{error.__qualname__}"


def configure_logging(level: int | str = "INFO") -> None:
    """Send every log record and every warning to stderr, one JSON object a line."""
    logging.captureWarnings(True)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"task": {"()": TaskFields}},
            "formatters": {
                "json": {
                    "()": "pythonjsonlogger.json.JsonFormatter",
                    "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
                    "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["task"]}},
            "root": {"level": level, "handlers": ["stderr"]},
            # billiard's, which tells of pool processes that died; it never propagates
            "loggers": {"multiprocessing": {"level": "WARNING", "handlers": ["stderr"], "propagate": False}},
        }
    )


@celeryd_init.connect
def _configure_early(options: Mapping[str, Any], **_: object) -> None:
    """Be there before Celery's first warning, which comes before it sets up its logging."""
    configure_logging(options.get("loglevel") or "INFO")


@setup_logging.connect
def _configure_worker_logging(loglevel: Any = "INFO", **_: object) -> None:
    """Take over from Celery, which would otherwise install its own handlers."""
    configure_logging(loglevel or "INFO")
