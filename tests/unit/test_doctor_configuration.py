"""The doctor's checks of the configuration, on Celery apps that have what they look for."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.app.defaults import DEFAULTS
from celery.exceptions import QueueNotFound, Retry
from kombu import Exchange, Queue

from harness.app_facts import retry_policies, task_queues
from harness.doctor import ignored, lint, routes
from harness.finding import Finding, Level
from harness.model.fault import Fault, FaultKind
from harness.model.scenario import Scenario, TaskSpec
from tests.conftest import load_app

Check = Callable[[Celery], Finding]


def pay() -> None:
    """A task's body, which no test runs."""


def unpaid() -> None:
    raise OSError("no answer")


def app_with(*, task: dict[str, Any] | None = None, **settings: Any) -> Celery:
    """Return a user's own app with one task, `shop.pay`."""
    app = Celery("shop", broker="amqp://localhost//", set_as_current=False)
    app.conf.update(settings)
    app.task(name="shop.pay", shared=False, **(task or {}))(pay)
    for name in {"task_a", "task_b"} & set(app.tasks):
        del app.tasks[name]  # Celery gives the tasks of an app, such as another test's, to every app of the process
    return app


def scenario(*, timeout_s: float = 30.0, **fault: Any) -> Scenario:
    faults = (Fault(target="worker-a", **fault),) if fault else ()
    tasks = (TaskSpec(task="shop.pay"),)
    return Scenario(name="paying", description="", workers=(), tasks=tasks, timeout_s=timeout_s, faults=faults)


# --- our own app has nothing to find --------------------------------------------------------------

OURS: list[Check] = [
    *(ignored.settings, ignored.task_options, routes.declared, routes.known, lint.retried_errors, lint.bounded_retries),
    *(lint.result_expiry, lint.prefetch, lint.delayed_delivery),
    lambda app: lint.acknowledgement(app, []),
    lambda app: lint.retry_waits(app, []),
]


@pytest.mark.parametrize("check", OURS)
def test_the_projects_own_app_has_nothing_to_find(check: Check) -> None:
    assert check(load_app("amqp://localhost//")).level is Level.OK


# --- what Celery ignores --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("task_max_retries", "task_max_retries is ignored: max_retries is an option of a task, not a setting"),
        ("task_retry_backoff", "task_retry_backoff is ignored: retry_backoff is an option of a task, not a setting"),
        ("task_acks_lte", "task_acks_lte is ignored: Celery has no such setting; did you mean 'task_acks_late'?"),
        ("taks_acks_late", "taks_acks_late is ignored: Celery has no such setting; did you mean 'task_acks_late'?"),
        ("worker_prefetch", "worker_prefetch is ignored: Celery has no such setting; did you mean 'worker_direct'?"),
        ("timezon", "timezon is ignored: Celery has no such setting; did you mean 'timezone'?"),
    ],
)
def test_a_setting_that_celery_ignores_is_named_with_what_was_meant(name: str, told: str) -> None:
    finding = ignored.settings(app_with(**{name: 1}))
    assert finding.level is Level.FAILED
    assert finding.cause.partition("; did you mean")[0] == told.partition("; did you mean")[0]
    if name != "worker_prefetch":
        assert finding.cause == told


def test_the_fix_of_a_misplaced_option_is_where_celery_reads_it() -> None:
    app = app_with(task_max_retries=5)
    assert "@app.task(max_retries=...)" in ignored.settings(app).fix
    assert app.tasks["shop.pay"].max_retries == 3  # what the setting was meant to change
    annotated = app_with(task_annotations={"*": {"max_retries": 5}})
    assert annotated.tasks["shop.pay"].max_retries == 5


IN_ANOTHER_FORM = [
    ("TASK_ACKS_LATE", "Celery reads it as task_acks_late", "rename TASK_ACKS_LATE to task_acks_late"),
    ("TASK_TIME_LIMIT", "Celery reads it as task_time_limit", "rename TASK_TIME_LIMIT to task_time_limit"),
    ("acks_late", "Celery reads it as task_acks_late", "rename acks_late to task_acks_late"),
    ("max_retries", "max_retries is an option of a task, not a setting", "@app.task(max_retries=...)"),
    ("retry_backoff", "retry_backoff is an option of a task, not a setting", "@app.task(retry_backoff=...)"),
    ("autoretry_for", "autoretry_for is an option of a task, not a setting", "@app.task(autoretry_for=...)"),
    (
        "visibility_timeout",
        "it is an option of the broker's transport, not a setting",
        "broker_transport_options = {'visibility_timeout': ...}",
    ),
    (
        "CELERY_BROKER_HEARTBEAT",
        "Celery reads names with CELERY_ in a namespace alone",
        "rename it to broker_heartbeat, or config_from_object(..., namespace='CELERY')",
    ),
    (
        "CELERY_BROKER_URL",
        "Celery reads names with CELERY_ in a namespace alone",
        "rename it to broker_url, or config_from_object(..., namespace='CELERY')",
    ),
]


#: Names that a configuration object may have for another program: they are not judged, though Celery ignores some.
ANYBODYS = ("ARANGODB_", "CACHE_", "COUCHBASE_", "DATABASE_", "ELASTICSEARCH_", "MONGODB_", "REDIS_", "SECURITY_")


def on_conf(name: str) -> Celery:
    app = Celery("shop", set_as_current=False)
    setattr(app.conf, name, 7)
    return app


def in_an_object(name: str) -> Celery:
    app = Celery("shop", set_as_current=False)
    app.config_from_object(SimpleNamespace(**{name: 7}))
    return app


@pytest.mark.parametrize("given", [on_conf, in_an_object])
@pytest.mark.parametrize(("name", "why", "fix"), IN_ANOTHER_FORM)
def test_a_setting_in_a_form_that_celery_does_not_read_is_found(
    given: Callable[[str], Celery], name: str, why: str, fix: str
) -> None:
    app = given(name)
    finding = ignored.settings(app)
    assert (finding.level, finding.cause) == (Level.FAILED, f"{name} is ignored: {why}")
    assert finding.fix.startswith(fix)
    assert 7 not in [app.conf[setting] for setting in DEFAULTS]  # Celery reads it nowhere


@pytest.mark.parametrize("form", ["{0}", "{1}", "CELERY_{1}", "CELERY_{2}", "CELERYD_{2}"])
def test_of_all_settings_just_those_names_are_found_that_celery_does_not_read(form: str) -> None:
    wrong = []
    for setting in DEFAULTS:
        name = form.format(setting, setting.upper(), setting.partition("_")[2].upper())
        app = on_conf(name)
        reads = any(app.conf[one] == 7 for one in DEFAULTS)
        if reads != (ignored.settings(app).level is Level.OK):
            wrong.append(name)
    assert all(name.startswith(ANYBODYS) for name in wrong), wrong


def test_under_a_namespace_what_is_set_on_the_app_itself_is_read_too() -> None:
    app = Celery("shop", set_as_current=False)
    app.config_from_object(SimpleNamespace(CELERY_task_time_limit=7), namespace="CELERY")
    app.conf.task_track_started = True
    app.conf.acks_late = True
    finding = ignored.settings(app)
    assert finding.cause == (
        "CELERY_task_time_limit is ignored: Celery reads it as CELERY_TASK_TIME_LIMIT; "
        "acks_late is ignored: Celery reads it as CELERY_TASK_ACKS_LATE"
    )
    assert app.conf.task_time_limit is None


def test_a_helper_in_a_configuration_object_is_not_judged() -> None:
    app = Celery("shop", set_as_current=False)
    helpers = SimpleNamespace(default_exchange=Exchange("shop"), DATABASE_URL="db://", RESULT_BACKEND="rpc://")
    helpers.result_backend = helpers.RESULT_BACKEND
    app.config_from_object(helpers)
    assert ignored.settings(app).level is Level.OK


def test_a_configuration_object_is_read_too_and_its_other_names_are_left_alone() -> None:
    app = app_with()
    app.config_from_object(SimpleNamespace(task_acks_late=True, task_aks_late=True, broker_heartbeat=3, DEBUG=1, os=1))
    finding = ignored.settings(app)
    assert finding.cause == "task_aks_late is ignored: Celery has no such setting; did you mean 'task_acks_late'?"


def test_settings_under_a_namespace_are_read_without_it() -> None:
    app = Celery("shop", broker="amqp://localhost//", set_as_current=False)
    app.config_from_object(
        SimpleNamespace(CELERY_TASK_ACKS_LATE=True, CELERY_TASK_AKS_LATE=True, INSTALLED_APPS=[]), namespace="CELERY"
    )
    finding = ignored.settings(app)
    assert finding.cause.startswith("CELERY_TASK_AKS_LATE is ignored")
    assert ";" not in finding.fix


@pytest.mark.parametrize("name", ["CELERY_ACKS_LATE", "CELERYD_PREFETCH_MULTIPLIER", "BROKER_HEARTBEAT"])
def test_the_names_of_before_celery_4_are_known(name: str) -> None:
    app = Celery("shop", set_as_current=False)
    app.config_from_object(SimpleNamespace(**{name: 1}))
    assert ignored.settings(app).level is Level.OK


def test_a_setting_of_the_users_own_is_not_judged() -> None:
    assert ignored.settings(app_with(shop_currency="EUR")).level is Level.OK


@pytest.mark.parametrize(
    ("option", "meant"),
    [("max_retry", "max_retries"), ("retry_backof", "retry_backoff"), ("acks_later", "acks_late")],
)
def test_a_slip_in_an_option_of_a_task_is_found(option: str, meant: str) -> None:
    finding = ignored.task_options(app_with(task={option: 1, "currency": "EUR"}))
    assert finding.level is Level.FAILED
    assert finding.cause == f"shop.pay: {option} is ignored; did you mean {meant!r}?"


# --- routes ---------------------------------------------------------------------------------------


def test_a_task_that_is_routed_to_an_undeclared_queue_is_found() -> None:
    queues = {"task_queues": [Queue("paying")], "task_create_missing_queues": False}
    app = app_with(**queues, task_routes={"shop.pay": {"queue": "queue_zz"}})
    finding = routes.declared(app)
    assert finding.level is Level.FAILED
    assert finding.cause == "shop.pay cannot be published: Queue 'queue_zz' missing from task_queues"
    assert finding.fix == "a queue of that name in task_queues, or a route of shop.pay to one of: paying"
    with pytest.raises(QueueNotFound):
        app.tasks["shop.pay"].apply_async()
    assert routes.declared(app_with(**queues, task_routes={"shop.pay": "paying"})).level is Level.OK


def test_a_task_that_is_not_routed_where_the_default_queue_is_undeclared_is_found() -> None:
    app = app_with(task_queues=[Queue("paying")], task_create_missing_queues=False)
    assert "Queue 'celery' missing from task_queues" in routes.declared(app).cause


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"shop.pya": "paying"}, "shop.pya is routed, and no task has that name; did you mean 'shop.pay'?"),
        ([("shop.pya", "paying")], "shop.pya is routed, and no task has that name; did you mean 'shop.pay'?"),
        ({re.compile(r"store\..+"): "paying"}, r"what matches store\..+ is routed, and no task does"),
    ],
)
def test_a_route_that_is_no_tasks_is_named_with_what_was_meant(given: Any, told: str) -> None:
    finding = routes.known(app_with(task_routes=[given] if isinstance(given, list) else given))
    assert (finding.level, finding.cause) == (Level.WARNING, told)


def test_routes_of_every_kind_are_read() -> None:
    given = [lambda *_, **__: None, {"shop.*": "paying", re.compile("shop"): "paying", "shop.pay": {"queue": "paying"}}]
    assert routes.known(app_with(task_routes=given)).level is Level.OK


def test_queues_that_a_route_makes_are_told_with_those_that_are_declared() -> None:
    app = app_with(task_queues=[Queue("paying"), Queue("spare")], task_routes={"shop.pay": "made"})
    assert task_queues(app) == {"paying": [], "spare": [], "made": ["shop.pay"]}


# --- unsafe combinations --------------------------------------------------------------------------


def test_early_acknowledgement_is_unsafe_and_fails_where_a_scenario_kills_workers() -> None:
    app = app_with()
    assert lint.acknowledgement(app, [scenario()]).level is Level.WARNING
    killed = lint.acknowledgement(app, [scenario(kind=FaultKind.KILL, at_s=1.0)])
    assert killed.level is Level.FAILED
    assert "shop.pay: acknowledged before it runs" in killed.cause
    assert "paying kills workers" in killed.cause
    mended = app_with(task_acks_late=True, task_reject_on_worker_lost=True)
    assert lint.acknowledgement(mended, [scenario(kind=FaultKind.KILL, at_s=1.0)]).level is Level.OK


def test_late_acknowledgement_without_rejecting_on_a_lost_process_is_unsafe() -> None:
    finding = lint.acknowledgement(app_with(task_acks_late=True), [])
    assert "lost with the process" in finding.cause
    assert finding.fix == "task_reject_on_worker_lost = True"
    retried = app_with(task_acks_late=True, task_retry_on_worker_lost=True)
    assert lint.acknowledgement(retried, []).level is Level.OK


@pytest.mark.parametrize("error", [Exception, BaseException])
def test_retrying_every_exception_is_unsafe(error: type[BaseException]) -> None:
    finding = lint.retried_errors(app_with(task={"autoretry_for": (OSError, error)}))
    assert finding.level is Level.WARNING
    assert f"autoretry_for has {error.__name__}" in finding.cause
    assert lint.retried_errors(app_with(task={"autoretry_for": (OSError,)})).level is Level.OK


def test_retries_without_end_are_unsafe() -> None:
    finding = lint.bounded_retries(app_with(task={"max_retries": None}))
    assert finding.level is Level.WARNING
    assert finding.cause.startswith("shop.pay: max_retries is None")


def test_waits_that_outlast_everybody_who_waits_for_the_result_fail() -> None:
    task = {"autoretry_for": (OSError,), "retry_backoff": 10, "max_retries": 3}  # 10 + 20 + 40 s
    app = app_with(task=task)
    finding = lint.retry_waits(app, [scenario(timeout_s=60), scenario(timeout_s=5)])
    assert finding.level is Level.FAILED
    assert "70.0 s between its attempts, and nobody waits longer than 60.0 s" in finding.cause
    assert lint.retry_waits(app, [scenario(timeout_s=80), scenario(timeout_s=5)]).level is Level.OK
    assert (
        lint.retry_waits(app_with(task={**task, "retry_backoff_max": 15}), [scenario(timeout_s=60)]).level is Level.OK
    )


def waits_s(task: Any) -> list[float]:
    """Return each wait before another attempt of a task that always fails, as Celery itself has it, in seconds."""
    waits = []
    while True:
        task.push_request(called_directly=False, is_eager=True, retries=len(waits), args=(), kwargs={})
        try:
            task.run()
        except Retry as retry:
            waits.append(retry.when)
        except OSError:
            return waits
        finally:
            task.pop_request()


@pytest.mark.parametrize(
    "options",
    [
        {"retry_kwargs": {"max_retries": 6, "countdown": 600}},
        {"retry_kwargs": {"max_retries": 4}, "max_retries": 2, "default_retry_delay": 7},
        {"retry_kwargs": {"max_retries": None, "countdown": 0}, "max_retries": 2},
        {"retry_kwargs": {"countdown": 600}, "retry_backoff": 5, "retry_jitter": False, "max_retries": 3},
    ],
)
def test_what_retry_kwargs_say_is_read_as_celery_does(options: dict[str, Any]) -> None:
    app = app_with(task={"autoretry_for": (OSError,), **options})
    policy = retry_policies(app, [TaskSpec(task="shop.pay")])["shop.pay"]
    task = app.tasks["shop.pay"]
    task._orig_run = unpaid
    assert policy.max_retries is not None
    assert waits_s(task) == [policy.wait(number).high for number in range(policy.max_retries)]


def test_waits_and_bounds_in_retry_kwargs_are_judged() -> None:
    said = {"autoretry_for": (OSError,), "retry_kwargs": {"max_retries": 100, "countdown": 600}, "max_retries": None}
    app = app_with(task=said)
    assert "shop.pay may wait 16 h 40 min between" in lint.retry_waits(app, [scenario(timeout_s=60)]).cause
    assert lint.bounded_retries(app).level is Level.OK
    assert lint.bounded_retries(app_with(task={**said, "autoretry_for": ()})).level is Level.WARNING


def test_rpc_results_that_never_expire_fail() -> None:
    assert lint.result_expiry(app_with(result_backend="rpc://", result_expires=None)).level is Level.FAILED
    assert lint.result_expiry(app_with(result_backend="rpc://")).level is Level.OK
    ignoring = app_with(result_backend="rpc://", result_expires=None, task_ignore_result=True)
    assert lint.result_expiry(ignoring).level is Level.OK


@pytest.mark.parametrize(("multiplier", "amount"), [(4, "4 messages for each"), (0, "every message there is")])
def test_prefetching_behind_long_tasks_is_unsafe(multiplier: int, amount: str) -> None:
    finding = lint.prefetch(app_with(worker_prefetch_multiplier=multiplier))
    assert finding.level is Level.WARNING
    assert amount in finding.cause
    short = app_with(worker_prefetch_multiplier=multiplier, task_time_limit=5)
    assert lint.prefetch(short).level is Level.OK
    assert lint.prefetch(app_with(worker_prefetch_multiplier=1)).level is Level.OK


@pytest.mark.parametrize(
    ("kind", "queue_type", "level"),
    [("direct", "quorum", Level.FAILED), ("topic", "quorum", Level.OK), ("direct", "classic", Level.OK)],
)
def test_a_quorum_queue_on_a_direct_exchange_fails_where_tasks_are_retried(
    kind: str, queue_type: str, level: Level
) -> None:
    queue = Queue("paying", Exchange("shop", type=kind), "paying", queue_arguments={"x-queue-type": queue_type})
    app = app_with(task_queues=[queue], task={"autoretry_for": (OSError,)})
    assert lint.delayed_delivery(app).level is level
    assert lint.delayed_delivery(app_with(task_queues=[queue])).level is Level.OK


def test_a_message_is_held_while_it_runs_and_while_its_node_waits_for_its_time() -> None:
    app = app_with(
        task={"autoretry_for": (OSError,), "default_retry_delay": 7200, "acks_late": True}, task_time_limit=60
    )
    assert [(one.seconds, one.reason) for one in lint.held(app)] == [
        (60.0, "task_time_limit"),
        (7200.0, "the wait of a retry"),
    ]
    assert [one.seconds for one in lint.held(app_with(task={"acks_late": True}))] == [None]
    assert lint.held(app_with()) == []
