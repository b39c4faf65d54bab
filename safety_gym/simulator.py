"""The environment loop over `n` simulations and `a` robots: reset, step, costs, ends. Faces are views of it.

Order of a step (the reference suite's): physics, reward, cost, timers, goal test and new goal, end of episode,
observation. Arrays have shape (n, a, ...); `vector_env.py` and `views.py` turn them into what users hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from safety_gym.layout import LayoutError
from safety_gym.robots import Robot
from safety_gym.task import EpisodeConfig, Task
from safety_gym.world import Array, Ids, World, available_cores

Bools = NDArray[np.bool_]


@dataclass
class StepResult:
    """What one step gave. `present` holds masks of cost keys that are not in every simulation's info."""

    reward: Array  # (n, a)
    cost: Array  # (n, a)
    costs: dict[str, Array]  # by key, (n, a), `cost_sum` last
    present: dict[str, Bools]  # by key, (n,)
    terminated: Bools  # (n,)
    truncated: Bools  # (n,)
    goal_met: Bools  # (n, a)
    diverged: Bools | None  # (n,), None where nothing went wrong
    extras: dict[str, Array]  # further entries of info by key, (n,)


class Simulator:
    """`n` copies of one task, with one random stream each."""

    def __init__(
        self,
        task_class: type[Task],
        config: Any,
        robots: tuple[Robot, ...],
        n: int,
        max_episode_steps: int | None,
        num_threads: int | None = None,
    ) -> None:
        self.task = task = task_class(config, robots)
        self.config: EpisodeConfig = task.config
        self.n, self.nagent = n, len(robots)
        limits = [limit for limit in (max_episode_steps, self.config.num_steps) if limit is not None]
        self.max_episode_steps = min(limits) if limits else None
        self.terms = task.cost_terms()
        self.cost_names = tuple(term.key for term, _ in self.terms)
        self.scene = task.build_scene(self.terms)
        memory = np.dtype([("steps", "i8"), *task.memory()])
        threads = num_threads if num_threads is not None else min(n, available_cores())
        self.observer = task.observer(self.scene)
        self.world = World(self.scene, n, memory, threads)
        self.start = task.starter(self.world, self.terms)
        low, high = self.scene.model.actuator_ctrlrange.T
        self.ctrl_low, self.ctrl_high = low.copy(), high.copy()
        self.nact = self.scene.model.nu // self.nagent
        self.last_observation = np.zeros((n, self.nagent, self.observer.size))
        self.last_cost = np.zeros((n, self.nagent))
        """What the last step charged, for pictures."""
        self._all = np.arange(n)

    # --- spaces -------------------------------------------------------------------------------------------------------

    def action_space(self) -> gymnasium.spaces.Box:
        """Return one robot's action space: the control range rounded through float32, held as the task's type."""
        dtype = self.task.action_dtype
        low = self.ctrl_low[: self.nact].astype(np.float32).astype(dtype)
        high = self.ctrl_high[: self.nact].astype(np.float32).astype(dtype)
        return gymnasium.spaces.Box(low, high, dtype=dtype)

    # --- reset --------------------------------------------------------------------------------------------------------

    def seed(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        if not self.config.randomize_layout:
            raise ValueError("seed: this environment has a fixed layout (randomize_layout=False) and takes no seed")
        self.world.seed(ids, seeds)

    def reset(self, ids: Ids, layouts: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Start new episodes. `layouts` gives one explicit layout per simulation of `ids`."""
        self.world.ensure_process()
        if not self.config.randomize_layout:
            self.world.seed(ids.tolist(), [0] * len(ids))
        self.start.reset(ids, layouts)
        self.last_cost[ids] = 0.0

    def layout(self, i: int) -> dict[str, Any]:
        """Return where everything is in simulation `i`; see `Placement.layout`."""
        return self.start.layout(i)

    def move(self, name: str, xy: Sequence[float], ids: Ids) -> None:
        """Place one object or robot by its instance name; see `Placement.move`."""
        self.world.ensure_process()
        self.start.move(name, xy, ids)

    # --- step ---------------------------------------------------------------------------------------------------------

    def check_action(self, action: Any) -> Array:
        """Return actions (n, a, u) as float64, or as float32 if given so and the task's reward sees them.

        Raises ValueError, before anything moves, if they cannot be used.
        """
        keep = not self.task.clips_actions and getattr(action, "dtype", None) == np.float32
        try:
            array: Array = np.asarray(action, dtype=np.float32 if keep else np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"action: expected numbers of shape {self._action_shape()}, got {action!r}") from error
        if array.shape != self._action_shape() and array.shape != (self.n, self.nagent, self.nact):
            raise ValueError(f"action has shape {array.shape}; expected {self._action_shape()}")
        bad, what = (np.isnan(array), "NaN") if self.task.clips_actions else (~np.isfinite(array), "NaN or infinity")
        if bad.any():
            rows = np.flatnonzero(bad.reshape(self.n, -1).any(axis=1))
            raise ValueError(f"action has {what} in rows {rows[:10].tolist()}; nothing was moved")
        return array.reshape(self.n, self.nagent, self.nact)

    def _action_shape(self) -> tuple[int, ...]:
        return (self.n, self.nact) if self.nagent == 1 else (self.n, self.nagent, self.nact)

    def step(self, action: Array, ids: Ids | None = None) -> StepResult:
        """Advance all simulations, or `ids`, by one control step; rows outside `ids` of the result mean nothing."""
        world, task = self.world, self.task
        world.ensure_process()
        ctrl = action.reshape(self.n, -1)
        if task.clips_actions:
            np.minimum(ctrl, self.ctrl_high, out=world.ctrl)
            np.maximum(world.ctrl, self.ctrl_low, out=world.ctrl)
        else:  # the engine clips what the actuators get
            world.ctrl[...] = ctrl
            task.action = ctrl
        if self.config.action_noise:
            world.ctrl[...] += self._noise(ids)
        world.step(ids)
        diverged = self._diverged(ids)
        reward = self._reward()
        cost, costs, present = self._costs()
        task.after_cost(world)
        met = _restrict(task.achieved(world), ids)
        if diverged is not None:
            met = met & ~diverged[:, None]
        terminated = self._goals(np.asarray(met.any(axis=1))) if met.any() else np.zeros(self.n, bool)
        terminated |= _restrict(task.dead(world), ids)
        extras = task.extras(world)
        world.memory["steps"] += 1
        truncated = self._truncated()
        if diverged is not None:
            self._end_diverged(diverged, reward, cost, costs, terminated, truncated)
        self.last_cost[...] = cost  # a copy: the faces hand out `cost`
        return StepResult(reward, cost, costs, present, terminated, truncated, met, diverged, extras)

    def _noise(self, ids: Ids | None) -> Array:
        noise = np.zeros_like(self.world.ctrl)
        for i in self._all if ids is None else ids:
            noise[i] = self.world.noise_rng[i].standard_normal(noise.shape[1])
        return noise * self.config.action_noise

    def _diverged(self, ids: Ids | None) -> Bools | None:
        bad = self.world.bad_state
        if not bad.any():
            return None
        rows = _restrict(np.asarray((bad > 0).any(axis=1)), ids)
        return rows if rows.any() else None

    def _reward(self) -> Array:
        config = self.config
        reward = self.task.reward(self.world)
        if config.reward_orientation:
            reward = reward + config.reward_orientation_scale * self.world.agent_mat[..., 8]
        if config.reward_clip is not None:
            reward = np.maximum(np.minimum(reward, config.reward_clip), -config.reward_clip)
        return reward

    def _costs(self) -> tuple[Array, dict[str, Array], dict[str, Bools]]:
        """Return the step cost (n, a), every entry of info with its raw sum last, and masks of absent ones."""
        world = self.world
        total = np.zeros((self.n, self.nagent))
        costs: dict[str, Array] = {}
        present: dict[str, Bools] = {}
        for term, spec in self.terms:
            value = term.value(world, spec)
            if term.present is not None:
                present[term.key] = mask = term.present(world)
                value = value * mask[:, None]
            costs[term.key] = value
            total += value
        costs["cost_sum"] = total
        if self.config.constrain_indicator:
            costs = {key: (value > 0).astype(np.float64) for key, value in costs.items()}
        return costs["cost_sum"].copy(), costs, present

    def raw_costs(self) -> dict[str, Array]:
        """Return the cost entries of the current state before the 0-1 indicator, by key, (n, a)."""
        return {term.key: np.array(term.value(self.world, spec)) for term, spec in self.terms}

    def _goals(self, met: Bools) -> Bools:
        """Give new goals where one was met; return which episodes end by it, (n,)."""
        config = self.task.config
        if not config.continue_goal:
            return met.copy()
        terminated = np.zeros(self.n, bool)
        rows = np.flatnonzero(met)
        failed = rows[self.task.next_goal(self.world, rows)]
        if len(failed) and not config.terminate_resample_failure:
            raise LayoutError(f"simulations {failed[:5].tolist()}: no room found for a new goal", failed)
        terminated[failed] = True
        return terminated

    def _truncated(self) -> Bools:
        if self.max_episode_steps is None:
            return np.zeros(self.n, bool)
        return np.asarray(self.world.memory["steps"] >= self.max_episode_steps)

    def _end_diverged(
        self,
        diverged: Bools,
        reward: Array,
        cost: Array,
        costs: dict[str, Array],
        terminated: Bools,
        truncated: Bools,
    ) -> None:
        """End the episodes of unstable simulations; the engine has already put them back to the model's defaults."""
        reward[diverged] = self.config.reward_exception
        cost[diverged] = 1.0
        for values in costs.values():
            values[diverged] = 0.0
        costs["cost_sum"][diverged] = 1.0
        costs["cost_exception"] = np.repeat(diverged[:, None].astype(np.float64), self.nagent, axis=1)
        terminated[diverged] = False
        truncated[diverged] = True

    def observe(self, keep: Bools | None = None) -> Array:
        """Compute observations (n, a, o) into `last_observation`; rows in `keep` stay as they were."""
        kept = self.last_observation[keep].copy() if keep is not None else None
        self.observer.compute(self.world, self.task.hide_lidar(self.world), self.last_observation)
        if kept is not None and keep is not None:
            self.last_observation[keep] = kept
        return self.last_observation


def _restrict(mask: Bools, ids: Ids | None) -> Bools:
    """Return `mask (n, ...)` with everything outside `ids` false; None: all rows count."""
    if ids is None:
        return mask
    out = np.zeros_like(mask)
    out[ids] = mask[ids]
    return out
