"""Read-only views of one environment in the words of the reference suite.

    env = safety_gym.make("SafetyPointGoal1-v0")
    env.task.agent.pos          # (3,) metres, world frame; a copy, like all of these
    env.task.agent.vel          # (3,) m/s, world frame
    env.task.goal.pos           # (3,)
    env.task.hazards.pos        # a list of (3,)
    env.task.hazards.size       # options of the kind, as given to make

They show the present state, after resets and new goals, too. To change a scene pass options to `make` or an explicit
layout to `reset`, or move one object with `env.unwrapped.place`.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from safety_gym import registry
from safety_gym.task import ALIASES

if TYPE_CHECKING:
    from safety_gym.views import SafetyEnv

Array = NDArray[np.float64]

INSTEAD = {
    "world_info": "env.unwrapped.layout",
    "data": "env.unwrapped.batch",
    "model": "env.unwrapped.scene.model",
    "random_generator": "env.unwrapped.np_random",
    "observation_space": "env.observation_space",
    "action_space": "env.action_space",
    "obs": "what reset() and step() return",
}
"""Attributes of the reference suite's task without a view, and what to use."""


def task_view(env: SafetyEnv) -> TaskView:
    """Return the views of a navigation environment; AttributeError for velocity environments, which have none."""
    if env.vec.parsed_id.task == registry.VELOCITY:
        raise AttributeError(
            f"task: {env.env_id} has no robot among objects; for its state see env.unwrapped.batch, e.g. bind('qpos')"
        )
    return TaskView(env)


def obs_space_dict(env: SafetyEnv) -> gymnasium.spaces.Dict:
    """Return the spaces of the parts of an observation, by key, in the order of the flat observation."""
    terms = env.vec.sim.observer.terms
    return gymnasium.spaces.Dict([(t.key, gymnasium.spaces.Box(t.low, t.high, t.shape, np.float64)) for t in terms])


class ReadOnly:
    """Attributes can be read, not set."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"{type(self).__name__}.{name} is a read-only view; pass options to make(), a layout to reset(), or move "
            "one object with env.unwrapped.place()"
        )


class TaskView(ReadOnly):
    """`env.task`: the robot as `agent`, each kind of object by its name, groups of options such as `lidar_conf`."""

    _env: SafetyEnv

    def __init__(self, env: SafetyEnv) -> None:
        vars(self)["_env"] = env

    @property
    def agent(self) -> AgentView:
        """The robot."""
        return AgentView(self._env)

    @property
    def num_steps(self) -> int:
        """Steps of an episode by the option `num_steps` or the id; `max_episode_steps` of `make` may be shorter."""
        return self._env.vec.sim.config.num_steps or registry.max_episode_steps(self._env.env_id)

    def dist_goal(self) -> float:
        """Return the horizontal distance of the robot to the goal, metres."""
        return self.agent.dist_xy(self.goal.pos)

    def render(
        self,
        width: int | None = None,
        height: int | None = None,
        mode: str = "rgb_array",
        camera_name: str | None = None,
        cost: Any = None,
    ) -> NDArray[Any]:
        """Return a picture (height, width, 3), or depth in metres; see `SafetyVectorEnv.frame`.

        A size other than the one given to `make` takes a renderer of its own at each call, which is slow. The ball that
        marks a cost shows the last step's, whatever `cost` holds.
        """
        if mode not in ("rgb_array", "depth_array"):
            raise ValueError(f"mode={mode!r}: expected 'rgb_array' or 'depth_array'; windows are env.render()'s")
        vec, depth = self._env.vec, mode == "depth_array"
        frame = vec.frame(0, camera_name, depth)
        size = (width or frame.shape[1], height or frame.shape[0])
        if size == frame.shape[1::-1]:
            return frame
        from safety_gym.camera import SceneCamera, check_picture

        check_picture(*size, camera_name)
        camera = SceneCamera(vec.sim, *size, camera_name)
        try:
            return np.asarray(camera.frame(0, camera_name, depth))
        finally:
            camera.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        slots = self._env.vec.scene.slots
        if name in slots:
            return ObjectView(self._env, name)
        config = self._env.vec.sim.config
        group = {key.partition(".")[2]: field for key, field in ALIASES.items() if key.startswith(f"{name}.")}
        if group:
            return OptionsView(**{key: getattr(config, field) for key, field in group.items()})
        hint = f"use {INSTEAD[name]}" if name in INSTEAD else f"there are agent, {', '.join(slots)}"
        raise AttributeError(f"task.{name}: no such view; {hint}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._env.vec.scene.slots, *{key.partition(".")[0] for key in ALIASES}]


class OptionsView(ReadOnly, SimpleNamespace):
    """A group of options, such as `env.task.lidar_conf`."""


class AgentView(ReadOnly):
    """`env.task.agent`: the robot's body frame in the world."""

    _env: SafetyEnv

    def __init__(self, env: SafetyEnv) -> None:
        vars(self)["_env"] = env

    @property
    def pos(self) -> Array:
        """Position (3,), metres."""
        return np.array(self._env.vec.sim.world.agent_pos[0, 0])

    @property
    def mat(self) -> Array:
        """Rotation matrix (3, 3); the first column is where the robot heads."""
        return np.array(self._env.vec.sim.world.agent_mat[0, 0]).reshape(3, 3)

    @property
    def vel(self) -> Array:
        """Linear velocity of the body's origin (3,), m/s."""
        address = int(self._env.vec.scene.agent_linvel[0])
        return np.array(self._env.vec.sim.world.sensordata[0, address : address + 3])

    def dist_xy(self, pos: Any) -> float:
        """Return the horizontal distance to a point (2,) or (3,), metres."""
        return float(np.linalg.norm(np.asarray(pos, np.float64)[:2] - self.pos[:2]))


class ObjectView(ReadOnly):
    """`env.task.goal`, `env.task.hazards`, ...: where the objects of a kind are, and the options of the kind."""

    _env: SafetyEnv
    name: str

    def __init__(self, env: SafetyEnv, name: str) -> None:
        vars(self).update(_env=env, name=name)

    @property
    def pos(self) -> Array | list[Array]:
        """Position of the body (3,), metres, of the only object; a list of them for kinds that come in numbers."""
        points = [np.array(point) for point in self._env.vec.sim.world.pos(self.name)[0]]
        return points[0] if self._env.vec.scene.slots[self.name].spec.unique else points

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        spec = self._env.vec.scene.slots[self.name].spec
        options = [field.name for field in dataclasses.fields(spec)]
        if name in options:
            return getattr(spec, name)
        raise AttributeError(f"task.{self.name}.{name}: no such view; there are pos, {', '.join(options)}")
