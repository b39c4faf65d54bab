"""A trained Safe DreamerV3 agent without its trainer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from safepo.config import config_from_dict
from safepo.dreamer.agent import Player, SafeDreamer
from safepo.dreamer.settings import PLANNING
from safepo.envs import ActionMap
from safepo.policy import obs_map


class DreamerPolicy:
    """Raw observations in, actions in the environment's range out; remembers the episode between calls.

    Call `begin` where episodes start. A batch of another size than before starts episodes everywhere.
    """

    def __init__(self, agent: SafeDreamer, env: dict[str, Any], seed: int = 0) -> None:
        self.agent, self.env, self.view = agent, env, agent.obs.view
        self._action = ActionMap.from_dict(env["action"])
        self._generator = torch.Generator(agent.device).manual_seed(seed)
        self._player: Player | None = None

    @classmethod
    def from_state(cls, state: dict[str, Any], device: str = "cpu") -> DreamerPolicy:
        """Build from a loaded checkpoint."""
        config, env = config_from_dict(state["config"]), state["env"]
        action = ActionMap.from_dict(env["action"])
        limit = config.run.cost_limits()["cost"]
        agent = SafeDreamer(config.settings, obs_map(env), len(action.low), limit, device, 0)
        agent.load_state_dict(state["algorithm"], training=False)
        return cls(agent, env)

    @property
    def env_id(self) -> str:
        return self.env["id"]

    @property
    def single_mode(self) -> bool:
        """Planners always act on the mean of their plans."""
        return self.agent.settings.variant in PLANNING

    def seed(self, seed: int) -> None:
        """Restart the stream of random numbers, and all episodes."""
        self._generator.manual_seed(seed)
        self._player = None

    def begin(self, first: NDArray[np.bool_]) -> None:
        """Hear where episodes begin, (b,)."""
        if self._player is None or len(self._player.hold) != len(first):
            self._player = Player(self.agent, len(first), self._generator)
        self._player.begin(np.asarray(first))

    def predict(self, obs: Any, deterministic: bool = True) -> NDArray[np.float64]:
        """Actions `(u,)` for the next observation of an episode, or `(b, u)` for those of b episodes.

        Deterministic actors take the mean; see `single_mode` for planners.
        """
        rows, single = self.agent.obs.rows(obs)
        if self._player is None or len(self._player.hold) != len(rows):
            self.begin(np.ones(len(rows), bool))
        assert self._player is not None
        action, _ = self._player(rows, deterministic)
        result = self._action(action)
        return result[0] if single else result
