"""JUnit XML in the shape that GitLab, GitHub and Jenkins read: a suite for each run, a case for each check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from harness.model.report import Check, Report
from harness.render.fault_text import fault_text, trouble_text
from harness.render.headline import NotRun, headline
from harness.render.rich_report import ledger_text
from harness.render.visible import visible

#: Characters of a text that are shown; the results file has all of it.
LIMIT = 10_000
#: Faults that are told of one by one.
_MOST_FAULTS = 50
#: The case that stands for the run itself: it has the wall time, and says when nothing was judged.
RUN_CASE = "the run"


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    time_s: float = 0.0  # judging takes none: the run's time is the first case's alone, so that they add up
    kind: str = ""  # failure: it was judged and did not hold; error: it could not be judged
    type: str = ""
    message: str = ""
    body: str = ""


def junit(report: Report) -> str:
    """Return the document of one run."""
    return junit_document([report])


def junit_error(scenario: str, what: str, why: str = "") -> str:
    """Return the document of a scenario that could not be run: an error, which is not a failure."""
    return junit_document([NotRun(scenario=scenario, what=what, why=why)])


def junit_document(runs: Sequence[Report | NotRun]) -> str:
    """Return one document with a suite for each run, in this order."""
    cases = [_unique(_error_cases(run) if isinstance(run, NotRun) else _report_cases(run)) for run in runs]
    every_case = [case for of_run in cases for case in of_run]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites{_attributes({'name': 'dispatch', **_totals(every_case)})}>",
    ]
    for run, of_run in zip(runs, cases, strict=True):
        lines += _suite_lines(run, of_run)
    return "\n".join([*lines, "</testsuites>", ""])


def _report_cases(report: Report) -> Iterator[_Case]:
    said = headline(report)
    unjudged = _Case(RUN_CASE, report.metrics.wall_s, "", said.word.replace(" ", ""), said.sentence, said.sentence)
    if report.interrupted or report.invalid:
        lines = [said.sentence, *(f"{fault.what}: {trouble_text(fault)}" for fault in report.invalid[:_MOST_FAULTS])]
        yield replace(unjudged, kind="error", body="\n".join(lines))
    elif not report.checks:
        yield replace(unjudged, kind="failure")
    else:
        yield _Case(RUN_CASE, report.metrics.wall_s)
    for check in report.checks:
        yield _judged(check.name, check, "CheckFailed")
    for threshold in report.thresholds:
        yield _judged(f"threshold {threshold.name}", threshold, "ThresholdCrossed")


def _error_cases(run: NotRun) -> Iterator[_Case]:
    lines = [run.what, f"why: {run.why}" if run.why else "", f"try: {run.fix}" if run.fix else ""]
    yield _Case(RUN_CASE, 0.0, "error", "NotRun", run.what, "\n".join(filter(None, lines)))


def _judged(name: str, check: Check, type_: str) -> _Case:
    return _Case(name) if check.passed else _Case(name, 0.0, "failure", type_, check.evidence, _line(check))


def _unique(cases: Iterable[_Case]) -> list[_Case]:
    """Number cases of the same name: readers would take one for the other."""
    unique: dict[str, _Case] = {}
    for case in cases:
        shown = name = visible(case.name, LIMIT)
        number = 1
        while name in unique:
            number += 1
            name = f"{shown} ({number})"
        unique[name] = replace(case, name=name)
    return list(unique.values())


def _totals(cases: Sequence[_Case]) -> dict[str, int | float]:
    return {
        "tests": len(cases),
        "failures": sum(case.kind == "failure" for case in cases),
        "errors": sum(case.kind == "error" for case in cases),
        "skipped": 0,
        "time": sum((case.time_s for case in cases), start=0.0),
    }


def _suite_lines(run: Report | NotRun, cases: Sequence[_Case]) -> Iterator[str]:
    if isinstance(run, NotRun):
        yield f"  <testsuite{_attributes({'name': run.scenario, **_totals(cases)})}>"
        yield from _case_lines(cases, run.scenario)
    else:
        name = run.scenario.name
        yield f"  <testsuite{_attributes({'name': name, **_totals(cases), 'timestamp': _timestamp(run.started_at)})}>"
        yield "    <properties>"
        for key, value in _properties(run).items():
            yield f"      <property{_attributes({'name': key, 'value': value})}/>"
        yield "    </properties>"
        yield from _case_lines(cases, name)
        yield f"    <system-out>{_text(_system_out(run))}</system-out>"
    yield "  </testsuite>"


def _case_lines(cases: Iterable[_Case], scenario: str) -> Iterator[str]:
    for case in cases:
        attributes: dict[str, str | int | float] = {
            "classname": f"dispatch.{scenario}",
            "name": case.name,
            "time": case.time_s,
        }
        if not case.kind:
            yield f"    <testcase{_attributes(attributes)}/>"
            continue
        yield f"    <testcase{_attributes(attributes)}>"
        why = _attributes({"message": case.message, "type": case.type})
        yield f"      <{case.kind}{why}>{_text(case.body)}</{case.kind}>"
        yield "    </testcase>"


def _properties(report: Report) -> dict[str, str | int]:
    return {
        "run_id": report.run_id,
        "verdict": headline(report).word.lower(),
        "exit_code": int(report.exit_code),
        "broker": report.broker,
        "embedded": str(report.embedded).lower(),
        "tasks": report.outcome_count,
        "retries": report.metrics.retries,
        "nodes": ", ".join(sorted(node.name for node in report.roster.nodes)),
    }


def _system_out(report: Report) -> str:
    held = [check for check in (*report.checks, *report.thresholds) if check.passed]
    lines = [f"Ledger: {ledger_text(report.ledger)}", *(f"PASS  {_line(check)}" for check in held)]
    lines += [f"Fault at {fault.at_s:.3f}s: {fault_text(fault)}" for fault in report.faults[:_MOST_FAULTS]]
    return "\n".join([*lines, *(f"Note: {note}" for note in report.notes)])


def _line(check: Check) -> str:
    return f"{check.name}: {check.evidence}"


def _attributes(values: Mapping[str, str | int | float]) -> str:
    return "".join(f' {name}="{_attribute(value)}"' for name, value in values.items())


def _attribute(value: str | int | float) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return escape(visible(str(value), LIMIT), {'"': "&quot;"})


def _text(text: str) -> str:
    """Return text for between two tags: lines kept, and no character that XML 1.0 refuses."""
    return escape("\n".join(visible(line, LIMIT) for line in text.split("\n")))


def _timestamp(at: float) -> str:
    """Return a time as JUnit has it: ISO 8601 in UTC, whole seconds, no offset."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
