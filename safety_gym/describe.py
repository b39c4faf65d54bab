"""All there is to know about an environment, as plain data: what `safety-gym show` prints and the pages of `docs` hold.

    about = describe("SafetyPointGoal1-v0")
    about["observation"]["slices"]     # key, start, stop, shape, low, high, meaning
    about["cost"]["terms"]             # key of `info`, raw value, what charges it

Everything is read from the tables that make the environment and from its compiled model. Lengths in metres, angles in
radians, times in seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import mujoco

from safety_gym import multi_agent, registry
from safety_gym.eyes import Eyes
from safety_gym.multi_agent.vector import MultiAgentVectorEnv
from safety_gym.objects import FIELD_HELP, ObjectSpec
from safety_gym.robots import Robot
from safety_gym.simulator import Simulator
from safety_gym.task import ALIASES, OPTION_HELP, Task, TaskConfig
from safety_gym.tasks.fading import FADING_OPTION_HELP
from safety_gym.tasks.formula_one import FORMULA_ONE_OPTION_HELP
from safety_gym.tasks.multi_goal import MULTI_GOAL_OPTION_HELP
from safety_gym.tasks.multi_velocity import DIVIDED_OPTION_HELP
from safety_gym.tasks.velocity import VELOCITY_OPTION_HELP, VelocityConfig
from safety_gym.vector_env import SafetyVectorEnv
from safety_gym.vision import Vision
from safety_gym.walkers import Walker

HELP: Mapping[str, str] = {
    **OPTION_HELP, **FADING_OPTION_HELP, **FORMULA_ONE_OPTION_HELP, **VELOCITY_OPTION_HELP,
    **MULTI_GOAL_OPTION_HELP, **DIVIDED_OPTION_HELP,
}  # fmt: skip
"""Meanings of all options but those of objects, which are in `objects.FIELD_HELP`."""


def describe(env_id: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return all there is to know about an id, changed by `options` of `make`.

    Raises what `make` raises: ValueError for unknown ids and wrong options, NotImplementedError for ids not built yet.
    """
    options = dict(options or {})
    team = multi_agent.is_multi_agent(env_id)
    resolve: Any = multi_agent.ids.resolve if team else registry.resolve
    # First of all, since only options of the task are accepted here, not the other arguments of `make`.
    parsed, task, *_ = resolve(env_id, {k: v for k, v in options.items() if k != "max_episode_steps"})
    vec = (MultiAgentVectorEnv if team else SafetyVectorEnv)(env_id, num_threads=1, **options)
    sim = vec.sim
    robot = sim.scene.config.robots[0]
    default = None
    with contextlib.suppress(ValueError):  # ...Base-v0 cannot be made without the user's objects
        default = task(resolve(env_id, {})[2], sim.task.robots).config
    named = {"gymnasium_id": None, "variant": "", "version": "v0"} if team else {"gymnasium_id": parsed.twin}
    return {
        "id": parsed.canonical if team else env_id.removeprefix("safety_gym:"),
        **named,
        **_pick(parsed, "robot", "task", "level", *(() if team else ("variant", "version"))),
        "agents": _agents(vec) if isinstance(vec, MultiAgentVectorEnv) else [],
        "summary": sim.task.summary,
        "observation": {
            "size": sim.observer.size,
            "flatten": sim.config.observation_flatten,
            "dtype": "float64",
            "slices": [_pick(t, "key", "start", "stop", "shape", "low", "high", "meaning") for t in sim.observer.terms],
            "frames": _frames(vec.eyes),
        },
        "action": _action(sim, robot) | ({"keys": {}} if team else {}),
        "reward": _reward(sim),
        "cost": _cost(sim),
        "limits": _limits(sim, None if team else parsed.reward_threshold),
        "start": _start(sim, robot),
        "extents": getattr(sim.config, "extents", None),
        "objects": [_object(spec) for spec in getattr(sim.config, "objects", ())],
        "physics": _physics(sim, robot),
        "options": _options(sim.task.config, default),
        "arguments": _make_arguments(),
    }


def _pick(record: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _frames(eyes: Eyes | None) -> list[dict[str, Any]]:
    """Return key, shape, type and range of camera frames."""
    spaces = {} if eyes is None else eyes.spaces()
    return [
        {"key": key, "shape": s.shape, "dtype": str(s.dtype), "low": float(s.low.min()), "high": float(s.high.max())}
        for key, s in spaces.items()
    ]


def _agents(vec: MultiAgentVectorEnv) -> list[dict[str, Any]]:
    """Return name, numbers observed and actuators of each agent; robots of their own have all of one robot."""
    model, rows = vec.scene.model, []
    for name, own in zip(vec.possible_agents, vec.control_ids, strict=True):
        actuators = [_actuator(model, int(i))["name"] for i in own]
        space = vec.observation_spaces[name]
        rows.append({"name": name, "observation": gymnasium.spaces.flatdim(space), "actuators": actuators})
    return rows


# --- action -----------------------------------------------------------------------------------------------------------


def _action(sim: Simulator, robot: Robot) -> dict[str, Any]:
    space, model = sim.action_space(), sim.scene.model
    return {
        "size": sim.nact,
        "dtype": str(space.dtype),
        "clipped": sim.task.clips_actions,
        "actuators": [
            {**_actuator(model, i), "low": float(space.low[i]), "high": float(space.high[i])} for i in range(sim.nact)
        ],
        "keys": {k: list(map(float, v)) for k, v in {**robot.keys, **robot.exclusive_keys}.items()},
    }


def _actuator(model: mujoco.MjModel, i: int) -> dict[str, str]:
    """Return the name of an actuator, that of its joint where it has none, and what it does in words."""
    joint = model.actuator_trntype[i] != mujoco.mjtTrn.mjTRN_SITE
    target = (model.joint if joint else model.site)(int(model.actuator_trnid[i, 0]))
    name = _last(target.name)
    gear = model.actuator_gear[i]
    gain, bias = float(model.actuator_gainprm[i, 0]), model.actuator_biasprm[i, :3]
    command = "u" if gain == 1 else f"{gain:g} u"
    if not joint:
        axis = int(abs(gear).argmax())
        what, unit, output = f"force along {'xyz'[axis]} of the robot", "N", f"{gear[axis]:g}"
    else:
        turns = model.jnt_type[target.id] == mujoco.mjtJoint.mjJNT_HINGE
        what, unit = (f"torque on joint {name}", "N m") if turns else (f"force on joint {name}", "N")
        output = f"{gear[0]:g}"
    # The engine's law: gear x (gain u + bias), the bracket limited; length and velocity are gear x the joint's.
    inner = command
    for factor, quantity in ((bias[1], "joint position"), (bias[2], "joint velocity")):
        if factor:
            times = "" if abs(factor) * gear[0] == 1 else f"{abs(factor) * gear[0]:g} x "
            inner += f" {'-' if factor < 0 else '+'} {times}{quantity}"
    if model.actuator_forcelimited[i]:
        inner = f"clip({inner}, {model.actuator_forcerange[i, 0]:g}, {model.actuator_forcerange[i, 1]:g})"
    elif inner != command:
        inner = f"({inner})"
    law = inner if output == "1" else f"{output} {inner}"
    return {"name": _last(model.actuator(i).name) or name, "meaning": f"{what}, {unit}: {law}"}


def _last(name: str) -> str:
    return name.rpartition("/")[2]


# --- reward, cost, ends -----------------------------------------------------------------------------------------------


def _reward(sim: Simulator) -> dict[str, Any]:
    config = sim.task.config
    return {
        "terms": dict(sim.task.reward_terms),
        "clip": config.reward_clip,
        "factor": getattr(config, "reward_factor", None),
    }


def _cost(sim: Simulator) -> dict[str, Any]:
    def term(cost: Any, charger: Any) -> dict[str, Any]:
        by = getattr(charger, "kind", "robots" if isinstance(charger, TaskConfig) else "speed")
        return _pick(cost, "key", "meaning") | {"charged_by": by, "every_step": cost.present is None}

    return {"terms": [term(*pair) for pair in sim.terms], "indicator": sim.config.constrain_indicator}


def _limits(sim: Simulator, reward_threshold: float | None) -> dict[str, Any]:
    config, task, steps = sim.config, sim.task, sim.max_episode_steps
    return {
        "max_episode_steps": steps,
        "seconds": None if steps is None else steps * sim.scene.model.opt.timestep * sim.scene.config.substeps,
        "ends": _ends(task, steps, config.reward_exception),
        "goals": task.has_goal,
        "continue_goal": getattr(config, "continue_goal", None),
        "alive_above": task.robots[0].alive_above,
        **{name: getattr(config, name, None) for name in _VELOCITY_LIMITS},
        "reward_exception": config.reward_exception,
        "reward_threshold": reward_threshold,
    }


_VELOCITY_LIMITS = (
    "velocity_threshold", "velocity_kind", "healthy_z_range", "healthy_angle_range", "healthy_state_range",
)  # fmt: skip


def _ends(task: Task, steps: int | None, exception: float) -> list[dict[str, str]]:
    """Return what ends an episode: `how` (`terminated` or `truncated`) and `when`, in words."""
    config: Any = task.config
    rows = [] if steps is None else [("truncated", f"after {steps} steps")]
    if task.has_goal and not config.continue_goal:
        rows.append(("terminated", "when the goal is reached (continue_goal=False)"))
    elif task.has_goal and not task.derived and config.terminate_resample_failure:
        rows.append(("terminated", "when no place for a new goal is found"))
    floor = task.robots[0].alive_above
    if floor is not None:
        rows.append(("terminated", f"when the origin of the robot is at or below {floor:g} m"))
    if isinstance(config, VelocityConfig) and (healthy := healthy_words(config, task.robots[0])):
        rows.append(("terminated", f"when not healthy: {healthy}"))
    rows.append(
        ("truncated", f"when the simulation becomes unstable: reward {exception:g}, cost 1, info['cost_exception']")
    )
    return [{"how": how, "when": when} for how, when in rows]


def healthy_words(config: VelocityConfig, walker: Any) -> str:
    """Return what keeps a walker healthy where that ends the episode, in words; empty: nothing does."""
    if not config.terminate_when_unhealthy:
        return ""
    low, high = ("[", "]") if walker.closed_health else ("(", ")")
    parts = []
    for bounds, what, left, right in (
        (config.healthy_z_range, "height of the torso in {} m", low, high),
        (None if walker.hidden == 2 else config.healthy_angle_range, "inclination of the torso in {} rad", "(", ")"),
        (config.healthy_state_range, "all other positions and velocities in {}", "(", ")"),
    ):
        if bounds is not None:
            parts.append(what.format(f"{left}{bounds[0]:g}, {bounds[1]:g}{right}"))
    return "; ".join(parts)


# --- start, objects, physics ------------------------------------------------------------------------------------------


def _start(sim: Simulator, robot: Robot) -> dict[str, Any]:
    """Return how an episode begins: a place drawn at random, or the model's pose with noise."""
    config: Any = sim.config
    if isinstance(robot, Walker):
        return {
            "reset_noise_scale": config.reset_noise_scale,
            "position_noise": "uniform",
            "velocity_noise": "normal" if robot.normal_noise else "uniform",
        }
    return dataclasses.asdict(config.agent) | _pick(robot, "spawn_z", "home", "home_noise")


def _object(spec: ObjectSpec) -> dict[str, Any]:
    return {
        **_pick(spec, "kind", "num"),
        "size": getattr(spec, "radius", getattr(spec, "size", None)),
        "keepout": spec.keepout,
        "mobility": spec.mobility.name.lower(),
        "costs": spec.is_constrained,
        "lidar": spec.is_lidar_observed,
        "compass": spec.is_comp_observed,
        **_pick(spec, "placements", "locations"),
    }


def _physics(sim: Simulator, robot: Robot) -> dict[str, Any]:
    model, substeps = sim.scene.model, sim.scene.config.substeps
    timestep = float(model.opt.timestep)
    return {
        "timestep": timestep,
        "substeps": substeps,
        "control_step": timestep * substeps,
        "integrator": robot.integrator,
        **{name: int(getattr(model, name)) for name in ("nq", "nv", "nu")},
        "sleep": bool(model.opt.enableflags & mujoco.mjtEnableBit.mjENBL_SLEEP),
        "model": robot.file,
        "robot_mass": float(model.body_subtreemass[sim.scene.agent_body[0]]),
        "margins": getattr(sim.config, "margins", None),
    }


# --- options ----------------------------------------------------------------------------------------------------------


def _options(config: Any, default: Any) -> list[dict[str, Any]]:
    """Return every option: name, value, default (`has_default` False where the id has none), meaning, other name."""
    aliases = {ours: theirs for theirs, ours in ALIASES.items()}
    rows: list[dict[str, Any]] = []

    def add(prefix: str, record: Any, base: Any, known: bool, meanings: Mapping[str, str], skip: Sequence[str]) -> None:
        for field in dataclasses.fields(record):
            if field.name not in skip:
                name = prefix + field.name
                value, usual = (_fields(getattr(holder, field.name, None)) for holder in (record, base))
                row = {"name": name, "value": value, "default": usual, "has_default": known}
                rows.append(row | {"meaning": meanings[field.name], "alias": aliases.get(name)})

    base = default or config
    add("", config, base, default is not None, HELP, ("objects", "agent"))
    if isinstance(config, TaskConfig):
        of_agent = {name.removeprefix("agent."): text for name, text in HELP.items() if name.startswith("agent.")}
        add("agent.", config.agent, base.agent, default is not None, of_agent, ())
        before = {spec.kind: spec for spec in default.objects} if default else {}
        for spec in config.objects:
            add(f"{spec.kind}.", spec, before.get(spec.kind), spec.kind in before, FIELD_HELP, ())
    return rows


def _fields(value: Any) -> Any:
    """Return the fields of a `Vision` by name, anything else as it is."""
    return dataclasses.asdict(value) if isinstance(value, Vision) else value


def _make_arguments() -> dict[str, Any]:
    """Return the arguments of `make` and `make_vec` that are no options of the task, with their defaults."""
    given = inspect.signature(SafetyVectorEnv).parameters.values()
    plain = [p for p in given if p.kind is not p.VAR_KEYWORD and p.name != "env_id"]
    return {p.name: getattr(p.default, "value", p.default) for p in plain}


def bounds_words(low: float, high: float) -> str:
    """Return a range in words: `[-1, 1]`, or `unbounded`."""
    return "unbounded" if math.isinf(low) and math.isinf(high) else f"[{low:g}, {high:g}]"
