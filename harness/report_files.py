"""Where the reports of a command's runs go, beside the results: JUnit, HTML, the CI job's summary."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.model.report import Report
from harness.render.headline import NotRun


class ReportFiles:
    """The reports that were asked for. Paths are tried when it is made; files are written once, at the end."""

    def __init__(self, junit: str | None, html: str | None, environ: Mapping[str, str]) -> None:
        """Args:
        environ: `GITHUB_STEP_SUMMARY` names the file that GitHub shows as the job's summary.

        Raises:
            UsageError: A path cannot be written.
        """
        self._junit = writable(junit)
        self._html = writable(html)
        self._summary = Path(environ["GITHUB_STEP_SUMMARY"]) if environ.get("GITHUB_STEP_SUMMARY") else None
        self._runs: list[Report | NotRun] = []

    def add(self, run: Report | NotRun) -> None:
        self._runs.append(run)

    def write(self) -> list[Path]:
        """Write what was asked for, each file at once and complete; one of an earlier command is replaced.

        Returns:
            The files written.
        """
        written = []
        if self._junit and self._runs:
            from harness.render.junit import junit_document

            written.append(write_whole(self._junit, junit_document(self._runs)))
        if self._html and self._runs:
            from harness.render.html import html

            written.append(write_whole(self._html, html(self._runs)))
        if self._summary and self._runs:
            _append(self._summary, self._runs)
        return written


def writable(name: str | None) -> Path | None:
    """Return the path after a file was really created beside it."""
    if name is None:
        return None
    path = Path(name)
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        part = _part(path)
        part.touch()
        part.unlink()
    except OSError as exc:
        raise UsageError(f"{path}: cannot be written", why=exc.strerror or str(exc), fix="name another file") from exc
    return path


def write_whole(path: Path, text: str) -> Path:
    """Write a file at once and complete; one of an earlier command is replaced."""
    part = _part(path)
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            part.unlink()
        raise UsageError(f"{path}: cannot be written", why=exc.strerror or str(exc)) from exc
    return path


def _append(path: Path, runs: Sequence[Report | NotRun]) -> None:
    from harness.render.job_summary import job_summary

    with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:  # the CI's file, not the user's
        file.write("\n".join(job_summary(run) for run in runs))


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")
