"""What a message says to somebody who wrote a word that is not known here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def hint(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'count'?`, or nothing where no known word is close to `word`."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def choices(known: Iterable[str]) -> str:
    """Return what to do instead: the known words, sorted."""
    return f"use one of: {', '.join(sorted(known))}"
