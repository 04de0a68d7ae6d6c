"""Carries out all checks, and groups what they found by subject."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from harness.app_facts import task_queues
from harness.doctor import broker, environment, ignored, later, lint, routes, topology, workers
from harness.doctor.administration import Administered
from harness.doctor.facts import Deployment, Facts, Link, gather
from harness.doctor.lint import is_quorum
from harness.doctor.permissions import Role, as_granted, user_of
from harness.doctor.policies import policies
from harness.errors import UnavailableError
from harness.finding import Examined, Finding, unknown

__all__ = ["Deployment", "examine"]


def examine(deployment: Deployment) -> list[Examined]:
    """Return what all checks found, within three seconds on a healthy deployment. Nothing is changed."""
    facts = gather(deployment)
    subjects = {
        "environment": _environment(deployment, facts),
        "broker": _broker(deployment, facts),
        "topology": _topology(deployment, facts),
        "workers": _workers(deployment, facts),
        "configuration": _configuration(deployment),
    }
    return [Examined(subject=subject, findings=tuple(findings)) for subject, findings in subjects.items()]


def _environment(deployment: Deployment, facts: Facts) -> list[Finding]:
    return [
        environment.python(),
        environment.packages(deployment.root / "requirements.txt"),
        environment.docker(facts.engine),
        facts.compose,
        environment.disk(deployment.root),
        environment.clock(facts.engine, facts.engine_at),
    ]


def _broker(deployment: Deployment, facts: Facts) -> list[Finding]:
    if isinstance(facts.link, UnavailableError):
        return broker.refused(deployment.app, facts.link)
    told = facts.link.told
    findings = [*facts.link.about_broker, broker.alarms(facts.link.takes_messages, told)]
    if isinstance(told, UnavailableError):
        findings += [unknown(check, told) for check in broker.ADMINISTRATORS]
    else:
        findings += [*_from_containers(deployment, facts, told), broker.consumer_timeout(deployment.app, told)]
    return [*findings, *(_permissions(role, deployment, facts.link) for role in _roles(deployment, facts))]


def _from_containers(deployment: Deployment, facts: Facts, told: Administered) -> list[Finding]:
    if isinstance(facts.containers, UnavailableError):
        return [unknown(check, facts.containers) for check in broker.OF_CONTAINERS]
    apart = bool(facts.containers) and _come_from_elsewhere(facts.engine)
    return [
        broker.listeners(told, apart),
        broker.guest_from_a_container(told, deployment.worker_url, apart),
        broker.one_virtual_host(told.vhost, deployment.worker_url, bool(facts.containers)),
    ]


def _roles(deployment: Deployment, facts: Facts) -> list[Role]:
    own_url = str(deployment.app.conf.broker_url)
    # without containers, workers log in as this command does
    urls = {"dispatcher": own_url, "worker": deployment.worker_url if facts.containers else own_url}
    if deployment.monitor_url:
        urls["monitor"] = deployment.monitor_url
    return [deployment.role(name, url) for name, url in urls.items()]


def _permissions(role: Role, deployment: Deployment, link: Link) -> Finding:
    """Judge a role by what the administrator says; without one, what our own user may do was tried."""
    if not isinstance(link.told, UnavailableError):
        granted = link.told.permissions.get(role.user)
        return as_granted(role, link.vhost, deployment.declared, granted, link.told.topics)
    if role.user == user_of(str(deployment.app.conf.broker_url)):
        return link.own_permissions[role.name]
    return unknown(role.check, link.told)


def _come_from_elsewhere(engine: Mapping[str, Any] | UnavailableError) -> bool:
    """Return whether containers reach the broker from another address than this host's loopback.

    They do on Linux. Docker Desktop connects on their behalf, from the host itself.
    """
    desktop = not isinstance(engine, UnavailableError) and engine.get("OperatingSystem") == "Docker Desktop"
    return sys.platform == "linux" and not desktop


def _topology(deployment: Deployment, facts: Facts) -> list[Finding]:
    if isinstance(facts.link, UnavailableError):
        return [unknown("topology", "see broker")]
    findings = list(facts.link.about_topology)
    if isinstance(facts.status, UnavailableError) or isinstance(facts.nodes, UnavailableError):
        findings += [unknown(check, "see broker") for check in ("consumers", *topology.OF_NODES)]
    else:
        findings.append(topology.consumers(facts.status.services, facts.link.queues, task_queues(deployment.app)))
        if facts.nodes:
            concurrency = {node.name: node.concurrency for node in facts.nodes}
            findings += [
                topology.one_queue_each(facts.nodes),
                topology.held_by_one(facts.status.services, concurrency),
            ]
        else:
            findings += [unknown(check, "no node answers") for check in topology.OF_NODES]
    told = facts.link.told
    if isinstance(told, UnavailableError):
        return [*findings, *(unknown(check, told) for check in topology.ADMINISTRATORS)]
    return [
        *findings,
        topology.bindings(deployment.declared, told, facts.link.vhost),
        policies(deployment.declared, told, facts.link.vhost),
        topology.reply_queues(told, facts.link.vhost),
        topology.control_queues(told, facts.link.vhost),
    ]


def _workers(deployment: Deployment, facts: Facts) -> list[Finding]:
    app, nodes = deployment.app, facts.nodes
    if isinstance(facts.status, UnavailableError) or isinstance(nodes, UnavailableError):
        return [unknown("workers", "see broker"), *facts.about_containers]
    services = [*map(workers.service, facts.status.services)]
    if not nodes:
        return [
            *services,
            *(unknown(check, "no node answers") for check in (*workers.OF_NODES, later.CHECK)),
            facts.hung,
            *facts.about_containers,
        ]
    return [
        *services,
        workers.idle(nodes),
        workers.names(nodes),
        workers.prefetch(nodes, app.conf.worker_prefetch_multiplier),
        workers.pool(app, nodes),
        workers.clocks(nodes),
        later.held(nodes, _consumer_timeout_s(facts), grows=not any(map(is_quorum, app.amqp.queues.values()))),
        facts.hung,
        *facts.about_containers,
    ]


def _consumer_timeout_s(facts: Facts) -> float | None:
    """Return how long a message may be held; without an administrator to ask, what RabbitMQ has unless configured."""
    if isinstance(facts.link, UnavailableError) or isinstance(facts.link.told, UnavailableError):
        return later.CONSUMER_TIMEOUT_S
    return facts.link.told.consumer_timeout_s


def _configuration(deployment: Deployment) -> list[Finding]:
    app, scenarios = deployment.app, deployment.config.scenarios
    return [
        ignored.settings(app),
        ignored.task_options(app),
        routes.declared(app),
        routes.known(app),
        lint.acknowledgement(app, scenarios),
        lint.retried_errors(app),
        lint.bounded_retries(app),
        lint.retry_waits(app, scenarios),
        lint.result_expiry(app),
        lint.prefetch(app),
        lint.delayed_delivery(app),
    ]
