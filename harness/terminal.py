"""What a stream can show: colour, signs, a line drawn again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TextIO

from harness.render.style import PLAIN, Style, style_for

ColorChoice = Literal["auto", "always", "never"]

#: Columns where the terminal does not say how many it has.
_DEFAULT_WIDTH = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What a stream can show."""

    color: bool
    signs: bool  # emoji and box drawing
    live: bool  # a terminal on which a line can be drawn again
    width: int

    @property
    def style(self) -> Style:
        return style_for(color=self.color, signs=self.signs)

    @classmethod
    def detect(cls, color: ColorChoice, stream: TextIO | None, environ: Mapping[str, str]) -> Terminal:
        """Return what `stream` can show. Colour: the flag, then NO_COLOR, FORCE_COLOR, TERM=dumb, a terminal.

        NO_COLOR and FORCE_COLOR count when they are not empty; FORCE_COLOR=0 forces nothing.
        """
        is_terminal = _is_terminal(stream)
        dumb = environ.get("TERM") == "dumb"
        if color != "auto":
            colored = color == "always"
        elif environ.get("NO_COLOR"):
            colored = False
        elif environ.get("FORCE_COLOR", "0") not in ("", "0"):
            colored = True
        else:
            colored = is_terminal and not dumb
        if colored:
            import colorama  # costs time at the start that output without colour need not pay

            colorama.just_fix_windows_console()
        return cls(
            color=colored, signs=_shows_signs(stream, environ), live=is_terminal and not dumb, width=_width(stream)
        )


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def _shows_signs(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Return whether the stream encodes our signs; LC_ALL=C asks for ASCII, though Python writes UTF-8 then."""
    if environ.get("LC_ALL") in ("C", "POSIX") and not environ.get("PYTHONIOENCODING"):
        return False
    encoding = getattr(stream, "encoding", None) or "utf-8"  # a stream in memory takes any text
    try:
        PLAIN.signs.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _width(stream: TextIO | None) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _DEFAULT_WIDTH if stream else _DEFAULT_WIDTH
    except (OSError, ValueError):
        return _DEFAULT_WIDTH
