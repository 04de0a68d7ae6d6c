"""Exit 69: broker or workers that do not answer or refuse; nothing is published and nothing left behind."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection

from harness.model.topology import WorkerSpec
from tests.acceptance.proxy import proxied
from tests.acceptance.rabbit import OF_THE_WORKERS, closed_port, messages, queues
from tests.conftest import WORKER_A, eventually
from tests.erlang import erlang

WAYS_ON = ("./setup.sh", "BROKER_URL=", "--embedded")


def refused(user: Any, *arguments: str, within_s: float = 10, **environment: str) -> list[str]:
    """Run the command, which must end with 69 and leave nothing; return the three lines of its error."""
    begun = time.monotonic()
    done = user.dispatch(*arguments, **environment)
    assert time.monotonic() - begun < within_s
    assert done.returncode == 69, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "SENT" not in done.stdout
    assert "SECRET" not in done.stdout + done.stderr
    assert list(user.directory.glob("*.json*")) == []
    assert user.journals() == []
    lines = done.stderr.splitlines()
    assert [line[:7] for line in lines[-3:]] == ["error: ", "  why: ", "  try: "], done.stderr
    assert all(line.startswith("waiting for ") for line in lines[:-3])
    return lines[-3:]


# --- the broker -----------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ["rich", "json"])
def test_no_broker(user: Any, format_name: str) -> None:
    port = closed_port()

    what, why, ways_on = refused(
        user, "--format", format_name, within_s=6, BROKER_URL=f"amqp://user:SECRET@localhost:{port}/v"
    )

    assert what == f"error: no broker answers at amqp://user@localhost:{port}/v"
    assert "Connection refused" in why
    assert all(way in ways_on for way in WAYS_ON)


def test_without_a_broker_the_embedded_one_is_not_entered_silently(user: Any) -> None:
    done = user.dispatch(BROKER_URL=f"amqp://localhost:{closed_port()}//")

    assert done.returncode == 69
    assert "embedded" not in done.stdout


def test_several_brokers_of_which_none_answers(user: Any) -> None:
    one, two = closed_port(), closed_port()
    urls = f"amqp://a:SECRET1@localhost:{one}//;amqp://b:SECRET2@localhost:{two}//"

    what, _, _ = refused(user, within_s=6, BROKER_URL=urls)

    assert what == f"error: no broker answers at amqp://a@localhost:{one}//;amqp://b@localhost:{two}//"


def test_something_that_is_silent_on_the_broker_s_port(user: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        what, why, _ = refused(user, within_s=9, BROKER_URL=f"amqp://127.0.0.1:{silent.getsockname()[1]}//")

    assert what.startswith("error: no broker answers at amqp://127.0.0.1:")
    assert "timed out" in why


def test_something_else_on_the_broker_s_port(user: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1024)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        port = server.getsockname()[1]
        what, _, _ = refused(user, within_s=9, BROKER_URL=f"amqp://127.0.0.1:{port}//")

    assert what.endswith(f" at amqp://127.0.0.1:{port}//")


def test_credentials_that_are_refused(needs_rabbitmq: None, user: Any) -> None:
    what, why, ways_on = refused(user, BROKER_URL="amqp://guest:SECRET@localhost:5672//")

    assert what == "error: the broker refused user 'guest' at amqp://guest@localhost:5672//"
    assert "wrong user or password" in why
    assert all(way in ways_on for way in WAYS_ON)


def test_a_virtual_host_that_is_not_there(needs_rabbitmq: None, user: Any) -> None:
    what, why, ways_on = refused(user, BROKER_URL="amqp://guest:guest@localhost:5672/no-such-vhost")

    assert what.startswith("error: the broker has no virtual host 'no-such-vhost' for user 'guest'")
    assert "vhost no-such-vhost not found" in why
    assert "rabbitmqctl add_vhost no-such-vhost" in ways_on


@pytest.fixture
def restricted(deployment: Any) -> Iterator[str]:
    """The deployment's URL for a user who may do everything but make queues such as `dispatch.<run>`."""
    name, vhost = f"test-restricted-{os.getpid()}", deployment.url.rpartition("/")[2]
    erlang(
        f'rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"SECRET">>, <<"test">>), '
        f'rabbit_auth_backend_internal:set_permissions(<<"{name}">>, <<"{vhost}">>, '
        f'<<"^(?!dispatch[.]).*">>, <<".*">>, <<".*">>, <<"test">>).'
    )
    yield deployment.url.replace("guest:guest", f"{name}:SECRET")
    erlang(f'rabbit_auth_backend_internal:delete_user(<<"{name}">>, <<"test">>).')


def test_a_user_who_lacks_a_permission(deployment: Any, restricted: str, user: Any) -> None:
    what, why, fix = refused(user, BROKER_URL=restricted)

    name = f"test-restricted-{os.getpid()}"
    assert what.startswith(f"error: the broker refused user '{name}' at amqp://{name}@localhost")
    assert "access to queue 'dispatch." in why
    assert "rabbitmqctl set_permissions" in fix
    assert messages(deployment.url) == {}
    assert set(queues(deployment.url)) == OF_THE_WORKERS


# --- the workers ----------------------------------------------------------------------------------


def test_no_worker(broker_url: str, user: Any) -> None:
    what, _, fix = refused(user, "--wait-workers", "500ms", BROKER_URL=broker_url)

    assert what == "error: no worker consumes queue_a (worker-a), queue_b (worker-b); nothing was published"
    assert "--local" in fix
    assert queues(broker_url) == {}


def test_one_worker_of_two(workers: Any, user: Any) -> None:
    workers.start(WORKER_A)

    what, why, _ = refused(user, "--wait-workers", "500ms", BROKER_URL=workers.url, PATH="")

    assert what == "error: no worker consumes queue_b (worker-b); nothing was published"
    assert "worker-a@" in why
    assert messages(workers.url) == {}
    assert set(queues(workers.url)) == OF_THE_WORKERS


def test_a_worker_on_the_wrong_queue_is_named(workers: Any, user: Any) -> None:
    workers.start(WorkerSpec(service="worker-b", queue="queue_a"))
    eventually(lambda: workers.roster().consumers["queue_a"] == 1, "worker-b consumes queue_a")

    what, why, _ = refused(user, "--wait-workers", "500ms", BROKER_URL=workers.url)

    assert what == "error: no worker consumes queue_b (worker-b); nothing was published"
    assert "worker-b@" in why
    assert "consumes queue_a" in why
    assert messages(workers.url) == {}


def test_a_queue_with_other_arguments(broker_url: str, user: Any) -> None:
    with Connection(broker_url) as connection, connection.channel() as channel:
        channel.queue_declare("queue_b", durable=True, auto_delete=False, arguments={"x-max-priority": 9})

    what, why, fix = refused(user, within_s=6, BROKER_URL=broker_url)

    assert what.startswith("error: queue queue_b exists with other arguments")
    assert "inequivalent arg 'x-" in why
    assert "for queue 'queue_b'" in why
    assert "BROKER_URL=" in fix
    assert queues(broker_url) == {"queue_b": {"x-max-priority": 9}}
    assert messages(broker_url) == {}


def test_a_broker_that_goes_away_while_workers_are_waited_for(broker_url: str, user: Any) -> None:
    with proxied() as proxy:
        process = user.start("dispatch.py", "--format", "plain", BROKER_URL=proxy.url(broker_url))
        assert process.stderr.readline().startswith("waiting for worker-a on queue_a")

        proxy.cut()

        _, told = process.communicate(timeout=10)
    assert process.returncode == 69
    assert told.startswith("error: no broker answers at amqp://guest@127.0.0.1:")
    assert queues(broker_url) == {}
