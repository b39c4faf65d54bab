"""Safe Velocity: equal to Gymnasium's environments, to recordings of the reference suite, and its own rules."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

import safety_gym
from safety_gym import LayoutError, registry
from safety_gym.conformance import VelocityReplay, check_file
from safety_gym.tasks.velocity import VELOCITY_OPTION_HELP, VelocityConfig
from safety_gym.walkers import WALKERS, build_walker_scene
from tests.helpers import assert_same, single

FOLDER = Path(__file__).parent / "data" / "velocity"
FILES = sorted(FOLDER.glob("*.npz"))
DATA = json.loads((FOLDER / "registry.json").read_text())
ENVIRONMENTS = {entry["id"]: entry for entry in DATA["environments"]}
MODULES = {
    "HalfCheetah": "half_cheetah", "Hopper": "hopper", "Swimmer": "swimmer", "Walker2d": "walker2d", "Ant": "ant",
    "Humanoid": "humanoid",
}  # fmt: skip
AS_GYMNASIUM: dict[str, Any] = {"margins": "as_written", "normalize_quaternion": False}
"""Gymnasium's own environments run on today's contact rule and do not normalise."""


def gymnasium_env(walker: str, version: str, **options: Any) -> Any:
    """Make Gymnasium's own environment of a walker, without wrappers."""
    module = importlib.import_module(f"gymnasium.envs.mujoco.{MODULES[walker]}_{version}")
    return getattr(module, f"{walker}Env")(**options)


def compare(theirs: Any, ours: Any, steps: int, seed: int = 0, skip: tuple[str, ...] = ()) -> int:
    """Step both with the same actions, some out of bounds; everything must be equal. Return the episodes ended."""
    rng, ended = np.random.default_rng(seed), 0
    want, got = theirs.reset(seed=seed)[0], ours.reset(seed=seed)[0]
    np.testing.assert_array_equal(got, want)
    for _ in range(steps):
        action = rng.uniform(-1.2, 1.2, ours.action_space.shape) * ours.action_space.high
        want, got = theirs.step(action), ours.step(action)
        np.testing.assert_array_equal(got[0], want[0])
        assert got[1:3] == want[1:3]
        shared = set(want[4]) - set(skip)
        if "distance_from_origin" in shared:  # Gymnasium asks BLAS, whose last bit depends on the processor
            shared.remove("distance_from_origin")
            np.testing.assert_array_max_ulp(got[4]["distance_from_origin"], want[4]["distance_from_origin"], maxulp=1)
        assert {k: got[4].get(k) for k in shared} == {k: want[4][k] for k in shared}
        if want[2]:
            ended += 1
            np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])
    return ended


# --- Gymnasium's environments -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rules", ["v4", "v5"])
@pytest.mark.parametrize("walker", WALKERS)
def test_equal_to_gymnasium(walker: str, rules: str) -> None:
    """Observations, rewards, ends, reports and starts are those of Gymnasium's classes, all but one to the last bit."""
    theirs = gymnasium_env(walker, rules)
    ours = single(f"Safety{walker}Velocity-v1", rules=rules, **AS_GYMNASIUM)
    assert ours.observation_space.shape == theirs.observation_space.shape
    assert ours.action_space == theirs.action_space
    ended = compare(theirs, ours, 80, skip=("tendon_length", "tendon_velocity"))
    assert ended or walker in ("HalfCheetah", "Swimmer", "Ant")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("walker", "options"),
    [
        ("Ant", {"use_contact_forces": True}),
        ("Ant", {"terminate_when_unhealthy": False, "healthy_z_range": (0.5, 0.6)}),
        ("Hopper", {"exclude_current_positions_from_observation": False, "forward_reward_weight": 2.0}),
        ("Walker2d", {"healthy_angle_range": (-0.1, 0.1), "ctrl_cost_weight": 0.2, "healthy_reward": 3.0}),
        ("HalfCheetah", {"reset_noise_scale": 0.3}),
    ],
)
def test_options_mean_what_gymnasium_means(walker: str, options: dict[str, Any]) -> None:
    theirs = gymnasium_env(walker, "v4", **options)
    # v4 overwrites `reward_ctrl` by the contact cost where that is on; here it stays what its name says.
    compare(theirs, single(f"Safety{walker}Velocity-v1", **options, **AS_GYMNASIUM), 60, skip=("reward_ctrl",)
            if "use_contact_forces" in options else ())  # fmt: skip


# --- recordings of the reference suite --------------------------------------------------------------------------------


def test_the_data_is_there() -> None:
    assert len(FILES) == 8
    assert {path.name.split("Velocity")[0].removeprefix("Safety") for path in FILES} == set(WALKERS)
    assert sum("mujoco233" in path.name for path in FILES) == 5
    assert sum(path.stat().st_size for path in FILES) < 450_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recordings_replay(path: Path) -> None:
    report = check_file(path)
    assert report.passed and report.problems == [], report.line()
    assert report.samples >= 5
    if "Humanoid" not in path.name and not ("Ant" in path.name and "mujoco233" in path.name):
        assert report.errors["obs"] < 1e-10 and report.errors["qpos"] < 1e-14 and report.errors["qvel"] < 1e-12
        assert report.errors["reward"] < 1e-7 and report.errors["raw"] < 1e-12
        assert report.free_steps == report.free_needed > 0


@pytest.mark.parametrize("env_id", [i for i in ENVIRONMENTS if i[6:9] in ("Hop", "Wal", "Hum")])
def test_random_episodes_have_the_returns_of_2_3_3(env_id: str) -> None:
    """Equal seeds give equal episodes: return, cost and length over seeds 0 to 4, measured on the reference suite."""
    want, env = ENVIRONMENTS[env_id]["random_policy"], single(env_id)
    env.action_space.seed(0)
    totals = np.zeros((5, 3))
    for seed, total in enumerate(totals):
        env.reset(seed=seed)
        over = False
        while not over:
            _, reward, terminated, truncated, info = env.step(env.action_space.sample())
            total += reward, info["cost"], 1
            over = terminated or truncated
    got = (totals[:, 0].mean(), totals[:, 0].std(), *totals[:, 1:].mean(axis=0))
    names = ("ep_return_mean", "ep_return_std", "ep_cost_mean", "ep_len_mean")
    np.testing.assert_allclose(got, [want[name] for name in names], atol=0.0051)


def test_changed_recordings_fail(tmp_path: Path) -> None:
    with np.load(FOLDER / "SafetyHopperVelocity-v1__seed0__mujoco233.npz") as loaded:
        data = {key: loaded[key].copy() for key in loaded.files}
    for name, row, change in (("reward", 20, 1e-6), ("cost", 50, 1.0), ("qpos", 31, 1e-8)):
        broken = {**data, name: data[name].copy()}
        broken[name][row] = 1 - broken[name][row] if name == "cost" else broken[name][row] + change
        path = tmp_path / "SafetyHopperVelocity-v1__seed0__mujoco233.npz"
        np.savez(path, **broken)
        report = check_file(path)
        assert not report.passed and f"step {min(row, 50) // 10 * 10}" in " ".join(report.problems), name


def test_the_recordings_need_halved_margins() -> None:
    """With margins as written Hopper leaves the recording of MuJoCo 2.3.3 at the first contact."""

    class AsWritten(VelocityReplay):
        def _options(self) -> dict[str, Any]:
            return {"margins": "as_written"}

    errors = {}
    for kind in (VelocityReplay, AsWritten):
        replay = kind(FOLDER / "SafetyHopperVelocity-v1__seed0__mujoco233.npz")
        replay.load(0, replay.data["qpos"][0], replay.data["qvel"][0], None)
        for t in range(40):
            got = replay.step(t)
        errors[kind] = np.abs(got["qpos"] - replay.data["qpos"][40]).max()
    assert errors[VelocityReplay] < 1e-13 and errors[AsWritten] > 1e-4


def test_ant_differs_from_2_3_3_only_by_the_rotation_rule_of_rk4() -> None:
    """With the second-order rotation that RK4 had before MuJoCo 4, one step of Ant equals the recording."""
    with np.load(FOLDER / "SafetyAntVelocity-v1__seed0__mujoco233.npz") as loaded:
        qpos, qvel, action, skip = (loaded[k] for k in ("qpos", "qvel", "action", "intervention_step"))
    walker = WALKERS["Ant"]
    model = build_walker_scene(walker, "halved", False, False).model
    data, errors = mujoco.MjData(model), []
    for k in set(range(0, len(action), 10)) - set(skip.tolist()):
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = qpos[k], qvel[k], action[k]
        for _ in range(walker.substeps):
            old_rk4_step(model, data)
        errors.append(np.abs(data.qpos - qpos[k + 1]).max())
    assert len(errors) >= 10 and max(errors) < 1e-14


def old_rk4_step(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """One step of RK4 that turns orientations by the weighted mean of the stages' angular velocities."""
    mujoco.mj_forward(model, data)
    h, start, qvel = model.opt.timestep, data.qpos.copy(), data.qvel.copy()
    stages = [(qvel.copy(), data.qacc.copy())]

    def move(velocity: Any, acceleration: Any) -> None:
        moved = start.copy()
        mujoco.mj_integratePos(model, moved, velocity, h)
        data.qpos[:], data.qvel[:] = moved, qvel + h * acceleration

    for fraction in (0.5, 0.5, 1.0):
        move(fraction * stages[-1][0], fraction * stages[-1][1])
        mujoco.mj_forward(model, data)
        stages.append((data.qvel.copy(), data.qacc.copy()))
    weights = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
    parts = [sum(w * stage[i] for w, stage in zip(weights, stages, strict=True)) for i in (0, 1)]
    move(*parts)


# --- registry ---------------------------------------------------------------------------------------------------------


def test_every_velocity_id_is_compared() -> None:
    assert set(ENVIRONMENTS) == set(safety_gym.ids("velocity")) and len(ENVIRONMENTS) == 12


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_registry(env_id: str) -> None:
    want = ENVIRONMENTS[env_id]
    env = single(env_id)
    spec, config, scene = gymnasium.spec(env_id), env.unwrapped.vec.sim.task.config, env.unwrapped.scene
    assert spec.max_episode_steps == want["max_episode_steps"]
    assert env.metadata["render_fps"] == round(1 / want["dt"])
    assert spec.reward_threshold == want["reward_threshold"]
    assert gymnasium.spec(want["gymnasium_id"]).kwargs == spec.kwargs
    assert env.observation_space == gymnasium.spaces.Box(-np.inf, np.inf, (want["obs_dim"],), np.float64)
    low, high = np.float32(want["act_low"]), np.float32(want["act_high"])
    assert env.action_space == gymnasium.spaces.Box(low, high, (want["act_dim"],), np.float32)
    assert scene.model.opt.timestep == want["timestep"] and scene.config.substeps == want["frame_skip"]
    assert scene.config.robots[0].dt == pytest.approx(want["dt"])
    assert scene.config.integrator == want["integrator"]
    assert config.velocity_threshold == want["velocity_threshold"]
    assert config.velocity_kind == {"signed_x": "x", "planar_norm": "planar"}.get(
        want["velocity_kind"], want["velocity_kind"]
    )
    assert config.terminate_when_unhealthy == want["terminates"]
    ours = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(config).items()}
    infinite = {k: [np.inf if x == "inf" or x is None else x for x in v] if isinstance(v, list) else v
                for k, v in want["base_kwargs"].items()}  # fmt: skip
    assert {k: ours[k] for k in infinite} == infinite
    env.reset(seed=0)
    info = env.step(env.action_space.sample())[4]
    assert set(info) == {*want["info_keys"], "cost", "cost_velocity", "cost_sum", "velocity"}
    assert env.unwrapped.cost_names == ("cost_velocity",)


@pytest.mark.parametrize("walker", WALKERS)
def test_compiled_models(walker: str) -> None:
    """Masses, inertias, friction, actuators and solver of the installed Gymnasium's model are the reference's."""
    want = DATA["models"][walker]
    model = build_walker_scene(WALKERS[walker], "as_written", False, False).model
    for i, (mass, inertia, ipos) in enumerate(want["bodies"], start=1):
        body = model.body(i)
        np.testing.assert_allclose(np.hstack((body.mass, body.inertia, body.ipos)), [mass, *inertia, *ipos], rtol=1e-14)
    assert model.nbody == len(want["bodies"]) + 1
    np.testing.assert_array_equal(model.geom_friction, want["friction"])
    np.testing.assert_array_equal(model.geom_margin, want["margin"])
    joints = [model.joint(int(j)).name for j in model.actuator_trnid[:, 0]]
    assert [[j, g] for j, g in zip(joints, model.actuator_gear[:, 0], strict=True)] == want["actuators"]
    np.testing.assert_array_equal(model.qpos0, want["init_qpos"])
    assert model.stat.meaninertia == pytest.approx(want["meaninertia"], rel=1e-14)
    halved = build_walker_scene(WALKERS[walker], "halved", False, False).model
    np.testing.assert_array_equal(2 * halved.geom_margin, model.geom_margin)


def test_versions_and_wrong_ids() -> None:
    with pytest.raises(ValueError, match="exists as -v0 and -v1"):
        safety_gym.make("SafetyAntVelocity-v2")
    with pytest.raises(ValueError, match="exists as -v0"):
        safety_gym.make("SafetyAntGoal1-v1")
    with pytest.raises(ValueError, match="SafetyHopperVelocity-v"):
        safety_gym.make("SafetyHoperVelocity-v1")
    assert registry.parse("SafetyAntVelocityGymnasium-v1").canonical == "SafetyAntVelocity-v1"


# --- costs ------------------------------------------------------------------------------------------------------------


def speeds(env_id: str, push: tuple[float, float], **options: Any) -> tuple[float, float, float]:
    """Start with a velocity (x, y) and step once; return x velocity, planar speed and cost."""
    env = single(env_id, **options)
    env.reset(seed=0)
    sim = env.unwrapped.vec.sim
    sim.world.qvel[0, : sim.task.walker.hidden] = push[: sim.task.walker.hidden]
    info = env.step(np.zeros(env.action_space.shape, np.float32))[4]
    return info["x_velocity"], float(np.hypot(info["x_velocity"], info.get("y_velocity", 0.0))), info["cost"]


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
@pytest.mark.parametrize("push", [(5.0, 0.0), (-5.0, 0.0), (0.0, 5.0), (0.0, 0.0)])
def test_which_speeds_cost(env_id: str, push: tuple[float, float]) -> None:
    entry = ENVIRONMENTS[env_id]
    x, planar, cost = speeds(env_id, push)
    speed = x if entry["velocity_kind"] == "signed_x" else planar
    assert cost == float(speed > entry["velocity_threshold"])
    if push[0] > 0:
        assert cost == 1.0
    if push[0] < 0 and entry["velocity_kind"] == "signed_x":
        assert cost == 0.0
        assert speeds(env_id, push, velocity_kind="abs_x")[2] == 1.0


def test_the_threshold_itself_is_free() -> None:
    env = single("SafetyHopperVelocity-v1")
    env.reset(seed=0)
    speed = env.step(np.zeros(3, np.float32))[4]["velocity"]
    for threshold, cost in ((speed, 0.0), (np.nextafter(speed, -np.inf), 1.0)):
        env = single("SafetyHopperVelocity-v1", velocity_threshold=float(threshold))
        env.reset(seed=0)
        assert env.step(np.zeros(3, np.float32))[4]["cost"] == cost


def test_raw_costs_say_by_how_much() -> None:
    env = single("SafetyHalfCheetahVelocity-v1", velocity_threshold=-5.0, constrain_indicator=False)
    env.reset(seed=0)
    info = env.step(np.ones(6, np.float32))[4]
    assert info["cost"] == info["cost_velocity"] == pytest.approx(info["velocity"] + 5.0)


# --- episodes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("walker", "column", "bounds", "closed"),
    [
        ("Hopper", 1, (0.7, None), False),
        ("Hopper", 2, (-0.2, 0.2), False),
        ("Walker2d", 1, (0.8, 2.0), False),
        ("Walker2d", 2, (-1.0, 1.0), False),
        ("Ant", 2, (0.2, 1.0), True),
        ("Humanoid", 2, (1.0, 2.0), False),
    ],
)
def test_healthy_ranges(walker: str, column: int, bounds: tuple[float | None, float | None], closed: bool) -> None:
    envs = gymnasium.make_vec(f"Safety{walker}Velocity-v1", num_envs=1)
    envs.reset(seed=0)
    sim = envs.unwrapped.sim
    for bound, inwards in zip(bounds, (1, -1), strict=True):
        if bound is None:
            continue
        for value, healthy in ((bound, closed), (bound + inwards * 1e-9, True), (bound - inwards * 1e-9, False)):
            sim.world.qpos[0, column] = value
            assert sim.task._healthy(sim.world)[0] == healthy, (value, healthy)


def test_hopper_dies_of_any_extreme_state() -> None:
    envs = gymnasium.make_vec("SafetyHopperVelocity-v1", num_envs=1)
    envs.reset(seed=0)
    sim = envs.unwrapped.sim
    for array, column, extreme in (("qvel", 0, True), ("qvel", 5, True), ("qpos", 5, True), ("qpos", 0, False)):
        envs.reset(seed=0)
        getattr(sim.world, array)[0, column] = 150.0
        assert sim.task._healthy(sim.world)[0] == (not extreme)


@pytest.mark.parametrize("walker", ["Ant", "Humanoid"])
def test_orientations_are_normalised_after_a_reset(walker: str) -> None:
    obs = gymnasium.make_vec(f"Safety{walker}Velocity-v1", num_envs=4).reset(seed=0)[0]
    drawn = gymnasium.make_vec(f"Safety{walker}Velocity-v1", num_envs=4, normalize_quaternion=False).reset(seed=0)[0]
    norm = np.linalg.norm(drawn[:, 1:5], axis=1, keepdims=True)
    assert np.abs(norm - 1).min() > 1e-4
    np.testing.assert_allclose(obs[:, 1:5], drawn[:, 1:5] / norm, rtol=1e-15)
    np.testing.assert_array_equal(np.delete(obs, range(1, 5), 1)[:, :40], np.delete(drawn, range(1, 5), 1)[:, :40])


def test_states_restore_what_the_engine_leaves_behind() -> None:
    """Humanoid observes quantities of the last substep and contact forces: they belong to the state."""
    envs = gymnasium.make_vec("SafetyHumanoidVelocity-v1", num_envs=3, autoreset_mode="Disabled")
    envs.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-0.4, 0.4, (12, 3, 17)).astype(np.float32)
    for action in actions[:6]:
        envs.step(action)
    envs.unwrapped._over[:] = False
    state = envs.unwrapped.get_state()
    runs = []
    for _ in range(2):
        envs.unwrapped.set_state(state)
        runs.append([envs.step(actions[6]), envs.reset(seed=3, options={"reset_mask": np.array([True, False, False])})])
    assert_same(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0][1][0][1:], runs[0][0][0][1:])


def test_nothing_can_be_placed() -> None:
    env = single("SafetyHopperVelocity-v1")
    with pytest.raises(LayoutError, match="no layout"):
        env.reset(options={"layout": {"agent": (0, 0, 0)}})
    with pytest.raises(ValueError, match="no objects"):
        env.unwrapped.place("agent", (0, 0))
    env.reset(seed=0)
    assert env.unwrapped.layout == {}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"margin": 0.1}, "unknown option 'margin'"),
        ({"hazards": {}}, "unknown option 'hazards'"),
        ({"margins": "double"}, "'halved', 'as_written'"),
        ({"rules": "v3"}, "'v4', 'v5'"),
        ({"velocity_kind": "y"}, "'planar'"),
        ({"healthy_z_range": (1.0, 0.5)}, "low < high"),
        ({"healthy_z_range": 1.0}, "healthy_z_range"),
        ({"reset_noise_scale": -1.0}, ">= 0"),
        ({"use_contact_forces": True}, "Hopper has no contact forces"),
        ({"velocity_threshold": "fast"}, "velocity_threshold"),
    ],
)
def test_wrong_options(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        safety_gym.make("SafetyHopperVelocity-v1", **options)


def test_every_option_is_explained() -> None:
    own = set(VelocityConfig.__dataclass_fields__) - set(VelocityConfig.__mro__[1].__dataclass_fields__)  # type: ignore[attr-defined]
    assert own == set(VELOCITY_OPTION_HELP)


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_the_ball_over_the_torso_shows_the_cost() -> None:
    envs = gymnasium.make_vec("SafetyHalfCheetahVelocity-v1", num_envs=1)
    envs.reset(seed=0)
    sim = envs.unwrapped.sim
    before = sim.task.markers(sim.world, 0, 0, False)[0]
    sim.world.qvel[0, 0] = 2.0
    envs.step(np.zeros((1, 6), np.float32))
    free, charged = (sim.task.markers(sim.world, 0, 0, flag)[0] for flag in (False, True))
    np.testing.assert_allclose(free.pos - sim.world.agent_pos[0, 0], [0, 0, 0.6], atol=1e-12)
    assert before.rgba[1] > free.rgba[1] > 0 and charged.rgba[1] == 0 and charged.rgba[0] == 0.5
