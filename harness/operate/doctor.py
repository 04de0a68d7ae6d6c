"""`operate.py doctor`: examine the deployment, say what was found."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness import broker
from harness.doctor.examine import Deployment, examine
from harness.errors import ConfigError, ExitCode, UsageError
from harness.finding import Examined, complaint, failed
from harness.output import Console
from harness.render.doctor import examined_document, examined_text, summary
from harness.render.style import Style


def doctor(settled: Callable[[], Deployment], *, as_json: bool, console: Console, style: Style) -> ExitCode:
    """Examine a deployment and write what was found.

    Args:
        settled: Returns the deployment that the settings name. Where these cannot be used, it raises a `ConfigError` or
            `UsageError`: that is a check that failed, and leaves nothing to examine.

    Raises:
        UsageError: The broker is the embedded one.
    """
    begun = time.monotonic()
    try:
        deployment = settled()
    except (ConfigError, UsageError) as exc:
        examined = [Examined(subject="configuration", findings=(failed("files", complaint(exc), exc.fix),))]
    else:
        if broker.is_embedded(deployment.app):
            raise UsageError("there is no deployment to examine in embedded mode", why="its broker is a directory")
        examined = examine(deployment)
    took_s = time.monotonic() - begun
    if as_json:
        console.write(examined_document(examined, took_s))
    else:
        console.write(examined_text(examined, style))
        console.note(summary(examined, took_s))
    return ExitCode.CHECK_FAILED if any(one.failed for one in examined) else ExitCode.OK
