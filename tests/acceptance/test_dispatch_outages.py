"""The dispatcher's connection is lost while it runs: through a proxy that stalls, goes deaf and cuts."""

from __future__ import annotations

import re
import time
from contextlib import closing
from typing import Any

import pytest

from harness.relay import Relay, through
from tests.acceptance.proxy import Proxy, proxied
from tests.acceptance.rabbit import OF_THE_WORKERS, queues
from tests.conftest import eventually

TASKS = 60
#: Bytes of the task connection after which the line goes bad: after some of the messages, before the last.
SOME = 20_000


def start(user: Any, proxy: Proxy, url: str, *arguments: str) -> Any:
    config = user.config({"sixty": [{"task": "task_a", "count": TASKS, "kwargs": {"work_s": 0}}]})
    return user.start(
        "dispatch.py", "sixty", "--config", config, "--timeout", "60s", *arguments, BROKER_URL=proxy.url(url)
    )


def republished(results: dict[str, Any]) -> int:
    assert results["notes"][0].startswith("the connection to the broker was lost (")
    (again,) = re.findall(r"reconnected; (\d+) unconfirmed messages were published again", "\n".join(results["notes"]))
    return int(again)


@pytest.mark.parametrize("refusing", [False, True])
def test_only_what_was_not_confirmed_is_published_again(deployment: Any, user: Any, refusing: bool) -> None:
    with proxied() as proxy:
        proxy.stall_at = SOME
        process = start(user, proxy, deployment.url)
        assert proxy.reached.wait(30)
        # the broker has confirmed, and the workers have answered, what came through
        eventually(lambda: time.monotonic() - proxy.heard_at > 0.5, "the line is quiet")
        proxy.stall_at = None
        proxy.refuses = refusing
        cut_at = proxy.cut()
        if refusing:
            tried = proxy.accepted
            eventually(lambda: proxy.accepted > tried + 1, "it tries again")
            proxy.refuses = False
        out, err = process.communicate(timeout=60)

    assert process.returncode == 0, out + err
    (results,) = user.results()
    later = [outcome for outcome in results["outcomes"] if outcome["confirmed_at"] > cut_at]
    assert republished(results) == len(later)
    assert 0 < len(later) < TASKS
    assert results["ledger"]["succeeded"] == TASKS
    assert results["ledger"]["duplicated"] == 0
    assert results["ledger"]["acknowledged"] == TASKS
    assert "Note: the connection to the broker was lost (" in out
    assert f"Note: reconnected; {len(later)} unconfirmed messages were published again\n" in out
    assert set(queues(deployment.url)) == OF_THE_WORKERS
    assert user.journals() == []


def test_confirms_that_were_lost_show_as_duplicates_and_no_task_is_lost(deployment: Any, user: Any) -> None:
    with proxied() as proxy:
        proxy.deaf_at = SOME
        process = start(user, proxy, deployment.url)
        assert proxy.reached.wait(30)
        eventually(lambda: executed(deployment) >= TASKS // 2, "the workers execute what came through")
        proxy.deaf_at = None
        proxy.cut()
        out, err = process.communicate(timeout=60)

    assert process.returncode == 1, out + err
    (results,) = user.results()
    assert republished(results) > 0
    assert results["ledger"]["succeeded"] == TASKS
    assert results["ledger"]["duplicated"] > 0
    failed = {check["name"]: check["evidence"] for check in results["checks"] if not check["passed"]}
    assert failed["nothing duplicated"] == f"{results['ledger']['duplicated']} ids ran or ended more than once"
    assert "nothing lost" not in failed


def executed(deployment: Any) -> int:
    return sum(bool(re.match(r"Task task_a\[.+\] succeeded", r["message"])) for r in deployment.records("worker-a"))


def test_a_broker_that_stays_away_until_the_deadline(deployment: Any, user: Any) -> None:
    config = user.config({"two": [{"task": "task_a", "count": 2, "kwargs": {"work_s": 3}}]})
    with proxied() as proxy:
        process = user.start(
            "dispatch.py", "two", "--config", config, "--timeout", "2s", BROKER_URL=proxy.url(deployment.url)
        )
        pending = (line for line in process.stdout if "PENDING" in line)
        assert next(pending)
        assert next(pending)
        proxy.refuses = True
        proxy.cut()
        begun = time.monotonic()
        out, err = process.communicate(timeout=60)

    assert time.monotonic() - begun < 10
    assert process.returncode == 1, out + err
    assert "Traceback" not in err
    (results,) = user.results()
    assert results["ledger"]["unfinished"] == 2  # not lost: nobody could be asked
    assert results["outcomes"][0]["where"].startswith("not looked for: no broker answers at amqp://guest@127.0.0.1:")
    assert user.journals() == [results["run_id"]]


def test_a_line_that_goes_dead_does_not_hold_a_run_past_its_deadline(deployment: Any, user: Any) -> None:
    config = user.config({"two": [{"task": "task_a", "count": 2, "kwargs": {"work_s": 3}}]})
    with closing(Relay("127.0.0.1", 5672)) as relay:
        url = through(deployment.url, relay)
        process = user.start("dispatch.py", "two", "--config", config, "--timeout", "2s", BROKER_URL=url)
        pending = (line for line in process.stdout if "PENDING" in line)
        assert next(pending)
        assert next(pending)
        relay.cut()
        begun = time.monotonic()
        out, err = process.communicate(timeout=90)

    assert time.monotonic() - begun < 30
    assert process.returncode == 1, out + err
    assert "Traceback" not in err
    (results,) = user.results()
    assert results["ledger"]["unfinished"] == 2
