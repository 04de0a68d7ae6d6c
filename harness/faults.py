"""A run's faults: applied when they are due, undone when their time is over, and timed until what they hit is back.

What takes time, such as a `docker kill`, runs in threads: the courier goes on meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from threading import Event as ThreadEvent
from typing import Any

from harness.errors import HarnessError
from harness.in_flight import Entry
from harness.model.fault import DISPATCHER, Fault, FaultKind, FaultRecord
from harness.model.outcome import Outcome
from harness.strike import Action, Strike, words

#: Returns what a fault is to be done to now, at once. Takes the nodes that execute a task, each with its processes.
#: Raises UnavailableError.
Aim = Callable[[Fault, Mapping[str, Sequence[int]]], Sequence[Action]]

#: How long the end of a run waits until its faults are undone, in seconds: a broker may take most of it to come back.
UNDONE_WITHIN_S = 150.0
#: After so long it says what it waits for, in seconds.
SAID_AFTER_S = 1.0
#: The pause between two looks at which tasks a fault hit, in seconds.
LOOK_INTERVAL_S = 0.05


class Faults:
    """Applies a scenario's faults. All methods are called from the courier's thread."""

    def __init__(
        self,
        faults: Sequence[Fault],
        aim: Aim,
        *,
        total: int,
        now: Callable[[], float],
        on_note: Callable[[str], None],
        record: Callable[[Mapping[str, Any]], None] = lambda record: None,
    ) -> None:
        """Args:
        total: Tasks of the run, of which `after` is a share.
        now: Our clock, in seconds since the epoch.
        on_note: Called with what a user should know at once.
        record: Puts a record on disk: of each fault before it is applied, and once nothing is left of it.
        """
        self._waiting = [fault for fault in faults if not fault.on_start]
        self._on_start = {fault: fault.times for fault in faults if fault.on_start}
        self._aim = aim
        self._total = total
        self._now = now
        self._on_note = on_note
        self._record = record
        self._ended = 0
        self._began_at = 0.0
        self._looked_at = 0.0
        self._seen: set[tuple[int, float | None]] = set()
        self._strikes: list[Strike] = []
        self._refused: list[FaultRecord] = []  # of what could not even be aimed
        self._over = ThreadEvent()  # what was done is to be undone now

    def begin(self, at: float) -> None:
        self._began_at = at

    def struck(self, fault: Fault, hit: str, at: float, in_flight: Mapping[int, Entry]) -> None:
        """Take note of a fault that somebody else applied, to everything in flight."""
        action = Action(hit=hit, nodes=None, do=lambda: None)
        number = len(self._strikes) + 1
        strike = Strike(number, fault, action, at, done_at=at, told=True, noted=True, hit=set(in_flight))
        strike.ended.set()
        self._strikes.append(strike)

    def tick(self, in_flight: Mapping[int, Entry]) -> None:
        """Apply what is due, undo what is over."""
        now = self._now()
        for fault in [fault for fault in self._waiting if self._due(fault, now)]:
            self._waiting.remove(fault)
            self._strike(fault, in_flight.values())
        if any(self._on_start.values()):
            self._follow(in_flight)
        if self._strikes and now >= self._looked_at + LOOK_INTERVAL_S:
            self._looked_at = now
            for strike in self._strikes:
                strike.follow(in_flight.values(), now)
        for strike in self._strikes:
            self._tell(strike)

    def ended(self, outcome: Outcome) -> None:
        """Take note of a task's end."""
        self._ended += 1
        for strike in self._strikes:
            strike.end(outcome)

    def finish(self, *, interrupted: bool) -> tuple[FaultRecord, ...]:
        """Undo everything, and return what was done. Waits for what is under way, for `UNDONE_WITHIN_S` at most.

        What remains is said, with the command that undoes it.

        Args:
            interrupted: Then what was not due yet is no error.
        """
        self._over.set()
        self._wait()
        for strike in self._strikes:
            self._tell(strike)
            if strike.left:
                self._on_note(self._remains(strike))
        never = [*self._waiting, *(fault for fault, left in self._on_start.items() if left == fault.times)]
        for fault in [] if interrupted else never:
            why = f"it was not due before the run ended: {self._ended} of {self._total} tasks had ended"
            self._refuse(fault, why)
        return tuple(sorted([*self._refused, *map(self._told, self._strikes)], key=lambda record: record.at_s))

    # --- when ---------------------------------------------------------------------------------------

    def _due(self, fault: Fault, now: float) -> bool:
        if fault.at_s is not None:
            return now >= self._began_at + fault.at_s
        return self._ended >= (fault.after or 0) * self._total

    def _follow(self, in_flight: Mapping[int, Entry]) -> None:
        """Strike each execution that has begun on a target since the last look."""
        for entry in in_flight.values():
            key = (entry.index, entry.started_at)
            if entry.last_state != "STARTED" or entry.node is None or key in self._seen:
                continue
            for fault, left in self._on_start.items():
                if left and entry.node.partition("@")[0] == fault.target:
                    self._seen.add(key)
                    self._on_start[fault] -= 1
                    self._strike(fault, [entry])

    # --- what ---------------------------------------------------------------------------------------

    def _strike(self, fault: Fault, entries: Collection[Entry]) -> None:
        try:
            actions = self._aim(fault, _busy(entries))
        except HarnessError as exc:
            self._refuse(fault, words(exc))
            return
        for action in actions:
            strike = Strike(len(self._strikes) + 1, fault, action, self._now())
            strike.aim(entries)
            self._strikes.append(strike)
            if (fault.kind, fault.target) != (FaultKind.KILL, DISPATCHER):  # that one, whoever goes on knows of
                self._note(strike, undone=action.undo is None)  # first: who is killed leaves it applied
            strike.begin(self._over, self._now)

    def _wait(self) -> None:
        """Wait until everything is undone, or it has taken too long."""
        deadline = time.monotonic() + UNDONE_WITHIN_S
        said_at = time.monotonic() + SAID_AFTER_S
        for strike in filter(lambda strike: strike.begun, self._strikes):
            if not strike.ended.wait(max(said_at - time.monotonic(), 0)):
                self._on_note(f"undoing: {strike.fault.words}: {strike.action.hit}")
            if not strike.ended.wait(max(deadline - time.monotonic(), 0)):
                strike.error = strike.error or f"not undone: it takes longer than {UNDONE_WITHIN_S:.0f} s"

    def _note(self, strike: Strike, *, undone: bool) -> None:
        action = strike.action
        strike.noted = undone
        self._record(
            {
                "fault": {
                    "number": strike.number,
                    "what": strike.fault.words,
                    "target": action.hit,
                    "at": strike.struck_at,
                    "undone": undone,
                    "command": action.command,
                }
            }
        )

    def _tell(self, strike: Strike) -> None:
        if not strike.noted and not strike.left:
            self._note(strike, undone=True)
        if strike.told or (strike.done_at is None and strike.error is None):
            return
        strike.told = True
        if strike.done_at is None:
            self._on_note(f"fault not applied: {strike.fault.words}: {strike.error}")
        else:
            self._on_note(f"fault: {strike.fault.words}: {strike.action.hit}")

    def _remains(self, strike: Strike) -> str:
        command = strike.action.command
        return f"{strike.fault.words}: {strike.action.hit}: {strike.error}" + (
            f"; undo it: {command}" if command else ""
        )

    def _refuse(self, fault: Fault, why: str) -> None:
        self._refused.append(
            FaultRecord(what=fault.words, hit=fault.target, at_s=self._now() - self._began_at, error=why)
        )
        self._on_note(f"fault not applied: {fault.words}: {why}")

    def _told(self, strike: Strike) -> FaultRecord:
        return FaultRecord(
            what=strike.fault.words,
            hit=strike.action.hit,
            at_s=strike.struck_at - self._began_at,
            undone_at_s=None if strike.undone_at is None else strike.undone_at - self._began_at,
            error=strike.error,
            recovery=strike.recovery,
        )


def _busy(entries: Iterable[Entry]) -> Mapping[str, Sequence[int]]:
    """Return the nodes that execute a task, each with the processes that do."""
    busy: dict[str, list[int]] = {}
    for entry in entries:
        if entry.last_state == "STARTED" and entry.node is not None:
            busy.setdefault(entry.node, []).extend([entry.pid] if entry.pid is not None else [])
    return busy
