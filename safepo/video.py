"""Videos of trained policies: one episode of one run, or of several runs side by side, with return, cost and limit.

    record(["runs/a", "runs/b"], "comparison.mp4")       # two panels, the same seed
    record("runs/a", states="episode.states")            # also keeps the state of every step
    record("episode.states", camera="track")             # the same episode from elsewhere, without the policy

The environment of a panel is a single one: Gymnasium's, or PettingZoo's where there are several agents. An episode that
ends before the others keeps its last picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import safety_gym
from safepo import checkpoint
from safepo.algorithms import algorithm_info
from safepo.config import config_from_dict
from safepo.envs import ActionMap, camera_options, check_id, entry_options, is_ours
from safepo.errors import UserError
from safepo.observations import History, ObsMap, Rows
from safepo.overlay import Frame, Gauge, Panel, ceiling, draw
from safepo.policy import actor_from_state, obs_map
from safepo.rollout import CostSignals
from safepo.teams import STATE
from safepo.view import View
from safety_gym.multi_agent import is_multi_agent
from safety_gym.registry import VELOCITY

SIZE = 400
"""Pixels of a picture's side."""
CAMERA, WALKER_CAMERA = "fixedfar", "track"
"""Cameras that show the most of a scene; those of walkers have the second alone."""

Target = str | Path


@dataclass(frozen=True)
class Moment:
    """What is known of an episode after so many steps."""

    step: int
    total: float
    """Return so far"""
    costs: tuple[float, ...]
    """Each limited cost so far"""
    paid: bool
    """Whether the last step had a cost"""
    seen: Frame | None = None
    """The image that the policy sees, if it sees one"""
    state: Any = None
    """The environment's own, if asked for"""


@dataclass(frozen=True)
class Show:
    """An episode to be drawn: its moments, and the environment that stands at each when it comes."""

    title: str
    limits: dict[str, float]
    env: Any
    moments: Iterator[Moment]
    about: dict[str, Any]
    """What a file of its states must hold beside them"""


def record(
    runs: Target | Sequence[Target],
    output: Target | None = None,
    seed: int = 0,
    deterministic: bool = True,
    camera: str | None = None,
    size: int = SIZE,
    steps: int | None = None,
    states: Target | None = None,
) -> Path:
    """Write one episode of each run as mp4; returns the path.

    A run is a run directory, a checkpoint, or a file of states. `output` is by default `video.mp4` in the run's
    directory, or `comparison.mp4` here for several. `camera` (by default fixedfar, of walkers track) and `size` are for
    safety_gym's environments; at most `steps` steps are shown. With `states` the first run's states are written there,
    too.

    Raises:
        UserError: a run cannot be read, an environment cannot be drawn, or the video cannot be written.
    """
    targets = [runs] if isinstance(runs, (str, Path)) else list(runs)
    if size < 64:
        raise UserError(f"size must be at least 64 pixels, got {size}")
    loaded = [checkpoint.load(checkpoint.resolve(target)) for target in targets]
    if output is None:
        where = Path(targets[0])
        folder = where if where.is_dir() else where.parent
        output = Path("comparison.mp4") if len(targets) > 1 else folder / "video.mp4"
    shows: list[Show] = []
    try:
        for state in loaded:
            if "moments" in state:
                shows.append(_replay(state, camera, size))
            else:
                with_states = states is not None and not shows
                shows.append(_perform(state, seed, deterministic, camera, size, with_states))
        kept: list[Moment] = []
        frames = islice(_frames(shows, size, kept), None if steps is None else steps + 1)
        _write(Path(output), frames, float(shows[0].env.metadata.get("render_fps", 30)))
    finally:
        for show in shows:
            show.env.close()
    if states is not None:
        if any(moment.state is None for moment in kept):
            raise UserError(f"{shows[0].about['env_id']} cannot save its state")
        plain = [vars(moment) | {"seen": None} for moment in kept]
        checkpoint.save(Path(states), {**shows[0].about, "moments": plain})
    return Path(output)


# --- episodes ---------------------------------------------------------------------------------------------------------


def _perform(
    state: dict[str, Any], seed: int, deterministic: bool, camera: str | None, size: int, with_states: bool
) -> Show:
    """An episode of the policy in a checkpoint."""
    config, actor = config_from_dict(state["config"]), actor_from_state(state)
    title = f"{algorithm_info(config.algorithm).title} seed {config.run.seed}"
    limits = config.run.cost_limits()
    if "agents" in actor.env:
        limits = dict.fromkeys([f"cost_{name}" for name in actor.env["agents"]], limits["cost"])
    view = obs_map(actor.env).view
    env = make_rendered(actor.env_id, camera, size, view.image_size, view.keys)
    actor.seed(seed)
    about = {"env_id": actor.env_id, "image_size": view.image_size, "title": title, "limits": limits}
    return Show(title, limits, env, _episode(actor, env, limits, seed, deterministic, with_states), about)


def _episode(
    actor: Any, env: Any, limits: dict[str, float], seed: int, deterministic: bool, with_states: bool
) -> Iterator[Moment]:
    obs, _ = env.reset(seed=seed)
    seen, history = obs_map(actor.env), History(obs_map(actor.env), 1)
    sources = tuple(getattr(env.unwrapped, "cost_names", ()))
    signals = CostSignals(tuple(limits), sources)
    action_map = ActionMap.from_dict(actor.env["action"])
    actor.begin(np.ones(1, bool))
    row, step, total, costs, ended = history.start(seen.frame(obs)), 0, 0.0, np.zeros(len(limits)), False
    paid = 0.0
    while True:
        kept = _state(env) if with_states else None
        yield Moment(step, total, tuple(costs.tolist()), paid > 0, _image(seen, row), kept)
        if ended:
            return
        obs, reward, terminated, truncated, info = env.step(
            _given(actor.predict(row, deterministic)[0], env, action_map)
        )
        row = history.push(seen.frame(obs))
        paid = float(info.get("cost", 0.0))
        terms = np.array([[float(info.get(name, 0.0)) for name in sources]])
        costs = costs + signals(np.array([paid]), terms)[0]
        step, total, ended = step + 1, total + float(reward), terminated or truncated


def _image(obs: ObsMap, row: Rows) -> Frame | None:
    """The first image `(h, w, c)` of a row's last frame, if there is one."""
    part = next((part for part in obs.parts if part.image), None)
    if part is None:
        return None
    image = obs.pixels(row[:, -obs.frame_width :])[0][0]
    return image if part.channels_last else np.moveaxis(image, 0, 2)


def _given(action: np.ndarray, env: Any, action_map: ActionMap) -> Any:
    """An action in the form of the environment's space, clipped to it as in training."""
    if not action_map.sizes:
        action = np.clip(action, action_map.low, action_map.high)
    return action.astype(env.action_space.dtype).reshape(env.action_space.shape)


def _state(env: Any) -> Any:
    base = env.unwrapped
    return base.get_state() if hasattr(base, "get_state") else None


def _replay(saved: dict[str, Any], camera: str | None, size: int) -> Show:
    """The episode in a file of states, drawn anew."""
    env = make_rendered(saved["env_id"], camera, size, saved["image_size"])

    def moments() -> Iterator[Moment]:
        env.reset(seed=0)
        for plain in saved["moments"]:
            env.unwrapped.set_state(plain["state"])
            yield Moment(**plain)

    return Show(saved["title"], saved["limits"], env, moments(), {key: saved[key] for key in saved if key != "moments"})


# --- environments -----------------------------------------------------------------------------------------------------


def make_rendered(
    env_id: str, camera: str | None = None, size: int = SIZE, image_size: int = 0, keys: tuple[str, ...] = View.keys
) -> Any:
    """A single environment that renders arrays; a team takes and gives its joint rows."""
    check_id(env_id)
    options: dict[str, Any] = {"render_mode": "rgb_array"}
    if is_ours(env_id) or is_multi_agent(env_id):
        camera = camera or (WALKER_CAMERA if VELOCITY in env_id else CAMERA)
        options |= {"camera_name": camera, "width": size, "height": size, **camera_options(image_size)}
    if is_ours(env_id):
        options |= entry_options(keys)
    try:
        if is_multi_agent(env_id):
            return TeamAsOne(safety_gym.parallel_env(env_id, **options))
        return gymnasium.make(env_id, **options)
    except (ValueError, TypeError) as error:
        raise UserError(f"{env_id} cannot be drawn like this: {error}") from None


class TeamAsOne:
    """A PettingZoo environment with the face of a single one, as `safepo.teams.TeamEnv` has it: joint observations with
    the state, a row of all agents' actions, mean reward and cost, and `cost_<agent>` of each."""

    def __init__(self, env: Any) -> None:
        self.env, self.metadata, self.agents = env, env.metadata, tuple(env.possible_agents)
        self.cost_names = tuple(f"cost_{name}" for name in self.agents)
        self.get_state, self.set_state, self.render, self.close = env.get_state, env.set_state, env.render, env.close
        widths = [env.action_space(name).shape[0] for name in self.agents]
        self.action_space = gymnasium.spaces.Box(-np.inf, np.inf, (sum(widths),), np.float64)
        self._ends = np.cumsum(widths)[:-1]

    @property
    def unwrapped(self) -> TeamAsOne:
        return self

    def reset(self, seed: int | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        obs, _ = self.env.reset(seed=seed)
        return {**obs, STATE: self.env.state()}, {}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, float]]:
        parts = dict(zip(self.agents, np.split(action, self._ends), strict=True))
        obs, reward, terminated, truncated, infos = self.env.step(parts)
        info = {f"cost_{name}": float(infos[name].get("cost", 0.0)) for name in self.agents}
        info["cost"] = float(np.mean(list(info.values())))
        obs = {**obs, STATE: self.env.state()}
        return obs, float(np.mean(list(reward.values()))), all(terminated.values()), all(truncated.values()), info


# --- drawing ----------------------------------------------------------------------------------------------------------


def _frames(shows: list[Show], size: int, kept: list[Moment]) -> Iterator[Frame]:
    """Frames until the last episode has ended; the moments of the first are appended to `kept`."""
    panels: list[Panel] = []
    highest = [0.0, 0.0]
    while True:
        moments = [next(show.moments, None) for show in shows]
        if not any(moments):
            return
        for known in filter(None, moments):
            highest = [max(highest[0], abs(known.total)), max(highest[1], *known.costs)]
        for i, (show, moment) in enumerate(zip(shows, moments, strict=True)):
            if moment is not None:
                panels[i : i + 1] = [_panel(show, moment, highest)]
        if moments[0] is not None:
            kept.append(moments[0])
        yield draw(panels, size)


def _panel(show: Show, moment: Moment, highest: list[float]) -> Panel:
    gauges = [Gauge("return", moment.total, ceiling(highest[0]))]
    for (name, limit), cost in zip(show.limits.items(), moment.costs, strict=True):
        finite = limit if np.isfinite(limit) else 0.0
        full = max(ceiling(highest[1]), 2 * finite)  # room for the limit's number
        gauges.append(Gauge(name.removeprefix("cost_"), cost, full, limit))
    try:
        picture = np.asarray(show.env.render())
    except (RuntimeError, ImportError) as error:
        raise UserError(f"this environment cannot be drawn here: {error}") from None
    return Panel(show.title, f"step {moment.step}", picture, tuple(gauges), moment.paid, moment.seen)


def _write(output: Path, frames: Iterator[Frame], fps: float) -> None:
    try:
        import imageio.v2 as imageio
    except ModuleNotFoundError:
        raise UserError(
            'video needs imageio with ffmpeg; install the "render" extra: pip install "safe-rl-suite[render]"'
        ) from None
    first = next(frames)
    try:
        writer: Any
        with imageio.get_writer(output, fps=fps, macro_block_size=2) as writer:
            writer.append_data(first)
            for frame in frames:
                writer.append_data(frame)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write video {str(output)!r}: {error}") from None
