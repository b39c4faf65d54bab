"""Ids: what exists, what is made of them, and that every built id is what the reference suite's registry says."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

import safety_gym
from safety_gym import registry
from safety_gym.robots import ROBOTS
from safety_gym.scene import SUBSTEPS
from tests.helpers import BASE, DEBUG, LEVEL_0, NAVIGATION, PLAIN, actions, moves, single

DATA = json.loads((Path(__file__).parent / "data" / "registry.json").read_text())
COMMON, LEVELS, REFERENCE_ROBOTS = DATA["common"], DATA["levels"], DATA["robots"]
LIDAR = [[16], 0.0, 1.0]
REFERENCE_NAMES = {"vases": {"density": "vase_density"}, "gremlins": {"density": "gremlin_density"}}
REFERENCE_NAMES["push_box"] = {"density": "box_density"}
MAKERS = {"safety_gym.make": safety_gym.make, "safety_gym.make_vec": safety_gym.make_vec}
MAKERS |= {"gymnasium.make": gymnasium.make, "gymnasium.make_vec": gymnasium.make_vec}


def reference(env_id: str) -> dict[str, Any]:
    """Return what the reference suite's registry says about an id: its level, robot part and observation together."""
    parsed = registry.parse(env_id)
    robot, level = REFERENCE_ROBOTS[parsed.robot], LEVELS[f"{parsed.task}{parsed.level}"]
    changes = DATA["changes"].get(f"{parsed.robot}{parsed.task}{parsed.level}", {})
    objects = {kind: {**fields, **changes.get(kind, {})} for kind, fields in level["objects"].items()}
    obs_keys = robot["obs_keys"] + [[key, *LIDAR] for key in level["lidars"]]
    return {**robot, **level, "objects": objects, "obs_keys": obs_keys}


def lists(value: Any) -> Any:
    """Return nested tuples as nested lists of floats, as JSON has them."""
    return [lists(v) for v in value] if isinstance(value, list | tuple) else value


def rectangles(value: list[Any]) -> list[Any]:
    """Return a list of rectangles in which some are given as repeated."""
    return [r for v in value for r in (v["repeat"] * v["rectangles"] if isinstance(v, dict) else [v])]


# --- the reference suite's registry -----------------------------------------------------------------------------------


def test_every_id_of_the_reference_is_compared() -> None:
    assert {f"Safety{robot}{level}-v0" for robot in REFERENCE_ROBOTS for level in LEVELS} == set(NAVIGATION)
    assert {f"Safety{robot}{task}Base-v0" for robot in REFERENCE_ROBOTS for task in DATA["base"]} == set(BASE)
    assert set(REFERENCE_ROBOTS) == set(ROBOTS)


@pytest.mark.parametrize("env_id", NAVIGATION)
def test_spaces_limits_and_costs(env_id: str) -> None:
    want = reference(env_id)
    envs = gymnasium.make_vec(env_id, num_envs=2)
    sim = envs.unwrapped.sim
    space, action = envs.single_observation_space, envs.single_action_space
    assert space.shape == (sum(math.prod(shape) for _, shape, *_ in want["obs_keys"]),)
    assert str(space.dtype) == COMMON["obs_dtype"]
    terms = [[t.key, list(t.shape), *(None if np.isinf(b) else b for b in (t.low, t.high))] for t in sim.observer.terms]
    assert terms == want["obs_keys"]
    assert (action.low.tolist(), action.high.tolist()) == (want["action"]["low"], want["action"]["high"])
    assert (list(action.shape), str(action.dtype)) == (want["action"]["shape"], want["action"]["dtype"])
    assert sim.max_episode_steps == want["limit"]
    assert gymnasium.spec(env_id).max_episode_steps == want["limit"]

    envs.reset(seed=0)
    always = {key for key in envs.step(envs.action_space.sample())[4] if key.startswith("cost_")}
    assert always - set(want["cost_intermittent"]) == set(want["cost_always"])
    assert set(envs.unwrapped.cost_names) == set(want["cost_always"] + want["cost_intermittent"]) - {"cost_sum"}


@pytest.mark.parametrize("env_id", NAVIGATION)
def test_cost_keys_of_the_single_environment(env_id: str) -> None:
    """Keys of `info` on the first ten steps, where the button timer runs, and on the eleventh."""
    want = reference(env_id)
    env = single(env_id)
    env.reset(seed=0)
    always = {"cost", *want["cost_always"]}
    rest = np.zeros(env.action_space.shape)
    for _ in range(10):
        info = env.step(rest)[4]
        assert set(info) == always
    assert set(env.step(rest)[4]) == always | set(want["cost_intermittent"])


@pytest.mark.parametrize("env_id", NAVIGATION)
def test_options_of_the_level(env_id: str) -> None:
    want = reference(env_id)
    exact = {"integrator": "rk4"} if registry.parse(env_id).task == "FormulaOne" else {}  # not our default: too slow
    sim = single(env_id, **exact).unwrapped.vec.sim
    config = sim.config
    assert list(config.extents) == want["extents"]
    assert config.margin == COMMON["placement_margin"]
    assert config.agent.keepout == want["agent"]["keepout"]
    assert lists(config.agent.placements) == want["agent"]["placements"]
    assert list(config.agent.locations) == COMMON["agent_locations"]
    assert config.agent.rot == COMMON["agent_rot"]
    robot = ROBOTS[registry.parse(env_id).robot]
    assert robot.spawn_z == want["z"]
    own = sim.scene.config.robots[0]
    assert [own.timestep, own.integrator] == [want["timestep"], want["integrator"]]
    option = sim.scene.model.opt
    assert option.timestep == want["timestep"]
    assert option.integrator == getattr(mujoco.mjtIntegrator, f"mjINT_{want['integrator'].upper()}")
    assert COMMON["frame_skip"] == SUBSTEPS
    lidar = {"num_bins": config.lidar_num_bins, "exp_gain": config.lidar_exp_gain}
    lidar |= {"type": config.lidar_type, "alias": config.lidar_alias}
    assert lidar == COMMON["lidar"]
    assert config.lidar_max_dist == want["lidar_max_dist"]
    assert config.reward_clip == want["reward_clip"]
    for name in ("continue_goal", "randomize_layout", "terminate_resample_failure"):
        assert getattr(config, name) == want.get(name, COMMON[name])
    assert list(config.floor_size) == want["floor"]
    assert sim.scene.model.geom("floor").size.tolist() == want["floor"]
    assert config.floor_type == want.get("floor_type", "mat")
    assert (config.scenery is not None) == ("static_geoms_contact_cost" in want)
    assert config.static_geoms_contact_cost == want.get("static_geoms_contact_cost")


@pytest.mark.parametrize("env_id", NAVIGATION)
def test_objects_of_the_level(env_id: str) -> None:
    want = reference(env_id)
    specs = {spec.kind: spec for spec in single(env_id).unwrapped.vec.sim.config.objects}
    assert ["agent", *(spec.singular for spec in specs.values())] == want["layout_order"]
    assert set(specs) == set(want["objects"])
    for kind, fields in want["objects"].items():
        names = REFERENCE_NAMES.get(kind, {})
        if fields.get("placements"):
            fields["placements"] = rectangles(fields["placements"])
        ours = {field: lists(getattr(specs[kind], names.get(field, field))) for field in fields}
        assert ours == fields, kind


# --- grammar ----------------------------------------------------------------------------------------------------------


def test_the_grammar_has_507_ids_and_as_many_twins() -> None:
    robots = ("Point", "Car", "Doggo", "Racecar", "Ant")
    tasks = [f"{t}{n}" for t in ("Goal", "Button", "Push", "Circle") for n in ("0", "1", "2", "Base")]
    tasks += ["Run0", "RunBase"]
    vision = ("BuildingGoal", "BuildingButton", "BuildingPush", "Race", "FormulaOne", "FadingEasy", "FadingHard")
    tasks += [f"{t}{n}" for t in vision for n in "012"]
    variants = {r: ("", "Vision", "Debug") if r in ("Point", "Car", "Racecar") else ("", "Vision") for r in robots}
    want = {f"Safety{r}{t}{v}" for r in robots for t in tasks for v in variants[r]}
    assert len(want) == 507

    entries = [e for e in registry.grammar() if e.task != registry.VELOCITY]
    assert len(entries) == 507
    assert {e.canonical for e in entries} == {f"{name}-v0" for name in want}
    assert {e.twin for e in entries} == {f"{name}Gymnasium-v0" for name in want}
    registered = {i for i in gymnasium.registry if i.startswith("Safety")}
    assert {e.canonical for e in entries} | {e.twin for e in entries} <= registered
    assert set(safety_gym.ids()) == {e.canonical for e in registry.grammar()}


def test_time_limits_of_the_families() -> None:
    for env_id in safety_gym.ids():
        limit = 500 if registry.parse(env_id).task in ("Circle", "Run", "Race") else 1000
        assert gymnasium.spec(env_id).max_episode_steps == limit
        assert gymnasium.spec(registry.parse(env_id).twin).max_episode_steps == limit


def test_ids_can_be_filtered() -> None:
    circles = safety_gym.ids("PointCIRCLE1")
    assert circles == ["SafetyPointCircle1-v0", "SafetyPointCircle1Vision-v0", "SafetyPointCircle1Debug-v0"]
    assert safety_gym.ids("no such id") == []


@pytest.mark.parametrize(
    ("wrong", "close"),
    [
        ("SafetyPointGaol1-v0", "SafetyPointGoal1-v0"),
        ("SafetyCarButon2-v0", "SafetyCarButton2-v0"),
        ("safetypointgoal1-v0", "SafetyPointGoal1-v0"),
        ("SafetyPointGoal1", "SafetyPointGoal1-v0"),
        ("SafetyPointGoal3-v0", "SafetyPointGoal"),
    ],
)
def test_unknown_ids_say_what_was_meant(wrong: str, close: str) -> None:
    for maker in (safety_gym.make, safety_gym.make_vec, registry.parse):
        with pytest.raises(ValueError, match=rf"unknown id '{wrong}'; did you mean .*{close}"):
            maker(wrong)


@pytest.mark.parametrize("wrong", ["", "HalfCheetah", "SafetyPointGoal1-v7", "SafetyPointGoal1GymnasiumGymnasium-v0"])
def test_unknown_ids_are_value_errors(wrong: str) -> None:
    for maker in (safety_gym.make, safety_gym.make_vec):
        with pytest.raises(ValueError, match=wrong or "unknown id"):
            maker(wrong)


@pytest.mark.parametrize("wrong", [None, 3, ["SafetyPointGoal1-v0"]])
def test_ids_must_be_strings(wrong: Any) -> None:
    for maker in (safety_gym.make, safety_gym.make_vec):
        with pytest.raises(ValueError, match="env_id"):
            maker(wrong)


@pytest.mark.parametrize("maker", MAKERS)
def test_ids_not_built_yet_name_themselves(maker: str) -> None:
    """Variants of multi-agent ids, which the reference suite has."""
    env_id = "SafetyPointMultiGoal1Vision-v0"
    with pytest.raises((NotImplementedError, gymnasium.error.Error), match=env_id.removesuffix("-v0")):
        MAKERS[maker](env_id)
    assert env_id not in safety_gym.ids()


# --- twins, prefixes, variants ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["SafetyPointGoal1Gymnasium-v0", "safety_gym:SafetyPointGoal1-v0", "SafetyPointGoal1-v0"]
)
def test_names_of_the_same_environment(name: str) -> None:
    """Twins and module prefixes give the same trajectory through every maker."""
    given = actions(0, 5, 2)
    want = gymnasium.make("SafetyPointGoal1-v0")
    rows = [want.reset(seed=3)[0], *(want.step(a)[0] for a in given)]
    env, with_cost = gymnasium.make(name), safety_gym.make(name)
    np.testing.assert_array_equal([env.reset(seed=3)[0], *(env.step(a)[0] for a in given)], rows)
    np.testing.assert_array_equal([with_cost.reset(seed=3)[0], *(with_cost.step(a)[0] for a in given)], rows)
    for maker in (gymnasium.make_vec, safety_gym.make_vec):
        envs = maker(name, num_envs=1)
        np.testing.assert_array_equal([envs.reset(seed=3)[0][0], *(envs.step(a[None])[0][0] for a in given)], rows)


@pytest.mark.parametrize("env_id", PLAIN)
def test_every_twin_has_the_same_spaces(env_id: str) -> None:
    env, twin = gymnasium.make(env_id), gymnasium.make(registry.parse(env_id).twin)
    assert env.observation_space == twin.observation_space
    assert env.action_space == twin.action_space
    env.reset(seed=1)
    twin.reset(seed=1)
    step = twin.step(twin.action_space.sample())
    assert len(step) == 5 and step[4]["cost"] in (0.0, 1.0)


@pytest.mark.parametrize("env_id", DEBUG)
def test_debug_ids_are_the_same_environment_with_keys(env_id: str) -> None:
    """Without a window there are no keys: the actions given are used, which is said once."""
    parsed = registry.parse(env_id)
    options = {"config": LEVEL_0[parsed.task]} if parsed.level == "Base" else {}
    env = gymnasium.make(env_id, disable_env_checker=True, **options)
    plain = gymnasium.make(env_id.replace("Debug", ""), disable_env_checker=True, **options)
    assert env.unwrapped.keyboard and not plain.unwrapped.keyboard
    assert env.observation_space == plain.observation_space
    np.testing.assert_array_equal(env.reset(seed=0)[0], plain.reset(seed=0)[0])
    with pytest.warns(UserWarning, match="window"):
        obs = env.step(np.ones(2))[0]
    np.testing.assert_array_equal(obs, plain.step(np.ones(2))[0])


def test_a_suffix_is_a_keyword() -> None:
    env = gymnasium.make("SafetyPointGoal1-v0", keyboard=True)
    assert env.unwrapped.keyboard
    assert not gymnasium.make("SafetyPointGoal1Debug-v0", keyboard=False).unwrapped.keyboard


# --- Base ids ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", BASE)
def test_base_ids_need_objects(env_id: str) -> None:
    kind = {"Goal": "goal", "Button": "buttons", "Push": "push_box", "Circle": "circle", "Run": "sigwalls"}
    for maker in MAKERS.values():
        with pytest.raises(ValueError, match=rf"needs '{kind[registry.parse(env_id).task]}'"):
            maker(env_id)


@pytest.mark.parametrize("env_id", BASE)
def test_base_ids_with_the_fewest_objects(env_id: str) -> None:
    parsed = registry.parse(env_id)
    want = DATA["base"][parsed.task]
    objects: dict[str, Any] = {key.removesuffix("_lidar"): {} for key in want["lidars"]}
    env = single(env_id, **(objects or {"sigwalls": {}}))
    keys = [[t.key, list(t.shape)] for t in env.unwrapped.vec.sim.observer.terms]
    assert keys == [row[:2] for row in REFERENCE_ROBOTS[parsed.robot]["obs_keys"]] + [[k, [16]] for k in want["lidars"]]
    assert gymnasium.spec(env_id).max_episode_steps == want["limit"]


@pytest.mark.parametrize("env_id", BASE)
def test_base_ids_with_the_level_0_configuration_are_level_0(env_id: str) -> None:
    parsed = registry.parse(env_id)
    base = gymnasium.make(env_id, config=dict(LEVEL_0[parsed.task]))
    level = gymnasium.make(env_id.replace("Base", "0"))
    assert base.observation_space == level.observation_space
    assert base.action_space == level.action_space
    np.testing.assert_array_equal(base.reset(seed=5)[0], level.reset(seed=5)[0])
    for action in moves(base.action_space, 1, 4):
        ours, theirs = base.step(action), level.step(action)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1:] == theirs[1:]
    envs = gymnasium.make_vec(env_id, num_envs=2, config=dict(LEVEL_0[parsed.task]))
    assert envs.single_observation_space == level.observation_space


@pytest.mark.parametrize(
    ("task", "options", "want"),
    [
        ("Goal", {"goal": {}}, {"extents": (-2, -2, 2, 2), "keepout": 0.4, "clip": 10, "factor": 1.0, "max_dist": 3}),
        ("Push", {"goal": {}, "push_box": {}}, {"extents": (-2, -2, 2, 2), "null_dist": 2.0}),
        ("Button", {"goal": {}, "buttons": {"num": 2}}, {"extents": (-2, -2, 2, 2), "constrained": True}),
        ("Circle", {"circle": {}}, {"factor": 0.01, "agent_keepout": 0.4, "max_dist": 3}),
        ("Run", {"sigwalls": {}}, {"factor": 1.0, "clip": 10, "floor": 3.5}),
    ],
)
def test_base_defaults(task: str, options: dict[str, Any], want: dict[str, Any]) -> None:
    config = single(f"SafetyPoint{task}Base-v0", **options).unwrapped.vec.sim.config
    specs = {spec.kind: spec for spec in config.objects}
    ours = {
        "extents": config.extents,
        "clip": config.reward_clip,
        "factor": config.reward_factor,
        "max_dist": config.lidar_max_dist,
        "agent_keepout": config.agent.keepout,
        "floor": config.floor_size[0],
        "keepout": specs["goal"].keepout if "goal" in specs else None,
        "null_dist": getattr(specs.get("push_box"), "null_dist", None),
        "constrained": getattr(specs.get("buttons"), "is_constrained", None),
    }
    assert {key: ours[key] for key in want} == want


# --- configuration and own tasks --------------------------------------------------------------------------------------


def test_options_win_over_the_configuration_mapping() -> None:
    env = single("SafetyPointGoal1-v0", config={"lidar_conf.num_bins": 8, "lidar_conf.max_dist": 2.0}, lidar_num_bins=4)
    config = env.unwrapped.vec.sim.config
    assert (config.lidar_num_bins, config.lidar_max_dist) == (4, 2.0)
    assert env.observation_space.shape == (12 + 3 * 4,)


def test_the_configuration_must_agree_with_the_id() -> None:
    single("SafetyPointGoal1-v0", config={"agent_name": "Point"})
    for key, value in (("agent_name", "Car"), ("task_name", "PointGoal2")):
        with pytest.raises(ValueError, match=value):
            single("SafetyPointGoal1-v0", config={key: value})


@pytest.fixture
def own_id() -> Iterator[str]:
    """A free id; everything registered during the test is taken back afterwards."""
    before = set(gymnasium.registry)
    yield "SafetyPointOwn-v0"
    for env_id in set(gymnasium.registry) - before:
        del gymnasium.registry[env_id]
        registry._custom.pop(env_id, None)
        registry._limits.pop(env_id, None)


def test_own_tasks_are_data(own_id: str) -> None:
    options = {"hazards": {"num": 5}, "extents": (-3, -3, 3, 3)}
    safety_gym.register_task(own_id, "SafetyPointGoal1-v0", max_episode_steps=7, **options)
    assert own_id in safety_gym.ids()
    want = single("SafetyPointGoal1-v0", max_episode_steps=7, **options)
    for env in (single(own_id), single(f"safety_gym:{own_id}")):
        np.testing.assert_array_equal(env.reset(seed=0)[0], want.reset(seed=0)[0])
        assert len(env.unwrapped.layout["hazards"]) == 5
        ends = [env.step(np.zeros(2))[3] for _ in range(7)]
        assert ends == [False] * 6 + [True]
    envs = safety_gym.make_vec(own_id, num_envs=2)
    envs.reset(seed=0)
    ends = [envs.step(np.zeros((2, 2)))[4].tolist() for _ in range(7)]
    assert ends == [[False, False]] * 6 + [[True, True]]
    assert safety_gym.make(own_id).reset(seed=0)[0].shape == want.observation_space.shape


def test_own_tasks_take_further_options(own_id: str) -> None:
    safety_gym.register_task(own_id, "SafetyPointGoalBase-v0", goal={"size": 0.5}, hazards={"num": 2})
    env = single(own_id, hazards={"num": 3})
    config = env.unwrapped.vec.sim.config
    goal, hazards = config.objects
    assert (goal.size, hazards.num) == (0.5, 3)


@pytest.mark.usefixtures("own_id")
def test_own_tasks_with_their_own_namespace() -> None:
    safety_gym.register_task("mine/Crowd-v0", "SafetyCarGoal0-v0", extents=(-2, -2, 2, 2))
    assert gymnasium.make("mine/Crowd-v0").reset(seed=0)[0].shape == (40,)
    assert safety_gym.make_vec("mine/Crowd-v0", num_envs=2).reset(seed=0)[0].shape == (2, 40)


def test_wrong_own_tasks_register_nothing(own_id: str) -> None:
    with pytest.raises(ValueError, match="exists already"):
        safety_gym.register_task("SafetyPointGoal1-v0", "SafetyPointGoal0-v0")
    with pytest.raises(ValueError, match="exists already"):
        safety_gym.register_task("SafetyPointGoal1Gymnasium-v0", "SafetyPointGoal0-v0")
    with pytest.raises(ValueError, match="SafetyAntGoal1Vision-v0"):
        safety_gym.register_task("SafetyAntGoal1Vision-v0", "SafetyPointGoal0-v0")
    with pytest.raises(ValueError, match=r"unknown id.*did you mean"):
        safety_gym.register_task(own_id, "SafetyPointGaol0-v0")
    with pytest.raises(ValueError, match=r"hazrads.*did you mean 'hazards'"):
        safety_gym.register_task(own_id, "SafetyPointGoal0-v0", hazrads={})
    with pytest.raises(ValueError, match="needs 'goal'"):
        safety_gym.register_task(own_id, "SafetyPointGoalBase-v0")
    with pytest.raises(NotImplementedError, match="SafetyPointMultiGoal1Vision-v0"):
        safety_gym.register_task(own_id, "SafetyPointMultiGoal1Vision-v0")
    with pytest.raises(ValueError, match="max_episode_steps"):
        safety_gym.register_task(own_id, "SafetyPointGoal0-v0", max_episode_steps=0)
    assert own_id not in safety_gym.ids()
    assert own_id not in gymnasium.registry
