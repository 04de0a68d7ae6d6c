"""A caller that talks to RabbitMQ itself: it sends what Celery would not, sees every state, and looks into queues."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import urlsplit

import amqp

from tests.conftest import Workers, eventually
from tests.erlang import erlang
from worker.topology import dead_name

FINAL = {"SUCCESS", "FAILURE", "REVOKED"}


class Caller:
    """Sends messages to a deployment's queues and collects the states that come to its own reply queue."""

    def __init__(self, workers: Workers) -> None:
        # the app's URL leads straight to the broker, also where the workers go through a proxy
        url = urlsplit(workers.app.conf.broker_url)
        self.vhost = url.path[1:]
        self._app = workers.app
        self._connection = amqp.Connection(
            f"{url.hostname}:{url.port}", url.username, url.password, virtual_host=self.vhost, confirm_publish=True
        )
        self._connection.connect()
        self.channel = self._connection.channel()
        self.channel.auto_decode = False  # a body comes back as the bytes that were sent
        self.reply_queue = self.new_queue()
        self._metas: dict[Any, list[dict[str, Any]]] = {}
        self.channel.basic_consume(self.reply_queue, no_ack=True, callback=self._take)

    def close(self) -> None:
        self._connection.close()

    # --- sending ----------------------------------------------------------------------------------

    def send(
        self,
        task: str = "task_a",
        *,
        queue: str | None = None,
        body: bytes | None = None,
        properties: dict[str, Any] | None = None,
        omit: str = "",
        headers: dict[str, Any] | None = None,
        embed: Any = None,
        **kwargs: Any,
    ) -> str:
        """Send a task as Celery does, except for what is given otherwise; return its id.

        Args:
            queue: Send it there, past the exchange and its routing; else to the task's own queue.
            body: Instead of the arguments.
            omit: A header to leave out.
            headers: Added to Celery's, or instead of them.
            embed: What the body holds besides the arguments.
            kwargs: The task's; there is no simulated work unless `work_s` is among them.
        """
        task_id = str(uuid.uuid4())
        message = self._app.amqp.as_task_v2(task_id, task, kwargs={"work_s": 0, **kwargs})
        if body is None:
            body = json.dumps([message.body[0], message.body[1], message.body[2] if embed is None else embed]).encode()
        said = {**message.headers, **(headers or {})}
        said.pop(omit, None)
        properties = {"reply_to": self.reply_queue, **(properties or {})}
        routing_key = "" if queue else self._app.amqp.router.route({}, task)["queue"].routing_key
        self.publish(body, said, queue=queue, routing_key=routing_key, **properties)
        return str(said.get("id", task_id))

    def publish(
        self, body: bytes, headers: dict[str, Any] | None, *, queue: str | None, routing_key: str = "", **more: Any
    ) -> None:
        """Publish to `queue` itself, or where that is None to the tasks' exchange; returns once it is confirmed."""
        properties = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2, **more}
        given = {name: value for name, value in properties.items() if value is not None}
        message = amqp.Message(body, application_headers=headers, **given)
        exchange, key = ("tasks", routing_key) if queue is None else ("", queue)
        self.channel.basic_publish(message, exchange, key, mandatory=True)

    # --- states -----------------------------------------------------------------------------------

    def _take(self, message: Any) -> None:
        meta = json.loads(message.body)
        self._metas.setdefault(meta["task_id"], []).append(meta)

    def metas(self, task_id: str) -> list[dict[str, Any]]:
        """Return what has come for `task_id` by now, in the order of its arrival."""
        while True:
            try:
                self._connection.drain_events(timeout=0.01)
            except TimeoutError:
                return self._metas.get(task_id, [])

    def states(self, task_id: str) -> list[str]:
        return [meta["status"] for meta in self.metas(task_id)]

    def until(self, task_id: str, state: str, within_s: float = 20) -> dict[str, Any]:
        """Return the first `state` of `task_id`."""
        metas: list[dict[str, Any]] = eventually(
            lambda: [meta for meta in self.metas(task_id) if meta["status"] == state],
            f"{state} of {task_id}, which has {self.states(task_id)}",
            within_s,
        )
        return metas[0]

    def final(self, task_id: str, within_s: float = 20) -> dict[str, Any]:
        """Return the first final state of `task_id`."""
        eventually(lambda: FINAL & set(self.states(task_id)), f"a final state of {task_id}", within_s)
        return next(meta for meta in self._metas[task_id] if meta["status"] in FINAL)

    # --- queues -----------------------------------------------------------------------------------

    def new_queue(self) -> str:
        name = f"replies.{uuid.uuid4()}"
        self.channel.queue_declare(name, durable=True, auto_delete=False)
        return name

    def ready(self, queue: str) -> int:
        """Return how many messages are ready in `queue`; a passive declare does not lag, unlike list_queues."""
        return int(self.channel.queue_declare(queue, passive=True).message_count)

    def queues(self) -> dict[str, dict[str, Any]]:
        """Return the arguments of every queue of this virtual host, by its name."""
        told = erlang(
            '[io:format("~s ~s~n", [element(4, amqqueue:get_name(Q)), rabbit_json:encode(maps:from_list('
            "[{Name, Value} || {Name, _, Value} <- amqqueue:get_arguments(Q)]))]) "
            f'|| Q <- rabbit_amqqueue:list(<<"{self.vhost}">>)], ok.'
        )
        lines = [line.partition(" ") for line in told.splitlines() if "{" in line]
        return {name: json.loads(arguments) for name, _, arguments in lines}

    def exchanges(self) -> dict[str, str]:
        """Return the types of the durable exchanges of this virtual host that are neither RabbitMQ's nor Celery's."""
        told = erlang(
            '[io:format("~s ~s~n", [element(4, element(2, X)), element(3, X)]) '
            f'|| X <- rabbit_exchange:list(<<"{self.vhost}">>), element(4, X)], ok.'
        )
        pairs = [line.split() for line in told.splitlines()]
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and not pair[0].startswith(("amq.", "celery"))}

    def dead_letters(self, queue: str, count: int, within_s: float = 20) -> list[Any]:
        """Take the `count` dead letters of `queue` out, and see that no more were decided by now.

        A last message shows that: queue, worker and dead letters keep their order.
        """
        last = self.send("fence", queue=queue, properties={"reply_to": None})
        letters: list[Any] = []

        def look() -> bool:
            while letter := self.channel.basic_get(dead_name(queue), no_ack=True):
                letters.append(letter)
            return len(letters) > count and any(letter.headers.get("id") == last for letter in letters)

        eventually(look, f"{count} dead letters of {queue}", within_s)
        letters = [letter for letter in letters if letter.headers.get("id") != last]
        assert len(letters) == count
        return letters

    # --- connections ------------------------------------------------------------------------------

    def connections(self) -> set[str]:
        """Return the names of the connections to this virtual host, this caller's among them."""
        names = erlang(
            f'[io:format("~s~n", [Name]) || [{{vhost, <<"{self.vhost}">>}}, {{name, Name}}] '
            "<- rabbit_networking:connection_info_all([vhost, name])], ok."
        )
        return {line for line in names.splitlines() if "->" in line}

    def close_connections_but(self, names: set[str]) -> None:
        """Have the broker close the connections to this virtual host, all but `names`, as an operator can."""
        spared = ", ".join(f'<<"{name}">>' for name in sorted(names))
        erlang(
            f'[rabbit_networking:close_connection(Pid, "by a test") || '
            f'[{{vhost, <<"{self.vhost}">>}}, {{name, Name}}, {{pid, Pid}}] '
            f"<- rabbit_networking:connection_info_all([vhost, name, pid]), not lists:member(Name, [{spared}])], ok."
        )


def both_slots_work(caller: Caller, task: str = "task_a") -> bool:
    """Return whether two tasks were seen to run at the same time: a node that lost a slot never shows that."""
    ids = [caller.send(task, work_s=0.1) for _ in range(2)]
    first, second = (caller.final(task_id)["evidence"] for task_id in ids)
    return bool(first["started_at"] < second["at"] and second["started_at"] < first["at"])
