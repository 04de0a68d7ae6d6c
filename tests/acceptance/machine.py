"""Another system than this one: a PATH of its own, on which package and service managers note what they are told."""

from __future__ import annotations

import shutil
from pathlib import Path

#: Of POSIX, and on macOS too. There they are BSD's, which know no long options.
POSIX_TOOLS = [
    *("awk", "base64", "basename", "cat", "cksum", "cmp", "comm", "cp", "cut", "dirname", "find", "grep", "head", "id"),
    *("ls", "mkdir", "mktemp", "mv", "od", "paste", "rm", "rmdir", "sed", "sh", "sleep", "sort", "tail", "tee"),
    *("touch", "tr", "wc"),
]
STRICT = """\
for argument; do
  case $argument in --?*) echo "GNU: {name} $argument" >>{notes}; exit 64 ;; esac
done
case "{name} $*" in 'sed -i'* | 'sed -r'* | 'grep -P'* | 'sort -V'*) echo "GNU: {name} $*" >>{notes}; exit 64 ;; esac
exec {real} "$@"
"""
#: Of BSD's stat there is what setup.sh uses.
BSD_STAT = 'if [ "$1" = -f ] && [ "$2" = %Lp ]; then exec {real} -c %a "$3"; fi; exit 1\n'


class Machine:
    """Programs in a directory, which stands in for every directory of PATH that a user's programs are in."""

    def __init__(self, directory: Path, system: str) -> None:
        self.path = directory / "programs"
        self.path.mkdir()
        self._notes = directory / "notes"
        self._notes.touch()
        self.program("uname", f"echo {system}")
        for name in POSIX_TOOLS:
            if system == "Darwin":
                self.program(name, STRICT.format(name=name, real=shutil.which(name), notes=self._notes))
            else:
                self.link(name)
        stat = shutil.which("stat")
        self.program("stat", BSD_STAT.format(real=stat) if system == "Darwin" else f'exec {stat} "$@"')
        self.link("bash")

    def program(self, name: str, script: str) -> None:
        (self.path / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.path / name).chmod(0o755)

    def link(self, *names: str) -> None:
        """Have this machine's own programs: by scripts, for what is written to a symbolic link changes its target."""
        for name in names:
            real = shutil.which(name)
            assert real, name
            self.program(name, f'exec {real} "$@"')

    def noting(self, name: str, then: str = "") -> None:
        """Have a program that notes its command line, then does as a shell script says."""
        self.program(name, f'echo "{name} $*" >>{self._notes}\n{then}')

    @property
    def notes(self) -> list[str]:
        return self._notes.read_text().splitlines()
