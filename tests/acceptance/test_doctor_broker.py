"""The doctor's checks of the broker, each on a RabbitMQ node that has what it looks for."""

from __future__ import annotations

import re
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.examined import doctor, levels
from tests.acceptance.for_later import hold_for_later
from tests.acceptance.rabbit import closed_port
from tests.conftest import WORKER_A, Command, Workers, eventually, load_app
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
    assert len(of_broker) == 11
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
    assert "the broker has no virtual host 'nowhere'" in checks["virtual host"]["cause"]
    assert checks["virtual host"]["fix"].startswith("rabbitmqctl add_vhost nowhere; rabbitmqctl set_permissions ")


def test_a_virtual_host_that_is_there_and_not_for_this_user_is_not_to_be_made(
    examine: Examine, broker: OwnBroker
) -> None:
    broker.rabbitmqctl("add_user", "stranger", "stranger")
    url = broker.url().replace("guest:guest", "stranger:stranger")
    try:
        strange = examine(url)
        (command,) = re.findall(r"^rabbitmqctl (set_permissions .*); or ", strange["virtual host"]["fix"])
        broker.rabbitmqctl(*shlex.split(command))
        mended = examine(url)["virtual host"]
        broker.rabbitmqctl("set_user_limits", "stranger", '{"max-connections": 0}')
        full = examine(url)["virtual host"]
    finally:
        broker.rabbitmqctl("delete_user", "stranger")
    assert (strange["login"]["level"], strange["virtual host"]["level"]) == ("ok", "failed")
    assert "user 'stranger' has no permissions on the virtual host '/'" in strange["virtual host"]["cause"]
    assert "add_vhost" not in strange["virtual host"]["fix"]
    assert mended["level"] == "ok"
    assert "takes no more connections of user 'stranger'" in full["cause"]
    assert "rabbitmqctl clear_user_limits stranger max-connections" in full["fix"]


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


def test_a_task_whose_eta_is_beyond_it_is_found(examine: Examine, broker: OwnBroker, tmp_path: Path) -> None:
    url = broker.make_vhost("for-later")
    workers = Workers(url, load_app(url), tmp_path)
    try:
        workers.start(WORKER_A)
        hold_for_later(workers, 600)
        broker.evaluate("application:set_env(rabbit, consumer_timeout, 300000).")
        check = examine(url)["held for later"]
    finally:
        broker.evaluate("application:set_env(rabbit, consumer_timeout, 1800000).")
        workers.kill_all()
    assert check["level"] == "warning"
    assert re.search(r"holds 1 task for later, the last for (9 min \d\d s|10 min 00 s), and", check["cause"])
    assert check["cause"].endswith("and the broker takes it back after 5 min 00 s (consumer_timeout)")
    assert "task_queues" in check["fix"]


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
    assert "clerk may not configure dispatch.run, node@host.celery.pidbox" in check["cause"]
    assert "clerk may not write dispatch.run, dead, tasks" in check["cause"]
    assert "read" not in check["cause"]
    assert "rabbitmqctl set_permissions -p / clerk" in check["fix"]
    broker.rabbitmqctl("set_permissions", "clerk", ".*", ".*", ".*")
    assert examine(clerk)["permissions of the dispatcher"]["level"] == "ok"


def test_a_topic_permission_that_lets_no_task_through_is_named(examine: Examine, broker: OwnBroker) -> None:
    broker.rabbitmqctl("set_topic_permissions", "guest", "tasks", "^queue_a$", "^nothing$")
    try:
        checks = examine()
    finally:
        broker.rabbitmqctl("clear_topic_permissions", "guest", "tasks")
    dispatcher, worker = (checks[f"permissions of the {role}"] for role in ("dispatcher", "worker"))
    assert dispatcher["cause"] == "guest may not write queue_b on the topic exchange tasks"
    assert dispatcher["fix"] == "rabbitmqctl clear_topic_permissions -p / guest tasks"
    assert "guest may not read queue_a on the topic exchange tasks" in worker["cause"]
    assert examine()["permissions of the worker"]["level"] == "ok"


@pytest.mark.parametrize(
    ("kind", "fix"), [("policy", "clear_policy -p / short"), ("operator_policy", "clear_operator_policy")]
)
def test_a_policy_that_changes_what_becomes_of_messages_is_named(
    examine: Examine, broker: OwnBroker, kind: str, fix: str
) -> None:
    broker.rabbitmqctl(f"set_{kind}", "short", "^queue_a$", '{"max-length": 1, "message-ttl": 1000}')
    try:
        check = examine()["policies"]
    finally:
        broker.rabbitmqctl(f"clear_{kind}", "short")
    assert check["level"] == "warning"
    assert check["cause"] == "the policy short gives queue_a max-length 1, message-ttl 1000"
    assert fix in check["fix"]
    assert examine()["policies"]["level"] == "ok"


def test_without_an_administrator_the_same_is_found_by_trying_and_nothing_is_changed(
    user: Command, broker: OwnBroker, clerk: str
) -> None:
    def there() -> str:
        return "".join(map(broker.rabbitmqctl, ("list_queues", "list_exchanges", "list_bindings", "list_consumers")))

    def tried(url: str) -> dict[str, dict[str, Any]]:  # rabbitmqctl leads to another node, so it is not asked
        return doctor(user, url, WORKER_EVENTS="1", MONITOR_BROKER_URL=url)

    roles = [f"permissions of the {role}" for role in ("dispatcher", "worker", "monitor")]
    asked = doctor(user, clerk, RABBITMQ_NODENAME=broker.name, WORKER_EVENTS="1", MONITOR_BROKER_URL=clerk)
    before = there()
    checks = tried(clerk)
    assert {name: checks[name]["cause"] for name in roles} == {name: asked[name]["cause"] for name in roles}
    assert "clerk may not write dispatch.run, dead, tasks" in checks[roles[0]]["cause"]
    broker.rabbitmqctl("set_permissions", "clerk", ".*", ".*", "^$")
    assert "clerk may not read dispatch.run, queue_a.dead" in tried(clerk)[roles[0]]["cause"]
    broker.rabbitmqctl("set_permissions", "clerk", ".*", ".*", ".*")
    allowed = tried(clerk)
    assert [allowed[name]["level"] for name in roles] == ["ok"] * 3
    assert there() == before


def test_another_users_permissions_are_not_known_without_an_administrator(user: Command, broker: OwnBroker) -> None:
    checks = doctor(user, broker.url(), MONITOR_BROKER_URL=broker.url().replace("guest", "flower"))
    assert checks["permissions of the monitor"]["cause"].startswith("not known: ")
    assert checks["permissions of the dispatcher"]["level"] == "ok"


def test_who_may_not_send_or_hear_events_is_named_where_they_are_on(examine: Examine, broker: OwnBroker) -> None:
    broker.rabbitmqctl("add_user", "clerk", "clerk")
    broker.rabbitmqctl("set_permissions", "clerk", "^(?!celeryev)", "^(?!celeryev)", "^(?!celeryev)")
    clerk = broker.url().replace("guest:guest", "clerk:clerk")
    try:
        off, on = examine(clerk), examine(clerk, WORKER_EVENTS="1", MONITOR_BROKER_URL=clerk)
    finally:
        broker.rabbitmqctl("delete_user", "clerk")
    assert off["permissions of the worker"]["level"] == "ok"
    assert "permissions of the monitor" not in off
    cause = "clerk may not configure celeryev; clerk may not write celeryev"
    assert on["permissions of the worker"]["cause"] == cause
    assert on["permissions of the monitor"]["cause"] == (
        "clerk may not configure celeryev.id, celeryev; clerk may not write celeryev.id; "
        "clerk may not read celeryev.id, celeryev"
    )


# --- who may not ask ------------------------------------------------------------------------------

NEED_AN_ADMINISTRATOR = {
    *("consumer_timeout", "listeners", "guest from a container", "one virtual host"),
    *("bindings", "policies", "reply queues", "control queues"),
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
