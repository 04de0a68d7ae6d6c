"""What a load shows: the text, the live line, the document and the page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from harness.load_report import Backlog, LoadReport, NodeShare
from harness.model.load import LoadProfile
from harness.render.load_charts import ceiling
from harness.render.load_html import load_html
from harness.render.load_json import load_document, load_pieces
from harness.render.load_progress import Progress, load_progress
from harness.render.load_text import load_banner, load_text
from harness.render.load_words import load_headline, mix_text, model_text, rate_text
from harness.render.style import ASCII, PLAIN, style_for
from tests.sample_loads import crossed, failed, interrupted, invalid, load, planned
from tests.sample_reports import AT

TEXT = """\

============================================================
[*] LOAD RESULTS
============================================================
Model: open: 20 tasks a second for 4.00 s, whatever comes of the earlier ones, ramp 1.00 s, warm-up 500 ms
Steady window: 1.00 s to 4.00 s, from the end of warm-up and ramp to the end of publishing

RATE        A SECOND  TASKS  REMARK
offered         20.0     60  as asked
achieved        20.0     60  100.00% of what was offered
throughput      20.0     60  completed

LATENCY        COUNT     MEAN      P50      P90      P95  P99      MAX
queue wait        59  3.00 ms  3.00 ms  3.00 ms  3.00 ms    -  3.00 ms
run time          59  70.0 ms  70.0 ms  90.0 ms  90.0 ms    -  90.0 ms
round trip        59  74.0 ms  74.0 ms  94.0 ms  94.0 ms    -  94.0 ms
generator lag     60  1.00 ms  1.00 ms  1.00 ms  1.00 ms    -  1.00 ms
of the tasks that succeeded; queue wait and round trip count from when a task was due

BACKLOG  MOST  MEAN  LAST  LOOKS
queue_a     2   0.9     1     17
queue_b     0   0.0     0      2

NODE                   QUEUE    TASKS  OF ITS SERVICE
worker-a@12514a296d7c  queue_a     45          100.0%
worker-b@266b12387dae  queue_b     15          100.0%

Generator: 0.30 ms of processor time a task, 1% of one processor, 42 MB resident at most, 3 tasks in flight at most
Failures: 1.4% of all 70 tasks, warm-up included
Ledger: 70 attempted = 69 succeeded + 1 failed; 70 acknowledged

PASS  every task confirmed by the broker: 70 of 70 confirmed
PASS  every task on its declared queue: 53 from queue_a on worker-a@12514a296d7c, \
17 from queue_b on worker-b@266b12387dae (by consumer)
PASS  every task on a worker of that queue alone: 70 of 70, on worker-a@12514a296d7c, worker-b@266b12387dae
PASS  every node consumes exactly its queue: worker-a@12514a296d7c: queue_a, worker-b@266b12387dae: queue_b
PASS  nothing lost: 0 lost, 0 unfinished, 0 never confirmed
PASS  nothing duplicated: 0 ids ran or ended more than once
PASS  nothing unexpected: 0 replies for ids never sent
PASS  every id accounted for: 70 attempted = 69 succeeded, 1 failed
CROSSED  round_trip p(95)<10ms: 94.0 ms over 60 measured
PASS  throughput rate>10/s: 20.0/s

============================================================
[*] Results saved to: r.json
[x] Threshold crossed: all 8 checks held, but 1 of 2 thresholds was crossed
   * round_trip p(95)<10ms: 94.0 ms over 60 measured
"""


def test_the_text_from_the_results_to_the_last_line() -> None:
    assert load_text(crossed(), "r.json", ASCII) == TEXT


def test_an_invalid_load_says_so_before_its_figures_and_at_the_end() -> None:
    lines = load_text(invalid(), None, ASCII).splitlines()
    said = [
        "[x] INVALID: these figures say nothing of the system",
        "   * tasks were published 20.0 ms late (p99 of 60)",
        "   * busy for 97%",
    ]
    assert lines[4:7] == said
    assert lines[-3:] == ["[x] Invalid: these figures say nothing of the system", *said[1:]]


def test_the_last_line_is_the_verdict() -> None:
    assert load_text(load(), None, PLAIN).splitlines()[-1] == "🎉 Load test passed: all 8 checks held"
    (check,) = failed().failed_checks
    assert load_text(failed(), None, PLAIN).splitlines()[-2:] == [
        "❌ Failed: 1 of 10 checks did not hold",
        f"   • {check.name}: {check.evidence}",
    ]
    assert "❌ Interrupted: 69 of 70 tasks succeeded, 1 did not" in load_text(interrupted(), None, PLAIN)
    assert "Note: reconnected\n" in load_text(interrupted(), None, PLAIN)


def test_colour_carries_nothing_alone() -> None:
    colored = load_text(crossed(), "r.json", style_for(color=True, signs=False))
    assert "\x1b[31mCROSSED\x1b[0m" in colored
    assert re.sub(r"\x1b\[\d+m", "", colored) == TEXT


def test_what_was_never_measured_is_told_and_not_made_up() -> None:
    nothing = load(LoadProfile(rate=20.0, duration_s=0.1), backlog=(Backlog(queue="queue_a", looks=()),))
    empty = replace(nothing, latencies=dict.fromkeys(nothing.latencies))
    text = load_text(empty, None, ASCII)
    assert re.search(r"^queue wait +0( +-){6}$", text, re.MULTILINE)
    assert "BACKLOG" not in text


def test_nodes_of_a_service_are_compared() -> None:
    shares = tuple(
        NodeShare(node=f"worker-a@{name}", service="worker-a", queue="queue_a", tasks=tasks, share=tasks / 50)
        for name, tasks in (("1", 30), ("2", 20))
    )
    text = load_text(replace(load(), shares=shares), None, ASCII)
    assert "worker-a@2  queue_a     20           40.0%\nworker-a: its busiest node ran 1.50 times" in text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (LoadProfile(tasks=100), "burst: 200 tasks at once, at most 8,192 in flight"),
        (LoadProfile(in_flight=10, tasks=500), "closed: 10 tasks in flight, until 1,000 are done"),
        (
            LoadProfile(in_flight=10, duration_s=60.0, warmup_s=5.0),
            "closed: 10 tasks in flight, for 60.0 s, warm-up 5.00 s",
        ),
        (
            LoadProfile(rate=0.05, duration_s=3600.0),
            "open: 0.05 tasks a second for 1 h 00 min, whatever comes of the earlier ones",
        ),
    ],
)
def test_the_model_is_always_named(asked: LoadProfile, words: str) -> None:
    assert model_text(planned(asked)) == words


def test_the_mix_is_told_with_its_work() -> None:
    assert mix_text(planned()) == "task_a 3 : task_b 1; work 50.0 ms each"
    assert mix_text(planned(LoadProfile(tasks=1))) == "task_a 1 : task_b 1"


def test_rates_have_three_digits_or_so() -> None:
    assert [rate_text(rate) for rate in (0.05, 9.876, 57.83, 100.0, 1234.5)] == [
        "0.05",
        "9.88",
        "57.8",
        "100.0",
        "1,234",
    ]


def test_the_banner_says_what_is_going_to_happen() -> None:
    banner = load_banner(planned(), AT, "amqp://u@h/v", ASCII, embedded=True).splitlines()
    assert banner[1] == "[*] DISTRIBUTED TASK SYSTEM LOAD TEST"
    assert banner[4:] == [
        "Broker: amqp://u@h/v",
        "embedded broker: a demonstration, it says nothing about your deployment",
        "Load: steady",
        "Model: open: 20 tasks a second for 4.00 s, whatever comes of the earlier ones, ramp 1.00 s, warm-up 500 ms",
        "Tasks: task_a 3 : task_b 1; work 50.0 ms each",
        "=" * 60,
        "",
    ]


# --- live -----------------------------------------------------------------------------------------

NOW = Progress(
    elapsed_s=12.34,
    sent=240,
    done=230,
    in_flight=10,
    failed=0,
    backlog=6,
    rate=20.0,
    offered=600,
    duration_s=30.0,
)


def test_the_live_line() -> None:
    assert load_progress(NOW, ASCII) == "12.3 s * 230/600 * 20.0/s * 10 in flight * backlog 6 * ETA 18.2 s"
    assert load_progress(replace(NOW, failed=3), ASCII, 60) == (
        "12.3 s * 230/600 * 20.0/s * 10 in flight * backlog 6 * 3 fai"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"backlog": None, "rate": None, "sent": 0, "done": 0, "in_flight": 0, "elapsed_s": 0.0}, "ETA 30.0 s"),
        ({"offered": None}, "ETA 18.2 s"),  # as many as there is time for
        ({"duration_s": None}, "ETA 18.5 s"),  # 360 to come and 10 in flight, at 20 a second
        ({"elapsed_s": 31.0, "sent": 600, "in_flight": 100}, "ETA 5.00 s"),  # all published
        ({"elapsed_s": 31.0, "sent": 600, "rate": None}, "backlog 6"),  # nothing ends: nobody knows
    ],
)
def test_the_end_is_foreseen(change: dict[str, object], words: str) -> None:
    assert load_progress(replace(NOW, **change), ASCII).endswith(words)  # type: ignore[arg-type]


# --- document -------------------------------------------------------------------------------------


def test_the_document_is_the_text_of_the_same_figures() -> None:
    report = crossed()
    document = json.loads("".join(load_pieces(report)))
    assert document == json.loads(json.dumps(load_document(report)))
    assert (document["verdict"], document["exit_code"]) == ("failed", 99)
    assert document["load"] == {
        "name": "steady",
        "model": "open",
        "tasks": 70,
        "mix": {"task_a": 3, "task_b": 1},
        "work_s": 0.05,
        "rate_per_s": 20.0,
        "in_flight": 50_000,
        "duration_s": 4.0,
        "ramp_s": 1.0,
        "warmup_s": 0.5,
        "timeout_s": 64.0,
        "max_error_rate": None,
        "max_lag_s": 0.005,
        "thresholds": [],
    }
    assert document["rates"]["window"]["begin_s"] == 1.0
    assert (document["rates"]["sent"], document["rates"]["completed"]) == (60, 60)
    assert document["latencies_from"] == "due"
    assert document["latencies"]["round_trip"]["p95_s"] == 0.094
    assert document["latencies"]["lag"]["p99_s"] is None
    assert document["ledger"]["attempted"] == 70
    assert document["ledger"]["balanced"] is True
    assert sum(document["slices"]["sent"]) == 70
    assert document["backlog"][1] == {
        "queue": "queue_b",
        "most": 0,
        "mean": 0.0,
        "last": 0,
        "looks": [[0.0, 0], [4.0, 0]],
    }
    assert document["nodes"][0]["tasks"] == 45
    assert document["generator"]["cpu_per_task_s"] == 0.0003
    (failure,) = document["not_succeeded"]
    assert failure["error"] == "ValueError: 17"


def test_every_verdict_has_its_word() -> None:
    reports = (load(), crossed(), failed(), invalid(), interrupted())
    documents = [load_document(report) for report in reports]
    assert [document["verdict"] for document in documents] == ["passed", "failed", "failed", "invalid", "interrupted"]
    assert [document["exit_code"] for document in documents] == [0, 99, 1, 69, 130]
    assert documents[3]["invalid"] == ["tasks were published 20.0 ms late (p99 of 60)", "busy for 97%"]
    assert load_document(load(LoadProfile(tasks=5)))["latencies_from"] == "published"


def test_what_json_cannot_hold_is_told_in_words() -> None:
    shares = tuple(
        NodeShare(node=f"worker-a@{name}", service="worker-a", queue="queue_a", tasks=tasks, share=1.0)
        for name, tasks in (("1", 30), ("2", 0))
    )
    text = "".join(load_pieces(replace(load(), shares=shares)))
    assert json.loads(text)["fairness"] == {"worker-a": "inf"}


# --- page -----------------------------------------------------------------------------------------


def page(report: LoadReport) -> ElementTree.Element:
    return ElementTree.fromstring(load_html(report).removeprefix("<!DOCTYPE html>\n"))


def section(root: ElementTree.Element, title: str) -> ElementTree.Element:
    (found,) = [one for one in root.iter("section") if one[0].text == title]
    return found


def words(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


@pytest.mark.parametrize("report", [load(), crossed(), failed(), invalid(), interrupted()])
def test_the_page_begins_with_the_verdict(report: LoadReport) -> None:
    root = page(report)
    said = load_headline(report)
    main = root.find("body/main")
    assert main is not None
    assert main[0].text == f"{said.sign} {said.word}"
    assert main[0].get("class") == f"verdict {said.tone}"
    assert (root.findtext("head/title") or "") == f"steady: {said.word.lower()}"
    for reason in report.invalid:
        assert reason[1:] in words(main)


def test_the_page_has_the_figures_of_the_text() -> None:
    text = words(page(crossed()))
    for figure in ("20.0/s", "of 20.0/s offered", "94.0 ms", "70.0 ms", "45 tasks, 100.0% of worker-a", "42 MB"):
        assert figure in text, figure


def test_lines_are_drawn_to_scale() -> None:
    over_time = section(page(load()), "Over time")
    throughput, backlog = over_time.iter("figure")
    lines = list(throughput.iter("path"))
    assert [words(name) for name in throughput.iter("span")][1:] == ["published", "succeeded", "failed"]
    assert len(lines) == 3
    drawn = [tuple(map(float, place.split())) for place in (lines[0].get("d") or "")[1:].split("L")]
    slices = load().slices
    top = ceiling(max(max(slices.sent), max(slices.succeeded)) / slices.slice_s)
    assert [round(y) for _, y in drawn] == [round(100 - 100 * sent / slices.slice_s / top) for sent in slices.sent]
    assert [round(x) for x, _ in drawn] == [
        round(1000 * (number + 0.5) / len(slices.sent)) for number in range(len(slices.sent))
    ]
    assert len(list(backlog.iter("path"))) == 2


def test_the_percentile_axis_is_of_tenfolds() -> None:
    curves = section(page(load(LoadProfile(rate=100.0, duration_s=20.0))), "Latency")
    axis = {one.text: float((one.get("x") or "").rstrip("%")) for one in curves.iter("text") if one.text}
    assert axis["p0"] == 0
    assert axis["p99"] == pytest.approx(2 * axis["p90"], abs=0.02)
    assert axis["p99.9"] == pytest.approx(3 * axis["p90"], abs=0.02)


def test_what_was_never_seen_has_no_picture() -> None:
    empty = replace(load(), backlog=(), latencies={}, shares=())
    root = page(empty)
    assert len(list(section(root, "Over time").iter("figure"))) == 1
    assert not list(section(root, "Latency").iter("figure"))
    assert not [one for one in root.iter("section") if one[0].text in ("Backlog", "Nodes")]


def test_of_many_queues_the_longest_are_drawn() -> None:
    queues = tuple(Backlog(queue=f"q{number}", looks=((0.0, number), (1.0, 0))) for number in range(9))
    figure = list(section(page(replace(load(), backlog=queues)), "Over time").iter("figure"))[1]
    assert len(list(figure.iter("path"))) == 4
    assert "the 4 longest of 9" in words(figure)
    assert [words(name) for name in figure.iter("span")][1:] == ["q8", "q7", "q6", "q5"]


def test_the_page_needs_nothing_but_itself_and_every_picture_has_words() -> None:
    root = page(crossed())
    parents = {child: parent for parent in root.iter() for child in parent}
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & {found.tag for found in root.iter()}
    for svg in root.iter("svg"):
        named = svg.get("role") == "img" and svg.get("aria-label")
        assert named or svg.get("aria-hidden") == "true" or parents[svg].tag == "svg"


def test_a_name_with_markup_is_shown_as_it_is() -> None:
    shares = (NodeShare(node="<b>&@x", service="<b>&", queue='"q"', tasks=1, share=1.0),)
    assert "<b>&@x" in words(page(replace(load(), shares=shares)))


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (0.9, 1), (1, 1), (1.2, 1.5), (60, 60), (61, 80), (99, 100), (101, 150), (0.032, 0.04)]
)
def test_an_axis_ends_at_a_readable_number(most: float, top: float) -> None:
    assert ceiling(most) == pytest.approx(top)
