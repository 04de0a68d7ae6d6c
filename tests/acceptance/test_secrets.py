"""The passwords of a deployment are in .env and nowhere that a run, a report or a log leaves behind."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.stack import CommandLines, Stack


def test_a_run_its_reports_and_its_workers_tell_no_password(stack: Stack, tmp_path: Path) -> None:
    reports = {kind: tmp_path / f"report.{kind}" for kind in ("json", "html", "xml")}

    with CommandLines() as lines:
        shown = stack.output(
            *(".venv/bin/python", "dispatch.py", "retry-exhausted", "--output", str(reports["json"])),
            *("--html", str(reports["html"]), "--junit", str(reports["xml"])),
        )
    told = {
        "output": shown,
        "logs": stack.compose("logs"),
        "doctor": stack.run("./setup.sh", "doctor").stdout,
        "status": stack.run(".venv/bin/python", "scale.py", "status", "--json").stdout,
        "ps": "\n".join(lines.seen),
        **{kind: path.read_text() for kind, path in reports.items()},
    }

    assert (
        "distributed_test" in told["html"] or stack.name in told["html"]
    )  # the URL is there, so its password could be
    for password in stack.passwords():
        assert [name for name, text in told.items() if password in text] == []


def test_a_wrong_password_is_not_told_either(stack: Stack) -> None:
    url = stack.setting("BROKER_URL").replace(stack.passwords()[0], "not-the-password")

    done = stack.run(".venv/bin/python", "dispatch.py", BROKER_URL=url)

    assert done.returncode == 69
    assert len(done.stdout.splitlines()[-3:]) == 3
    assert "not-the-password" not in done.stdout
