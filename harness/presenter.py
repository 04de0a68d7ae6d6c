"""What a command shows of a run, in each of the four formats, as the run happens."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from harness.model.event import Event
from harness.model.report import Report
from harness.model.scenario import Scenario
from harness.model.topology import Roster
from harness.output import Console
from harness.render import console as text
from harness.render.style import Style
from harness.render.verdict import MANY


class Presenter(Protocol):
    """Called in this order; events between `dispatching` and `finished`."""

    def begun(self, scenario: Scenario, started_at: float, broker: str, embedded: bool) -> None: ...

    def connected(self, roster: Roster) -> None: ...

    def dispatching(self, scenario: Scenario) -> None: ...

    def event(self, event: Event) -> None: ...

    def finished(self, report: Report, results: Path | None) -> None: ...


class Rich:
    """Banner, workers, a line an event, results, checks."""

    def __init__(self, console: Console, style: Style) -> None:
        self._console = console
        self._style = style
        self._lists = True  # a line for each event; too many tasks are summarised

    def begun(self, scenario: Scenario, started_at: float, broker: str, embedded: bool) -> None:
        self._lists = scenario.task_count <= MANY
        self._console.write(text.rich_banner(started_at, broker, self._style, embedded))

    def connected(self, roster: Roster) -> None:
        self._console.write(text.rich_connected(roster, self._style))

    def dispatching(self, scenario: Scenario) -> None:
        self._console.write(text.rich_dispatching(self._style))

    def event(self, event: Event) -> None:
        if self._lists:
            self._console.write(text.rich_event(event, self._style))

    def finished(self, report: Report, results: Path | None) -> None:
        self._console.write(text.rich_report(report, results, self._style))


class Basic:
    """A few lines that scripts and tutorials can rely on."""

    def __init__(self, console: Console, style: Style) -> None:
        self._console = console
        self._style = style
        self._unsent = 0
        self._scenario: Scenario | None = None

    def begun(self, scenario: Scenario, started_at: float, broker: str, embedded: bool) -> None:
        self._scenario = scenario
        self._unsent = scenario.task_count

    def connected(self, roster: Roster) -> None:
        pass

    def dispatching(self, scenario: Scenario) -> None:
        self._console.write(text.basic_intro(scenario))

    def event(self, event: Event) -> None:
        assert self._scenario is not None
        line = text.basic_sent(event)
        if not line:
            return
        if self._scenario.task_count <= MANY:
            self._console.write(line)
        self._unsent -= 1
        if not self._unsent:
            self._console.write(text.basic_waiting(self._scenario))

    def finished(self, report: Report, results: Path | None) -> None:
        self._console.write(text.basic_report(report, self._style))


class Plain:
    """One line a result."""

    def __init__(self, console: Console, style: Style) -> None:
        self._console = console
        self._style = style

    def begun(self, scenario: Scenario, started_at: float, broker: str, embedded: bool) -> None:
        pass

    def connected(self, roster: Roster) -> None:
        pass

    def dispatching(self, scenario: Scenario) -> None:
        self._console.write(text.plain_intro(scenario))

    def event(self, event: Event) -> None:
        pass

    def finished(self, report: Report, results: Path | None) -> None:
        self._console.write(text.plain_report(report, self._style))


class Json:
    """The results document on stdout, and nothing else there."""

    def __init__(self, console: Console, style: Style) -> None:
        self._console = console

    def begun(self, scenario: Scenario, started_at: float, broker: str, embedded: bool) -> None:
        pass

    def connected(self, roster: Roster) -> None:
        pass

    def dispatching(self, scenario: Scenario) -> None:
        pass

    def event(self, event: Event) -> None:
        pass

    def finished(self, report: Report, results: Path | None) -> None:
        if results is not None:
            self._console.write_file(results)


FORMATS: dict[str, type[Rich] | type[Basic] | type[Plain] | type[Json]] = {
    "rich": Rich,
    "basic": Basic,
    "plain": Plain,
    "json": Json,
}
