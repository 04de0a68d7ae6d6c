"""What the measurements run on: a virtual host of their own, workers as processes, one run as `dispatch.py` does it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from celery import Celery

from bench.measure import Failed
from harness.fleet import worker_command
from harness.model.event import Event
from harness.model.report import Report
from harness.model.scenario import Scenario, TaskSpec
from harness.model.topology import Roster, WorkerSpec
from harness.output import ResultsFile
from harness.roster import wait_for_workers
from harness.run import Run

ROOT = Path(__file__).resolve().parent.parent
#: How long workers may take to consume, in seconds.
READY_S = 30.0
#: Far above what any measurement takes, in seconds.
TIMEOUT_S = 300.0


def erlang(expression: str) -> str:
    """Evaluate an expression in the broker; passed on stdin, where `ps` does not show it."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    command = [*sudo, "rabbitmqctl", "eval"]  # with an option beside, RabbitMQ 4.0 does not read standard input
    return subprocess.run(command, input=expression, capture_output=True, text=True, check=True, timeout=30).stdout


@contextmanager
def virtual_host() -> Iterator[str]:
    """Make a virtual host, and a user that may do everything there and nothing elsewhere; yield the URL."""
    name, password = f"bench-{os.getpid()}", secrets.token_urlsafe(12)
    everything = '<<".*">>, <<".*">>, <<".*">>'
    try:
        erlang(
            f'rabbit_vhost:add(<<"{name}">>, <<"bench">>), '
            f'rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"{password}">>, <<"bench">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"{name}">>, <<"{name}">>, {everything}, <<"bench">>).'
        )
        yield f"amqp://{name}:{password}@localhost:5672/{name}"
    finally:
        erlang(
            f'catch rabbit_vhost:delete(<<"{name}">>, <<"bench">>), '
            f'catch rabbit_auth_backend_internal:delete_user(<<"{name}">>, <<"bench">>).'
        )


def environment(**more: str) -> dict[str, str]:
    """Return the environment of an ordinary user: Python keeps what it compiled."""
    unwanted = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    return {**{name: value for name, value in os.environ.items() if name not in unwanted}, **more}


@contextmanager
def workers(module: str, app: Celery, specs: Sequence[WorkerSpec], *more: str) -> Iterator[Roster]:
    """Start a node of each spec with the product's command line for the app in `module`; yield who consumes what."""
    logs = Path(tempfile.mkdtemp(prefix="bench-workers-"))
    processes = []
    try:
        for spec in specs:
            command = [module if word == "celery_app" else word for word in worker_command(spec)]
            with (logs / f"{spec.service}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", *command, *more],
                        cwd=ROOT,
                        env=environment(),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )

        def last_words(spec: WorkerSpec) -> str:
            return (logs / f"{spec.service}.log").read_text()[-500:]

        yield wait_for_workers(app, specs, READY_S, on_wait=lambda text: None, explain=last_words)
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(logs)


def scenario(specs: Sequence[WorkerSpec], counts: Mapping[str, int]) -> Scenario:
    """Return a scenario of `counts` tasks by name."""
    tasks = tuple(TaskSpec(task=name, count=count) for name, count in counts.items())
    return Scenario(name="bench", description="", workers=tuple(specs), tasks=tasks, timeout_s=TIMEOUT_S)


def dispatch(
    app: Celery,
    roster: Roster,
    scenario: Scenario,
    on_event: Callable[[Event], None] = lambda event: None,
    on_tick: Callable[[Run], None] = lambda run: None,
) -> Report:
    """Run `scenario` as the command does, results file and journal included, in a directory that is removed after."""
    with tempfile.TemporaryDirectory(prefix="bench-run-") as directory:
        results = ResultsFile.reserve(None, time.time(), directory)
        run = Run(app, scenario, roster, results, journals=Path(directory), on_event=on_event, on_tick=on_tick)
        report = run.execute()
        results.finish(report)
    return report


def dispatch_all(app: Celery, roster: Roster, scenario: Scenario) -> Report:
    """Run `scenario`; every task must succeed, once.

    Raises:
        Failed: One did not.
    """
    report = dispatch(app, roster, scenario)
    ledger = report.ledger
    if ledger.succeeded != scenario.task_count or ledger.duplicated or ledger.unexpected:
        raise Failed(str(ledger))
    return report
