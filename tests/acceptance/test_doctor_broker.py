"""The doctor's checks of the broker, each on a RabbitMQ node that has what it looks for."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.examined import doctor, levels
from tests.acceptance.rabbit import closed_port
from tests.conftest import Command, eventually, load_app
from tests.own_broker import OwnBroker, own_broker
from worker.topology import declare

Examine = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def broker(needs_rabbitmq: None) -> Iterator[OwnBroker]:
    with own_broker() as node:
        app = load_app(node.url())
        with app.connection_for_write() as connection:
            declare(connection.channel(), list(app.amqp.queues.values()))
        yield node


@pytest.fixture
def examine(user: Command, broker: OwnBroker) -> Examine:
    def examined(url: str = broker.url(), **environment: str) -> dict[str, dict[str, Any]]:
        return doctor(user, url, RABBITMQ_NODENAME=broker.name, **environment)

    return examined


def test_a_healthy_broker_has_nothing_to_find(examine: Examine) -> None:
    checks = examine()
    of_broker = {name for name, check in checks.items() if check["subject"] == "broker"}
    assert of_broker == levels(checks, "ok") & of_broker
    assert len(of_broker) == 10
    assert {"queues", "exchanges", "bindings", "dead letters", "reply queues"} <= levels(checks, "ok")


def test_a_connection_that_somebody_is_just_opening_hides_nothing(examine: Examine, broker: OwnBroker) -> None:
    with socket.create_connection(("localhost", broker.port)) as opening:
        opening.sendall(b"AMQP\x00\x00\x09\x01")
        assert opening.recv(1)  # the node has begun; it waits ten seconds for what comes next
        assert {"alarms", "bindings", "reply queues"} <= levels(examine(), "ok")


# --- who is let in --------------------------------------------------------------------------------


def test_a_broker_that_is_away_is_said_and_nothing_else_is_called_well(examine: Examine) -> None:
    checks = examine(f"amqp://guest:guest@localhost:{closed_port()}//")
    assert checks["broker"]["level"] == "failed"
    assert "Connection refused" in checks["broker"]["cause"]
    assert "rabbitmq-server -detached" in checks["broker"]["fix"]
    assert checks["topology"]["cause"] == checks["workers"]["cause"] == "not known: see broker"
    assert checks["topology"]["level"] == checks["workers"]["level"] == "warning"


def test_a_wrong_password_is_the_logins(examine: Examine, broker: OwnBroker) -> None:
    checks = examine(broker.url().replace("guest:guest", "guest:secret"))
    assert (checks["broker"]["level"], checks["login"]["level"]) == ("ok", "failed")
    assert "secret" not in str(checks)


def test_a_missing_virtual_host_is_named(examine: Examine, broker: OwnBroker) -> None:
    checks = examine(broker.url("nowhere"))
    assert (checks["login"]["level"], checks["virtual host"]["level"]) == ("ok", "failed")
    assert "nowhere" in checks["virtual host"]["cause"]
    assert "rabbitmqctl add_vhost nowhere" in checks["virtual host"]["fix"]


# --- releases -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("property_", "level", "told"),
    [
        ('<<"version">>, longstr, <<"3.7.28">>', "failed", "has no quorum queues"),
        ('<<"version">>, longstr, <<"3.9.29">>', "failed", "x-dead-letter-strategy"),
        ('<<"version">>, longstr, <<"4.3.0">>', "ok", "works with Celery"),
        ('<<"product">>, longstr, <<"LavinMQ">>', "warning", "is not RabbitMQ"),
    ],
)
def test_a_release_with_known_incompatibilities_is_named(
    examine: Examine, broker: OwnBroker, property_: str, level: str, told: str
) -> None:
    broker.evaluate(f"application:set_env(rabbit, server_properties, [{{{property_}}}]).")
    try:
        check = examine()["version"]
    finally:
        broker.evaluate("application:set_env(rabbit, server_properties, []).")
    assert check["level"] == level
    assert told in check["cause"]


# --- what its administrator sees ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alarm", "short", "enough"),
    [
        ("memory", ["set_vm_memory_high_watermark", "0"], ["set_vm_memory_high_watermark", "0.4"]),
        ("disk", ["set_disk_free_limit", "10000GB"], ["set_disk_free_limit", "50MB"]),
    ],
)
def test_an_alarm_is_found_and_ends(
    examine: Examine, broker: OwnBroker, alarm: str, short: list[str], enough: list[str]
) -> None:
    def alarms() -> str:
        return broker.evaluate("rabbit_alarm:get_alarms().")

    broker.rabbitmqctl(*short)
    try:
        eventually(lambda: alarm in alarms(), f"a {alarm} alarm")
        begun = time.monotonic()
        checks = examine()
        took_s = time.monotonic() - begun
    finally:
        broker.rabbitmqctl(*enough)
    eventually(lambda: alarms().strip() == "[]", "no alarm")
    assert checks["alarms"]["level"] == "failed"
    assert f"takes no messages: {alarm} is short" in checks["alarms"]["cause"]
    assert enough[0] in checks["alarms"]["fix"]
    assert checks["consumers"]["cause"] == "not known: see broker"
    assert took_s < 10  # a question to the nodes would wait until the alarm is over
    assert examine()["alarms"]["level"] == "ok"


def test_a_consumer_timeout_below_the_longest_task_is_found(examine: Examine, broker: OwnBroker) -> None:
    broker.evaluate("application:set_env(rabbit, consumer_timeout, 60000).")
    try:
        check = examine()["consumer_timeout"]
    finally:
        broker.evaluate("application:set_env(rabbit, consumer_timeout, 1800000).")
    assert check["level"] == "failed"
    assert "task_a may be held 60.0 s (task_time_limit), and the broker takes it back after 60.0 s" in check["cause"]


# --- permissions ----------------------------------------------------------------------------------


@pytest.fixture
def clerk(broker: OwnBroker) -> Iterator[str]:
    """The URL of a user who may not publish tasks, and may not declare or read replies."""
    broker.rabbitmqctl("add_user", "clerk", "clerk")
    broker.rabbitmqctl("set_permissions", "clerk", "^queue_.*$", "^(amq[.]default|queue_.*|.*pidbox)$", ".*")
    yield broker.url().replace("guest:guest", "clerk:clerk")
    broker.rabbitmqctl("delete_user", "clerk")


def test_missing_permissions_are_named_one_by_one(examine: Examine, broker: OwnBroker, clerk: str) -> None:
    checks = examine(clerk)
    check = checks["permissions of the dispatcher"]
    assert check["level"] == "failed"
    assert "clerk may not configure dispatch.run, celery.pidbox" in check["cause"]
    assert "clerk may not write dispatch.run, dead, tasks" in check["cause"]
    assert "read" not in check["cause"]
    assert "rabbitmqctl set_permissions -p / clerk" in check["fix"]
    broker.rabbitmqctl("set_permissions", "clerk", ".*", ".*", ".*")
    assert examine(clerk)["permissions of the dispatcher"]["level"] == "ok"


# --- who may not ask ------------------------------------------------------------------------------

NEED_AN_ADMINISTRATOR = {
    *("consumer_timeout", "listeners", "guest from a container"),
    *("permissions of the dispatcher", "permissions of the worker", "bindings", "reply queues", "control queues"),
}


def test_another_node_than_the_one_of_the_url_is_not_taken_for_it(user: Command, broker: OwnBroker) -> None:
    checks = doctor(user, broker.url())
    unknown = {name for name in levels(checks, "warning") if "is not the broker of BROKER_URL" in checks[name]["cause"]}
    assert unknown == NEED_AN_ADMINISTRATOR


def test_without_rabbitmqctl_what_it_tells_is_not_known(examine: Examine, tmp_path: Any) -> None:
    checks = examine(PATH=str(tmp_path))
    unknown = {name for name in NEED_AN_ADMINISTRATOR if checks[name]["cause"].startswith("not known: ")}
    assert unknown == NEED_AN_ADMINISTRATOR
    assert checks["version"]["level"] == "ok"
    assert checks["Docker"]["level"] == checks["Compose"]["level"] == "failed"


def test_without_docker_what_depends_on_containers_is_not_known(examine: Examine, tmp_path: Any) -> None:
    checks = examine(DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert checks["Docker"]["level"] == "failed"
    for name in ("clock", "listeners", "guest from a container", "image"):
        assert checks[name]["level"] == "warning"
        assert checks[name]["cause"].startswith("not known: ")
