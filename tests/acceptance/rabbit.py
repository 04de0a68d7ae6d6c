"""What is on the broker, asked of the broker itself."""

from __future__ import annotations

import json
import socket
from typing import Any

from kombu import Connection

from tests.acceptance.stack import rabbitmqctl

#: What the workers declare: the tasks' queues, their dead letters, and the results that nobody reads.
OF_THE_WORKERS = {"queue_a", "queue_a.dead", "queue_b", "queue_b.dead", "results.dead"}


def queues(url: str) -> dict[str, dict[str, Any]]:
    """Return the queues of the URL's virtual host with their arguments, without those of Celery's remote control."""
    vhost = url.rpartition("/")[2]
    listed = rabbitmqctl("--formatter", "json", "list_queues", "-p", vhost, "name", "arguments")
    return {
        queue["name"]: {name: value for name, _, value in queue["arguments"]}
        for queue in json.loads(listed)
        if not queue["name"].endswith(".pidbox") and not queue["name"].startswith("celery_delayed_")
    }


def messages(url: str) -> dict[str, int]:
    """Return the queues in which messages are ready, and how many: by declaring, since rabbitmqctl's count is old."""
    with Connection(url) as connection, connection.channel() as channel:
        counts = {name: channel.queue_declare(name, passive=True).message_count for name in queues(url)}
    return {name: count for name, count in counts.items() if count}


def closed_port() -> int:
    """Return a port of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
