"""The GitHub job summary: the whole text once, and nothing from a task read as markup."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from harness.model.report import Check
from harness.render.headline import NotRun
from harness.render.job_summary import job_summary
from tests.sample_reports import basic, embedded, invalid, many

HELD = Check(name="every task succeeded", passed=True, evidence="2 of 2 succeeded")
BROKEN = Check(name="nothing lost", passed=False, evidence="task_a id-1 lost | <b>gone</b>")


def test_the_whole_summary_of_a_run() -> None:
    report = replace(
        basic(),
        checks=(HELD, BROKEN),
        thresholds=(Check(name="run_time p(95)<600ms", passed=False, evidence="700.0 ms over 2 measured"),),
        notes=("a *note*",),
    )
    assert job_summary(report) == (
        "## ❌ basic: failed\n"
        "\n"
        "1 of 2 checks did not hold. 2 tasks in 714 ms; round trip p50 514 ms, p95 714 ms.\n"
        "\n"
        "| Check that did not hold | Evidence |\n"
        "|---|---|\n"
        "| nothing lost | task\\_a id\\-1 lost \\| \\<b\\>gone\\</b\\> |\n"
        "\n"
        "|  | Threshold | Measured |\n"
        "|---|---|---|\n"
        "| ❌ crossed | run\\_time p\\(95\\)\\<600ms | 700\\.0 ms over 2 measured |\n"
        "\n"
        "| Task | Count | Succeeded | Failed | Retries | Run time p50 | p95 | Nodes |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|\n"
        "| task\\_a | 1 | 1 | 0 | 0 | 500 ms | 500 ms | 1 |\n"
        "| task\\_b | 1 | 1 | 0 | 0 | 700 ms | 700 ms | 1 |\n"
        "\n"
        "Ledger: 2 attempted = 2 succeeded; 2 acknowledged\n"
        "\n"
        "- a \\*note\\*\n"
        "\n"
        "<details><summary>All 2 checks</summary>\n"
        "\n"
        "|  | Check | Evidence |\n"
        "|---|---|---|\n"
        "| ✅ held | every task succeeded | 2 of 2 succeeded |\n"
        "| ❌ did not hold | nothing lost | task\\_a id\\-1 lost \\| \\<b\\>gone\\</b\\> |\n"
        "\n"
        "</details>\n"
        "\n"
    )


def test_a_run_that_could_not_happen() -> None:
    run = NotRun(scenario="isolation", what="no broker at localhost:5672", why="refused", fix="./setup.sh start")
    assert job_summary(run) == (
        "## ❌ isolation: not run\n\nno broker at localhost\\:5672\\\nrefused\n\nTry: \\./setup\\.sh start\n\n"
    )


def test_an_invalid_run_says_which_fault_was_not_applied() -> None:
    text = job_summary(invalid())
    assert text.startswith(
        "## ❌ worker\\-kill: invalid\n"
        "\n"
        "1 of 2 faults could not be applied: the run proves nothing. "
        "8 tasks in 4.14 s; round trip p50 3.10 s, p95 4.14 s.\n"
        "\n"
        "| At | Fault | Done to | What came of it |\n"
        "|--:|---|---|---|\n"
        "| 1.00 s | kill worker\\-a at 1s for 1\\.5s | container demo\\-worker\\-a\\-1 \\(worker\\-a\\@12514a296d7c\\) "
        "| 2 of 2 tasks back, running again after 1\\.60s, first ended after 2\\.10s, last after 2\\.10s |\n"
        "| 3.62 s | pause worker\\-b after 75% | container demo\\-worker\\-b\\-1 \\(worker\\-b\\@266b12387dae\\) "
        "| ❌ NOT APPLIED\\: container demo\\-worker\\-b\\-1 could not be paused; it is not running |\n"
        "\n"
        "| Task |"
    )


def test_an_embedded_run_says_what_it_is_worth() -> None:
    assert "\n> embedded broker\\: a demonstration, it says nothing about your deployment\n" in job_summary(embedded())


def test_a_large_run_has_a_small_summary() -> None:
    assert len(job_summary(many(10_000))) < 5_000


def test_more_failed_checks_than_anybody_reads_are_cut() -> None:
    text = job_summary(replace(basic(), checks=(BROKEN,) * 500))
    assert text.count("nothing lost") == 100
    assert text.count("| … | |") == 2


@given(st.text(st.characters(), max_size=40))
def test_a_text_cannot_leave_its_place(text: str) -> None:
    plain, hostile = (
        job_summary(
            replace(
                basic(),
                scenario=replace(basic().scenario, name=f"s{one}"),
                checks=(Check(name=f"n{one}", passed=False, evidence=f"e{one}"),),
                faults=tuple(
                    replace(fault, what=f"w{one}", hit=f"h{one}", error=f"x{one}") for fault in invalid().faults
                ),
                notes=(f"t{one}",),
            )
        )
        for one in ("", text)
    )
    assert len(hostile.split("\n")) == len(plain.split("\n"))
    for bare in "|<`*[]":
        free = rf"(?<!\\)(?:\\\\)*{re.escape(bare)}"
        assert len(re.findall(free, hostile)) == len(re.findall(free, plain))
