"""How often a statement held, and who broke it first: the evidence of a check, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.model.report import Check

#: Offenders named in a failed check's evidence; the others are counted.
NAMED = 3


@dataclass(slots=True)
class Tally:
    """Notes a statement about one thing after another."""

    held: int = 0
    offenders: list[str] = field(default_factory=list)
    offences: int = 0

    def note(self, holds: bool, offender: str) -> None:
        """Count it; keep the first few offenders by name."""
        if holds:
            self.held += 1
            return
        self.offences += 1
        if len(self.offenders) < NAMED:
            self.offenders.append(offender)

    @property
    def judged(self) -> int:
        return self.held + self.offences

    def check(self, name: str, evidence: str, *, unseen: str | None = None) -> Check:
        """Return the check.

        Args:
            evidence: For the case that it held.
            unseen: Why it does not hold where nothing was noted; None: then it does.
        """
        if unseen is not None and not self.judged:
            return Check(name=name, passed=False, evidence=unseen)
        if not self.offences:
            return Check(name=name, passed=True, evidence=evidence)
        more = self.offences - len(self.offenders)
        words = "; ".join(self.offenders) + (f"; and {more} more" if more else "")
        return Check(name=name, passed=False, evidence=words)
