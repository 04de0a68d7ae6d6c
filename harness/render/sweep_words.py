"""The sentences and rows of a scaling curve that its text, its document and its page share."""

from __future__ import annotations

from harness.errors import ExitCode
from harness.render.figures import duration_text
from harness.render.headline import Headline
from harness.render.load_words import load_headline, rate_text
from harness.sweep import Limit, Step, Sweep, limit

#: The columns of `rows`; those of figures begin with `#`.
HEADS = (
    *("#REPLICAS", "#PROCESSES", "#A SECOND", "#IDEAL", "#EFFICIENCY", "#QUEUE WAIT"),
    *("#RUN TIME", "#BETWEEN", "#BUSY", "LIMIT"),
)


def rows(sweep: Sweep) -> list[tuple[str, ...]]:
    """Return a row for each step, in the order of its replicas."""
    return [_row(sweep, step) for step in sorted(sweep.steps, key=lambda step: step.replicas)]


def _row(sweep: Sweep, step: Step) -> tuple[str, ...]:
    wait = step.report.latencies.get("queue_wait")
    return (
        str(step.replicas),
        str(step.slots),
        rate_text(step.throughput_per_s),
        "" if sweep.base.few else rate_text(sweep.ideal_per_s(step)),
        "" if (efficiency := sweep.efficiency(step)) is None else f"{efficiency:.1%}",
        duration_text(wait.mean_s) if wait else "",
        duration_text(step.run_s) if step.run_s else "",
        duration_text(step.between_s) if step.between_s is not None else "",
        f"{step.busy:.1%}",
        limit(step).value,
    )


def legend(sweep: Sweep) -> str:
    """Return what the columns are."""
    base = sweep.base.replicas
    return (
        f"replicas of each service, and the processes of all; ideal: the throughput with {base}, times the replicas;\n"
        "queue wait, run time and between (of a process: from one task to the next) are means;\n"
        "busy: the share of the time in which a process executed a task"
    )


def step_sentence(step: Step) -> str:
    """Return the verdict on a step."""
    return (
        load_headline(step.report).sentence if step.invalid == step.report.invalid else "too little ended for a curve"
    )


def why(step: Step) -> str:
    """Return what held a step back, with the figures that say so."""
    machine = "" if step.machine_busy is None else f", this machine's processors {step.machine_busy:.0%}"
    processes = "the one process was" if step.slots == 1 else f"the {step.slots:,} processes were"
    busy = f"{processes} busy {step.busy:.0%} of the time{machine}"
    match limit(step):
        case Limit.GENERATOR:
            return f"this process, which publishes, used {step.generator_busy:.0%} of one processor: measure with less"
        case Limit.WORKERS:
            return f"{busy}: more processes would do more"
        case Limit.UNKNOWN:
            return f"{busy}, and too little ended to say more"
        case Limit.PROCESSORS:
            return f"{busy}: workers, broker and this process share them; more replicas need another machine"
        case Limit.BROKER:
            return (
                f"{busy}, though {step.ready:,.0f} messages were ready on average: delivering, confirming and "
                "answering took the rest; longer tasks, or a faster broker"
            )
        case Limit.PREFETCH:
            most = max(step.report.fairness.values())
            return (
                f"{busy}, and the busiest node of a service ran {most:.2f} times what its idlest did: a lower prefetch"
            )
        case _:
            return f"{busy}, and nothing waited in the queues: this load asks for no more"


def finding(sweep: Sweep) -> str:
    """Return what the curve says, in a sentence."""
    base, last = sweep.base, sweep.last
    if base is last:
        return f"with {base.replicas}, {rate_text(base.throughput_per_s)} tasks a second: one point is no curve"
    speedup, efficiency = sweep.speedup(last), sweep.efficiency(last)
    if speedup is None or efficiency is None:
        return f"with {(base if base.few else last).replicas} too little ended for a curve"
    return (
        f"from {base.replicas} to {last.replicas} replicas the throughput grew {speedup:.2f} times, "
        f"{efficiency:.0%} of the ideal"
    )


def sweep_headline(sweep: Sweep) -> Headline:
    """Return the verdict in a word and a sentence, from the exit code alone."""
    of = f"{len(sweep.steps)} numbers of replicas"
    match sweep.exit_code:
        case ExitCode.OK:
            return Headline(sign="✓", word="Passed", tone="good", sentence=f"every check held with {of}")
        case ExitCode.THRESHOLD:
            sentence = "every check held, but a threshold was crossed"
            return Headline(sign="!", word="Threshold crossed", tone="warn", sentence=sentence)
        case ExitCode.INTERRUPTED:
            return Headline(sign="!", word="Interrupted", tone="warn", sentence=f"{of} were played")
        case ExitCode.UNAVAILABLE if sweep.error is None:
            sentence = "with some replicas the figures say nothing of the system"
            return Headline(sign="✕", word="Invalid", tone="bad", sentence=sentence)
        case ExitCode.CHECK_FAILED:
            return Headline(sign="✕", word="Failed", tone="bad", sentence="a check did not hold")
        case _:
            sentence = f"after {of}: {sweep.error.what if sweep.error else ''}"
            return Headline(sign="!", word="Not finished", tone="bad", sentence=sentence)
