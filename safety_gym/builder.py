"""`Builder`: what entry points written for the reference suite name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safety_gym.views import SafetyEnv
from safety_gym.wrappers import CostStep


class Builder(CostStep):
    """One environment with six values, made from the id of a level and a configuration; without a time limit.

    A level of one's own needs no subclass: `safety_gym.register_task`. What the reference suite's class computes in
    methods (`_reward`, `_cost`, ...) cannot be overridden here; wrap `step` instead.

    Args:
        task_id: an id of the suite, such as `SafetyPointGoal1-v0`.
        config: options in the reference suite's style, such as `{"lidar_conf.num_bins": 32}`.
        kwargs: further arguments of `SafetyEnv`: `render_mode`, `width`, `height`, `camera_name`.
    """

    def __init__(self, task_id: str, config: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(SafetyEnv(task_id, config=config, **kwargs))
