"""Safe reinforcement learning algorithms on one shared training loop.

    import safepo

    run = safepo.train("ppo_lag", env_id="SafetyPointGoal1-v0", total_steps=1_000_000)   # a run directory
    result = safepo.evaluate(run, episodes=100)                                          # return, cost, length
    policy = safepo.load(run)
    action = policy.predict(obs)

The same from a shell: `safepo train ppo_lag --total-steps 1e6`, `safepo eval RUN`, `safepo plot RUN...`.
Importing this package does not import torch; calling these functions does.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safepo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from safepo.evaluation import Actor

__version__ = "0.1.0"
__all__ = ["UserError", "__version__", "evaluate", "load", "train"]


def train(
    algorithm: str,
    *,
    preset: str | None = None,
    config_file: str | Path | None = None,
    tuned: bool = True,
    **settings: Any,
) -> Path:
    """Train and return the run directory.

    Args:
        algorithm: a name that `safepo list` shows, such as `ppo_lag`.
        preset: a named bundle of settings; `config_file` and `settings` win over it.
        config_file: a TOML file of settings.
        tuned: start from the settings that belong to the environment, where there are some (`safepo/tuned`).
        settings: what `safepo train ALGORITHM --help` lists, with underscores: `env_id`, `total_steps`, `seed`,
            `cost_limit` (a number, or a mapping from cost names to limits), and the algorithm's own.

    Raises:
        UserError: an unknown name or a value that cannot work.
    """
    with _torch_hint():
        from safepo import trainer
    return trainer.train(algorithm, preset=preset, config_file=config_file, tuned=tuned, **settings)


def evaluate(run: str | Path, episodes: int = 20, seed: int = 1000, env_id: str | None = None) -> dict[str, Any]:
    """Evaluate a run directory's latest checkpoint, or a checkpoint file, with fresh episodes.

    Returns the results of the deterministic and the stochastic policy: mean, standard deviation, standard error, least
    and largest value of return, cost and length. For a run directory they are written to `eval.json` as well.
    """
    with _torch_hint():
        from safepo.evaluation import evaluate_run
    return evaluate_run(run, episodes, seed, env_id)


def load(run: str | Path) -> Actor:
    """Load a trained policy from a run directory (its latest checkpoint) or a checkpoint file.

    A `safepo.policy.Policy`, or of safe_dreamer a `safepo.dreamer.policy.DreamerPolicy`, which remembers the episode.
    """
    with _torch_hint():
        from safepo import policy
    return policy.load(run)


@contextmanager
def _torch_hint() -> Iterator[None]:
    """Say how to install torch where it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError('torch is not installed; pip install "safe-rl-suite[train]"', name="torch") from None
