"""The settings that a Celery app needs so that no task is lost, each with its reason."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from worker import embedded
from worker.consumer import TrustedConsumer
from worker.events import EventsOnRequest
from worker.health import HealthFile
from worker.pool import TaskPool
from worker.results import ConfirmedRPC
from worker.task import AccountedTask
from worker.tls import tls
from worker.topology import Topology


def _symbol(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


DURABLE: dict[str, Any] = {
    # only JSON is decoded: a pickle would run code
    "accept_content": ["json"],
    "task_serializer": "json",
    "result_serializer": "json",
    "enable_utc": True,
    "timezone": "UTC",
    # a misspelt queue is an error, not a new classic queue
    "task_create_missing_queues": False,
    # the caller sees a task start
    "task_track_started": True,
    # acknowledge after running: a killed worker's message comes back
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    # a child that dies is retried, bounded by max_retries, and ends in a FAILURE result
    "task_retry_on_worker_lost": True,
    # a task that fails for good leaves a copy in the dead letters
    "task_acks_on_failure": False,
    # otherwise a hung task returns until the delivery limit
    "task_acks_on_timeout": True,
    # hold no message that another node could run
    "worker_prefetch_multiplier": 1,
    # publishing returns when the broker has the message; the default is fire and forget
    "broker_transport_options": {"confirm_publish": True},
    # a dead peer is noticed within three of these; otherwise it takes minutes
    "broker_heartbeat": 10,
    "broker_connection_timeout": 4,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # otherwise RabbitMQ's consumer_timeout, a channel error, ends the worker
    "broker_channel_error_retry": True,
    # a task whose message goes to another node is stopped here, instead of completing twice
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    # below the containers' stop_grace_period, below RabbitMQ's consumer_timeout (30 min)
    "task_time_limit": 60,
    "worker_hijack_root_logger": False,
    "worker_consumer": _symbol(TrustedConsumer),
    # a warm shutdown forgets no task that a process of the pool already has
    "worker_pool": _symbol(TaskPool),
    "result_backend": _symbol(ConfirmedRPC),
}


def apply(app: Celery, broker_url: str) -> None:
    """Configure `app` so that every task id it is given can be accounted for.

    Args:
        broker_url: `amqp://...` or `amqps://...` for RabbitMQ, or `filesystem:///DIRECTORY` for a demonstration without
            a broker, in which there are no confirms, no redelivery and no dead letters.
    """
    app.conf.update(DURABLE, broker_url=broker_url, broker_use_ssl=tls(broker_url))
    # events cost a message for each state of each task, so they are sent only where somebody wants to see them
    app.conf.worker_send_task_events = os.environ.get("WORKER_EVENTS", "") not in ("", "0")
    if broker_url.startswith("filesystem://"):
        embedded.install()
        app.conf.update(broker_url="filesystem://localhost//", broker_transport_options=_filesystem(broker_url))
    app.steps["consumer"].update((Topology, HealthFile, EventsOnRequest))
    app.task_cls = AccountedTask


def _filesystem(broker_url: str) -> dict[str, Any]:
    directory = broker_url.removeprefix("filesystem://")
    folders = {name: os.path.join(directory, name) for name in ("messages", "control", "processed")}
    for folder in folders.values():
        os.makedirs(folder, exist_ok=True)
    return {
        "data_folder_in": folders["messages"],
        "data_folder_out": folders["messages"],
        "control_folder": folders["control"],
        "processed_folder": folders["processed"],
        "polling_interval": 0.01,
    }
