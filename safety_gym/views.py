"""The single environment: a view of `SafetyVectorEnv` with one simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from safety_gym.vector_env import RENDER_MODES, SafetyVectorEnv

WINDOW_SIZE = 720
"""Pixels of a window whose size the user did not give."""


class SafetyEnv(gymnasium.Env[Any, Any]):
    """One simulation of an id with Gymnasium's five-value step; the cost is in `info["cost"]`.

    `gymnasium.make` adds the time limit; made directly, an episode only ends by itself. `render_mode="human"` opens a
    window. `keyboard=True` (the `...Debug-v0` ids) replaces actions by what the keys I, J, K and L held in it mean;
    without that window the actions given are used, with one warning.
    Other arguments are those of `SafetyVectorEnv`.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 30}

    def __init__(
        self,
        env_id: str,
        *,
        render_mode: str | None = None,
        max_episode_steps: int | None = -1,
        keyboard: bool | None = None,
        **options: Any,
    ) -> None:
        own = {"render_mode": render_mode, "max_episode_steps": max_episode_steps, "keyboard": keyboard}
        self._args = own | options
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode={render_mode!r}: expected None or one of {self.metadata['render_modes']}")
        if "num_envs" in options:
            raise ValueError("num_envs: make() gives a single environment; use make_vec() for several")
        if render_mode == "human" and "width" not in options and "height" not in options:
            options |= {"width": WINDOW_SIZE, "height": WINDOW_SIZE}
        self.env_id = env_id
        self.vec = SafetyVectorEnv(
            env_id,
            1,
            autoreset_mode=AutoresetMode.DISABLED,
            max_episode_steps=max_episode_steps,
            num_threads=1,
            render_mode=None,
            **options,
        )
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": self.vec.metadata["render_fps"]}
        parsed = self.vec.parsed_id
        self.keyboard = parsed.variant == "Debug" if keyboard is None else keyboard
        self._robot = parsed.record
        self.observation_space = self.vec.single_observation_space
        self.action_space = self.vec.single_action_space
        self.cost_names = self.vec.cost_names
        self._window: Any = None
        self._keys_warned = False
        self._last: dict[str, float] = {}

    # --- what lies underneath -----------------------------------------------------------------------------------------

    @property
    def batch(self) -> Any:
        """The `mujoco.batch.Batch` of the one simulation."""
        return self.vec.batch

    @property
    def scene(self) -> Any:
        """The compiled scene and its addresses."""
        return self.vec.scene

    @property
    def eyes(self) -> Any:
        """The cameras that are observed, `safety_gym.eyes.Eyes`; None without `vision`."""
        return self.vec.eyes

    @property
    def segmentation_labels(self) -> tuple[str, ...]:
        """What the numbers of a `<camera>_segmentation` observation mean; empty without cameras."""
        return self.vec.segmentation_labels

    @property
    def layout(self) -> dict[str, Any]:
        """Where everything is, in the form `reset(options={"layout": ...})` takes."""
        return self.vec.sim.layout(0)

    @property
    def task(self) -> Any:
        """Read-only views of the robot and the objects (`task.agent.pos`, `task.goal.pos`); see `safety_gym.migration`.

        Raises AttributeError for velocity environments, which have no objects.
        """
        from safety_gym.migration import task_view

        return task_view(self)

    @property
    def obs_space_dict(self) -> gymnasium.spaces.Dict:
        """The spaces of the parts of a flat observation, by key and in order."""
        from safety_gym.migration import obs_space_dict

        return obs_space_dict(self)

    def place(self, name: str, xy: Sequence[float]) -> None:
        """Move one object (`hazard3`, `goal`, `agent`) to (x, y) or (x, y, yaw)."""
        self.vec.place(name, xy)

    def get_state(self) -> dict[str, Any]:
        """Return the world, task memory and random streams as plain numbers; see `SafetyVectorEnv.get_state`."""
        return self.vec.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` returned."""
        self.vec.set_state(state)

    @property
    def np_random(self) -> np.random.Generator:
        """The simulation's own generator: layouts and goals are drawn from it."""
        return self.vec.sim.world.layout_rng[0]

    @np_random.setter
    def np_random(self, value: np.random.Generator) -> None:
        self.vec.sim.world.layout_rng[0] = value

    @property
    def _np_random(self) -> np.random.Generator:  # type: ignore[override]  # Gymnasium's checker and wrappers look here
        return self.np_random

    @property
    def np_random_seed(self) -> int:
        """The seed last given, or the one drawn for an environment that was never seeded; -1 before."""
        seed = self.vec._seed_given[0]
        return -1 if seed is None else seed

    # --- Gymnasium ----------------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start a new episode. `options["layout"]` gives an explicit layout, e.g. `{"agent": (0, 0, 1.57), ...}`."""
        obs, _ = self.vec.reset(seed=seed, options={"layout": (options or {}).get("layout")})
        self._last = {"return": 0.0, "cost": 0.0, "steps": 0.0, "reward": 0.0, "step_cost": 0.0}
        if self.render_mode == "human":
            self._show()
        return self._first(obs), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Advance by one control step; `action` (u,) is clipped to the control range."""
        action = self._keys(action) if self.keyboard else action
        if np.shape(action) != self.action_space.shape:
            raise ValueError(f"action has shape {np.shape(action)}; expected {self.action_space.shape}")
        obs, reward, terminated, truncated, infos = self.vec.step(np.asarray(action)[None])
        info = {
            key: (bool if key == "goal_met" else float)(value[0])
            for key, value in infos.items()
            if key[0] != "_" and infos[f"_{key}"][0]
        }
        if self.render_mode == "human":
            self._last["return"] += reward[0]
            self._last["cost"] += info["cost"]
            self._last["steps"] += 1
            self._last["reward"], self._last["step_cost"] = reward[0], info["cost"]
            self._show()
        return self._first(obs), float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> Any:
        """Return a frame, or None in the `human` mode, where each step draws the window."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render_mode; pass one to make, e.g. render_mode='rgb_array'")
            return None
        if self.render_mode == "human":
            self._show()
            return None
        return self.vec.frame(0, depth=self.render_mode == "depth_array")

    def close(self) -> None:
        """Release the renderer and the window."""
        self.vec.close()
        if self._window is not None:
            self._window.close()
            self._window = None

    # --- details ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _first(obs: Any) -> Any:
        return {key: value[0] for key, value in obs.items()} if isinstance(obs, dict) else obs[0]

    def _show(self) -> None:
        from safety_gym.viewer import Viewer

        if self._window is not None and self._window.closed:
            return
        frame = self.vec.frame(0, depth=False)
        if self._window is None:
            self._window = Viewer(self.env_id, (frame.shape[1], frame.shape[0]))
        self._window.show(frame, self.status_lines(), fps=self.metadata["render_fps"])

    def status_lines(self) -> list[str]:
        """Return what the window writes over the picture."""
        last = self._last
        return [
            f"{self.env_id}   layout seed {self.np_random_seed}",
            f"step {last['steps']:.0f}   reward {last['reward']:+.4f}   return {last['return']:+.2f}",
            f"cost {last['step_cost']:g}   sum of costs {last['cost']:g}",
        ]

    def _keys(self, action: Any) -> Any:
        if self._window is not None:
            return key_action(self._robot, self._window.poll().held)
        if not self._keys_warned:
            self._keys_warned = True
            gymnasium.logger.warn(
                f"{self.env_id}: the keys need a window (render_mode='human'); without it the actions given are used"
            )
        return action

    def __getstate__(self) -> dict[str, Any]:
        return {"env_id": self.env_id, "args": self._args, "state": self.get_state(), "spec": self.spec}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__init__(saved["env_id"], **saved["args"])  # type: ignore[misc]
        self.spec = saved["spec"]
        self.set_state(saved["state"])


def key_action(robot: Any, held: frozenset[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the action that held keys mean; exclusive keys override the others."""
    size = len(next(iter(robot.keys.values())))
    for key, action in robot.exclusive_keys.items():
        if key in held:
            return np.array(action)
    total = np.zeros(size)
    for key, action in robot.keys.items():
        if key in held:
            total += action
    return total
