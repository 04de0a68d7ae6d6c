"""Checks of the configuration: what is allowed by Celery and loses, repeats or holds tasks all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from celery import Celery, Task
from celery.backends.rpc import RPCBackend
from kombu import Queue

from harness.app_facts import registered, retry_policies
from harness.expected import RetryPolicy
from harness.finding import Finding, Level, Problem, good, judged
from harness.model.fault import FaultKind
from harness.model.scenario import Scenario, TaskSpec
from harness.render.figures import duration_text

#: A task that may run for longer than this is a long one: what is prefetched behind it waits, in seconds.
LONG_S = 10.0
_KILLS = frozenset({FaultKind.KILL, FaultKind.KILL_MAIN, FaultKind.KILL_CHILD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How long a node may hold a message of a task before it acknowledges it."""

    task: str
    seconds: float | None  # None: without end
    reason: str  # the setting that says so


def acknowledgement(app: Celery, scenarios: Sequence[Scenario]) -> Finding:
    """Judge when tasks are acknowledged: early, and the task that a killed worker runs is gone."""
    early = [name for name in registered(app) if not app.tasks[name].acks_late]
    killed = [one.name for one in scenarios if _kills(one) and {spec.task for spec in one.tasks} & set(early)]
    problems: list[Problem] = []
    if early:
        expects = f", and {', '.join(killed)} kills workers" if killed else ""
        problems.append(
            (
                f"{', '.join(early)}: acknowledged before it runs, so what a killed worker runs is lost{expects}",
                "task_acks_late = True, task_reject_on_worker_lost = True",
            )
        )
    late = [name for name in registered(app) if name not in early and not _survives_its_process(app, app.tasks[name])]
    if late:
        problems.append(
            (
                f"{', '.join(late)}: acknowledged late, and all the same lost with the process that runs it",
                "task_reject_on_worker_lost = True",
            )
        )
    level = Level.FAILED if killed else Level.WARNING
    return judged("acknowledgement", problems, "tasks are acknowledged after they have run", level)


def _kills(scenario: Scenario) -> bool:
    return any(fault.kind in _KILLS for fault in scenario.faults)


def _survives_its_process(app: Celery, task: Task) -> bool:
    """Return whether a message comes back, or a retry is published, where a process of the pool dies."""
    retries = getattr(task, "retry_on_worker_lost", None)  # new in Celery 5.7
    return bool(task.reject_on_worker_lost or retries or (retries is None and app.conf.task_retry_on_worker_lost))


def retried_errors(app: Celery) -> Finding:
    """Judge `autoretry_for`: with every exception in it, a bug is retried like an outage."""
    problems = [
        (
            f"{name}: autoretry_for has {error.__name__}, so a bug is retried as an outage is",
            f"autoretry_for of {name}: only errors that another attempt may not meet, such as ConnectionError",
        )
        for name in registered(app)
        for error in getattr(app.tasks[name], "autoretry_for", ())
        if error in (Exception, BaseException)
    ]
    return judged("retried errors", problems, "no task retries every exception", Level.WARNING)


def bounded_retries(app: Celery) -> Finding:
    """Judge `max_retries`: Celery takes None as for ever."""
    problems = [
        (f"{name}: max_retries is None, so a task that always fails is retried for ever", f"max_retries=3 on {name}")
        for name, policy in _policies(app, registered(app)).items()
        if policy.max_retries is None
    ]
    return judged("bounded retries", problems, "every task gives up after its retries", Level.WARNING)


def retry_waits(app: Celery, scenarios: Sequence[Scenario]) -> Finding:
    """Judge all the waits of a task together: the longest deadline of a scenario with it has to have room for them."""
    problems: list[Problem] = []
    for name, policy in _retried(app).items():
        deadlines = [one.timeout_s for one in scenarios if any(spec.task == name for spec in one.tasks)]
        waits_s = _waits_s(policy)
        if deadlines and waits_s is not None and waits_s >= max(deadlines):
            problems.append(
                (
                    f"{name} may wait {duration_text(waits_s)} between its attempts, "
                    f"and nobody waits longer than {duration_text(max(deadlines))} for its result",
                    f"a smaller backoff, countdown or max_retries of {name}; or a longer timeout",
                )
            )
    return judged("retry waits", problems, "the waits of all retries end before the results are given up")


def _retried(app: Celery) -> dict[str, RetryPolicy]:
    """Return the policies of the tasks that Celery retries by itself."""
    return _policies(app, [name for name in registered(app) if getattr(app.tasks[name], "autoretry_for", ())])


def _policies(app: Celery, names: Sequence[str]) -> dict[str, RetryPolicy]:
    found = retry_policies(app, [TaskSpec(task=name) for name in names])
    return {name: found[name] for name in names}


def _waits_s(policy: RetryPolicy) -> float | None:
    """Return the longest that all waits of a task can take, in seconds; None without end."""
    if policy.max_retries is None:
        return None
    return sum(policy.wait(number).high or 0.0 for number in range(policy.max_retries))


def result_expiry(app: Celery) -> Finding:
    """Judge results that are messages: without expiry, those that nobody reads stay in the broker."""
    if app.conf.task_ignore_result or not isinstance(app.backend, RPCBackend):
        return good("result expiry", "no result is kept as a message")
    if app.conf.result_expires:
        return good("result expiry", f"an unread result is removed after {app.conf.result_expires}")
    cause = "results are messages (rpc) that never expire: what nobody reads fills the broker"
    return judged("result expiry", [(cause, "result_expires = 3600")], "")


def prefetch(app: Celery) -> Finding:
    """Judge what a node takes beyond what it runs: behind a long task it waits, while another node is idle."""
    multiplier = app.conf.worker_prefetch_multiplier
    long_tasks = [name for name in registered(app) if (_limit_s(app, app.tasks[name]) or LONG_S + 1) > LONG_S]
    if multiplier == 1 or app.conf.worker_disable_prefetch or not long_tasks:
        return good("prefetch setting", f"worker_prefetch_multiplier is {multiplier}")
    amount = "every message there is" if multiplier == 0 else f"{multiplier} messages for each of its processes"
    cause = f"a node takes {amount}, and {', '.join(long_tasks)} may run longer than {duration_text(LONG_S)}"
    return judged("prefetch setting", [(cause, "worker_prefetch_multiplier = 1")], "", Level.WARNING)


def delayed_delivery(app: Celery) -> Finding:
    """Judge the exchanges of quorum queues: with a direct one, a retry's wait holds a message, and a worker's slot.

    Celery's native delayed delivery binds patterns, which only a topic exchange matches
    (`celery.worker.consumer.delayed_delivery`).
    """
    retried = _retried(app)
    problems = [
        (
            f"{queue.name} is a quorum queue on the direct exchange {queue.exchange.name}, where no retry of "
            f"{', '.join(retried)} can be delayed by the broker: its wait holds a place of a worker",
            f"Exchange({queue.exchange.name!r}, type='topic') for {queue.name}, under a new name",
        )
        for queue in app.amqp.queues.values()
        if retried and is_quorum(queue) and queue.exchange.type == "direct"
    ]
    return judged("delayed delivery", problems, "no wait of a retry holds a place of a worker")


def is_quorum(queue: Queue) -> bool:
    """Return whether a queue is declared as a quorum queue."""
    return (queue.queue_arguments or {}).get("x-queue-type") == "quorum"


def held(app: Celery) -> list[Held]:
    """Return how long a node may hold each task unacknowledged: while it runs, and while it waits for its time.

    The broker only waits for the time itself with native delayed delivery; otherwise the node holds the message.
    """
    at_broker = all(is_quorum(queue) and queue.exchange.type != "direct" for queue in app.amqp.queues.values())
    found = []
    for name in registered(app):
        task = app.tasks[name]
        if task.acks_late:
            found.append(Held(task=name, seconds=_limit_s(app, task), reason="task_time_limit"))
    if not at_broker:
        for name, policy in _retried(app).items():
            waits = [policy.wait(number).high or 0.0 for number in range(policy.max_retries or 20)]
            found.append(Held(task=name, seconds=max(waits, default=0.0), reason="the wait of a retry"))
    return found


def _limit_s(app: Celery, task: Task) -> float | None:
    """Return the hard time limit of a task, in seconds; None where there is none."""
    limit_s = task.time_limit or app.conf.task_time_limit
    return float(limit_s) if limit_s else None
