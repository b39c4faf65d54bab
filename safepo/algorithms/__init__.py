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
    """One row: `name` is also the module; `symbol` the class (its settings are `<symbol>Settings`); `title` as it is
    written in texts."""

    name: str
    symbol: str
    title: str
    summary: str
    paper: str
    constrained: bool
    module: str = ""
    """If not `safepo.algorithms.<name>`."""

    def load(self) -> tuple[type[Any], type[Any]]:
        """Import the algorithm; return its class and its settings dataclass."""
        module = import_module(self.module or f"safepo.algorithms.{self.name}")
        return getattr(module, self.symbol), getattr(module, f"{self.symbol}Settings")


_ROWS = (
    ("pg", "PG", "PG", "policy gradient with a baseline, ignores cost", "Williams 1992; Sutton et al. 1999", False),
    ("natural_pg", "NaturalPG", "NaturalPG", "natural policy gradient, ignores cost", "Kakade 2001", False),
    (
        "trpo",
        "TRPO",
        "TRPO",
        "trust region with line search, ignores cost",
        "Schulman et al. 2015, arXiv:1502.05477",
        False,
    ),
    ("ppo", "PPO", "PPO", "clipped surrogate, ignores cost", "Schulman et al. 2017, arXiv:1707.06347", False),
    ("ppo_lag", "PPOLag", "PPO-Lag", "PPO with a Lagrange multiplier on the cost", "Ray, Achiam, Amodei 2019", True),
    (
        "trpo_lag",
        "TRPOLag",
        "TRPO-Lag",
        "TRPO with a Lagrange multiplier on the cost",
        "Ray, Achiam, Amodei 2019",
        True,
    ),
    (
        "rcpo",
        "RCPO",
        "RCPO",
        "natural gradient with a Lagrange multiplier",
        "Tessler et al. 2018, arXiv:1805.11074",
        True,
    ),
    ("cpo", "CPO", "CPO", "trust region under a linearised cost limit", "Achiam et al. 2017, arXiv:1705.10528", True),
    ("pcpo", "PCPO", "PCPO", "natural step projected onto the cost limit", "Yang et al. 2020, arXiv:2010.03152", True),
    ("cup", "CUP", "CUP", "PPO on reward, then projection", "Yang et al. 2022, arXiv:2209.07089", True),
    (
        "focops",
        "FOCOPS",
        "FOCOPS",
        "projected first-order step per sample",
        "Zhang et al. 2020, arXiv:2002.06506",
        True,
    ),
    (
        "cppo_pid",
        "CPPOPID",
        "CPPO-PID",
        "PPO with a PID-controlled multiplier",
        "Stooke et al. 2020, arXiv:2007.03964",
        True,
    ),
)
_HATRPO, _SAFE = "Kuba et al. 2021, arXiv:2109.11251", "Gu et al. 2021, arXiv:2110.02793"
_TEAM_ROWS = (
    ("mappo", "MAPPO", "MAPPO", "PPO per agent, ignores cost", "Yu et al. 2021, arXiv:2103.01955", False),
    ("happo", "HAPPO", "HAPPO", "PPO agent by agent, ignores cost", _HATRPO, False),
    ("mappo_lag", "MAPPOLag", "MAPPO-Lag", "HAPPO with a multiplier per agent", _SAFE, True),
    ("macpo", "MACPO", "MACPO", "CPO agent by agent", _SAFE, True),
)
ALGORITHMS: dict[str, AlgorithmInfo] = {row[0]: AlgorithmInfo(*row) for row in _ROWS}
"""For environments of one agent."""
TEAM_ALGORITHMS: dict[str, AlgorithmInfo] = {row[0]: AlgorithmInfo(*row) for row in _TEAM_ROWS}
"""For environments of several agents."""
MODEL_ALGORITHMS: dict[str, AlgorithmInfo] = {
    "safe_dreamer": AlgorithmInfo(
        "safe_dreamer",
        "SafeDreamer",
        "Safe DreamerV3",
        "acts and plans under the limit in a learned world model",
        "Huang et al. 2024, arXiv:2307.07176",
        True,
        "safepo.dreamer.agent",
    )
}
"""That learn a model of the environment; for one agent."""
ALL_ALGORITHMS = ALGORITHMS | TEAM_ALGORITHMS | MODEL_ALGORITHMS


def algorithm_info(name: str) -> AlgorithmInfo:
    """Look up a row; an unknown name suggests close ones."""
    return lookup(name, ALL_ALGORITHMS, "algorithm")
