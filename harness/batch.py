"""The messages of a kind of task: what Celery's own factory builds, once, with the id left to fill in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu.serialization import dumps

from harness.link import Destination
from harness.model.scenario import TaskSpec


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one TaskSpec: what Celery's own factory builds, once, with the id left to fill in."""

    destination: Destination
    headers: Mapping[str, Any]
    body: bytes

    @classmethod
    def build(cls, app: Celery, spec: TaskSpec, run_id: str, expires_s: float) -> Batch:
        message = app.amqp.as_task_v2(
            "", spec.task, args=spec.args, kwargs=dict(spec.kwargs), expires=expires_s, root_id="-"
        )
        if spec.queue is None:
            route = app.amqp.router.route({}, spec.task, spec.args, dict(spec.kwargs))
            queue = route["queue"]
            destination = Destination(queue.exchange.name, route.get("routing_key") or queue.routing_key)
        else:
            destination = Destination("", spec.queue)  # the default exchange: to this queue, whatever is bound to it
        _, _, body = dumps(message.body, serializer="json")  # kombu's JSON, which the worker decodes
        return cls(
            destination=destination,
            headers={**message.headers, "run_id": run_id},
            body=body.encode() if isinstance(body, str) else body,
        )

    def headers_for(self, task_id: str) -> dict[str, Any]:
        return {**self.headers, "id": task_id, "root_id": task_id}
