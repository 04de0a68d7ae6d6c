"""The sentences of a load report that its text and its page share."""

from __future__ import annotations

from harness.errors import ExitCode
from harness.load_plan import LoadPlan
from harness.load_report import Generator, LoadReport
from harness.model.load import LoadModel
from harness.render.figures import duration_text
from harness.render.headline import Headline, every
from harness.render.visible import visible

#: Rows of the table of latencies, in the order in which a task meets them.
METRICS = (
    ("queue_wait", "queue wait"),
    ("run_time", "run time"),
    ("round_trip", "round trip"),
)


def model_text(plan: LoadPlan) -> str:
    """Return the model, and what it was asked for: "open: 20 tasks a second for 30.0 s, ramp 5.00 s"."""
    load = plan.load
    parts = [f"for {duration_text(load.duration_s)}"] if load.duration_s is not None else []
    if load.model is LoadModel.OPEN:
        assert load.rate is not None
        head = " ".join([f"{load.rate:,.10g} tasks a second", *parts])
        parts = [f"{head}, whatever comes of the earlier ones"]
    elif load.model is LoadModel.CLOSED:
        until = parts[0] if parts else f"until {plan.offered or 0:,} are done"
        parts = [f"{load.window:,} tasks in flight, {until}"]
    else:
        parts = [f"{plan.offered or 0:,} tasks at once, at most {load.window:,} in flight"]
    parts += [f"ramp {duration_text(load.ramp_s)}"] if load.ramp_s else []
    parts += [f"warm-up {duration_text(load.warmup_s)}"] if load.warmup_s else []
    return f"{load.model.value}: {', '.join(parts)}"


def mix_text(plan: LoadPlan) -> str:
    """Return the kinds of tasks with their shares, and their work."""
    kinds = zip(plan.scenario.tasks, plan.shares, strict=True)
    mix = " : ".join(f"{visible(spec.task)} {share}" for spec, share in kinds)
    return mix if plan.work_s is None else f"{mix}; work {duration_text(plan.work_s)} each"


def rate_text(per_s: float) -> str:
    """Return how many a second: `1,250`, `57.8`, `0.05`."""
    return f"{per_s:,.0f}" if per_s >= 1000 else f"{per_s:.1f}" if per_s >= 10 else f"{per_s:.3g}"


def counted_from(plan: LoadPlan) -> str:
    """Return of which tasks the times are, and from when on they count."""
    begin = "was due" if plan.load.model is LoadModel.OPEN else "was published"
    return f"of the tasks that succeeded; queue wait and round trip count from when a task {begin}"


def window_text(report: LoadReport) -> str:
    window = report.window
    begin = duration_text(window.begin_s) if window.begin_s else "0"
    return f"{begin} to {duration_text(window.end_s)}, {window.words}"


def rates(report: LoadReport) -> list[tuple[str, str, str, str]]:
    """Return what was offered, published and completed in the steady window: name, rate, number, remark."""
    plan, window = report.plan, report.window
    load = plan.load
    achieved = rate_text(report.achieved_per_s)
    throughput = ("throughput", rate_text(window.throughput_per_s), f"{window.completed:,}", "completed")
    if load.model is LoadModel.OPEN and load.rate is not None:
        share = f"{report.achieved_per_s / load.rate:.2%} of what was offered"
        return [
            ("offered", rate_text(load.rate), f"{load.rate * window.length_s:,.0f}", "as asked"),
            ("achieved", achieved, f"{window.sent:,}", share),
            throughput,
        ]
    if load.model is LoadModel.BURST:
        return [
            ("offered", "", f"{plan.offered or 0:,}", "at once"),
            ("achieved", achieved, f"{window.sent:,}", "as fast as this process and the broker could"),
            throughput,
        ]
    return [("achieved", achieved, f"{window.sent:,}", "one for each that ended"), throughput]


def generator_text(generator: Generator, tasks: int) -> str:
    """Return what the generator used."""
    words = []
    if tasks:
        words.append(f"{duration_text(generator.cpu_s / tasks)} of processor time a task")
    if generator.wall_s:
        words.append(f"{generator.cpu_s / generator.wall_s:.0%} of one processor")
    if generator.peak_bytes is not None:
        words.append(f"{generator.peak_bytes / 1e6:.0f} MB resident at most")
    return ", ".join([*words, f"{generator.in_flight:,} tasks in flight at most"])


def fairness_text(report: LoadReport) -> str:
    """Return how evenly the nodes of a service were used; empty where each has one."""
    return "; ".join(
        f"{service}: its busiest node ran {ratio:.2f} times what its idlest did"
        for service, ratio in report.fairness.items()
    )


def load_headline(report: LoadReport) -> Headline:
    """Return the verdict in a word and a sentence, from the exit code alone."""
    checks, crossed = len(report.checks), len(report.crossed)
    ledger = report.run.ledger
    match report.exit_code:
        case ExitCode.OK:
            limits = f" and {every(len(report.thresholds), 'threshold')}" if report.thresholds else ""
            return Headline(sign="✓", word="Passed", tone="good", sentence=f"{every(checks, 'check')}{limits} held")
        case ExitCode.UNAVAILABLE:
            return Headline(sign="✕", word="Invalid", tone="bad", sentence="these figures say nothing of the system")
        case ExitCode.THRESHOLD:
            were = "was" if crossed == 1 else "were"
            limits = f"{crossed} of {len(report.thresholds)} thresholds {were} crossed"
            sentence = f"{every(checks, 'check')} held, but {limits}"
            return Headline(sign="!", word="Threshold crossed", tone="warn", sentence=sentence)
        case ExitCode.INTERRUPTED:
            asked = report.plan.offered or ledger.attempted
            sentence = f"{ledger.succeeded:,} of {asked:,} tasks succeeded, {asked - ledger.succeeded:,} did not"
            return Headline(sign="!", word="Interrupted", tone="warn", sentence=sentence)
        case _:
            sentence = (
                f"{len(report.failed_checks)} of {checks} checks did not hold" if checks else "nothing was judged"
            )
            return Headline(sign="✕", word="Failed", tone="bad", sentence=sentence)
