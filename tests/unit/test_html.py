"""The HTML report, read as a document: it says everything, needs nothing, and shows hostile text as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.dead_letter import DeadLetter
from harness.model.ledger import Cause, Duplicate, State
from harness.model.metrics import Activity
from harness.model.report import Check, Report
from harness.model.scenario import TaskSpec
from harness.model.topology import Node, Roster
from harness.render.headline import NotRun
from harness.render.html import html
from harness.render.html_style import DARK, LIGHT, STYLE_SHEET
from harness.render.html_timeline import MOST_BARS
from tests.sample_reports import (
    basic,
    crossed,
    disturbed,
    embedded,
    interrupted,
    invalid,
    many,
    outcome,
    retried,
    troubled,
)

NOT_RUN = NotRun(scenario="isolation", what="the broker did not answer", why="refused", fix="./setup.sh start")
KINDS: dict[str, Callable[[], Report]] = {
    "passed": basic,
    "embedded": embedded,
    "retried": retried,
    "troubled": troubled,
    "crossed": crossed,
    "interrupted": interrupted,
    "disturbed": disturbed,
    "invalid": invalid,
    "many": lambda: many(2_000),
}


def parsed(text: str) -> ElementTree.Element:
    """Parse as XML, which is stricter than any browser: a quote or a tag that slipped through is an error."""
    return ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>"))


def words(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def section(root: ElementTree.Element, title: str) -> ElementTree.Element:
    for found in root.iter("section"):
        if found[0].text == title:
            return found
    raise AssertionError(f"no section {title}")


def rows(element: ElementTree.Element) -> list[list[str]]:
    return [[words(cell) for cell in row] for row in element.iter("tr")]


def titles(root: ElementTree.Element) -> list[str | None]:
    return [found[0].text for found in root.iter("section")]


# --- what it says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "verdict", "sentence"),
    [
        ("passed", "✓ Passed", "All 10 checks held."),
        ("troubled", "✕ Failed", "5 of 10 checks did not hold."),
        ("crossed", "! Threshold crossed", "All 10 checks held, but 1 threshold was crossed."),
        ("interrupted", "! Interrupted", "1 of 2 tasks completed, 1 not."),
        ("disturbed", "✓ Passed", "All 10 checks held."),
        ("invalid", "! Invalid", "1 of 2 faults could not be applied: the run proves nothing."),
    ],
)
def test_the_verdict_comes_first(kind: str, verdict: str, sentence: str) -> None:
    root = parsed(html(KINDS[kind]()))
    said = [words(found) for found in root.iter("p")]
    assert said[0] == verdict
    assert sentence in said


def test_a_run_without_checks_is_not_passed() -> None:
    root = parsed(html(replace(basic(), checks=())))
    assert words(next(root.iter("p"))) == "✕ Failed"
    assert "Nothing was judged." in words(section(root, "Checks"))


def test_failed_checks_stand_before_those_that_held() -> None:
    checks = rows(section(parsed(html(troubled())), "Checks"))
    assert [row[0] for row in checks] == ["Verdict"] + ["✕ FAIL"] * 5 + ["✓ PASS"] * 5
    assert checks[1][1:] == ["every task confirmed by the broker", "59 of 60 confirmed"]


def test_every_part_of_a_troubled_run_is_there() -> None:
    root = parsed(html(troubled()))
    assert titles(root) == [
        "Checks",
        "Thresholds",
        "Did not succeed",
        "Dead letters",
        "Ledger",
        "Timeline",
        "Durations",
        "Tasks",
        "Tried again",
        "Notes",
        "What was asked",
    ]
    assert rows(section(root, "Thresholds"))[1:] == [
        ["✕ CROSSED", "round_trip p(95)<500ms", "1,402.1 ms over 55 measured"],
        ["✓ HELD", "failures rate<0.2", "5 of 60 did not succeed"],
    ]
    assert rows(section(root, "Dead letters"))[1] == [
        "queue_a.dead",
        "1",
        "task_a",
        "rejected",
        "queue_a",
        "f37eb6fd-dfb5-8000-8000-00000000000c",
    ]
    assert [row[1] for row in rows(section(root, "Did not succeed"))[1:]] == [
        "failed",
        "lost",
        "unfinished",
        "dead-lettered",
        "unacknowledged",
    ]
    assert words(section(root, "Ledger")) == (
        "Ledger 60 attempted =55 succeeded+ 1 failed+ 1 unfinished+ 1 lost+ 1 unacknowledged+ 1 dead-lettered"
        "55 succeeded, 91.7%1 failed, 1.7%1 unfinished, 1.7%1 lost, 1.7%1 unacknowledged, 1.7%1 dead-lettered, 1.7%"
        "59 acknowledged, 1 recovered, 1 unexpected."
    )
    assert rows(section(root, "Tasks"))[1][:6] == ["task_a", "30", "27", "1", "2", "0"]


def test_parts_that_have_nothing_to_say_are_left_out() -> None:
    assert titles(parsed(html(basic()))) == ["Checks", "Ledger", "Timeline", "Durations", "Tasks", "What was asked"]


def test_retries_are_told_with_their_waits() -> None:
    assert rows(section(parsed(html(retried())), "Tried again"))[1] == [
        "task_a #1f37eb6fd-dfb5-8000-8000-000000000000",
        "3",
        "2",
        "420 ms, 1.61 s",
        "succeeded",
        "worker-a@12514a296d7c",
    ]


def test_faults_are_told_with_what_they_hit_and_how_that_came_back() -> None:
    root = parsed(html(disturbed()))
    assert titles(root) == [
        "Checks", "Faults", "Ledger", "Duplicates", "Timeline", "Durations", "Tasks", "Tried again", "What was asked",
    ]  # fmt: skip
    assert rows(section(root, "Faults")) == [
        ["At", "Fault", "Done to", "Undone at", "Tasks back", "Running again", "First ended", "Last ended"],
        [
            "1.00 s",
            "kill worker-a at 1s for 1.5s",
            "container demo-worker-a-1 (worker-a@12514a296d7c)",
            "2.50 s",
            "2 of 2",
            "1.60 s",
            "2.10 s",
            "2.10 s",
        ],
        [
            "3.62 s",
            "pause worker-b after 75%",
            "container demo-worker-b-1 (worker-b@266b12387dae)",
            "4.14 s",
            "0 of 0",
            "",
            "",
            "",
        ],
    ]
    assert rows(section(root, "Duplicates"))[1:] == [
        [f"f37eb6fd-dfb5-8000-8000-{index:012x}", "redelivered", "attempt 1 began again on worker-a@12514a296d7c"]
        for index in (2, 3)
    ]


def test_a_fault_that_was_not_applied_says_so_in_words() -> None:
    report = invalid()
    (_, pause) = rows(section(parsed(html(report)), "Faults"))[1:]
    why = "NOT APPLIED: container demo-worker-b-1 could not be paused; it is not running"
    assert pause[2:] == [f"container demo-worker-b-1 (worker-b@266b12387dae)✕ {why}", "", "", "", "", ""]
    kill = replace(report.faults[0], error="not undone: no space left")
    (killed, _) = rows(section(parsed(html(replace(report, faults=(kill, report.faults[1])))), "Faults"))[1:]
    assert killed[2] == "container demo-worker-a-1 (worker-a@12514a296d7c)✕ not undone: no space left"
    assert killed[4] == "2 of 2"


def test_of_very_many_duplicates_the_first_are_listed_and_those_that_are_not_held_counted() -> None:
    report = disturbed()
    ledger = replace(report.ledger, duplicated=5_000)
    part = section(parsed(html(replace(report, ledger=ledger, duplicates=report.duplicates * 500))), "Duplicates")
    assert len(rows(part)) == 51
    assert words(part).endswith("The first 50 of 1,000.4,000 more were counted.")


def test_an_embedded_run_says_what_it_is_worth() -> None:
    assert "Embedded broker: a demonstration, it says nothing about your deployment." in html(embedded())


def test_several_runs_have_an_index_with_those_that_did_not_pass_first() -> None:
    root = parsed(html([basic(), retried(), NOT_RUN]))
    assert words(next(root.iter("h1"))) == "1 of 3 scenarios passed"
    index = rows(next(root.iter("table")))
    assert index[1:] == [
        ["✕ Failed", "retry", "4", "2.60 s", words_of(retried())],
        ["! Not run", "isolation", "", "", "the broker did not answer"],
        ["✓ Passed", "basic", "2", "714 ms", "all 10 checks held"],
    ]
    anchors = {link.get("href", "").removeprefix("#") for link in root.iter("a")}
    assert anchors == {article.get("id") for article in root.iter("article")}
    assert [words(found) for found in root.iter("h2")] == ["basic", "retry", "isolation"]


def words_of(report: Report) -> str:
    return f"{len(report.failed_checks)} of {len(report.checks)} checks did not hold"


# --- the pictures ---------------------------------------------------------------------------------


def test_each_task_of_a_small_run_is_a_bar_on_its_node() -> None:
    timeline = section(parsed(html(retried())), "Timeline")
    told = [bar[0].text for bar in timeline.iter("g")]
    assert told[0] == "task_a #1 · waited 10.0 ms · ran 102 ms · 2 retries · f37eb6fd-dfb5-8000-8000-000000000000"
    assert len(told) == 4
    kinds = [shape.get("class") for shape in list(timeline.iter("g"))[3] if shape.tag in ("rect", "line")]
    assert kinds == ["w", "t", "k", "t", "k", "f"]


def strikes(timeline: ElementTree.Element) -> list[list[tuple[str | None, ...]]]:
    """Return the marks of faults in each lane: where each begins, and how wide it is, or which fault it tells."""
    lanes = [found for found in timeline.iter("div") if found.get("class") == "lane"]
    marks = [[shape for shape in lane.iter() if shape.get("class") in ("v", "z")] for lane in lanes]
    return [[(s.get("x1") or s.get("x"), s.get("width") or s[0].text) for s in of_lane] for of_lane in marks]


@pytest.mark.parametrize("of_many", [False, True])
def test_a_fault_crosses_every_lane_from_when_it_struck_until_it_was_undone(of_many: bool) -> None:
    report = disturbed()
    if of_many:
        tasks = many(MOST_BARS + 2)
        report = replace(tasks, faults=report.faults, metrics=replace(tasks.metrics, wall_s=4.142, slice_s=0.01))
    timeline = section(parsed(html(report)), "Timeline")
    in_each = [
        ("24.19%", "36.27%"),
        ("24.19%", "kill worker-a at 1s for 1.5s: container demo-worker-a-1 (worker-a@12514a296d7c)"),
        ("87.48%", "12.52%"),  # undone after the last task had ended
        ("87.48%", "pause worker-b after 75%: container demo-worker-b-1 (worker-b@266b12387dae)"),
    ]
    assert strikes(timeline) == [in_each] * (2 if of_many else 1)
    assert "a fault, until it is undone" in words(timeline)


def test_what_did_not_strike_within_the_run_is_not_drawn() -> None:
    report = invalid()
    late = replace(report.faults[0], at_s=5.0)
    for faults, count in (((), 0), ((report.faults[1], late), 0), ((report.faults[0],) * 100, 40)):
        timeline = section(parsed(html(replace(report, faults=faults))), "Timeline")
        assert [len(of_lane) for of_lane in strikes(timeline)] == [count]
        assert ("a fault, until it is undone" in words(timeline)) is bool(count)


@pytest.mark.parametrize("count", [24, 60, MOST_BARS])
def test_up_to_the_limit_tasks_are_drawn_and_above_it_how_busy_the_nodes_were(count: int) -> None:
    drawn = section(parsed(html(many(count))), "Timeline")
    assert len(list(drawn.iter("g"))) == count
    above = section(parsed(html(many(count if count < MOST_BARS else MOST_BARS + 2))), "Timeline")
    assert len(list(above.iter("path"))) == (2 if count == MOST_BARS else 0)


def test_activity_is_drawn_to_scale() -> None:
    report = many(MOST_BARS + 2)
    busy = (Activity(node="n", queue="q", tasks=300, busy=(0.0, 1.0, 2.0)),)
    metrics = replace(report.metrics, activity=busy, slice_s=1.0, wall_s=3.0)
    timeline = section(parsed(html(replace(report, metrics=metrics))), "Timeline")
    (path,) = timeline.iter("path")
    assert path.get("d") == "M0 100V100h1V50h1V0h1V100z"
    assert "n · q · 300 tasks · 1.0 at a time, 2.0 at most" in words(timeline)


def test_of_very_many_nodes_the_busiest_are_drawn() -> None:
    report = many(MOST_BARS + 2)
    busy = tuple(Activity(node=f"n{i}", queue="q", tasks=i, busy=(1.0,)) for i in range(100))
    timeline = section(
        parsed(html(replace(report, metrics=replace(report.metrics, activity=busy, slice_s=9.0)))), "Timeline"
    )
    assert len(list(timeline.iter("path"))) == 40
    assert "The 40 busiest of 100 nodes." in words(timeline)


def test_distributions_are_bars_that_count_every_task() -> None:
    durations = section(parsed(html(many(2_000))), "Durations")
    figures = list(durations.iter("figure"))
    assert [words(figure[0][0]) for figure in figures] == ["Queue wait", "Run time", "Round trip"]
    for figure in figures:
        counts = [int((bar[0].text or "").rpartition(": ")[2].replace(",", "")) for bar in figure.iter("rect")]
        assert sum(counts) == 2_000


def test_a_run_in_which_nothing_ran_has_no_pictures_and_says_so() -> None:
    never = outcome(
        0, node=None, queue=None, started_at=None, first_started_at=None, finished_at=None, replied_at=None,
        state=State.LOST, result=None, attempts=0,
    )  # fmt: skip
    report = basic()
    metrics = replace(report.metrics, run_time=None, queue_wait=None, round_trip=None, distributions={}, activity=())
    root = parsed(html(replace(report, outcomes=(never,), outcome_count=1, metrics=metrics)))
    assert "Not known to have run · 1 task" in words(section(root, "Timeline"))
    assert "Nothing was measured." in words(section(root, "Durations"))
    empty = parsed(html(replace(report, outcomes=(), outcome_count=0, metrics=replace(metrics, wall_s=0.0))))
    assert "No task was seen." in words(section(empty, "Timeline"))


# --- what it needs, and what it withstands --------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_it_needs_nothing_but_itself(kind: str) -> None:
    text = html([KINDS[kind](), NOT_RUN])
    root = parsed(text)
    policy = next(meta for meta in root.iter("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.get("content") == "default-src 'none'; style-src 'unsafe-inline'"
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & {found.tag for found in root.iter()}
    for found in root.iter():
        for name, value in found.attrib.items():
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "data", "action")
            assert name != "href" or value.startswith("#")
            assert "//" not in value or name == "aria-label"
    assert not re.search(r"url\((?!#)|@import|//", STYLE_SHEET)


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_has_words_and_every_column_a_head(kind: str) -> None:
    root = parsed(html(KINDS[kind]()))
    parents = {child: parent for parent in root.iter() for child in parent}
    for svg in root.iter("svg"):
        named = svg.get("role") == "img" and svg.get("aria-label")
        assert named or svg.get("aria-hidden") == "true" or parents[svg].tag == "svg"
    for table in root.iter("table"):
        heads = [cell.get("scope") for cell in table.iter("th")]
        assert heads
        assert set(heads) <= {"col", "row"}
        widths = {len(list(row)) for row in table.iter("tr")}
        assert len(widths) == 1
    ids = [found.get("id") for found in root.iter() if found.get("id")]
    assert len(ids) == len(set(ids))
    assert root.get("lang") == "en"


def luminance(color: str) -> float:
    channels = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_pictures_stand_out_from_what_they_are_on(colors: dict[str, str]) -> None:
    assert LIGHT.keys() == DARK.keys()
    for ink in ("ink", "quiet", "good", "warn", "bad"):
        assert contrast(colors[ink], colors["page"]) >= 4.5, ink
    for kind in ("good", "warn", "bad"):
        assert contrast(colors[kind], colors[f"{kind}-panel"]) >= 4.5, kind
        assert contrast(colors["ink"], colors[f"{kind}-panel"]) >= 4.5, kind
    for shape in ("run", "wait"):
        assert contrast(colors[shape], colors["page"]) >= 3, shape


def test_ten_thousand_tasks_make_a_small_file() -> None:
    failed = [
        outcome(index, "task_b" if index % 2 else "task_a", state=State.FAILED, error=f"ValueError: {index}" * 30)
        for index in range(0, 10_000, 4)
    ]
    assert len(html(many(10_000)).encode()) < 100_000
    assert len(html(many(10_000, trouble=failed)).encode()) < 300_000


def test_the_largest_drawn_run_is_small_too() -> None:
    assert len(html(many(MOST_BARS)).encode()) < 250_000


def test_of_very_many_failures_the_first_are_listed_and_their_reasons_counted() -> None:
    failed = [
        outcome(index, "task_b" if index % 2 else "task_a", state=State.FAILED, error=f"ValueError: {index % 3}")
        for index in range(150)
    ]
    part = section(parsed(html(many(150, trouble=failed))), "Did not succeed")
    reasons, listed = part.iter("table")
    assert rows(reasons)[1][0] == "25"
    assert len(rows(listed)) == 51
    assert "The first 50 of 150." in words(part)


TAGS = (
    "html head meta title style body main article section h1 h2 h3 p b a small span br code time dl dt dd div ul li"
    " table thead tbody tr th td figure figcaption details summary footer"
    " svg defs pattern g rect line path text"
)
ATTRIBUTES = (
    "lang charset http-equiv name content id class href role tabindex scope datetime aria-label aria-hidden"
    " x y width height rx x1 x2 y1 y2 dx dy d text-anchor viewBox preserveAspectRatio patternUnits"
    " patternTransform"
)


@given(st.text(st.characters(), max_size=40) | st.sampled_from(["<script>", "\"'><svg onload=x>", "]]>", "&lt;", "\0"]))
def test_hostile_text_is_shown_as_text(text: str) -> None:
    base = troubled()
    hostile = replace(
        base.outcomes[0],
        task_id=text,
        task=text,
        node=text,
        queue=text,
        declared_queue=text,
        state=State.FAILED,
        error=text,
        where=text,
        result={text: text},
        retries=1,
        waits_s=(0.001,),
    )
    letter = DeadLetter(task_id=text, task=text, queue=text, reason=text, came_from=text, times=1)
    check = Check(name=text, passed=False, evidence=text)
    report = replace(
        base,
        run_id=text,
        broker=text,
        scenario=replace(
            base.scenario, name=text, description=text, tasks=(TaskSpec(task=text, args=(text,), kwargs={text: text}),)
        ),
        roster=Roster(nodes=(Node(name=f"worker-a@{text}", queues=(text,)),)),
        outcomes=(hostile, *base.outcomes[1:]),
        checks=(check,),
        thresholds=(check,),
        dead_letters=(letter,),
        faults=tuple(replace(fault, what=text, hit=text, error=text) for fault in disturbed().faults),
        duplicates=(Duplicate(task_id=text, cause=Cause.REPEATED, evidence=text),),
        metrics=replace(
            base.metrics, tallies=tuple(replace(tally, task=text, nodes=(text,)) for tally in base.metrics.tallies)
        ),
        notes=(text,),
    )
    document = html([report, NotRun(scenario=text, what=text, why=text, fix=text)])
    root = parsed(document)
    assert {found.tag for found in root.iter()} <= set(TAGS.split())
    assert {name for found in root.iter() for name in found.attrib} <= set(ATTRIBUTES.split())
    if text.isprintable() and text.strip():
        assert " ".join(text.split()) in words(section(root, "Notes"))
