"""An environment that breaks as long as the file named by the variable BROKEN exists."""

from __future__ import annotations

import os
from pathlib import Path

import gymnasium
import numpy as np

from tests.safepo.toy import SpeedLimit


class Broken(SpeedLimit):
    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        if Path(os.environ["BROKEN"]).exists():
            raise RuntimeError("the wheel came off")
        return super().step(action)


gymnasium.register("Broken-v0", entry_point=Broken, max_episode_steps=50)
