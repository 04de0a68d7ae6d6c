"""The scenarios that are shipped, and the language they are written in, on two real workers."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.config import load_config
from tests.acceptance.rabbit import OF_THE_WORKERS, closed_port, queues
from tests.conftest import ROOT

SHIPPED = load_config(ROOT / "test-config.yml", {}).scenarios
#: What --all runs.
CALM = [scenario for scenario in SHIPPED if not scenario.faults]


def loaded(stdout: str) -> list[str]:
    """Return the descriptions of the scenarios that ran, in order."""
    return re.findall(r"^Loaded config: (.*)$", stdout, re.MULTILINE)


def named(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {result["scenario"]["name"]: result for result in results}


def evidence(results: dict[str, Any], name: str) -> str:
    """Return the evidence of a check that passed."""
    (check,) = [check for check in results["checks"] if check["name"] == name]
    assert check["passed"], check
    return str(check["evidence"])


def failed(results: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["evidence"] for check in results["checks"] if not check["passed"]}


# --- what is shipped ------------------------------------------------------------------------------


def test_every_shipped_scenario_holds_and_is_reported(deployment: Any, user: Any) -> None:
    summary = user.directory / "summary.md"
    summary.write_text("# The job's own\n")

    done = user.dispatch(
        *("--all", "--format", "basic", "--junit", "junit.xml", "--html", "report.html"),
        BROKER_URL=deployment.url,
        GITHUB_STEP_SUMMARY=str(summary),
        timeout_s=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert loaded(done.stdout) == [scenario.description for scenario in CALM]
    left_out = len(SHIPPED) - len(CALM)
    assert f"--all leaves out {left_out} scenarios with faults: run them by name, or with --tag\n" in done.stderr
    results = named(user.results())
    assert results.keys() == {scenario.name for scenario in CALM}
    assert {result["exit_code"] for result in results.values()} == {0}
    assert sum(result["metrics"]["wall_s"] for result in results.values()) < 60
    judged_from_evidence(results)
    own_reply_queues(deployment.url, results)
    reports_are_well_formed(user, list(results))
    assert summary.read_text().startswith("# The job's own\n")
    assert all(f"{name}: passed" in summary.read_text().replace("\\", "") for name in results)


def judged_from_evidence(results: dict[str, dict[str, Any]]) -> None:
    """See that each scenario has judged what it is for, with figures that only a run can give."""
    assert re.fullmatch(
        r"(3|4)\.\d\d ran at a time: .*", evidence(results["concurrency"], "overlap: at least 3 at a time")
    )
    for worker in ("worker-a", "worker-b"):
        assert evidence(results["concurrency"], f"{worker} runs 2 at a time on each node").endswith("2 at a time")
    route = "route of task_a: exchange tasks, key queue_a, queue queue_a"
    assert evidence(results["routing"], route).startswith("5 from queue_a on worker-a@")
    for name in ("isolation", "isolation-reconnected"):
        refused = evidence(results[name], "no task executed from a queue that is not its own")
        assert refused == "3 of 3 refused"
        assert evidence(results[name], "dead letters in queue_b.dead: 1 task_a rejected").startswith("found 1")
    again = evidence(results["isolation-reconnected"], "every node lost its connection and made a new one")
    assert len(re.findall(r"worker-[ab]@\S+ connected (\d+) times before, (?!\1 )\d+ now", again)) == 2
    for outcome in results["retry"]["outcomes"]:
        assert (outcome["attempts"], len(outcome["waits_s"])) == (3, 2)
    (exhausted,) = results["retry-exhausted"]["outcomes"]
    assert (exhausted["state"], exhausted["attempts"], exhausted["retries"]) == ("failed", 4, 3)
    unfinished = results["timeout"]["outcomes"][-1]
    assert unfinished["state"] == "unfinished"
    assert unfinished["where"].startswith("running on worker-b@")
    assert results["mixed-load"]["ledger"]["succeeded"] == 600


def own_reply_queues(url: str, results: dict[str, dict[str, Any]]) -> None:
    """Each run has a reply queue of its own; the one of the run that left a task running waits for it still."""
    assert len({result["run_id"] for result in results.values()}) == len(results)
    assert set(queues(url)) == OF_THE_WORKERS | {f"dispatch.{results['timeout']['run_id']}"}


def reports_are_well_formed(user: Any, names: list[str]) -> None:
    suites = list(ElementTree.parse(user.directory / "junit.xml").getroot().iter("testsuite"))
    assert len(suites) == len(names)
    cases = [(case.get("classname"), case.get("name")) for suite in suites for case in suite.iter("testcase")]
    assert len(cases) == len(set(cases)) > 10 * len(names)
    assert not [suite for suite in suites if suite.get("failures") != "0" or suite.get("errors") != "0"]
    page = (user.directory / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert all(name in page for name in names)
    assert "<script" not in page


def test_scenarios_are_chosen_by_name_and_by_tag(deployment: Any, user: Any) -> None:
    quick = [scenario.description for scenario in SHIPPED if "quick" in scenario.tags]
    assert 1 < len(quick) < len(SHIPPED)

    tagged = user.dispatch("--tag", "quick", "--format", "basic", BROKER_URL=deployment.url)
    several = user.dispatch("routing", "basic", "--format", "basic", BROKER_URL=deployment.url)
    both = user.dispatch("--tag", "quick", "basic", "--all", BROKER_URL=deployment.url)

    assert (tagged.returncode, several.returncode) == (0, 0), tagged.stdout + several.stdout
    assert loaded(tagged.stdout) == quick
    described = {scenario.name: scenario.description for scenario in SHIPPED}
    assert loaded(several.stdout) == [described["routing"], described["basic"]]
    assert both.returncode == 2


def test_list_and_validate_need_no_broker(user: Any) -> None:
    nobody = f"amqp://localhost:{closed_port()}//"

    listed = user.dispatch("--list", BROKER_URL=nobody)
    valid = user.dispatch("--validate", BROKER_URL=nobody)

    assert (listed.returncode, valid.returncode) == (0, 0)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [scenario.name for scenario in SHIPPED]
    assert "[quick]" in listed.stdout
    assert f"valid, {len(SHIPPED)} scenarios" in valid.stdout
    assert list(user.directory.iterdir()) == []


@pytest.mark.parametrize("names", [["isolation"], ["isolation-reconnected"], ["retry-exhausted"], ["--all"]])
def test_the_embedded_broker_refuses_what_it_cannot_show(user: Any, names: list[str]) -> None:
    done = user.dispatch("--embedded", *names)

    assert done.returncode == 2
    assert "not in embedded mode" in done.stderr
    assert "no dead letters, no redelivery and no connections that could be lost" in done.stderr
    assert list(user.directory.iterdir()) == []


# --- what docs/ says of them ----------------------------------------------------------------------

PAGE = (ROOT / "docs/scenarios.md").read_text()
EXAMPLE = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]


def test_the_page_says_of_every_shipped_scenario_what_it_proves() -> None:
    table = PAGE.partition("\n## ")[0]

    assert re.findall(r"^\| `([\w-]+)` \| \w", table, re.MULTILINE) == [scenario.name for scenario in CALM]


def test_the_pages_show_every_key_of_the_language() -> None:
    pages = "\n".join((ROOT / name).read_text() for name in ("README.md", "docs/faults.md", "docs/load.md")) + PAGE
    definitions = json.loads((ROOT / "test-config.schema.json").read_text())["definitions"]
    keys = {key for name, each in definitions.items() if name != "ledger" for key in each.get("properties", {})}

    assert len(keys) > 40
    assert {key for key in keys if not re.search(rf"\b{key}\b", pages)} == set()


def test_the_example_of_the_page_holds(deployment: Any, user: Any) -> None:
    (user.directory / "example.yml").write_text(EXAMPLE)

    done = user.dispatch("--all", "--config", "example.yml", BROKER_URL=deployment.url)

    assert done.returncode == 0, done.stdout + done.stderr


# --- expectations that do not hold ----------------------------------------------------------------


def test_retries_that_end_in_failure_fail_a_run_that_did_not_expect_it(deployment: Any, user: Any) -> None:
    config = user.config({"gives-up": [{"task": "task_b", "kwargs": {"work_s": 0, "fail_times": 99}}]})

    done = user.dispatch("gives-up", "--config", config, "--format", "basic", BROKER_URL=deployment.url)

    assert done.returncode == 1
    (results,) = user.results()
    assert list(failed(results)) == ["every task succeeded"]
    assert "failed: TransientError: attempt 4 of" in failed(results)["every task succeeded"]
    assert results["outcomes"][0]["attempts"] == 4


def test_a_task_that_outlives_the_deadline_is_found_where_it_is_and_not_called_lost(deployment: Any, user: Any) -> None:
    config = user.config({"slow": [{"task": "task_a", "kwargs": {"work_s": 4}}]})

    done = user.dispatch("slow", "--config", config, "--timeout", "1s", BROKER_URL=deployment.url)

    assert done.returncode == 1
    (results,) = user.results()
    (outcome,) = results["outcomes"]
    assert (outcome["state"], results["ledger"]["lost"]) == ("unfinished", 0)
    assert outcome["where"].startswith("running on worker-a@")
    told = f"task_a {outcome['task_id']} unfinished: running on worker-a@"
    assert failed(results)["every task succeeded"].startswith(told)
    assert failed(results)["nothing lost"].startswith(told)
    assert f"nothing lost: {told}" in done.stdout


#: As short as a scenario of one's own can be.
MINE = """
  mine:
    description: What task_a answers
    tasks:
      - task: task_a
        expect: {result: {contains: {message: Hello from Task A}}}
"""


@pytest.mark.parametrize(("answer", "code"), [("Hello from Task A", 0), ("Hello from Task C", 1)])
def test_a_scenario_of_five_lines(deployment: Any, user: Any, answer: str, code: int) -> None:
    assert len(MINE.strip().splitlines()) == 5
    text = (ROOT / "test-config.yml").read_text()
    (user.directory / "mine.yml").write_text(text + MINE.replace("Hello from Task A", answer))

    done = user.dispatch("mine", "--config", "mine.yml", BROKER_URL=deployment.url)

    assert done.returncode == code, done.stdout + done.stderr
    (results,) = user.results()
    name = f'result: contains {{"message": "{answer}"}}'
    assert (name in failed(results)) == bool(code)
    assert name in done.stdout


# --- thresholds and baselines ---------------------------------------------------------------------


def test_a_threshold_that_is_crossed_is_told_apart_from_a_failure(deployment: Any, user: Any) -> None:
    tasks = [{"task": "task_a", "count": 20, "kwargs": {"work_s": 0.02}}]
    expect = {"thresholds": {"run_time": ["p(95)<1ms", "p(95)<10s"], "failures": "rate<0.01"}}
    config = user.config({"limits": {"description": "Limits", "tasks": tasks, "expect": expect}})

    done = user.dispatch("limits", "--config", config, "--junit", "junit.xml", BROKER_URL=deployment.url)

    assert done.returncode == 99, done.stdout + done.stderr
    (results,) = user.results()
    assert results["exit_code"] == 99
    assert failed(results) == {}
    crossed = [check["name"] for check in results["thresholds"] if not check["passed"]]
    assert len(results["thresholds"]) == 3
    assert len(crossed) == 1
    assert "p(95)<1ms" in crossed[0]
    assert "completed successfully" not in done.stdout
    failures = list(ElementTree.parse(user.directory / "junit.xml").getroot().iter("failure"))
    assert len(failures) == 1


def test_a_threshold_on_too_few_tasks_does_not_hold(deployment: Any, user: Any) -> None:
    tasks = [{"task": "task_a", "count": 19, "kwargs": {"work_s": 0.01}}]
    expect = {"thresholds": {"run_time": ["p(95)<10s", "max<10s"]}}
    config = user.config({"few": {"description": "Few", "tasks": tasks, "expect": expect}})
    done = user.dispatch("few", "--config", config, BROKER_URL=deployment.url)
    assert done.returncode == 99, done.stdout + done.stderr
    (results,) = user.results()
    few, most = results["thresholds"]
    assert (few["passed"], most["passed"]) == (False, True)
    assert few["evidence"].endswith(" ms at most over 19 measured: too few, p(95) takes 20")


def test_a_run_is_compared_with_an_earlier_one(deployment: Any, user: Any) -> None:
    scenario = [{"task": "task_a", "count": 4, "kwargs": {"work_s": 0.1}}]
    config = user.config({"same": scenario, "other": scenario})

    def compared(*arguments: str) -> Any:
        return user.dispatch(
            *("same", "--config", config, "--format", "basic", "--baseline", "old.json"),
            *("--fail-on", "round_trip.max:100%"),
            *arguments,
            BROKER_URL=deployment.url,
        )

    first = user.dispatch("same", "--config", config, "-o", "old.json", BROKER_URL=deployment.url)
    held = compared("-o", "held.json")
    for _ in range(2):  # both processes of worker-a are busy: what comes now waits
        deployment.app.send_task("task_a", kwargs={"work_s": 3}, ignore_result=True)
    slower = compared("-o", "slower.json")

    assert (first.returncode, held.returncode, slower.returncode) == (0, 0, 99), held.stdout + slower.stdout
    documents = {name: json.loads((user.directory / f"{name}.json").read_text()) for name in ("old", "held", "slower")}
    assert documents["slower"]["exit_code"] == 99
    assert failed(documents["slower"]) == {}
    ((rule,), (same,)) = (documents[name]["thresholds"] for name in ("slower", "held"))
    assert (rule["passed"], same["passed"]) == (False, True)
    assert "round_trip.max" in rule["name"]
    slowest_s = {name: document["metrics"]["round_trip"]["max_s"] for name, document in documents.items()}
    assert slowest_s["slower"] > 2 * slowest_s["old"]


def test_another_scenario_or_load_is_no_baseline(deployment: Any, user: Any) -> None:
    task = {"task": "task_a", "count": 4, "kwargs": {"work_s": 0.01}}
    config = user.config({"same": [task]})
    first = user.dispatch("same", "--config", config, "-o", "old.json", BROKER_URL=deployment.url)
    assert first.returncode == 0, first.stdout + first.stderr

    for name, change, why in (
        ("other", {}, "it is of scenario 'same'"),
        ("same", {"count": 5}, "tasks[0].count was 4, is 5"),
        ("same", {"kwargs": {"work_s": 0}}, "tasks[0].kwargs was {'work_s': 0.01}, is {'work_s': 0}"),
    ):
        config = user.config({name: [{**task, **change}]})
        done = user.dispatch(
            *(name, "--config", config, "--baseline", "old.json", "--fail-on", "round_trip.p(95):10%"),
            BROKER_URL=deployment.url,
        )

        assert done.returncode == 2
        assert f"old.json: not comparable with scenario '{name}'" in done.stderr
        assert why in done.stderr
        assert user.results() == []  # nothing was published
