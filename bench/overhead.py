"""What the dispatcher adds to the slowest task of `basic`, beside plain Celery on the same workers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from bench.deployment import ROOT, dispatch, workers
from bench.measure import Failed, Row, in_turns, median, milliseconds
from bench.plain_app import plain_celery
from celery_app import ROUTES, app
from harness.config import load_config
from harness.output import Console, ProgressLine, Terminal
from harness.presenter import FORMATS

RUNS = 20
MOST_S = 0.006


def measure() -> Iterator[Row]:
    (basic,) = (one for one in load_config(ROOT / "test-config.yml", os.environ).scenarios if one.name == "basic")
    plain = plain_celery(ROUTES, confirmed=False)  # its default, and its fastest
    prepared_s: list[float] = []

    with open(os.devnull, "w") as nowhere, workers("celery_app", app, basic.workers) as roster:
        progress = ProgressLine(None, clock=time.monotonic, live=False)
        presenter = FORMATS["rich"](
            Console(nowhere, nowhere, quiet=False, progress=progress), Terminal.detect("never", nowhere, {}).style
        )

        def ours() -> float:
            start = time.perf_counter()
            report = dispatch(app, roster, basic, on_event=presenter.event)
            whole_s = time.perf_counter() - start
            if report.failed_checks:
                raise Failed(str(report.failed_checks[0]))
            slowest_s: float = max(outcome.result["execution_time"] for outcome in report.outcomes)
            prepared_s.append(whole_s - report.metrics.wall_s)
            return report.metrics.wall_s - slowest_s

        def celery() -> float:
            start = time.perf_counter()
            sent = [plain.tasks[spec.task].apply_async(kwargs=dict(spec.kwargs)) for spec in basic.tasks]
            results = [result.get(timeout=30) for result in sent]
            total_s = time.perf_counter() - start
            slowest_s: float = max(result["execution_time"] for result in results)
            return total_s - slowest_s

        samples = in_turns(RUNS, warm_ups=2, ours=ours, celery=celery)
    ours_s, celery_s = median(samples["ours"]), median(samples["celery"])
    yield Row(
        what="dispatcher overhead: total minus the slowest task",
        measured=f"{milliseconds(ours_s)}; plain Celery {milliseconds(celery_s)}",
        must=f"at most {milliseconds(MOST_S)}, and not above plain Celery",
        reached=ours_s <= MOST_S and ours_s <= celery_s,
        samples={**samples, "ours_before_and_after_the_clock": prepared_s},
    )
