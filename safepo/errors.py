"""Errors that a user can cause, and look-ups that suggest what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")


class UserError(ValueError):
    """A wrong argument, file or environment. The command line prints its message without a traceback."""


def did_you_mean(name: str, known: Iterable[str], what: str) -> str:
    """One sentence: what is unknown, what was probably meant, what is accepted."""
    known = sorted(set(known))
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
    listing = f" (known: {', '.join(known)})" if len(known) <= 30 else ""
    return f"unknown {what} {name!r}{hint}{listing}"


def lookup(name: str, table: Mapping[str, T], what: str) -> T:
    """`table[name]`, or a `UserError` with close matches."""
    if name not in table:
        raise UserError(did_you_mean(name, table, what))
    return table[name]
