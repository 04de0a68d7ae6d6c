"""Sweeps: the curve against the ideal, what held a step back, what is refused, and every form that it is shown in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from harness.errors import ExitCode, HarnessError, UnavailableError, UsageError
from harness.load_plan import LoadPlan
from harness.load_report import Backlog, LoadReport, NodeShare
from harness.model.load import LoadProfile
from harness.processors import Ticks
from harness.render.style import ASCII, PLAIN
from harness.render.sweep_html import sweep_html
from harness.render.sweep_json import sweep_pieces
from harness.render.sweep_text import step_text, sweep_text
from harness.render.sweep_words import finding, rows, sweep_headline, why
from harness.sweep import Limit, Step, Sweep, limit, refuse_beyond, replicas
from tests.sample_loads import crossed, failed, interrupted, invalid, load, planned

AT = 1_700_000_000.0
BROKER = "amqp://guest@localhost:5672//"
CLOSED = LoadProfile(in_flight=60, duration_s=8.0, mix={"task_a": 1}, work_s=0.05)


def report(rate: float, *, ready: int = 0, of: LoadReport | None = None, **generator: float) -> LoadReport:
    """Return a load of 10 s whose tasks ran for 70 ms on average."""
    made = of or load()
    window = replace(made.window, begin_s=0.0, end_s=10.0, completed=round(rate * 10), busy_s=rate * 10 * 0.07)
    backlog = (Backlog(queue="queue_a", looks=((0.0, ready), (1.0, ready))),)
    used = replace(made.generator, **{"cpu_s": 0.5, "wall_s": 10.0, **generator})
    return replace(made, window=window, backlog=backlog, generator=used)


def step(
    number: int = 1, rate: float = 13.0, *, slots: int | None = None, machine: float | None = 0.3, **more: Any
) -> Step:
    made = report(rate, **more)
    return Step(replicas=number, slots=slots or number, machine_busy=machine, report=made)


CURVE = Sweep(steps=(step(1, 13.0, ready=50), step(2, 25.0, ready=50), step(4, 40.0, ready=50, machine=0.95)))


# --- figures --------------------------------------------------------------------------------------


def test_efficiency_is_the_share_of_the_throughput_of_the_fewest_times_the_replicas() -> None:
    sweep = Sweep(steps=(step(4, 40.0), step(2, 25.0)))  # in whatever order
    assert sweep.base.replicas == 2
    assert [(sweep.ideal_per_s(one), sweep.efficiency(one), sweep.speedup(one)) for one in sweep.steps] == [
        (50.0, 0.8, 1.6),
        (25.0, 1.0, 1.0),
    ]


def test_a_step_knows_how_busy_its_processes_were_and_how_long_they_waited_for_a_task() -> None:
    one = step(2, 20.0, slots=4)
    assert one.run_s == pytest.approx(0.07, rel=0.02)
    assert one.busy == pytest.approx(20 * 0.07 / 4, rel=0.02)
    assert one.between_s == pytest.approx(4 / 20 - 0.07, rel=0.02)


def test_nothing_that_ran_divides_by_nothing() -> None:
    none = Sweep(steps=(step(1, 0.0), step(2, 0.0)))
    assert (none.speedup(none.last), none.efficiency(none.last), none.last.between_s) == (None, None, None)
    assert sweep_text(none, None, PLAIN)


def few(number: int, rate: float, busy_s: float = 5.0, **more: Any) -> Step:
    """Return a step in which little ended, though its processes executed tasks for so long."""
    one = step(number, rate, **more)
    return replace(one, report=replace(one.report, window=replace(one.report.window, busy_s=busy_s)))


def test_a_curve_takes_ten_tasks_of_each_process() -> None:
    assert step(4, 4.0).invalid == ()
    assert step(4, 3.9).invalid == ("39 tasks ended, and a curve takes 10 of each process (40 here): a longer load",)
    assert step(4, 3.9, of=invalid()).invalid == invalid().invalid
    assert step(4, 3.9, of=interrupted()).invalid == ()
    assert step(4, 3.9, of=interrupted()).exit_code is ExitCode.INTERRUPTED


@pytest.mark.parametrize(("first", "last", "named"), [(0.0, 25.0, 1), (13.0, 1.9, 2)])
def test_a_sweep_in_which_too_little_ended_is_invalid_and_states_no_growth(
    first: float, last: float, named: int
) -> None:
    sweep = Sweep(steps=(few(1, first), few(2, last)))
    assert sweep.exit_code is ExitCode.UNAVAILABLE
    assert (sweep_headline(sweep).word, finding(sweep)) == ("Invalid", f"with {named} too little ended for a curve")
    text = sweep_text(sweep, None, ASCII)
    assert "grew" not in text
    assert "passed" not in text
    assert rows(sweep)[1][4] == ""
    told = json.loads("".join(sweep_pieces(sweep, planned(CLOSED), AT, BROKER)))
    assert (told["verdict"], told["exit_code"]) == ("invalid", 69)
    assert [told["curve"][-1][name] for name in ("speedup", "efficiency")] == [None, None]
    assert len(told["curve"][named - 1]["invalid"]) == 1
    page = sweep_html(sweep, planned(CLOSED), AT, BROKER)
    assert "Efficiency</dt>" not in page
    assert "too little ended for a curve; " in page


def test_what_held_back_a_step_in_which_little_ended_is_what_was_busy_or_not_known() -> None:
    assert limit(few(1, 0.0, busy_s=9.9)) is Limit.WORKERS
    assert "busy 99% of the time" in why(few(1, 0.0, busy_s=9.9))
    assert limit(few(1, 0.0)) is Limit.UNKNOWN
    assert "too little ended to say more" in why(few(1, 0.0))


def test_a_step_that_shows_too_little_says_how_much_it_takes() -> None:
    told = step_text(few(1, 0.5), ASCII)
    assert told.startswith("[x] 0.5 tasks a second, too little ended for a curve\n   * 5 tasks ended, and ")


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (step(rate=13.9, machine=0.99, cpu_s=9.5), Limit.GENERATOR),
        (step(rate=13.9, machine=0.95), Limit.PROCESSORS),
        (step(rate=13.9), Limit.WORKERS),
        (step(rate=13.9, machine=None), Limit.WORKERS),
        (step(rate=8.0, ready=40), Limit.WORKERS),
        (step(rate=8.0), Limit.LOAD),
        (step(rate=3.0, ready=40), Limit.BROKER),
        (step(rate=3.0), Limit.LOAD),
    ],
)
def test_what_held_a_step_back_is_what_was_busy_or_where_the_messages_were(one: Step, found: Limit) -> None:
    assert limit(one) is found
    assert why(one)


def test_nodes_that_hold_what_others_could_run_show_as_prefetch_but_not_at_a_rate() -> None:
    shares = tuple(
        NodeShare(node=f"worker-a@{n}", service="worker-a", queue="queue_a", tasks=tasks, share=tasks / 100)
        for n, tasks in ((1, 70), (2, 30))
    )
    closed = replace(load(), plan=planned(CLOSED), shares=shares)
    uneven = step(2, 6.0, of=closed)
    assert limit(uneven) is Limit.PREFETCH
    assert "2.33 times" in why(uneven)
    assert limit(step(2, 6.0, of=replace(load(), shares=shares))) is Limit.LOAD


def test_this_machine_says_how_busy_it_was() -> None:
    before = Ticks(busy=100, all=1000)
    assert Ticks(busy=175, all=1100).busy_since(before) == 0.75
    assert before.busy_since(before) is None


# --- verdict --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "code", "word"),
    [
        (load(), ExitCode.OK, "Passed"),
        (crossed(), ExitCode.THRESHOLD, "Threshold crossed"),
        (failed(), ExitCode.CHECK_FAILED, "Failed"),
        (invalid(), ExitCode.UNAVAILABLE, "Invalid"),
        (interrupted(), ExitCode.INTERRUPTED, "Interrupted"),
    ],
)
def test_the_worst_step_is_the_verdict(of: LoadReport, code: ExitCode, word: str) -> None:
    sweep = Sweep(steps=(step(1), step(2, of=of), step(4, of=crossed() if code is ExitCode.CHECK_FAILED else load())))
    assert sweep.exit_code is code
    assert sweep_headline(sweep).word == word


def test_an_error_is_the_verdict_of_what_was_played_until_then() -> None:
    sweep = Sweep(steps=(step(1),), error=UnavailableError("1 of 2 nodes of worker-a consume queue_a"))
    assert sweep.exit_code is ExitCode.UNAVAILABLE
    assert sweep_headline(sweep).word == "Not finished"
    assert "1 of 2 nodes of worker-a consume queue_a" in sweep_text(sweep, None, PLAIN)
    assert json.loads("".join(sweep_pieces(sweep, planned(), AT, BROKER)))["error"] == {
        "what": "1 of 2 nodes of worker-a consume queue_a",
        "why": "",
        "fix": "",
    }


def test_no_step_is_no_success() -> None:
    assert Sweep(steps=()).exit_code is ExitCode.CHECK_FAILED


# --- what is asked for ----------------------------------------------------------------------------


def test_a_sweep_is_a_list_of_numbers() -> None:
    assert replicas(" 4, 1,2", 100) == (4, 1, 2)


@pytest.mark.parametrize("text", ["", "1", "1,1", "0,1", "1,2,", "1;2", "1,101", ",".join(map(str, range(1, 23)))])
def test_another_list_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        replicas(text, 100)


def test_more_replicas_than_the_configuration_allows_are_refused() -> None:
    refuse_beyond((1, 4), {"worker-a": 4})
    with pytest.raises(HarnessError, match=r"5 replicas of worker-b, and test-config\.yml has at most 4"):
        refuse_beyond((1, 5), {"worker-a": 10, "worker-b": 4})


# --- how it is shown ------------------------------------------------------------------------------


def test_the_curve_as_text() -> None:
    assert (
        sweep_text(CURVE, "load_results_1.json", ASCII)
        == """
============================================================
[*] SCALING CURVE
============================================================

REPLICAS  PROCESSES  A SECOND  IDEAL  EFFICIENCY  QUEUE WAIT  RUN TIME  BETWEEN   BUSY  LIMIT
       1          1      13.0   13.0      100.0%     3.00 ms   70.0 ms  6.92 ms  91.0%  workers
       2          2      25.0   26.0       96.2%     3.00 ms   70.0 ms  10.0 ms  87.5%  workers
       4          4      40.0   52.0       76.9%     3.00 ms   70.0 ms  30.0 ms  70.0%  processors
replicas of each service, and the processes of all; ideal: the throughput with 1, times the replicas;
queue wait, run time and between (of a process: from one task to the next) are means;
busy: the share of the time in which a process executed a task

1  ##########  13.0/s
2  ###################.  25.0/s
4  ###############################.........  40.0/s

* with 1: the one process was busy 91% of the time, this machine's processors 30%: more processes would do more
* with 2: the 2 processes were busy 88% of the time, this machine's processors 30%: more processes would do more
* with 4: the 4 processes were busy 70% of the time, this machine's processors 95%: workers, broker and this process \
share them; more replicas need another machine

============================================================
[*] Results saved to: load_results_1.json
[ok] Sweep passed: every check held with 3 numbers of replicas; from 1 to 4 replicas the throughput grew 3.08 times, \
77% of the ideal
"""
    )


def test_a_step_is_shown_as_soon_as_it_is_known() -> None:
    assert step_text(step(), ASCII).startswith("[ok] 13.0 tasks a second, all ")
    told = step_text(step(of=invalid()), ASCII)
    assert told.startswith("[x] 13.0 tasks a second, these figures say nothing of the system")
    assert "   * busy for 97%\n" in told


def test_the_document_has_the_curve_and_each_load() -> None:
    plan: LoadPlan = planned(CLOSED)
    told = json.loads("".join(sweep_pieces(CURVE, plan, AT, BROKER)))
    assert (told["kind"], told["verdict"], told["exit_code"], told["services"]) == ("sweep", "passed", 0, ["worker-a"])
    assert told["finding"] == finding(CURVE)
    assert [one["run_id"] for one in told["steps"]] == [one.report.run.run_id for one in CURVE.steps]
    first, _, last = told["curve"]
    assert (first["replicas"], first["efficiency"], first["limit"]) == (1, 1.0, "workers")
    assert (last["speedup"], last["ideal_per_s"], last["machine_busy"]) == (3.076923, 52.0, 0.95)


def test_the_page_draws_the_curve_and_says_all_that_the_text_says() -> None:
    told = sweep_html(CURVE, planned(CLOSED), AT, BROKER)
    assert "Throughput: measured, ideal, at most 52.0" in told
    assert "Mean times: queue wait, run time, between two tasks" in told
    for row in rows(CURVE):
        assert all(f">{cell}<" in told for cell in row)
    for one in CURVE.steps:
        assert why(one).replace("'", "&#x27;") in told
