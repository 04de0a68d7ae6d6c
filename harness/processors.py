"""How busy this machine's processors are; None where the system does not say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ticks:
    """Processor time since the machine began, of all processors, in the system's ticks."""

    busy: int
    all: int

    @classmethod
    def now(cls) -> Ticks | None:
        """Read the first line of /proc/stat (proc(5)): user nice system idle iowait irq softirq steal ..."""
        try:
            words = Path("/proc/stat").read_text().partition("\n")[0].split()
        except OSError:
            return None
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, words[1:9])
        busy = user + nice + system + irq + softirq + steal
        return cls(busy, busy + idle + iowait)

    def busy_since(self, before: Ticks) -> float | None:
        """Return the share of the time since then in which a processor had work, 0 to 1."""
        passed = self.all - before.all
        return (self.busy - before.busy) / passed if passed > 0 else None
