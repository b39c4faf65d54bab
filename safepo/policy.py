"""A trained policy without its trainer: numpy observations in, numpy actions out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from safepo import checkpoint
from safepo.algorithms import MODEL_ALGORITHMS
from safepo.algorithms.team import TeamNet
from safepo.config import config_from_dict
from safepo.envs import ActionMap, Floats, VectorEnv
from safepo.errors import UserError
from safepo.networks import ActorCritic, make_network
from safepo.normalize import ObsNormalizer
from safepo.observations import ObsMap
from safepo.teams import TeamEnv
from safepo.view import View


class Policy:
    """Actor with frozen observation statistics.

    Takes raw observations, as the environment returns them, and gives actions in the environment's own range
    (mapped affinely from [-1, 1] and not clipped, exactly as in training).
    """

    single_mode = False

    def __init__(
        self, net: ActorCritic | TeamNet, normalizer: ObsNormalizer, env: dict[str, Any], seed: int = 0
    ) -> None:
        self.net, self.normalizer, self.env = net, normalizer, env
        self.obs = obs_map(env)
        self._action = ActionMap.from_dict(env["action"])
        self._noise = torch.Generator().manual_seed(seed)

    @classmethod
    def load(cls, run: str | Path, device: str = "cpu") -> Policy:
        """Load from a run directory (latest checkpoint) or a checkpoint file; no code in the file is executed."""
        return cls.from_state(checkpoint.load(checkpoint.resolve(run)), device)

    @classmethod
    def from_state(cls, state: dict[str, Any], device: str = "cpu") -> Policy:
        """Build from a loaded checkpoint."""
        if (name := state["config"]["algorithm"]) in MODEL_ALGORITHMS:
            raise UserError(f"{name} acts by what it remembers of the episode, not by the last observation alone")
        env, settings = state["env"], config_from_dict(state["config"]).settings
        dist = ActionMap.from_dict(env["action"]).distribution()
        net: ActorCritic | TeamNet
        if "agents" in env:
            dists = tuple(ActionMap.from_dict(action).distribution() for action in env["agents"].values())
            net = TeamNet.build(obs_map(env), dists, dist, settings, device)
        else:
            ncost = len(state["algorithm"]["net"]["params"]) - 2
            net = make_network(obs_map(env), dist, settings, device, torch.Generator(), ncost)
        net.load_state_dict(state["algorithm"]["net"])
        normalizer = ObsNormalizer(obs_map(env).nvector)
        normalizer.load_state_dict(state["collector"]["normalizer"])
        return cls(net, normalizer, env)

    @property
    def env_id(self) -> str:
        return self.env["id"]

    @property
    def view(self) -> View:
        """What of an environment's observations an action depends on."""
        return self.obs.view

    @property
    def statistics(self) -> tuple[Floats, Floats]:
        """Mean and variance that a row's numbers, `(size,)` each, are normalised by; pixels have 0 and 255^2."""
        images = self.obs.images
        mean, var = np.zeros(len(images)), np.full(len(images), 255.0**2)
        mean[~images], var[~images] = self.normalizer.mean, self.normalizer.var
        return mean, var

    def seed(self, seed: int) -> None:
        """Restart the stream that stochastic actions are drawn from."""
        self._noise.manual_seed(seed)

    def predict(self, obs: Any, deterministic: bool = True) -> NDArray[np.float64]:
        """Actions `(u,)` for an observation, or `(b, u)` for a batch of b.

        Observations are as the environment returns them; a policy that was trained with several `frames` takes that
        many, the oldest first. `ObsMap.rows` says which shapes are accepted.
        """
        rows, single = self.obs.rows(obs)
        normalized = self.obs.with_vectors(rows, self.normalizer(self.obs.vectors(rows)))
        seen = torch.from_numpy(normalized).to(self.net.device)
        dist, params = self.net.dist, self.net.policy(seen)
        if deterministic:
            action = dist.mode(params)
        else:
            action = dist.sample(params, dist.noise(len(seen), self._noise).to(self.net.device))
        result = self._action(action.cpu().numpy().astype(np.float64))
        return result[0] if single else result

    def begin(self, first: NDArray[np.bool_]) -> None:
        """Nothing to forget: an action depends on the observation alone."""


def load(run: str | Path, device: str = "cpu") -> Any:
    """What acts in a run directory (its latest checkpoint) or a checkpoint file; no code in the file is executed."""
    return actor_from_state(checkpoint.load(checkpoint.resolve(run)), device)


def actor_from_state(state: dict[str, Any], device: str = "cpu") -> Any:
    """What acts in a checkpoint: a `Policy`, or a `safepo.dreamer.policy.DreamerPolicy`."""
    if state["config"]["algorithm"] not in MODEL_ALGORITHMS:
        return Policy.from_state(state, device)
    from safepo.dreamer.policy import DreamerPolicy

    return DreamerPolicy.from_state(state, device)


class RandomPolicy:
    """Uniform actions in the range that training starts from: the baseline of every report."""

    single_mode = True

    def __init__(self, env: dict[str, Any], seed: int = 0) -> None:
        self.env, self.view = env, obs_map(env).view if "obs" in env else View()
        self._action = ActionMap.from_dict(env["action"])
        self._rng = np.random.default_rng(seed)

    @property
    def env_id(self) -> str:
        return self.env["id"]

    def seed(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def begin(self, first: NDArray[np.bool_]) -> None:
        """Nothing to forget."""

    def predict(self, obs: NDArray[np.floating], deterministic: bool = True) -> NDArray[np.float64]:
        """Actions for rows `obs` `(w,)` or `(b, w)`; `deterministic` has no meaning here."""
        return self._action(self._action.random(self._rng, np.asarray(obs).shape[:-1]))


def describe(env: VectorEnv) -> dict[str, Any]:
    """What a checkpoint remembers of its environment."""
    found = {
        "id": env.id,
        "nobs": env.nobs,
        "obs": env.obs.to_dict(),
        "action": env.action.to_dict(),
    }
    if isinstance(env, TeamEnv):
        found["agents"] = {name: action.to_dict() for name, action in env.actions.items()}
    return found


def obs_map(env: dict[str, Any]) -> ObsMap:
    """Observations of a checkpoint's environment; the first checkpoints knew plain vectors only."""
    return ObsMap.from_dict(env["obs"]) if "obs" in env else ObsMap.vector(env["nobs"])


def check_env(saved: dict[str, Any], env: VectorEnv, same_id: bool = False) -> None:
    """Refuse an environment whose spaces, or with `same_id` whose id, differ from those in a checkpoint; names both."""
    here = describe(env)
    same = obs_map(saved) == env.obs and (saved["id"] == here["id"] or not same_id)
    if not same or any(not np.array_equal(saved["action"][key], here["action"][key]) for key in here["action"]):
        raise UserError(f"the checkpoint was trained on {_sentence(saved)}; it does not fit {_sentence(here)}")


def _sentence(env: dict[str, Any]) -> str:
    action = ActionMap.from_dict(env["action"])
    span = f"action ({len(action.low)},) in [{action.low.min():g}, {action.high.max():g}]"
    return f"{env['id']} (observation {ObsMap.from_dict(env['obs'])}, {span})"
