"""`SafetyVectorEnv`: the native Gymnasium vector environment.

    envs = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=64)
    obs, info = envs.reset(seed=0)                       # simulation i is seeded with i
    obs, reward, terminated, truncated, info = envs.step(actions)
    info["cost"]                                         # (64,)

All returned arrays are fresh; masks `_key` beside the entries of `info` follow Gymnasium and are read-only where an
entry is always present.

`BatchEnv` is what it shares with the vector form of multi-agent environments: arguments, resets, the loop of a step
with its autoreset, saved states, pictures.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from safety_gym import registry
from safety_gym.camera import SceneCamera, check_picture
from safety_gym.eyes import Eyes
from safety_gym.robots import Robot
from safety_gym.simulator import Simulator, StepResult
from safety_gym.task import Task
from safety_gym.vision import Vision
from safety_gym.world import Array, Ids

RENDER_MODES = ("rgb_array", "depth_array", "human")


class BatchEnv:
    """`num_envs` simulations of one id, stepped together.

    Args:
        env_id: an id of `safety_gym.ids()`; of `safety_gym.multi_agent_ids()` for the multi-agent form.
        num_envs: number of simulations.
        autoreset_mode: `SameStep` (default: `final_obs` and `final_info` in `info`), `NextStep` (what Gymnasium's
            vector observation wrappers need) or `Disabled` (reset with `options={"reset_mask": mask}`).
        max_episode_steps: truncate episodes after so many steps; None: the id's own limit; -1: never.
        num_threads: threads of the physics; default min(num_envs, cores this process may use) or `SAFETY_GYM_THREADS`.
        render_mode: `rgb_array` or `depth_array`; `render()` returns a tuple of frames.
        width, height, camera_name: of rendered frames; cameras are `vision`, `vision_back`, `track`, `fixednear`,
            `fixedfar` and `fixedfar++`.
        vision: camera frames in the observation; see `safety_gym.vision.Vision`. Ids with the suffix `Vision` have it.
        options: any field of `TaskConfig`, or objects as mappings (`hazards={"num": 12}`), or a `config` mapping in the
            reference suite's style.

    Raises:
        ValueError: an unknown id or option, or a value out of range.
        NotImplementedError: an id of the grammar that is not built yet.
    """

    metadata: dict[str, Any] = {
        "render_modes": list(RENDER_MODES[:2]),
        "render_fps": 30,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    _camera: SceneCamera | None = None
    spec: Any = None

    def __init__(
        self,
        env_id: str,
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
        max_episode_steps: int | None = None,
        num_threads: int | None = None,
        render_mode: str | None = None,
        width: int = 256,
        height: int = 256,
        camera_name: str | None = None,
        **options: Any,
    ) -> None:
        self._args = {k: v for k, v in locals().items() if k not in ("self", "options")} | options
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise ValueError(f"num_envs={num_envs!r}: expected a whole number >= 1")
        self.num_envs = int(num_envs)
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode={render_mode!r}: expected None or one of {self.metadata['render_modes']}")
        self.render_mode = render_mode
        options.pop("keyboard", None)  # one window, one robot: keyboard control belongs to the single environment
        task, config, robots, limit = self._resolve(env_id, options)
        self.sim = Simulator(
            task,
            config,
            robots,
            self.num_envs,
            _step_limit(max_episode_steps, limit),
            _threads(num_threads, self.num_envs),
        )
        self.metadata["render_fps"] = self.sim.task.render_fps
        self.cost_names = self.sim.cost_names
        check_picture(width, height, camera_name)
        self._picture = (int(width), int(height), camera_name)
        self._always = np.ones(self.num_envs, bool)
        self._always.flags.writeable = False
        self._over = np.zeros(self.num_envs, bool)
        self._started = False
        self._seed_given: list[int | None] = [None] * self.num_envs
        self.eyes: Eyes | None = None if self.sim.config.vision is None else self._make_eyes(self.sim.config.vision)
        self._make_spaces()

    # --- what the forms differ in -------------------------------------------------------------------------------------

    env_id: str

    def _resolve(self, env_id: str, options: dict[str, Any]) -> tuple[type[Task], Any, tuple[Robot, ...], int]:
        """Return task, configuration, robots and episode length of an id; set `env_id`."""
        raise NotImplementedError

    def _make_spaces(self) -> None:
        """Set the spaces that users see."""
        raise NotImplementedError

    def _make_eyes(self, vision: Vision) -> Eyes:
        """Return what adds camera frames to observations."""
        raise ValueError("vision: several agents do not observe cameras; frame() and render() draw pictures of them")

    def _observed(self, obs: Array) -> Any:
        """Return observations (n, r, o) of the `r` robots as users see them, fresh."""
        raise NotImplementedError

    def _shown(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what each robot has, (n, r), such as rewards, as users see it."""
        raise NotImplementedError

    def _final(self, obs: Array, over: NDArray[np.bool_]) -> dict[str, Any]:
        """Return the entries of `info` with the last observations (n, r, o) of the episodes that are `over`."""
        raise NotImplementedError

    # --- what lies underneath -----------------------------------------------------------------------------------------

    @property
    def batch(self) -> Any:
        """The `mujoco.batch.Batch` of the simulations."""
        return self.sim.world.batch

    @property
    def scene(self) -> Any:
        """The compiled scene and its addresses."""
        return self.sim.scene

    @property
    def layout(self) -> tuple[dict[str, Any], ...]:
        """Where everything is, one mapping per simulation, in the form `reset(options={"layout": ...})` takes."""
        return tuple(self.sim.layout(i) for i in range(self.num_envs))

    def place(self, name: str, xy: Sequence[float], ids: Any = None) -> None:
        """Move one object (`hazard3`, `goal`, `agent`) to (x, y) or (x, y, yaw) in all simulations or in `ids`."""
        rows = np.arange(self.num_envs) if ids is None else np.atleast_1d(np.asarray(ids))
        if rows.dtype == bool and rows.shape == (self.num_envs,):
            rows = np.flatnonzero(rows)
        if rows.dtype.kind not in "iu" or rows.ndim != 1 or ((rows < 0) | (rows >= self.num_envs)).any():
            raise ValueError(f"ids={ids!r}: expected simulations from 0 to {self.num_envs - 1}, or a mask of all")
        self.sim.move(name, xy, np.unique(rows))

    def get_state(self) -> dict[str, Any]:
        """Return the worlds, task memory and random streams as plain numbers.

        Taking a state reloads the simulations (see `World.get_state`): what follows is bit-identical to what follows
        `set_state` of it, and differs by rounding from what would have followed without.
        """
        return {
            "env_id": self.env_id,
            "world": self.sim.world.get_state(),
            "over": self._over.copy(),
            "started": int(self._started),
            "seeds": [-1 if seed is None else seed for seed in self._seed_given],
            "obs": self.sim.last_observation.copy(),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` returned, from an environment of the same id, options and number.

        Raises:
            ValueError: the state is another environment's, or none; nothing has changed then.
        """
        given = set(state) if isinstance(state, Mapping) else set()
        if given != {"env_id", "world", "over", "started", "seeds", "obs"}:
            raise ValueError(f"state: expected what get_state() returned, got {type(state).__name__} {sorted(given)}")
        if state["env_id"] != self.env_id:
            raise ValueError(f"state: it was saved from {state['env_id']!r}; this environment is {self.env_id!r}")
        self.sim.world.set_state(state["world"])
        self._over = np.array(state["over"], bool)
        self._started = bool(state["started"])
        self._seed_given = [None if seed < 0 else int(seed) for seed in state["seeds"]]
        self.sim.last_observation[...] = state["obs"]
        if self._started:
            self._look()

    # --- the loop -----------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start new episodes, in all simulations or where `options["reset_mask"]` is true.

        Args:
            seed: simulation i gets `seed + i`; or one seed (or None) per simulation. None continues the streams;
                streams that were never seeded start from fresh entropy.
            options: `reset_mask` (n,) bool; `layout`: one explicit layout for all, or one per simulation to reset.
        """
        options = options or {}
        ids = self._reset_ids(options.get("reset_mask"))
        others = np.ones(self.num_envs, bool) if self._started else None
        if others is not None:
            others[ids] = False
        self._seed(seed, ids)
        layouts = options.get("layout")
        if layouts is not None:
            layouts = [layouts] * len(ids) if isinstance(layouts, Mapping) else list(layouts)
            if len(layouts) != len(ids):
                raise ValueError(f"options['layout'] has {len(layouts)} layouts for {len(ids)} simulations")
        self.sim.reset(ids, layouts)
        self._over[ids] = False
        self._started = True
        obs = self.sim.observe(others)
        self._look(others)
        return self._observed(obs), {}

    def _advance(self, action: Array) -> tuple[Any, Array, Array, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step with checked actions (n, r, u); return six values."""
        self._refuse_ended()
        ended = self._over if self.autoreset_mode is AutoresetMode.NEXT_STEP and self._over.any() else None
        result = self.sim.step(action, None if ended is None else np.flatnonzero(~ended))
        terminated, truncated = result.terminated, result.truncated
        if ended is not None:
            self.sim.reset(np.flatnonzero(ended))
            self._blank(result, ended)
        info = self._info(result)
        obs = self.sim.observe(result.diverged)
        over = terminated | truncated
        if self.autoreset_mode is AutoresetMode.SAME_STEP and over.any():
            self._look(~over if result.diverged is None else ~over | result.diverged)
            self._add_final(info, obs, over)
            self.sim.reset(np.flatnonzero(over))
            obs = self.sim.observe()
            self._look()
            over = np.zeros(self.num_envs, bool)
        else:
            self._look(result.diverged)
        self._over = over
        return self._observed(obs), self._shown(result.reward).copy(), info["cost"], terminated, truncated, info

    def _look(self, keep: NDArray[np.bool_] | None = None) -> None:
        """Draw what cameras observe; frames of rows in `keep` stay as they were."""
        if self.eyes is not None:
            self.eyes.look(np.arange(self.num_envs) if keep is None else np.flatnonzero(~keep))

    def render(self) -> tuple[Any, ...] | None:
        """Return one frame per simulation."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render_mode; pass one to make_vec, e.g. render_mode='rgb_array'")
            return None
        return tuple(self.frame(i) for i in range(self.num_envs))

    def frame(self, i: int, camera_name: str | None = None, depth: bool | None = None) -> NDArray[Any]:
        """Return a picture of simulation `i`, (height, width, 3) uint8, or depth in metres (height, width) float32."""
        if self._camera is None:
            self._camera = SceneCamera(self.sim, *self._picture)
        return np.asarray(
            self._camera.frame(i, camera_name, self.render_mode == "depth_array" if depth is None else depth)
        )

    def close_extras(self, **kwargs: Any) -> None:
        """Release the renderers."""
        if self._camera is not None:
            self._camera.close()
        if self.eyes is not None:
            self.eyes.close()

    # --- copies -------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {"args": self._args, "state": self.get_state(), "spec": self.spec}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__init__(**saved["args"])  # type: ignore[misc]
        self.spec = saved["spec"]
        self.set_state(saved["state"])

    # --- details ------------------------------------------------------------------------------------------------------

    def _reset_ids(self, mask: Any) -> Ids:
        if mask is None:
            return np.arange(self.num_envs)
        array = np.asarray(mask)
        if array.shape != (self.num_envs,) or array.dtype != bool or not array.any():
            raise ValueError(
                f"options['reset_mask']={mask!r}: expected {self.num_envs} booleans, at least one of them true"
            )
        return np.flatnonzero(array)

    def _seed(self, seed: int | Sequence[int | None] | None, ids: Ids) -> None:
        seeds = _seeds(seed, self.num_envs)
        for i in ids.tolist():
            value = seeds[i]
            if value is None and (self._seed_given[i] is not None or not self.sim.config.randomize_layout):
                continue  # the stream goes on
            if value is None:
                value = int(np.random.SeedSequence().generate_state(1)[0])
            self.sim.seed([i], [value])
            self._seed_given[i] = value

    def _refuse_ended(self) -> None:
        if not self._started:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._over.any():
            raise gymnasium.error.ResetNeeded(
                f"episodes of simulations {np.flatnonzero(self._over)[:10].tolist()} have ended; call "
                "reset(options={'reset_mask': mask}) first"
            )

    def _blank(self, result: StepResult, rows: NDArray[np.bool_]) -> None:
        """Make a reset step of the next-step mode: no reward, no cost, not ended."""
        result.reward[rows] = 0.0
        result.cost[rows] = 0.0
        for values in result.costs.values():
            values[rows] = 0.0
        for values in result.extras.values():
            values[rows] = 0.0
        for mask in (result.terminated, result.truncated, result.goal_met):
            mask[rows] = False

    def _info(self, result: StepResult) -> dict[str, Any]:
        info: dict[str, Any] = {"cost": self._shown(result.cost), "_cost": self._always}
        for key, values in result.costs.items():
            info[key] = self._shown(values)
            info[f"_{key}"] = result.present.get(key, self._always)
        if result.diverged is not None:
            info["_cost_exception"] = result.diverged
        for key, values in result.extras.items():
            info[key] = values
            info[f"_{key}"] = self._always
        if result.goal_met.any():
            info["goal_met"] = self._shown(result.goal_met)
            info["_goal_met"] = result.goal_met.any(axis=1)
        return info

    def _add_final(self, info: dict[str, Any], obs: Array, over: NDArray[np.bool_]) -> None:
        """Put the last observation and info of ended episodes under `final_obs` and `final_info`."""
        final = {}
        for key, value in list(info.items()):
            final[key] = value & over if key.startswith("_") else value.copy()
        info.update(self._final(obs, over))
        info["_final_obs"] = over.copy()
        info["final_info"], info["_final_info"] = final, over.copy()


class SafetyVectorEnv(BatchEnv, VectorEnv[Any, Any, Any]):
    __doc__ = BatchEnv.__doc__

    def _resolve(self, env_id: str, options: dict[str, Any]) -> tuple[type[Task], Any, tuple[Robot, ...], int]:
        self.parsed_id, task, config = registry.resolve(env_id, options)
        self.env_id = env_id
        return task, config, (self.parsed_id.record,), registry.max_episode_steps(env_id)

    def _make_spaces(self) -> None:
        self.single_observation_space = self.sim.observer.space()
        if self.eyes is not None:
            plain: Any = self.single_observation_space
            self.single_observation_space = gymnasium.spaces.Dict([*plain.items(), *self.eyes.spaces().items()])
        self.single_action_space = self.sim.action_space()
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @property  # type: ignore[misc]
    def np_random(self) -> np.random.Generator:  # type: ignore[override]
        """The generator of simulation 0 (`np_randoms` has all)."""
        return self.sim.world.layout_rng[0]

    @property
    def np_randoms(self) -> tuple[np.random.Generator, ...]:
        """The generator of each simulation."""
        return tuple(self.sim.world.layout_rng)

    def step(self, actions: Any) -> tuple[Any, Array, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Advance every simulation by one control step (ten physics steps).

        Args:
            actions: (n, u); clipped to the control range.

        Raises:
            ValueError: wrong shape or NaN; nothing has moved then.
            gymnasium.error.ResetNeeded: before the first reset, or for ended episodes in the disabled autoreset mode.
        """
        obs, reward, _, terminated, truncated, info = self._advance(self.sim.check_action(actions))
        return obs, reward, terminated, truncated, info

    def _make_eyes(self, vision: Vision) -> Eyes:
        return Eyes(self.sim, vision)

    @property
    def segmentation_labels(self) -> tuple[str, ...]:
        """What the numbers of a `<camera>_segmentation` observation mean; empty without cameras."""
        return () if self.eyes is None else self.eyes.labels

    def _observed(self, obs: Array) -> Any:
        return self._split(obs[:, 0].copy(), slice(None))

    def _split(self, obs: Array, rows: slice | int) -> Any:
        """Return flat observations of simulations `rows` as users see them, camera frames included."""
        parts = self.sim.observer.split(obs)
        if self.eyes is None:
            return parts
        return parts | {key: frames[rows].copy() for key, frames in self.eyes.frames.items()}

    def _shown(self, values: NDArray[Any]) -> NDArray[Any]:
        return values[:, 0]

    def _final(self, obs: Array, over: NDArray[np.bool_]) -> dict[str, Any]:
        if self.sim.observer.flatten:
            return {"final_obs": obs[:, 0].copy()}
        out = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(over):
            out[i] = self._split(obs[i, 0], int(i))
        return {"final_obs": out}


def _seeds(seed: Any, n: int) -> list[int | None]:
    """Return one seed per simulation: `seed + i` for a number, else the seeds given; None where a stream goes on."""
    if seed is None:
        return [None] * n
    given = seed if isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str) else [seed]
    for value in given:
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not (whole and value >= 0) and not (value is None and given is seed):
            raise ValueError(f"seed={seed!r}: expected a whole number >= 0, or one per simulation")
    if given is not seed:
        return [int(seed) + i for i in range(n)]
    if len(given) != n:
        raise ValueError(f"seed: expected one number or {n} seeds, got {len(given)}")
    return [None if value is None else int(value) for value in given]


def _autoreset_mode(value: str | AutoresetMode) -> AutoresetMode:
    try:
        return AutoresetMode(value)
    except ValueError:
        accepted = [mode.value for mode in AutoresetMode]
        raise ValueError(f"autoreset_mode={value!r}: expected one of {accepted}") from None


def _step_limit(given: int | None, default: int) -> int | None:
    if given is None:
        return default
    if given == -1:
        return None
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1:
        raise ValueError(f"max_episode_steps={given!r}: expected a whole number >= 1, None (the id's own) or -1 (none)")
    return int(given)


def _threads(given: int | None, n: int) -> int | None:
    if given is None and (text := os.environ.get("SAFETY_GYM_THREADS")):
        if not text.isdigit() or int(text) < 1:
            raise ValueError(f"SAFETY_GYM_THREADS={text!r}: expected a whole number >= 1")
        given = int(text)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1:
        raise ValueError(f"num_threads={given!r}: expected a whole number >= 1")
    return min(int(given), n)
