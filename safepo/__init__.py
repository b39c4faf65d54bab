"""Safe reinforcement learning algorithms on one shared training loop.

    import safepo
    from safepo.train import train

    run = train("ppo_lag", env_id="SafetyPointGoal1-v0", total_steps=1_000_000)   # a run directory
    policy = safepo.load(run)
    action = policy.predict(obs)

The same from a shell: `safepo train ppo_lag --total-steps 1e6`, `safepo eval RUN`, `safepo plot RUN...`.
Importing this package does not import torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safepo.errors import UserError

if TYPE_CHECKING:
    from safepo.policy import Policy

__version__ = "0.1.0"
__all__ = ["UserError", "__version__", "load"]


def load(run: str | Path) -> Policy:
    """Load a trained policy from a run directory (its latest checkpoint) or a checkpoint file."""
    try:
        from safepo.policy import Policy
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError('torch is not installed; pip install "safe-rl-suite[train]"', name="torch") from None

    return Policy.load(run)
