"""A run's faults: applied when they are due, undone when their time is over, and timed until what they hit is back.

What takes time, such as a `docker kill`, runs in threads: the courier goes on meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event as ThreadEvent
from threading import Thread

from harness.errors import HarnessError
from harness.ledger import Entry
from harness.model import Fault, FaultRecord, Outcome, Recovery


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A fault, ready to be applied to one thing."""

    hit: str  # for people: "container demo-worker-a-1 (worker-a@12514a296d7c)"
    nodes: frozenset[str] | None  # whose tasks it hits; None: every task in flight
    do: Callable[[], None]
    undo: Callable[[], None] | None = None  # None: nothing to undo
    pids: frozenset[int] | None = None  # only tasks that these of its processes execute; None: all
    gradual: bool = False  # it hits from its beginning on, such as a warm shutdown; otherwise once it is done


#: Returns what a fault is to be done to now. Takes the nodes that execute a task, each with its processes.
#: Raises UnavailableError.
Aim = Callable[[Fault, Mapping[str, Sequence[int]]], Sequence[Action]]


@dataclass(slots=True, eq=False)
class _Strike:
    """One action under way. Its thread writes the next three, the courier's the others. Times are ours."""

    fault: Fault
    action: Action
    struck_at: float  # it began to be done
    done_at: float | None = None  # it was done; None: not yet, or it could not be
    undone_at: float | None = None
    error: str | None = None
    thread: Thread | None = None
    told: bool = False
    hit: set[int] = field(default_factory=set)  # ids in flight there when it struck
    outcomes: list[Outcome] = field(default_factory=list)  # of these


class Faults:
    """Applies a scenario's faults. All methods are called from the courier's thread."""

    def __init__(
        self, faults: Sequence[Fault], aim: Aim, *, total: int, now: Callable[[], float], on_note: Callable[[str], None]
    ) -> None:
        """Args:
        total: Tasks of the run, of which `after` is a share.
        now: Our clock, in seconds since the epoch.
        on_note: Called with what a user should know at once.
        """
        self._waiting = [fault for fault in faults if not fault.on_start]
        self._on_start = {fault: fault.times for fault in faults if fault.on_start}
        self._aim = aim
        self._total = total
        self._now = now
        self._on_note = on_note
        self._ended = 0
        self._began_at = 0.0
        self._seen: set[tuple[int, float | None]] = set()
        self._strikes: list[_Strike] = []
        self._records: list[FaultRecord] = []  # of what could not even be aimed
        self._over = ThreadEvent()  # what was done is to be undone now

    def begin(self, at: float) -> None:
        self._began_at = at

    def struck(self, fault: Fault, hit: str, at: float, in_flight: Mapping[int, Entry]) -> None:
        """Take note of a fault that somebody else applied, to everything in flight."""
        action = Action(hit=hit, nodes=None, do=lambda: None)
        self._strikes.append(_Strike(fault, action, at, done_at=at, told=True, hit=set(in_flight)))

    def tick(self, in_flight: Mapping[int, Entry]) -> None:
        """Apply what is due, undo what is over."""
        now = self._now()
        for fault in [fault for fault in self._waiting if self._due(fault, now)]:
            self._waiting.remove(fault)
            self._strike(fault, in_flight.values())
        if any(self._on_start.values()):
            self._follow(in_flight)
        for strike in self._strikes:
            self._tell(strike)

    def ended(self, outcome: Outcome) -> None:
        """Take note of a task's end."""
        self._ended += 1
        for strike in self._strikes:
            if _executed_there(outcome, strike):
                strike.hit.add(outcome.index)  # it had begun, which was not yet told
            if outcome.index in strike.hit:
                strike.outcomes.append(outcome)

    def finish(self, *, interrupted: bool) -> tuple[FaultRecord, ...]:
        """Undo everything, and return what was done. Waits for what is under way.

        Args:
            interrupted: Then what was not due yet is no error.
        """
        self._over.set()
        for strike in self._strikes:
            if strike.thread:
                strike.thread.join()
            self._tell(strike)
        never = [*self._waiting, *(fault for fault, left in self._on_start.items() if left == fault.times)]
        for fault in [] if interrupted else never:
            why = f"it was not due before the run ended: {self._ended} of {self._total} tasks had ended"
            self._refuse(fault, why)
        return tuple(sorted([*self._records, *map(self._record, self._strikes)], key=lambda record: record.at_s))

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
            self._refuse(fault, _words(exc))
            return
        for action in actions:
            nodes = action.nodes
            hit = {
                entry.index
                for entry in entries
                if (nodes is None or entry.node in nodes) and (action.pids is None or entry.pid in action.pids)
            }
            strike = _Strike(fault, action, self._now(), hit=hit)
            strike.thread = Thread(target=self._carry_out, args=(strike,), name=f"fault: {fault.words}")
            strike.thread.start()  # no daemon: the process does not end before it is undone
            self._strikes.append(strike)

    def _carry_out(self, strike: _Strike) -> None:
        """Do it, wait, undo it: in a thread of its own."""
        action = strike.action
        try:
            action.do()
            strike.done_at = self._now()
        except Exception as exc:  # whatever it was: what was not applied is no proof
            strike.error = _words(exc)
        if action.undo is None:
            return
        if strike.done_at is not None:
            self._over.wait(strike.fault.for_s)
        try:
            action.undo()  # also where it failed: perhaps half of it was done
            strike.undone_at = self._now()
        except Exception as exc:
            strike.error = strike.error or f"not undone: {_words(exc)}"

    def _tell(self, strike: _Strike) -> None:
        if strike.told or (strike.done_at is None and strike.error is None):
            return
        strike.told = True
        if strike.done_at is None:
            self._on_note(f"fault not applied: {strike.fault.words}: {strike.error}")
        else:
            self._on_note(f"fault: {strike.fault.words}: {strike.action.hit}")

    def _refuse(self, fault: Fault, why: str) -> None:
        self._records.append(
            FaultRecord(what=fault.words, hit=fault.target, at_s=self._now() - self._began_at, error=why)
        )
        self._on_note(f"fault not applied: {fault.words}: {why}")

    def _record(self, strike: _Strike) -> FaultRecord:
        return FaultRecord(
            what=strike.fault.words,
            hit=strike.action.hit,
            at_s=strike.struck_at - self._began_at,
            undone_at_s=None if strike.undone_at is None else strike.undone_at - self._began_at,
            error=strike.error,
            recovery=None if strike.done_at is None else _recovery(strike, strike.done_at),
        )


def _busy(entries: Iterable[Entry]) -> Mapping[str, Sequence[int]]:
    """Return the nodes that execute a task, each with the processes that do."""
    busy: dict[str, list[int]] = {}
    for entry in entries:
        if entry.last_state == "STARTED" and entry.node is not None:
            busy.setdefault(entry.node, []).extend([entry.pid] if entry.pid is not None else [])
    return busy


def _executed_there(outcome: Outcome, strike: _Strike) -> bool:
    """Whether the task's last attempt began before, and ended after, the strike on its whole node."""
    action = strike.action
    if action.nodes is None or action.pids is not None or outcome.node not in action.nodes:
        return False
    began, ended = outcome.started_at, outcome.finished_at
    return began is not None and ended is not None and began <= strike.struck_at <= ended


def _words(exc: Exception) -> str:
    return "; ".join(filter(None, [exc.what, exc.why])) if isinstance(exc, HarnessError) else repr(exc)


def _recovery(strike: _Strike, done_at: float) -> Recovery:
    """Leave out what was over before the fault had its effect, and only its result under way."""
    struck_at = strike.struck_at
    from_at = struck_at if strike.action.gradual else done_at
    back = [one for one in strike.outcomes if one.finished_at is None or one.finished_at >= from_at]
    reruns = [one.started_at for one in back if one.started_at is not None and one.started_at > struck_at]
    ends = [one.replied_at for one in back if one.replied_at is not None]
    return Recovery(
        tasks=len(strike.hit) - len(strike.outcomes) + len(back),
        ended=len(ends),
        rerun_s=max(reruns) - struck_at if reruns else None,
        first_s=min(ends) - struck_at if ends else None,
        last_s=max(ends) - struck_at if ends else None,
    )
