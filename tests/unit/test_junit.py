"""JUnit XML: the whole text once, then what its readers rely on, whatever a task said."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.report import Check, Report
from harness.render.headline import NotRun
from harness.render.junit import junit, junit_document, junit_error
from tests.sample_reports import basic, crossed, disturbed, interrupted, invalid, many, retried, troubled

HELD = Check(name="every task succeeded", passed=True, evidence="2 of 2 succeeded")
BROKEN = Check(name="nothing lost", passed=False, evidence='task_a id-1 lost: "<gone>" & away')
ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
KINDS = {
    "passed": basic,
    "failed": retried,
    "troubled": troubled,
    "crossed": crossed,
    "interrupted": interrupted,
    "disturbed": disturbed,
    "invalid": invalid,
}


def test_the_whole_document_of_a_run() -> None:
    report = replace(
        basic(),
        checks=(HELD, BROKEN),
        thresholds=(Check(name="run_time p(95)<1s", passed=True, evidence="700.0 ms over 2 measured"),),
        notes=("a note",),
    )
    assert junit(report) == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<testsuites name="dispatch" tests="4" failures="1" errors="0" skipped="0" time="0.714">\n'
        '  <testsuite name="basic" tests="4" failures="1" errors="0" skipped="0" time="0.714"'
        ' timestamp="2025-09-17T19:28:56">\n'
        "    <properties>\n"
        '      <property name="run_id" value="f37eb6fddfb5"/>\n'
        '      <property name="verdict" value="failed"/>\n'
        '      <property name="exit_code" value="1"/>\n'
        '      <property name="broker" value="amqp://tester@localhost:5672/celery-test"/>\n'
        '      <property name="embedded" value="false"/>\n'
        '      <property name="tasks" value="2"/>\n'
        '      <property name="retries" value="0"/>\n'
        '      <property name="nodes" value="worker-a@12514a296d7c, worker-b@266b12387dae"/>\n'
        "    </properties>\n"
        '    <testcase classname="dispatch.basic" name="the run" time="0.714"/>\n'
        '    <testcase classname="dispatch.basic" name="every task succeeded" time="0.000"/>\n'
        '    <testcase classname="dispatch.basic" name="nothing lost" time="0.000">\n'
        '      <failure message="task_a id-1 lost: &quot;&lt;gone&gt;&quot; &amp; away" type="CheckFailed">'
        'nothing lost: task_a id-1 lost: "&lt;gone&gt;" &amp; away</failure>\n'
        "    </testcase>\n"
        '    <testcase classname="dispatch.basic" name="threshold run_time p(95)&lt;1s" time="0.000"/>\n'
        "    <system-out>Ledger: 2 attempted = 2 succeeded; 2 acknowledged\n"
        "PASS  every task succeeded: 2 of 2 succeeded\n"
        "PASS  run_time p(95)&lt;1s: 700.0 ms over 2 measured\n"
        "Note: a note</system-out>\n"
        "  </testsuite>\n"
        "</testsuites>\n"
    )


def test_a_run_that_could_not_happen_is_an_error_and_not_a_failure() -> None:
    assert junit_error("isolation", "the broker did not answer", "connection refused") == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<testsuites name="dispatch" tests="1" failures="0" errors="1" skipped="0" time="0.000">\n'
        '  <testsuite name="isolation" tests="1" failures="0" errors="1" skipped="0" time="0.000">\n'
        '    <testcase classname="dispatch.isolation" name="the run" time="0.000">\n'
        '      <error message="the broker did not answer" type="NotRun">the broker did not answer\n'
        "why: connection refused</error>\n"
        "    </testcase>\n"
        "  </testsuite>\n"
        "</testsuites>\n"
    )


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.encode())


def test_an_interrupted_run_is_an_error_even_where_all_that_ended_held() -> None:
    run = parsed(junit(replace(interrupted(), checks=(HELD,)))).find("testsuite/testcase")
    assert run is not None
    assert [child.tag for child in run] == ["error"]
    assert run[0].get("message") == "1 of 2 tasks completed, 1 not"


def test_an_invalid_run_is_an_error_even_where_all_checks_held() -> None:
    root = parsed(junit(invalid()))
    run = root.find("testsuite/testcase")
    assert run is not None
    (error,) = run
    assert (error.tag, error.get("type"), error.get("message"), error.text) == (
        "error",
        "Invalid",
        "1 of 2 faults could not be applied: the run proves nothing",
        "1 of 2 faults could not be applied: the run proves nothing\n"
        "pause worker-b after 75%: NOT APPLIED: container demo-worker-b-1 could not be paused; it is not running",
    )
    assert (root.get("errors"), root.get("failures")) == ("1", "0")
    (verdict,) = [one.get("value") for one in root.iter("property") if one.get("name") == "verdict"]
    assert verdict == "invalid"


def test_faults_are_told_in_the_output() -> None:
    output = parsed(junit(disturbed())).findtext("testsuite/system-out") or ""
    assert output.splitlines()[-2:] == [
        "Fault at 1.002s: kill worker-a at 1s for 1.5s: container demo-worker-a-1 (worker-a@12514a296d7c), undone at "
        "2.504s; 2 of 2 tasks back, running again after 1.60s, first ended after 2.10s, last after 2.10s",
        "Fault at 3.623s: pause worker-b after 75%: container demo-worker-b-1 (worker-b@266b12387dae), undone at "
        "4.143s; no task was in flight there",
    ]
    many_faults = replace(invalid(), faults=(invalid().faults[1],) * 10_000)
    assert len(junit(many_faults)) < 50_000


def test_a_run_in_which_nothing_was_judged_is_a_failure() -> None:
    run = parsed(junit(replace(basic(), checks=()))).find("testsuite/testcase")
    assert run is not None
    assert [(child.tag, child.get("message")) for child in run] == [("failure", "nothing was judged")]


def test_a_crossed_threshold_is_a_failure_of_its_own_type() -> None:
    (failure,) = parsed(junit(crossed())).iter("failure")
    assert (failure.get("type"), failure.get("message")) == ("ThresholdCrossed", "700.0 ms over 2 measured")


def test_several_runs_are_suites_of_one_document_whose_totals_add_up() -> None:
    root = parsed(junit_document([basic(), NotRun(scenario="isolation", what="no"), retried(), crossed()]))
    assert [suite.get("name") for suite in root] == ["basic", "isolation", "retry", "basic"]
    for total in ("tests", "failures", "errors", "skipped"):
        assert root.get(total) == str(sum(int(suite.get(total, "")) for suite in root))
    assert root.get("time") == f"{0.714 + 2.6 + 0.714:.3f}"


@pytest.mark.parametrize("kind", KINDS)
def test_counts_and_times_are_those_of_the_cases(kind: str) -> None:
    report = KINDS[kind]()
    root = parsed(junit(report))
    for suite in root:
        cases = suite.findall("testcase")
        assert suite.get("tests") == str(len(cases)) == str(1 + len(report.checks) + len(report.thresholds))
        assert suite.get("failures") == str(len(suite.findall("testcase/failure")))
        assert suite.get("errors") == str(len(suite.findall("testcase/error")))
        assert suite.get("time") == f"{sum(float(case.get('time', '')) for case in cases):.3f}"
    failing = int(root.get("failures", "")) + int(root.get("errors", ""))
    assert (failing == 0) is (report.exit_code == 0)


def test_cases_of_the_same_name_are_numbered() -> None:
    report = replace(basic(), checks=(HELD, HELD, BROKEN, HELD))
    names = [case.get("name") for case in parsed(junit(report)).iter("testcase")]
    assert names == [
        "the run",
        "every task succeeded",
        "every task succeeded (2)",
        "nothing lost",
        "every task succeeded (3)",
    ]


def test_a_large_run_does_not_make_a_large_document() -> None:
    assert len(junit(many(10_000))) < 10_000


@given(st.text(st.characters(), max_size=40))
def test_whatever_a_text_holds_the_document_is_well_formed_and_says_it(text: str) -> None:
    hostile = Check(name=f"n{text}", passed=False, evidence=f"e{text}")
    base: Report = basic()
    report = replace(
        base,
        run_id=text,
        broker=text,
        scenario=replace(base.scenario, name=f"s{text}"),
        checks=(hostile, replace(hostile, passed=True)),
        thresholds=(hostile,),
        faults=tuple(replace(fault, what=text, hit=text, error=text) for fault in disturbed().faults),
        notes=(text,),
    )
    document = junit_document([report, NotRun(scenario=text, what=text, why=text, fix=text)])
    assert not ILLEGAL.search(document)
    root = parsed(document)
    assert len(root) == 2
    cases = list(root[0].iter("testcase"))
    assert len({case.get("name") for case in cases}) == len(cases) == 4
    if text.isprintable():
        assert cases[1].get("name") == f"n{text}"
        assert cases[1][0].get("message") == f"e{text}"
