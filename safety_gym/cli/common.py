"""What the commands share: their form, arguments, errors in one line, tables, numbers, JSON."""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import importlib.metadata
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

DISTRIBUTION = "safe-rl-suite"
DEFAULT_ID = "SafetyPointGoal1-v0"


class UserError(Exception):
    """Something the user can mend; the message is all they see."""


class Command(NamedTuple):
    """A command: a line about it, more for its own help, what adds its arguments, and what runs it (the exit code)."""

    name: str
    about: str
    more: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_environment(parser: argparse.ArgumentParser, default: str | None = DEFAULT_ID) -> None:
    """Add the id, which must be given where `default` is None, and the options of the environment."""
    if default is None:
        parser.add_argument("id", metavar="ID", help="an id that `safety-gym list` prints")
    else:
        parser.add_argument("id", metavar="ID", nargs="?", default=default, help=f"default {default}")
    parser.add_argument(
        "options",
        metavar="OPTION=VALUE",
        nargs="*",
        default=[],
        help="options of the environment as Python literals, e.g. lidar_num_bins=32 \"hazards={'num': 12}\"",
    )


def count(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return an argument type: whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        value = int(text) if re.fullmatch(r"[+-]?\d+", text) else None
        if value is None or value < low or (high is not None and value > high):
            limits = f">= {low}" if high is None else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {limits}")
        return value

    return parse


def parse_options(given: Iterable[str]) -> dict[str, Any]:
    """Parse `name=value` arguments; a value that is a plain word is a string."""
    result: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][\w.]*", name):
            raise UserError(f"{text!r}: expected OPTION=VALUE, e.g. lidar_num_bins=32")
        if name in result:
            raise UserError(f"{name} is given twice")
        try:
            result[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            if not re.fullmatch(r"[A-Za-z_]\w*", value):
                raise UserError(f"{text!r}: {value!r} is no Python literal; e.g. \"hazards={{'num': 12}}\"") from None
            result[name] = value
    return result


def find_id(text: str) -> str:
    """Return the id that is meant: spelt in any case, or without `Safety` and the version where one id fits.

    Ids of the grammar that are not built yet are returned as well, and those of multi-agent environments. Raises
    UserError with the closest ids.
    """
    from safety_gym import registry
    from safety_gym.multi_agent import is_multi_agent, multi_agent_ids, parse

    name = text.removeprefix("safety_gym:")
    ids = [*registry.ids(), *multi_agent_ids()]
    spelt = {n.lower(): n for e in registry.grammar() for n in (e.canonical, e.twin)} | {i.lower(): i for i in ids}
    if name.lower() in spelt:
        return spelt[name.lower()]
    if is_multi_agent(name):
        return parse(name).canonical
    with contextlib.suppress(ValueError):  # variants of multi-agent ids are refused
        registry.parse(name)
    fitting = [i for i in ids if _short(i) == _short(name)]
    if len(fitting) == 1 and not re.search(r"-v\d+$", name, re.I):
        return fitting[0]
    raise UserError(f"unknown id {text!r}; {suggest_ids(name, fitting)}")


def suggest_ids(text: str, fitting: Sequence[str] = ()) -> str:
    """Return the end of an error about an id: the `fitting` ids, or those that hold `text`, or the closest."""
    from safety_gym import registry
    from safety_gym.multi_agent import multi_agent_ids

    single = registry.ids()
    low = {i.lower(): i for i in [*single, *multi_agent_ids()]}
    holding = [i for name, i in low.items() if text and text.lower() in name]
    holding = [i for i in holding if i in single] or holding  # those of several agents, where there are no others
    near = difflib.get_close_matches(text.lower(), low, 3, 0.6)
    close = fitting or (holding if len(holding) <= 4 else []) or [low[name] for name in near]
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    if holding:
        return f"{len(holding)} ids hold this: `safety-gym list {text}`"
    return "`safety-gym list` prints what there is"


def _short(env_id: str) -> str:
    """Return an id in small letters without `Safety` and version."""
    return re.sub(r"-v\d+$", "", env_id.lower()).removeprefix("safety")


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn what wrong ids and options raise into one line."""
    import gymnasium

    try:
        yield
    except (ValueError, TypeError, NotImplementedError, gymnasium.error.Error) as error:
        raise UserError(" ".join(str(error).split())) from error


def table(rows: Iterable[Sequence[Any]], header: Sequence[str] = (), right: Sequence[int] = ()) -> list[str]:
    """Align columns; those in `right` to the right. Lines are indented by two and never wrapped."""
    cells = [[str(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        parts = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append(("  " + "  ".join(parts)).rstrip())
    return lines


def count_of(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


def to_json(value: Any) -> str:
    """Return JSON; infinities and NaN become null."""
    return json.dumps(_plain(value), indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, bool | str | int):
        return value
    return float(value) if math.isfinite(value) else None


def timed(call: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    """Return the seconds a call took, and its result."""
    start = time.perf_counter()
    result = call(*args)
    return time.perf_counter() - start, result


def version(distribution: str) -> str | None:
    """Return the version of what is installed under that name, None for nothing."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
