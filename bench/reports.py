"""What judging a run of 10,000 tasks, and rendering and writing all its reports, costs a process of its own.

`python -m bench.reports COUNT` is that process.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.measure import Row, median, milliseconds

ROOT = Path(__file__).resolve().parent.parent
COUNT, RUNS = 10_000, 5
MOST_S, MOST_MB, MOST_HTML_BYTES = 1.0, 100.0, 1_000_000


def measure() -> Iterator[Row]:
    runs = [_in_a_process(COUNT) for _ in range(RUNS)]
    took_s = [run["took_s"] for run in runs]
    peak_mb = max(run["peak_mb"] for run in runs)
    html_bytes = max(run["bytes"]["html"] for run in runs)
    parts = {f"{name}_s": [run["parts_s"][name] for run in runs] for name in runs[0]["parts_s"]}
    yield Row(
        what=f"judging, rendering and writing all reports of {COUNT:,} tasks",
        measured=milliseconds(median(took_s)),
        must=f"less than {milliseconds(MOST_S)}",
        reached=median(took_s) < MOST_S,
        samples={"took_s": took_s, **parts},
    )
    yield Row(
        what="  peak memory of that process",
        measured=f"{peak_mb:.1f} MB",
        must=f"less than {MOST_MB:g} MB",
        reached=peak_mb < MOST_MB,
        samples={"peak_mb": [run["peak_mb"] for run in runs]},
    )
    yield Row(
        what="  its HTML report",
        measured=f"{html_bytes / 1000:.0f} kB",
        must=f"less than {MOST_HTML_BYTES / 1000:.0f} kB",
        reached=html_bytes < MOST_HTML_BYTES,
    )


def _in_a_process(count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.reports", str(count)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _run(count: int) -> dict[str, Any]:
    """Report a synthetic run; a tenth of a percent of its tasks failed, and each hundredth was retried."""
    from harness.checks import Judge
    from harness.model.ledger import LedgerCounts, State
    from harness.model.outcome import Outcome
    from harness.model.report import MAX_HELD, Report
    from harness.model.scenario import Scenario, TaskSpec
    from harness.model.topology import Node, Roster, WorkerSpec
    from harness.render.gantt import gantt
    from harness.render.html import html
    from harness.render.job_summary import job_summary
    from harness.render.junit import junit
    from harness.render.rich_report import rich_report
    from harness.render.style import PLAIN
    from harness.results_file import ResultsFile

    began_at = 1758137336.0
    letters = "ab"
    nodes = {letter: [f"worker-{letter}@{letter * 6}{number}" for number in range(4)] for letter in letters}
    roster = Roster(
        nodes=tuple(Node(name=name, queues=(f"queue_{letter}",)) for letter in letters for name in nodes[letter]),
        consumers={f"queue_{letter}": 4 for letter in letters},
    )
    scenario = Scenario(
        name="mixed-load",
        description="",
        workers=tuple(
            WorkerSpec(service=f"worker-{letter}", queue=f"queue_{letter}", replicas=4) for letter in letters
        ),
        tasks=tuple(TaskSpec(task=f"task_{letter}", count=count // 2) for letter in letters),
    )

    def outcome(index: int) -> Outcome:
        letter = letters[index % 2]
        published_at = began_at + index / 9000
        started_at = published_at + 0.01 + (index * 7919 % 997) / 2000
        finished_at = started_at + 0.02 + (index * 104729 % 499) / 10000
        failed, retried = index % 1000 == 999, index % 100 == 50
        return Outcome(
            task_id=f"f37eb6fd-dfb5-8000-8000-{index:012x}",
            index=index,
            entry=index % 2,
            task=f"task_{letter}",
            declared_queue=f"queue_{letter}",
            state=State.FAILED if failed else State.SUCCEEDED,
            published_at=published_at,
            confirmed_at=published_at + 0.004,
            replied_at=finished_at + 0.002,
            first_started_at=started_at,
            started_at=started_at,
            finished_at=finished_at,
            node=nodes[letter][index // 2 % 4],
            queue=f"queue_{letter}",
            queue_evidence="consumer",
            attempts=1 + retried,
            retries=int(retried),
            result=None if failed else {"message": "Hello from Task A", "queue": f"queue_{letter}", "attempt": 1},
            error=f"ValueError: {index} is too much" if failed else None,
        )

    parts_s: dict[str, float] = {}
    sizes: dict[str, int] = {}

    def timed(part: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        value = work()
        parts_s[part] = parts_s.get(part, 0.0) + time.perf_counter() - start
        return value

    with tempfile.TemporaryDirectory() as directory:
        judge = Judge(roster, scenario, confirms=True)
        judge.begin(began_at)
        results = ResultsFile.reserve(Path(directory) / "results.json", began_at)
        held: list[Outcome] = []
        batch = 500  # the clock is not read for every task
        for first in range(0, count, batch):
            outcomes = [outcome(index) for index in range(first, min(first + batch, count))]
            timed("judging", lambda outcomes=outcomes: [judge.observe(one) for one in outcomes])
            room = MAX_HELD - len(held)
            held += outcomes[:room]
            timed("streaming", lambda outcomes=outcomes, room=room: [results.add(one) for one in outcomes[room:]])
        failed = count // 1000
        ledger = LedgerCounts(attempted=count, acknowledged=count, succeeded=count - failed, failed=failed)
        wall_s = count / 9000 + 0.6

        def report() -> Report:
            return Report(
                run_id="f37eb6fddfb5",
                scenario=scenario,
                started_at=began_at,
                broker="amqp://tester@localhost:5672/celery-test",
                embedded=False,
                roster=roster,
                outcomes=tuple(held),
                outcome_count=count,
                ledger=ledger,
                metrics=judge.metrics(wall_s),
                checks=judge.checks(ledger, wall_s),
            )

        judged: Report = timed("judging", report)
        renders: dict[str, Callable[[], str]] = {
            "console": lambda: rich_report(judged, "results.json", PLAIN) + gantt(judged, PLAIN),
            "junit": lambda: junit(judged),
            "html": lambda: html(judged),
            "summary": lambda: job_summary(judged),
        }
        for name, render in renders.items():
            sizes[name] = timed(
                name, lambda name=name, render=render: (Path(directory) / name).write_bytes(render().encode())
            )
        written: Path = timed("results file", lambda: results.finish(judged))
        sizes["results file"] = written.stat().st_size
        return {"took_s": sum(parts_s.values()), "parts_s": parts_s, "bytes": sizes, "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    """Return the largest resident memory of this process so far."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux; macOS counts bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    # not ru_maxrss, which on Linux includes what the parent had when it forked
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6


if __name__ == "__main__":
    print(json.dumps(_run(int(sys.argv[1]))))
