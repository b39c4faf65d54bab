"""Settings per environment: one TOML file a family beside this module."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Tuned:
    """Settings for the environments that match a pattern, and where they are from."""

    match: str
    why: str
    values: dict[str, Any]

    def line(self) -> str:
        """Return what a run prints about it."""
        shown = ", ".join(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
                          for name, value in self.values.items())  # fmt: skip
        return f"tuned for {self.match}: {shown} ({self.why}; --no-tuned ignores it)"


@functools.cache
def rows() -> tuple[Tuned, ...]:
    """Return all rows, file by file."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        for row in tomllib.loads(path.read_text())["row"]:
            values = {name: value for name, value in row.items() if name not in ("match", "why")}
            found.append(Tuned(row["match"], row["why"], values))
    return tuple(found)


def tuned_for(env_id: str, algorithm: str = "") -> Tuned | None:
    """Return the first row that fits an environment id, with what it has for the algorithm; None if there is none."""
    row = next((row for row in rows() if fnmatch.fnmatchcase(env_id, row.match)), None)
    if row is None:
        return None
    common = {name: value for name, value in row.values.items() if not isinstance(value, dict)}
    return dataclasses.replace(row, values={**common, **row.values.get(algorithm, {})})
