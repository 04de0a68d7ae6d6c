"""docs/your-own-app.md, done as it says: an unrelated app with worker/ beside it, and old queues that are left."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from kombu import Connection

from tests.conftest import ROOT, Vhosts, eventually

DOC = (ROOT / "docs" / "your-own-app.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)


@dataclass
class Shop:
    """The app of the page, in a directory that holds nothing else than it and worker/."""

    root: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def env(self, url: str, **more: str) -> dict[str, str]:
        return {**os.environ, "BROKER_URL": url, "PYTHONPATH": "", **more}

    def worker(self, queue: str, url: str) -> subprocess.Popen[bytes]:
        """Start the page's worker of a queue."""
        (line,) = [line for line in blocks("sh")[0].splitlines() if f"-Q {queue} " in line]
        health, arguments = re.fullmatch(r"HEALTH_FILE=/tmp/(\S+) celery (.*)", line).groups()  # type: ignore[union-attr]
        with (self.root / f"{queue}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", *arguments.split()],
                cwd=self.root,
                env=self.env(url, HEALTH_FILE=str(self.root / health)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def log(self, queue: str) -> str:
        return (self.root / f"{queue}.log").read_text()

    def succeeded(self) -> int:
        """Return how many payments the worker has logged."""
        return len(re.findall(r"Task shop\.charge\[[^]]+\] succeeded", self.log("payments")))

    def python(self, url: str, script: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script]
        return subprocess.run(
            command, cwd=self.root, env=self.env(url), capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shutil.copytree(ROOT / "worker", tmp_path / "worker", ignore=shutil.ignore_patterns("__pycache__"))
    (source,) = blocks("python")
    (tmp_path / "shop.py").write_text(source)
    made = Shop(tmp_path)
    yield made
    for process in made.processes:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.wait()


def test_the_few_lines_bring_what_the_page_says(shop: Shop, broker_url: str) -> None:
    shop.worker("payments", broker_url)
    shop.worker("mails", broker_url)
    healthy = [shop.root / f"{queue}-healthy" for queue in ("payments", "mails")]
    eventually(lambda: all(path.exists() for path in healthy), "both consume", within_s=60)

    (call,) = [line for line in blocks("sh")[0].splitlines() if line.startswith("python -c")]
    script = re.fullmatch(r"python -c '(.*)'", call)
    assert script
    assert shop.python(broker_url, script[1]).stdout == "order 7 is paid\n"

    wrong = shop.python(broker_url, 'import shop; shop.charge.apply_async([7], queue="mails").get(timeout=30)')
    assert "WrongQueue: shop.charge belongs to payments, and arrived on mails" in wrong.stderr
    with Connection(broker_url) as connection:
        connection.Producer().publish("not json", exchange="tasks", routing_key="payments", content_type="text/plain")
    eventually(lambda: ready(broker_url, "payments.dead", "mails.dead") == [1, 1], "both are dead letters")
    assert shop.python(broker_url, script[1]).stdout == "order 7 is paid\n"  # and the worker goes on

    said = [json.loads(line) for line in shop.log("mails").splitlines() if line.startswith("{")]
    assert any(line.get("task") == "shop.charge" and line.get("queue") == "mails" for line in said)


def ready(url: str, *queues: str) -> list[int]:
    """Return how many messages are ready in each queue."""
    with Connection(url) as connection, connection.channel() as channel:
        return [channel.queue_declare(queue, passive=True).message_count for queue in queues]


def older(shop: Shop) -> None:
    """Make the app one of an older version, whose queues have other arguments."""
    path = shop.root / "worker" / "topology.py"
    text = path.read_text()
    assert "DELIVERY_LIMIT = 5\n" in text
    path.write_text(text.replace("DELIVERY_LIMIT = 5\n", "DELIVERY_LIMIT = 3\n"))


def test_old_queues_are_drained_by_old_workers_while_new_ones_start_elsewhere(
    shop: Shop, broker_url: str, vhosts: Vhosts, tmp_path: Path
) -> None:
    new_url = vhosts.make()
    new = Shop(tmp_path / "new")
    shutil.copytree(shop.root, new.root, ignore=shutil.ignore_patterns("new"))
    older(shop)
    old_worker = shop.worker("payments", broker_url)
    eventually(lambda: (shop.root / "payments-healthy").exists(), "the old one consumes", within_s=60)
    # a retry, which waits among the delayed, is part of what is to be drained
    waiting = shop.python(
        broker_url, "import shop; [shop.charge.apply_async([n], countdown=3) for n in range(5)]; shop.charge.delay(9)"
    )
    assert waiting.returncode == 0, waiting.stderr

    try:
        new.worker("payments", broker_url)  # refused: it waits, says so, and changes nothing
        eventually(lambda: "topology refused by the broker" in new.log("payments"), "it is refused", within_s=60)
        assert "PRECONDITION_FAILED" in new.log("payments")
        assert not (new.root / "payments-healthy").exists()

        new.worker("payments", new_url)
        eventually(lambda: (new.root / "payments-healthy").exists(), "the new one consumes", within_s=60)
        paid = new.python(new_url, "import shop; print(shop.charge.delay(1).get(timeout=30))")
        assert paid.stdout == "order 1 is paid\n", paid.stderr

        eventually(
            lambda: shop.succeeded() == 6, "the old virtual host is drained, of what was delayed too", within_s=60
        )
        assert ready(broker_url, "payments", "payments.dead", "mails", "mails.dead") == [0, 0, 0, 0]
        assert old_worker.poll() is None
    finally:
        for process in new.processes:
            os.killpg(process.pid, 9)
            process.wait()
        vhosts.delete(new_url)
