"""Robots: compiled models against the reference's, starts, ends, keys, older versions, and how they move."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

import safety_gym
from safety_gym.robots import ROBOTS
from safety_gym.scene import SceneConfig, build_scene
from safety_gym.views import key_action
from tests.helpers import single

FACTS = json.loads((Path(__file__).parent / "data" / "robots.json").read_text())
Array = np.ndarray[Any, Any]


def compiled(robot: str, drawing: bool = False) -> mujoco.MjModel:
    """The scene of a robot alone on the floor."""
    scene = build_scene(SceneConfig(robots=(ROBOTS[robot],), objects=()))
    return scene.drawing if drawing else scene.model


def same(ours: Any, theirs: Any, what: str) -> None:
    """Compare numbers that two compilations of one model may round differently."""
    np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-16, err_msg=what)


def robot_bodies(model: mujoco.MjModel) -> list[int]:
    """Bodies from `agent` on, in the order of the model: ours are the robot's alone."""
    return list(range(model.body("agent/agent").id, model.nbody))


def named(name: str | None) -> str:
    return f"agent/{name}"


# --- compiled models --------------------------------------------------------------------------------------------------


def test_every_robot_is_compared() -> None:
    assert set(FACTS) == set(ROBOTS)


@pytest.mark.parametrize("robot", list(ROBOTS))
def test_options_and_sizes(robot: str) -> None:
    want, model = FACTS[robot], compiled(robot)
    for name, value in want["opt"].items():
        if name in ("integrator", "solver", "cone"):
            kind = {"integrator": mujoco.mjtIntegrator, "solver": mujoco.mjtSolver, "cone": mujoco.mjtCone}[name]
            prefix = {"integrator": "mjINT_", "solver": "mjSOL_", "cone": "mjCONE_"}[name]
            assert getattr(model.opt, name) == getattr(kind, prefix + value.upper()), name
        else:
            np.testing.assert_array_equal(getattr(model.opt, name), value, err_msg=name)
    assert (model.nq, model.nv, model.nu) == (want["nq"], want["nv"], len(want["actuators"]))
    same(model.body("agent/agent").subtreemass, want["mass"], "mass of the robot")
    assert model.nexclude == want["excludes"]
    floor = model.geom("floor")
    assert [int(floor.contype[0]), int(floor.conaffinity[0]), floor.friction.tolist()] == want["floor"]
    assert (ROBOTS[robot].spawn_z, ROBOTS[robot].keepout) == (want["z"], want["keepout"])


@pytest.mark.parametrize("robot", list(ROBOTS))
def test_bodies(robot: str) -> None:
    want, model = FACTS[robot]["bodies"], compiled(robot)
    ids = robot_bodies(model)
    assert len(ids) == len(want)
    for i, (name, parent, pos, quat, mass, inertia, ipos, iquat) in zip(ids, want, strict=True):
        assert name is None or model.body(i).name == named(name)
        if parent >= 0:
            assert model.body_parentid[i] == ids[parent]
            same(model.body_pos[i], pos, f"position of {name}")
            same(model.body_quat[i], quat, f"orientation of {name}")
        same(model.body_mass[i], mass, f"mass of {name}")
        same(model.body_inertia[i], inertia, f"inertia of {name}")
        if mass:
            same(model.body_ipos[i], ipos, f"centre of {name}")
            same(model.body_iquat[i], iquat, f"inertia frame of {name}")


@pytest.mark.parametrize("robot", list(ROBOTS))
def test_joints(robot: str) -> None:
    want, model = FACTS[robot], compiled(robot)
    assert model.njnt == len(want["joints"])
    for i, (name, kind, axis, limited, bounds, stiffness, spring, margin) in enumerate(want["joints"]):
        joint = model.joint(i)
        assert joint.name == named(name)
        assert model.jnt_type[i] == getattr(mujoco.mjtJoint, f"mjJNT_{kind.upper()}")
        same(joint.axis, axis, f"axis of {name}")
        assert bool(model.jnt_limited[i]) == limited
        np.testing.assert_array_equal(joint.range, bounds)
        assert (model.jnt_stiffness[i], model.jnt_margin[i]) == (stiffness, margin)
        if kind == "hinge":
            assert model.qpos_spring[model.jnt_qposadr[i]] == spring
            assert model.qpos0[model.jnt_qposadr[i]] == 0
    np.testing.assert_array_equal(np.stack((model.dof_damping, model.dof_armature), axis=1), want["dofs"])
    assert not model.dof_frictionloss.any()


@pytest.mark.parametrize("robot", list(ROBOTS))
def test_geoms_that_touch(robot: str) -> None:
    want, model = FACTS[robot]["geoms"], compiled(robot)
    geoms = [i for i in range(model.ngeom) if model.geom(i).name != "floor"]
    assert len(geoms) == len(want)
    for i, (kind, size, pos, quat, friction, contype, conaffinity) in zip(geoms, want, strict=True):
        name = model.geom(i).name
        assert model.geom_type[i] == getattr(mujoco.mjtGeom, f"mjGEOM_{kind.upper()}"), name
        if kind != "mesh":  # the chassis of the Racecar has a shape of its own
            same(model.geom_size[i], size, name)
            same(model.geom_pos[i], pos, name)
            same(model.geom_quat[i], quat, name)
        assert model.geom_friction[i].tolist() == friction
        assert (model.geom_contype[i], model.geom_conaffinity[i]) == (contype, conaffinity)
        assert model.geom_condim[i] == 6 and model.geom_priority[i] == 0
        assert model.geom_margin[i] == model.geom_gap[i] == 0
        assert model.geom_solref[i].tolist() == [0.02, 1]
        assert model.geom_solimp[i].tolist() == [0.9, 0.95, 0.001, 0.5, 2]


@pytest.mark.parametrize("robot", list(ROBOTS))
def test_actuators_and_equalities(robot: str) -> None:
    want, model = FACTS[robot], compiled(robot)
    for i, (target, kind, gear, ctrl, limited, force, gain, bias_type, bias) in enumerate(want["actuators"]):
        assert model.actuator_trntype[i] == getattr(mujoco.mjtTrn, f"mjTRN_{kind.upper()}")
        object_type = mujoco.mjtObj.mjOBJ_SITE if kind == "site" else mujoco.mjtObj.mjOBJ_JOINT
        assert mujoco.mj_id2name(model, object_type, model.actuator_trnid[i, 0]) == named(target)
        assert model.actuator_gear[i].tolist() == gear
        assert model.actuator_ctrllimited[i] and model.actuator_ctrlrange[i].tolist() == ctrl
        assert bool(model.actuator_forcelimited[i]) == limited and model.actuator_forcerange[i].tolist() == force
        assert model.actuator_gaintype[i] == 0 and model.actuator_gainprm[i, :3].tolist() == gain
        assert model.actuator_biastype[i] == bias_type and model.actuator_biasprm[i, :3].tolist() == bias
    assert model.neq == len(want["equalities"])
    for i, (first, second, data, solref, solimp) in enumerate(want["equalities"]):
        assert model.joint(model.eq_obj1id[i]).name == named(first)
        assert model.joint(model.eq_obj2id[i]).name == named(second)
        assert model.eq_data[i].tolist() == data
        assert (model.eq_solref[i].tolist(), model.eq_solimp[i].tolist()) == (solref, solimp)


@pytest.mark.parametrize("robot", list(ROBOTS))
def test_sensors_sites_and_cameras(robot: str) -> None:
    want, model = FACTS[robot], compiled(robot)
    observed = {term.source for term in ROBOTS[robot].terms}
    assert observed == set(want["sensors"])
    for name, (kind, size) in want["sensors"].items():
        sensor = model.sensor(named(name))
        assert mujoco.mjtSensor(int(sensor.type[0])).name == f"mjSENS_{kind.upper()}"
        assert sensor.dim[0] == size
    for name, pos, radius in want["sites"]:
        site = model.site(named(name))
        assert (site.pos.tolist(), site.size[0]) == (pos, radius)
    for name, pos, quat, fovy in want["cameras"]:
        camera = model.camera(named(name))
        same(camera.pos, pos, name)
        same(camera.quat, quat, name)
        assert camera.fovy[0] == fovy


@pytest.mark.parametrize("robot", list(ROBOTS))
def test_decoration_is_only_drawn(robot: str) -> None:
    stepped, drawn = compiled(robot), compiled(robot, drawing=True)
    decoration = [i for i in range(drawn.ngeom) if not (drawn.geom_contype[i] or drawn.geom_conaffinity[i])]
    assert stepped.ngeom + len(decoration) == drawn.ngeom
    assert bool(decoration) == (robot in ("Racecar", "Doggo", "Ant"))
    assert all(drawn.geom_group[i] == 1 for i in decoration)
    np.testing.assert_array_equal(drawn.body_mass[: stepped.nbody], stepped.body_mass)
    np.testing.assert_array_equal(drawn.body_inertia[: stepped.nbody], stepped.body_inertia)


# --- starts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("robot", list(ROBOTS))
def test_spawn_heights_and_rest(robot: str) -> None:
    envs = gymnasium.make_vec(f"Safety{robot}Goal0-v0", num_envs=6)
    envs.reset(seed=0)
    world = envs.unwrapped.sim.world
    np.testing.assert_allclose(world.agent_pos[:, 0, 2], FACTS[robot]["z"], rtol=0, atol=1e-15)
    assert not world.qvel.any() and not world.ctrl.any() and not world.time.any()
    up = world.agent_mat[:, 0, 8]
    np.testing.assert_allclose(up, 1.0, rtol=0, atol=1e-15)
    assert np.ptp(world.agent_yaw()) > 0.5


def ant_joints(envs: Any) -> Array:
    return np.array(envs.unwrapped.sim.world.qpos[:, 7:15])


def test_the_ants_joints_start_near_home() -> None:
    """Hips within 0.1 of 0, ankles within 0.1 of +-pi/2; two ankles are mirrored, noise included."""
    n = 200
    envs = gymnasium.make_vec("SafetyAntGoal0-v0", num_envs=n)
    envs.reset(seed=3)
    joints = ant_joints(envs)
    sign = np.array([1, 1, 1, -1, 1, -1, 1, 1])
    home = np.tile([0, math.pi / 2], 4)
    noise = joints * sign - home
    want = [
        np.random.Generator(np.random.PCG64(np.random.SeedSequence(3 + i, spawn_key=(1,)))).uniform(-0.1, 0.1, 8)
        for i in range(n)
    ]
    np.testing.assert_allclose(noise, want, rtol=0, atol=1e-15)
    assert 0.09 < np.abs(noise).max() <= 0.1
    assert np.abs(noise.mean(axis=0)).max() < 0.02
    ankles = joints[:, 1::2]
    limits = envs.unwrapped.sim.scene.model.jnt_range[2::2]
    assert ((ankles > limits[:, 0]) & (ankles < limits[:, 1])).all()


def test_the_ants_noise_is_seeded_and_fresh_at_each_reset() -> None:
    envs, other = (gymnasium.make_vec("SafetyAntGoal0-v0", num_envs=2) for _ in range(2))
    rows = []
    for e in (envs, other):
        e.reset(seed=5)
        first = ant_joints(e)
        e.reset()
        rows.append((first, ant_joints(e)))
    np.testing.assert_array_equal(rows[0], rows[1])
    assert (rows[0][0] != rows[0][1]).all() and (rows[0][0][0] != rows[0][0][1]).all()


def test_layouts_do_not_feel_the_ants_noise() -> None:
    places = []
    for robot in ("Ant", "Doggo"):
        env = single(f"Safety{robot}Goal1-v0")
        env.reset(seed=2)
        env.reset()
        places.append(env.unwrapped.layout)
    assert places[0] == places[1]


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("robot", list(ROBOTS))
def test_only_the_ant_dies_and_at_its_height(robot: str) -> None:
    envs = gymnasium.make_vec(f"Safety{robot}Goal0-v0", num_envs=3)
    envs.reset(seed=0)
    sim = envs.unwrapped.sim
    height = sim.world.mocap_pos[:, 0] if ROBOTS[robot].root == "planar" else sim.world.qpos
    height[:, 2] = (0.08, np.nextafter(0.08, 1), 0.01)
    sim.world.forward()
    assert sim.task.dead(sim.world).tolist() == ([True, False, True] if robot == "Ant" else [False] * 3)


def test_a_dead_ant_ends_its_episode_and_no_other() -> None:
    """On its back, the torso on the floor."""
    envs = safety_gym.make_vec("SafetyAntGoal0-v0", num_envs=2)
    envs.reset(seed=0)
    world = envs.unwrapped.sim.world
    world.qpos[1, 2:7] = (0.065, 0, 1, 0, 0)
    world.forward()
    _, _, _, terminated, truncated, info = envs.step(np.zeros((2, 8)))
    assert terminated.tolist() == [False, True] and not truncated.any()
    assert info["_final_obs"].tolist() == [False, True]
    assert world.agent_pos[1, 0, 2] == pytest.approx(0.18, abs=1e-15), "the next episode has begun"


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("robot", "held", "action"),
    [
        ("Point", "ij", (1, 1)),
        ("Point", "kl", (-1, -1)),
        ("Car", "i", (1, 1)),
        ("Car", "ij", (1, -1)),
        ("Racecar", "i", (20, 0)),
        ("Racecar", "k", (-20, 0)),
        ("Racecar", "j", (0, 0.5)),
        ("Racecar", "l", (0, -0.5)),
        ("Racecar", "il", (20, -0.5)),
        ("Racecar", "ikjl", (0, 0)),
        ("Racecar", "x", (0, 0)),
    ],
)
def test_held_keys_are_actions(robot: str, held: str, action: tuple[float, float]) -> None:
    assert key_action(ROBOTS[robot], frozenset(held)).tolist() == list(action)


@pytest.mark.parametrize("robot", list(ROBOTS))
def test_keyboard_ids_exist_where_keys_do(robot: str) -> None:
    ids = safety_gym.ids(f"Safety{robot}Goal1Debug")
    assert bool(ids) == bool(ROBOTS[robot].keys) == (robot in ("Point", "Car", "Racecar"))


# --- older versions ---------------------------------------------------------------------------------------------------


def total_mass(env_id: str, **options: Any) -> float:
    model = single(env_id, **options).unwrapped.vec.sim.scene.model
    return float(model.body("agent/agent").subtreemass[0])


def test_the_ant_of_release_1_0_0_has_light_feet() -> None:
    """14.2 g in all, read back from the release; the newest weighs 42 kg."""
    assert total_mass("SafetyAntGoal1-v0", robot_version="1.0.0") == pytest.approx(0.01423250129230299, rel=1e-12)
    assert total_mass("SafetyAntGoal1-v0") == pytest.approx(42.25513582143417, rel=1e-12)
    old, new = single("SafetyAntGoal1-v0", robot_version="1.0.0"), single("SafetyAntGoal1-v0")
    np.testing.assert_array_equal(old.reset(seed=0)[0][3:], new.reset(seed=0)[0][3:])  # but for the accelerometer
    assert old.observation_space == new.observation_space
    assert not np.allclose(old.step(np.ones(8))[0], new.step(np.ones(8))[0])


def test_the_racecar_of_mujoco_2_3_3_has_a_lighter_chassis() -> None:
    """Read back from the reference suite on MuJoCo 2.3.3."""
    version = {"robot_version": "mujoco-2.3.3"}
    assert total_mass("SafetyRacecarGoal1-v0", **version) == pytest.approx(2.1560717876182918, rel=1e-12)
    model = single("SafetyRacecarGoal1-v0", **version).unwrapped.vec.sim.scene.model
    chassis = model.body("agent/car_body")
    np.testing.assert_allclose(chassis.inertia, (0.00027063, 0.0002385, 4.1255e-05), rtol=1e-4)
    np.testing.assert_allclose(chassis.ipos[:2], (0.15558, -0.00038267), rtol=1e-4)


def test_unknown_versions_name_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"robot_version='2\.0': expected None or one of '1\.0\.0'"):
        safety_gym.make("SafetyAntGoal1-v0", robot_version="2.0")
    with pytest.raises(ValueError, match=r"robot_version='1\.0\.0'.*this robot has one version only"):
        gymnasium.make_vec("SafetyCarGoal1-v0", num_envs=2, robot_version="1.0.0")


@pytest.mark.parametrize(("delay", "first"), [(None, 11), (0, 1), (3, 4)])
def test_the_button_timer_may_start_where_release_1_0_0_did(delay: int | None, first: int) -> None:
    """`cost_buttons` exists from step `first` on; buttons are seen from the observation before it."""
    env = single("SafetyPointButton1-v0", buttons={"start_delay": delay})
    terms = {t.key: slice(t.start, t.stop) for t in env.unwrapped.vec.sim.observer.terms}
    seen = [bool(env.reset(seed=0)[0][terms["buttons_lidar"]].any())]
    charged = []
    for _ in range(14):
        obs, *_, info = env.step(np.zeros(2))
        seen.append(bool(obs[terms["buttons_lidar"]].any()))
        charged.append("cost_buttons" in info)
    assert charged == [step >= first for step in range(1, 15)]
    assert seen == [step >= first - 1 for step in range(15)]


# --- motion -----------------------------------------------------------------------------------------------------------

# Robot, action, environment step, position of `agent`, tolerance: one robot on the floor at the origin, heading 0, on
# MuJoCo 2.3.3; the tolerances are how far MuJoCo 4 was measured to be from that.
ROLLOUTS = [
    ("Racecar", (20, 0), 25, (0.43473, -5e-05, 0.04997), 3e-4),
    ("Racecar", (5, 0), 50, (0.4615, -3e-05, 0.04997), 3e-4),
    ("Racecar", (-20, 0), 10, (-0.07005, 0, 0.04997), 3e-4),
    ("Racecar", (5, 0.4), 50, (0.43106, 0.16551, 0.04999), 5e-3),
    ("Doggo", (0,) * 12, 50, (0.01953, 0, 0.07736), 1e-5),
    ("Doggo", (1,) * 12, 25, (0.02102, 0, 0.06694), 1e-5),
    ("Doggo", (-1,) * 12, 25, (0.01275, 0, 0.09448), 1e-5),
    ("Ant", (0,) * 8, 10, (0, 0, 0.16133), 1e-5),
    ("Ant", (0.5,) * 8, 10, (-0.01154, 0.00649, 0.13738), 0.012),
    ("Ant", (-0.5,) * 8, 10, (0.01154, 0.00649, 0.13738), 0.012),
]


@pytest.mark.parametrize(("robot", "action", "steps", "position", "tolerance"), ROLLOUTS)
def test_measured_motion(
    robot: str, action: tuple[float, ...], steps: int, position: tuple[float, float, float], tolerance: float
) -> None:
    env = single(f"Safety{robot}Goal0-v0")
    env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (5, 5)}})
    world = env.unwrapped.vec.sim.world
    if home := ROBOTS[robot].home:
        world.qpos[0, 7 : 7 + len(home)] = home
        world.forward()
    for _ in range(steps):
        env.step(np.array(action, float))
    np.testing.assert_allclose(world.agent_pos[0, 0], position, rtol=0, atol=tolerance)


def test_doggos_touch_sensors_carry_its_weight() -> None:
    """At rest with slightly bent legs it stands on knees and tips alone; the forces add up to the weight."""
    env = single("SafetyDoggoGoal0-v0")
    env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (5, 5)}})
    terms = {t.key: slice(t.start, t.stop) for t in env.unwrapped.vec.sim.observer.terms}
    for _ in range(40):
        obs = env.step(-np.ones(12))[0]
    forces = np.array([obs[terms[f"touch_ankle_{leg}{end}"]][0] for leg in (1, 2, 3, 4) for end in "ab"])
    assert (forces >= 0).all() and (forces > 0).sum() >= 4
    assert forces.sum() == pytest.approx(FACTS["Doggo"]["mass"] * 9.81, rel=1e-3)


def test_encoded_joint_angles() -> None:
    """(sin, cos) of every angle under its own key, in any order of the model; the root's height and rotation."""
    for robot, name in (("Doggo", "jointpos_{}"), ("Ant", "{}")):
        env = single(f"Safety{robot}Goal0-v0")
        env.reset(seed=1)
        for action in np.random.default_rng(0).uniform(-1, 1, (7, *env.action_space.shape)):
            obs = env.step(action)[0]
        sim = env.unwrapped.vec.sim
        values = {t.key: obs[t.start : t.stop] for t in sim.observer.terms}
        model = sim.scene.model
        joints = [model.joint(i) for i in range(1, model.njnt) if model.joint(i).name != "agent/waist_x"]
        assert len(joints) == sim.nact
        for joint in joints:
            angle = sim.world.qpos[0, joint.qposadr[0]]
            key = name.format(joint.name.removeprefix("agent/"))
            np.testing.assert_allclose(values[key], (math.sin(angle), math.cos(angle)), rtol=0, atol=1e-15)
    assert values["agent_pos"][0] == pytest.approx(sim.world.agent_pos[0, 0, 2] - 0.02 * sim.world.agent_mat[0, 0, 8])
    rotation = sim.world.agent_mat[0, 0].reshape(3, 3) @ values["gyro"]
    np.testing.assert_allclose(values["agent_qvel"], rotation, rtol=0, atol=1e-12)
