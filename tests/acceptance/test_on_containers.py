"""The full sequence on containers, as the README has it: build, up, dispatch with its output shown, down."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.stack import Stack


def results(stack: Stack) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(stack.root.glob("dispatch_results_*.json"))]


def test_build_up_dispatch_and_down(stack: Stack, shown: Callable[[str, str], None]) -> None:
    try:
        stack.output("make", "down")
        stack.output("make", "build")
        stack.output("make", "up")
        output = stack.output("make", "run")
        shown("make run, on containers", output)
        nodes = re.findall(r"• (worker-[ab])@([0-9a-f]{12})\n", output)
        assert [service for service, _ in nodes] == ["worker-a", "worker-b"]
        # the node's name is the container's id: what ran, ran in there
        assert {host for _, host in nodes} == {container["Id"][:12] for container in stack.containers()}
        assert output.endswith("Dispatch completed successfully!")
    finally:
        stack.compose("up", "--detach")
        stack.wait_healthy()


def test_every_shipped_scenario_holds_on_the_containers(
    stack: Stack, tmp_path: Path, shown: Callable[[str, str], None]
) -> None:
    before = len(results(stack))
    done = stack.run(
        ".venv/bin/python", "dispatch.py", "--all", "--html", str(tmp_path / "all.html"), "--format", "plain"
    )
    shown("dispatch.py --all, on containers", done.stdout)
    assert done.returncode == 0, done.stdout
    runs = results(stack)[before:]
    assert {run["verdict"] for run in runs} == {"passed"}  # type: ignore[comparison-overlap]
    assert len(runs) == 10
    assert (tmp_path / "all.html").stat().st_size > 10_000
