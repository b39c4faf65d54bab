"""Error messages shared by everything that looks names up."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN = 64


def unknown(what: str, name: str, known: Iterable[str]) -> ValueError:
    """Return the error for an unknown name, with close matches in any case or with what is known."""
    spelt = {candidate.lower(): candidate for candidate in sorted(known)}
    close = difflib.get_close_matches(name.lower(), spelt, n=3, cutoff=0.6)
    names = list(spelt.values())
    shown = ", ".join(names[:_SHOWN]) + (f", ... ({len(names)} in all)" if len(names) > _SHOWN else "")
    hint = f"did you mean {' or '.join(repr(spelt[c]) for c in close)}?" if close else f"known: {shown}"
    return ValueError(f"unknown {what} {name!r}; {hint}")
