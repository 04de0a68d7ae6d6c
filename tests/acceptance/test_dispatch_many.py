"""3,000 tasks, and several scenarios in one go: every one accounted for, though only 1,000 are held."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.acceptance.rabbit import messages

QUICK = {"work_s": 0}


def test_three_thousand_tasks_are_all_in_the_file(deployment: Any, user: Any) -> None:
    config = user.config({"load": [{"task": name, "count": 1500, "kwargs": QUICK} for name in ("task_a", "task_b")]})

    done = user.dispatch("load", "--config", config, "--timeout", "150s", BROKER_URL=deployment.url, timeout_s=170)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Successful Tasks: 3,000\n" in done.stdout
    assert "Ledger: 3,000 attempted = 3,000 succeeded; 3,000 acknowledged\n" in done.stdout
    assert re.search(r"Round Trip: p50 .* \(3,000 measured\)\n", done.stdout)
    assert "Success Rate: 100.0%\n" in done.stdout
    assert len(done.stdout.splitlines()) < 90  # summarised, not listed
    assert "SENT" not in done.stdout
    (results,) = user.results()
    assert results["outcome_count"] == len(results["outcomes"]) == 3000
    assert {outcome["index"] for outcome in results["outcomes"]} == set(range(3000))
    assert len({outcome["task_id"] for outcome in results["outcomes"]}) == 3000
    assert {(o["task"], o["queue"], o["worker"], o["state"]) for o in results["outcomes"]} == {
        ("task_a", "queue_a", "worker-a", "succeeded"),
        ("task_b", "queue_b", "worker-b", "succeeded"),
    }
    assert len(list(user.directory.glob("dispatch_results_*"))) == 1  # no .part is left
    assert user.journals() == []
    assert messages(deployment.url) == {}


def test_several_scenarios_run_in_the_order_asked_for(deployment: Any, user: Any) -> None:
    config = user.config(
        {
            "one": [{"task": "task_a", "kwargs": QUICK}],
            "bad": [{"task": "task_b", "kwargs": {"work_s": "no number"}}],
            "many": [{"task": "task_a", "count": 30, "kwargs": QUICK}],
        }
    )

    done = user.dispatch("many", "bad", "one", "--config", config, "--format", "basic", BROKER_URL=deployment.url)

    assert done.returncode == 1  # the worst of them
    assert re.findall(r"^Loaded config: (.*)$", done.stdout, re.MULTILINE) == ["many", "bad", "one"]
    assert "30 tasks sent\nWaiting for results...\nResults from task_a: 30 of 30 succeeded\n" in done.stdout
    assert "No result from task_b: failed: TypeError" in done.stdout
    found = {results["scenario"]["name"]: results["exit_code"] for results in user.results()}
    assert found == {"many": 0, "bad": 1, "one": 0}


def test_all_runs_every_scenario(deployment: Any, user: Any) -> None:
    config = user.config({name: [{"task": "task_a", "kwargs": QUICK}] for name in ("first", "second")})

    done = user.dispatch("--all", "--config", config, "--format", "plain", BROKER_URL=deployment.url)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Result from task_a: Hello from Task A\n") == 2
    assert len(user.results()) == 2


def test_json_of_several_scenarios_is_one_document_after_the_other(deployment: Any, user: Any) -> None:
    config = user.config({name: [{"task": "task_a", "kwargs": QUICK}] for name in ("first", "second")})

    done = user.dispatch("--all", "--config", config, "--format", "json", BROKER_URL=deployment.url)

    decoder, text, names = json.JSONDecoder(), done.stdout, []
    while text.strip():
        document, end = decoder.raw_decode(text.lstrip())
        names.append(document["scenario"]["name"])
        text = text.lstrip()[end:]
    assert names == ["first", "second"]
