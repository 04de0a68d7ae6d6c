"""One time that a fault is applied: done and undone in a thread, and what it hit, followed until that is back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from threading import Event, Thread

from harness.errors import HarnessError
from harness.in_flight import Entry
from harness.model.fault import Fault, Recovery
from harness.model.outcome import Outcome

#: How long after a fault the start of what it hit may be told, in seconds: a worker holds that back for a moment.
TOLD_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A fault, ready to be applied to one thing."""

    hit: str  # for people: "container demo-worker-a-1 (worker-a@12514a296d7c)"
    nodes: frozenset[str] | None  # whose tasks it hits; None: every task in flight
    do: Callable[[], None]
    undo: Callable[[], None] | None = None  # None: nothing to undo
    command: str = ""  # for a shell, undoes it where this process cannot; empty: it ends with this process, or for good
    look: Callable[[], None] = lambda: None  # called after each of both: what can be hit has changed
    pids: frozenset[int] | None = None  # only tasks that these of its processes execute; None: all
    gradual: bool = False  # it hits from its beginning on, such as a warm shutdown; otherwise once it is done


@dataclass(slots=True, eq=False)
class Strike:
    """One action under way. Its thread writes the next three, the courier's the others. Times are ours."""

    number: int  # from 1
    fault: Fault
    action: Action
    struck_at: float  # it began to be done
    done_at: float | None = None  # it was done; None: not yet, or it could not be
    undone_at: float | None = None
    error: str | None = None
    begun: bool = False
    ended: Event = field(default_factory=Event)  # nothing more will be done
    told: bool = False
    noted: bool = False  # that nothing is left of it
    hit: set[int] = field(default_factory=set)  # ids in flight there when it struck
    outcomes: list[Outcome] = field(default_factory=list)  # of these

    @property
    def left(self) -> bool:
        """Whether something of it remains."""
        return self.begun and self.action.undo is not None and self.undone_at is None

    # --- done and undone ----------------------------------------------------------------------------

    def begin(self, over: Event, now: Callable[[], float]) -> None:
        """Do it, wait until its time or the run is over, and undo it, in a thread that the process does not wait for.

        Args:
            over: Set when what was done is to be undone at once.
        """
        self.begun = True
        Thread(target=self._carry_out, args=(over, now), name=f"fault: {self.fault.words}", daemon=True).start()

    def _carry_out(self, over: Event, now: Callable[[], float]) -> None:
        action = self.action
        try:
            try:
                action.do()
                self.done_at = now()
            except Exception as exc:  # whatever it was: what was not applied is no proof
                self.error = words(exc)
            action.look()
            if action.undo is None:
                return
            if self.done_at is not None:
                for_s = self.fault.for_s
                over.wait(None if for_s is None else max(self.done_at + for_s - now(), 0))
            try:
                action.undo()  # also where it failed: perhaps half of it was done
                self.undone_at = now()
            except Exception as exc:
                self.error = self.error or f"not undone: {words(exc)}"
            action.look()
        finally:
            self.ended.set()

    # --- what it hit --------------------------------------------------------------------------------

    def aim(self, entries: Collection[Entry]) -> None:
        """Take as hit what is in flight there now."""
        nodes, pids = self.action.nodes, self.action.pids
        self.hit = {
            entry.index
            for entry in entries
            if (nodes is None or entry.node in nodes) and (pids is None or entry.pid in pids)
        }

    def follow(self, entries: Iterable[Entry], now: float) -> None:
        """Take as hit also what was executed there and is only now told, or has begun before the fault was done."""
        nodes = self.action.nodes
        if not nodes or (self.done_at is not None and now > self.done_at + TOLD_WITHIN_S):
            return
        for entry in entries:
            for began, node in entry.begun.items():
                if node in nodes and self._executed(node, began, entry.over_at(began)):
                    self.hit.add(entry.index)

    def end(self, outcome: Outcome) -> None:
        """Take note of a task's end."""
        if outcome.finished_at is not None and self._executed(outcome.node, outcome.started_at, outcome.finished_at):
            self.hit.add(outcome.index)
        if outcome.index in self.hit:
            self.outcomes.append(outcome)

    def _executed(self, node: str | None, began: float | None, ended: float | None) -> bool:
        """Whether an execution was under way there when it struck, or began while it was being done.

        Args:
            ended: None: nobody told an end of it.
        """
        action = self.action
        if action.nodes is None or action.pids is not None or node not in action.nodes or began is None:
            return False
        until = self.struck_at if action.gradual else self.done_at
        return (until is None or began <= until) and (ended is None or ended >= self.struck_at)

    @property
    def recovery(self) -> Recovery | None:
        """How what it hit came back; leaves out what was over before it had its effect. None: it was not done."""
        if self.done_at is None:
            return None
        struck_at = self.struck_at
        from_at = struck_at if self.action.gradual else self.done_at
        back = [one for one in self.outcomes if one.finished_at is None or one.finished_at >= from_at]
        reruns = [one.started_at for one in back if one.started_at is not None and self._again(one.started_at, one)]
        ends = [one.replied_at for one in back if one.replied_at is not None]
        return Recovery(
            tasks=len(self.hit) - len(self.outcomes) + len(back),
            ended=len(ends),
            rerun_s=max(reruns) - struck_at if reruns else None,
            first_s=min(ends) - struck_at if ends else None,
            last_s=max(ends) - struck_at if ends else None,
        )

    def _again(self, started_at: float, outcome: Outcome) -> bool:
        """Whether this execution is another than the one that was hit: it may have begun while the fault was done."""
        return started_at > self.struck_at and not self._executed(outcome.node, started_at, outcome.finished_at)


def words(exc: Exception) -> str:
    return "; ".join(filter(None, [exc.what, exc.why])) if isinstance(exc, HarnessError) else repr(exc)
