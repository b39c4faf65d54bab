"""The table of algorithms. `safepo list`, the command line and the tests derive from it.

To add one: write `safepo/algorithms/<name>.py` with a settings dataclass and an `Algorithm`, add a row here.
Importing this module does not import torch; `AlgorithmInfo.load` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from safepo.errors import lookup


@dataclass(frozen=True)
class AlgorithmInfo:
    """One row: `name` is also the module; `symbol` the class (its settings are `<symbol>Settings`)."""

    name: str
    symbol: str
    summary: str
    paper: str
    constrained: bool

    def load(self) -> tuple[type[Any], type[Any]]:
        """Import the algorithm; return its class and its settings dataclass."""
        module = import_module(f"safepo.algorithms.{self.name}")
        return getattr(module, self.symbol), getattr(module, f"{self.symbol}Settings")


ALGORITHMS: dict[str, AlgorithmInfo] = {
    row.name: row
    for row in (
        AlgorithmInfo("ppo", "PPO", "clipped surrogate, ignores cost", "Schulman et al. 2017, arXiv:1707.06347", False),
        AlgorithmInfo(
            "ppo_lag", "PPOLag", "PPO with a Lagrange multiplier on the cost", "Ray, Achiam, Amodei 2019", True
        ),
    )
}


def algorithm_info(name: str) -> AlgorithmInfo:
    """Look up a row; an unknown name suggests close ones."""
    return lookup(name, ALGORITHMS, "algorithm")
