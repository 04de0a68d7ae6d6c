"""JSON logs: one object a line on stderr, with the ids that tie a line to a task and a run."""

from __future__ import annotations

import logging
import logging.config
from typing import Any

from celery._state import get_current_task
from celery.signals import setup_logging

from worker.evidence import evidence


class TaskFields(logging.Filter):
    """Adds task_id, task, queue, node, attempt and run_id to what is logged while a task runs."""

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
        else:  # the main process: Celery hands what it knows of the task in `data`
            data = getattr(record, "data", None)
            fields = {"task_id": data.get("id"), "task": data.get("name")} if isinstance(data, dict) else {}
        for name, value in fields.items():
            if value is not None and not hasattr(record, name):
                setattr(record, name, value)
        record.__dict__.pop("data", None)  # repeats the message, with the task's arguments
        return True


def configure_logging(level: int | str = "INFO") -> None:
    """Send every log record to stderr, one JSON object a line."""
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
        }
    )


@setup_logging.connect
def _configure_worker_logging(loglevel: Any = "INFO", **_: object) -> None:
    """Take over from Celery, which would otherwise install its own handlers."""
    configure_logging(loglevel or "INFO")
