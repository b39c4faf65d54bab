"""Observation maths against slow scalar code written from the specification."""

from __future__ import annotations

import math
from typing import Any

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from safety_gym.sensors import TAU, PseudoLidar, compass, quat_to_matrix, sincos, to_ego
from tests.helpers import single

coordinate = st.floats(-8, 8, allow_subnormal=False)
angle = st.floats(0, TAU, exclude_max=True, allow_subnormal=False)


def rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray[Any, Any]:
    """Return the rotation matrix of yaw, then pitch, then roll about the body's own axes."""
    cz, sz, cy, sy, cx, sx = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    return np.asarray(about_z @ about_y @ about_x)


def scalar_lidar(
    points: np.ndarray[Any, Any],
    pos: np.ndarray[Any, Any],
    mat: np.ndarray[Any, Any],
    bins: int = 16,
    max_dist: float | None = 3.0,
    gain: float = 1.0,
    alias: bool = True,
) -> list[float]:
    """The pseudo lidar of the specification, one object and one bin at a time."""
    reading = [0.0] * bins
    width = TAU / bins
    for x, y in points:
        ego = mat.T @ (np.array([x, y, 0.0]) - pos)
        dist = math.hypot(ego[0], ego[1])
        phi = math.atan2(ego[1], ego[0]) % TAU
        b = int(phi / width) % bins
        near = math.exp(-gain * dist) if max_dist is None else max(0.0, max_dist - dist) / max_dist
        reading[b] = max(reading[b], near)
        if alias:
            share = min(max((phi - b * width) / width, 0.0), 1.0)
            ahead, behind = (b + 1) % bins, (b - 1) % bins
            reading[ahead] = max(reading[ahead], share * near)
            reading[behind] = max(reading[behind], (1 - share) * near)
    return reading


def lidar(
    points: Any,
    pos: Any = (0, 0, 0),
    mat: Any = None,
    bins: int = 16,
    max_dist: float | None = 3.0,
    gain: float = 1.0,
    alias: bool = True,
) -> np.ndarray[Any, Any]:
    """The same with the code under test: one kind, one robot, one simulation."""
    points = np.asarray(points, float).reshape(-1, 2)
    sensor = PseudoLidar(np.zeros(len(points), np.intp), 1, bins, max_dist, gain, alias)
    mat = np.eye(3) if mat is None else mat
    ego = to_ego(points[None], np.asarray(pos, float).reshape(1, 1, 3), mat.reshape(1, 1, 9))
    return np.asarray(sensor(*ego)[0, 0])


def near_edge(points: Any, pos: Any, mat: Any, bins: int) -> bool:
    """Tell whether some object lies so close to a bin edge that rounding decides its bin."""
    for x, y in points:
        ego = mat.T @ (np.array([x, y, 0.0]) - pos)
        turn = math.atan2(ego[1], ego[0]) / (TAU / bins)
        if abs(turn - round(turn)) < 1e-9 or math.hypot(ego[0], ego[1]) < 1e-6:
            return True
    return False


@settings(max_examples=300, deadline=None)
@given(
    points=st.lists(st.tuples(coordinate, coordinate), max_size=6),
    pos=st.tuples(coordinate, coordinate, st.floats(0, 0.5)),
    yaw=angle,
    tilt=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
    bins=st.sampled_from([1, 2, 3, 10, 16, 32]),
    max_dist=st.sampled_from([None, 0.5, 3.0, 6.0]),
    gain=st.sampled_from([0.3, 1.0]),
    alias=st.booleans(),
)
def test_pseudo_lidar_is_the_scalar_one(
    points: list[tuple[float, float]],
    pos: tuple[float, float, float],
    yaw: float,
    tilt: tuple[float, float],
    bins: int,
    max_dist: float | None,
    gain: float,
    alias: bool,
) -> None:
    mat = rotation(yaw, *tilt)
    if near_edge(points, np.array(pos), mat, bins):
        return
    want = scalar_lidar(np.array(points), np.array(pos), mat, bins, max_dist, gain, alias)
    got = lidar(points, pos, mat, bins, max_dist, gain, alias)
    # 1e-12 from the order of operations; the aliasing share divides angles by the bin width.
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    assert (got >= 0).all() and (got <= 1).all()


def test_kinds_simulations_and_robots_are_separate() -> None:
    """One call over several kinds, simulations and robots equals one call for each."""
    rng = np.random.default_rng(0)
    n, a, kinds = 5, 2, np.array([0, 2, 2, 1, 0, 2])
    xy = rng.uniform(-3, 3, (n, len(kinds), 2))
    pos = rng.uniform(-1, 1, (n, a, 3))
    mat = np.array([[rotation(*rng.uniform(-1, 1, 3)).ravel() for _ in range(a)] for _ in range(n)])
    got = PseudoLidar(kinds, 3, 16, 3.0, 1.0, True)(*to_ego(xy, pos, mat))
    assert got.shape == (n, a, 48)
    for i in range(n):
        for j in range(a):
            for kind in range(3):
                want = scalar_lidar(xy[i, kinds == kind], pos[i, j], mat[i, j].reshape(3, 3))
                np.testing.assert_allclose(got[i, j, 16 * kind : 16 * kind + 16], want, rtol=0, atol=1e-13)


@settings(max_examples=100, deadline=None)
@given(
    points=st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=5),
    yaw=angle,
    turn=angle,
    shift=st.tuples(coordinate, coordinate),
)
def test_readings_do_not_change_when_the_whole_world_turns_and_moves(
    points: list[tuple[float, float]], yaw: float, turn: float, shift: tuple[float, float]
) -> None:
    pos = np.array([0.3, -0.2, 0.1])
    if near_edge(points, pos, rotation(yaw), 16):
        return
    whole = rotation(turn)[:2, :2]
    moved = np.array(points) @ whole.T + shift
    moved_pos = np.array([*(whole @ pos[:2] + shift), pos[2]])
    if near_edge(moved, moved_pos, rotation(yaw + turn), 16):
        return
    np.testing.assert_allclose(
        lidar(points, pos, rotation(yaw)), lidar(moved, moved_pos, rotation(yaw + turn)), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("bins", [4, 16])
def test_turning_by_one_bin_shifts_the_readings(bins: int) -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(-2, 2, (8, 2))
    width = TAU / bins
    start = lidar(points, mat=rotation(0.0), bins=bins)
    for k in range(1, bins + 1):
        turned = lidar(points, mat=rotation(k * width), bins=bins)
        np.testing.assert_allclose(turned, np.roll(start, -k), rtol=0, atol=1e-12)


def test_bin_edges() -> None:
    """Bin 0 starts exactly at +x; a hair below a whole turn is the last bin or, rounded up, the first."""
    width = TAU / 16
    exact = lidar([(1.0, 0.0)])
    assert exact[0] == 2 / 3  # in bin 0 with share 0: all of it reaches back, nothing ahead
    assert exact[15] == 2 / 3
    assert exact[1] == 0.0
    assert np.count_nonzero(exact) == 2
    above = lidar([(1.0, 1e-9)])
    assert above[0] == pytest.approx(2 / 3, abs=1e-12) and above[1] == pytest.approx(1e-9 / width * 2 / 3, rel=1e-6)
    below = lidar([(1.0, -1e-9)])
    assert below[15] == pytest.approx(2 / 3, abs=1e-12) and below[0] == pytest.approx(2 / 3, abs=1e-8)
    assert below[14] == pytest.approx(1e-9 / width * 2 / 3, rel=1e-5)
    for tiny in (1e-15, 1e-17, 1e-300, 5e-324):
        reading = lidar([(1.0, -tiny)])
        assert np.isfinite(reading).all()
        assert reading[0] == pytest.approx(2 / 3, abs=1e-12) and reading[15] == pytest.approx(2 / 3, abs=1e-12)
        assert reading[1:15].max() <= 1e-12


@pytest.mark.parametrize("k", range(16))
def test_an_object_in_the_middle_of_a_bin_is_shared_equally(k: int) -> None:
    phi = (k + 0.5) * TAU / 16
    reading = lidar([(1.5 * math.cos(phi), 1.5 * math.sin(phi))])
    want = np.zeros(16)
    want[[k, (k + 1) % 16, (k - 1) % 16]] = 0.5, 0.25, 0.25
    np.testing.assert_allclose(reading, want, rtol=0, atol=1e-14)


@pytest.mark.parametrize("zero", [(0.0, 0.0), (-0.0, 0.0), (0.0, -0.0), (-0.0, -0.0)])
def test_an_object_at_the_robot_reads_1_somewhere(zero: tuple[float, float]) -> None:
    reading = lidar([zero])
    assert np.isfinite(reading).all() and reading.max() == 1.0


def test_distances() -> None:
    assert lidar([(3.0, 0.0)]).max() == 0.0
    assert lidar([(3.5, 0.0)]).max() == 0.0
    assert lidar([(1.5, 0.0)])[0] == 0.5
    assert lidar([(2.0, 0.0)], max_dist=None)[0] == math.exp(-2.0)
    assert lidar([(2.0, 0.0)], max_dist=None, gain=0.5)[0] == math.exp(-1.0)
    assert lidar([(100.0, 0.0)], max_dist=None)[0] > 0.0
    near, far = (1.0, 0.2), (2.0, 0.4)
    np.testing.assert_array_equal(lidar([near, far]), lidar([far, near]))
    np.testing.assert_array_equal(lidar([near, far]), lidar([near]))


def test_without_aliasing_one_bin_reads() -> None:
    for k in range(16):
        phi = (k + 0.3) * TAU / 16
        reading = lidar([(math.cos(phi), math.sin(phi))], alias=False)
        assert np.flatnonzero(reading).tolist() == [k]


def test_no_objects_read_zero() -> None:
    assert lidar(np.zeros((0, 2))).tolist() == [0.0] * 16


def test_ego_frame_takes_points_at_height_zero() -> None:
    """A tilted robot above the floor sees the point shifted, since its height is taken off in its own frame."""
    mat = rotation(0.4, 0.3, -0.2)
    pos = np.array([0.1, 0.2, 0.5])
    point = np.array([1.0, -1.0])
    want = mat.T @ (np.array([*point, 0.0]) - pos)
    x, y = to_ego(point.reshape(1, 1, 2), pos.reshape(1, 1, 3), mat.reshape(1, 1, 9))
    assert (x.item(), y.item()) == (pytest.approx(want[0], abs=1e-15), pytest.approx(want[1], abs=1e-15))


# --- the environment's lidar is this lidar ----------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", ["SafetyPointGoal2-v0", "SafetyCarButton2-v0", "SafetyCarPush2-v0"])
def test_observed_lidar_of_a_rolled_out_environment(env_id: str) -> None:
    """Object positions are taken from MuJoCo's own bodies where there are such bodies."""
    env = single(env_id, observation_flatten=False)
    env.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(25):
        obs = env.step(rng.uniform(-1, 1, 2))[0]
    sim = env.unwrapped.vec.sim
    world, model = sim.world, sim.scene.model
    xpos = env.unwrapped.batch.bind("xpos")[0]
    seen = 0
    for kind, slot in sim.scene.slots.items():
        bodies = {model.body(i).name: i for i in range(model.nbody)}
        points = np.array([xpos[bodies[name], :2] for name in slot.spec.names() if name in bodies])
        if not len(points):
            points = np.array(env.unwrapped.layout[kind]).reshape(slot.num, -1)[:, :2]
        want = scalar_lidar(points, world.agent_pos[0, 0], world.agent_mat[0, 0].reshape(3, 3))
        if kind == "buttons":
            assert world.memory["timer"][0] == 0
        np.testing.assert_allclose(obs[f"{kind}_lidar"], want, rtol=0, atol=1e-11)
        seen += obs[f"{kind}_lidar"].any()
    assert seen >= 3


# --- compass, encodings -----------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(v=arrays(float, 3, elements=coordinate))
def test_compass(v: np.ndarray[Any, Any]) -> None:
    for size, args in ((2, v[:2]), (3, v)):
        got = compass(*(np.array([[[x]]]) for x in args))[0, 0, 0]
        want = args / (math.sqrt(sum(x * x for x in args)) + 0.001)
        assert got.shape == (size,)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-15)
        assert np.linalg.norm(got) < 1
    assert not compass(np.zeros((1, 1, 1)), np.zeros((1, 1, 1))).any()


@settings(max_examples=100, deadline=None)
@given(q=arrays(float, 4, elements=st.floats(-2, 2)).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_quaternion_matrix_is_mujocos(q: np.ndarray[Any, Any]) -> None:
    want = np.zeros(9)
    mujoco.mju_quat2Mat(want, q / np.linalg.norm(q))
    got = quat_to_matrix(q)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)
    mat = got.reshape(3, 3)
    np.testing.assert_allclose(mat @ mat.T, np.eye(3), rtol=0, atol=1e-14)
    assert np.linalg.det(mat) == pytest.approx(1, abs=1e-14)


def test_quaternion_matrix_by_hand() -> None:
    quarter = quat_to_matrix(np.array([[math.sqrt(0.5), 0, 0, math.sqrt(0.5)], [1, 0, 0, 0]]))
    np.testing.assert_allclose(quarter[0], [0, -1, 0, 1, 0, 0, 0, 0, 1], rtol=0, atol=1e-15)
    np.testing.assert_array_equal(quarter[1], np.eye(3).ravel())


def test_sincos() -> None:
    np.testing.assert_allclose(
        sincos(np.array([[0.0, math.pi / 2], [math.pi, -math.pi / 2]])),
        [[[0, 1], [1, 0]], [[0, -1], [-1, 0]]],
        rtol=0,
        atol=1e-15,
    )


# --- robot blocks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("yaw", [0.0, 1.0, -2.5])
@pytest.mark.parametrize("robot", ["Point", "Car"])
def test_resting_robot(robot: str, yaw: float) -> None:
    """A robot at rest feels gravity, does not move, and sees the field (0, -0.5, 0) turned by its yaw."""
    env = single(f"Safety{robot}Goal0-v0", observation_flatten=False)
    env.reset(options={"layout": {"agent": (0, 0, yaw), "goal": (1, 1)}})
    for _ in range(20):
        obs = env.step(np.zeros(2))[0]
    assert obs["accelerometer"][2] == pytest.approx(9.81, abs=0.02)
    field = (-0.5 * math.sin(yaw), -0.5 * math.cos(yaw), 0.0)
    np.testing.assert_allclose(obs["magnetometer"], field, rtol=0, atol=1e-3)
    np.testing.assert_allclose(obs["velocimeter"], 0, rtol=0, atol=1e-3)
    np.testing.assert_allclose(obs["gyro"], 0, rtol=0, atol=1e-2)


def test_forward_is_forward() -> None:
    """Point drives along its +x, Car along its -y; both left turns are counter-clockwise."""
    for robot, forward, turn, axis in (("Point", (1, 0), (0, 1), (1, 0)), ("Car", (1, 1), (1, -1), (0, -1))):
        env = single(f"Safety{robot}Goal0-v0", observation_flatten=False)
        layout = {"agent": (0.0, 0.0, 0.7), "goal": (1.5, 1.5)}
        env.reset(options={"layout": layout})
        for _ in range(30):
            obs = env.step(np.array(forward, float))[0]
        moved = np.array(env.unwrapped.layout["agent"][:2])
        heading = rotation(0.7)[:2, :2] @ axis
        assert moved @ heading > 0.1
        assert abs(moved @ (-heading[1], heading[0])) < 0.2 * (moved @ heading)
        assert obs["velocimeter"][:2] @ np.array(axis) > 0.3
        env.reset(options={"layout": layout})
        for _ in range(30):
            obs = env.step(np.array(turn, float))[0]
        assert obs["gyro"][2] > 0.5
        assert env.unwrapped.layout["agent"][2] > 0.8


def test_car_ball_orientation_is_a_rotation_matrix() -> None:
    env = single("SafetyCarGoal0-v0", observation_flatten=False)
    obs, _ = env.reset(seed=0)
    np.testing.assert_array_equal(obs["ballquat_rear"], np.eye(3))
    for _ in range(30):
        obs = env.step(np.array([1.0, 0.6]))[0]
    mat = obs["ballquat_rear"]
    np.testing.assert_allclose(mat @ mat.T, np.eye(3), rtol=0, atol=1e-12)
    assert not np.allclose(mat, np.eye(3), atol=0.1)
    assert env.observation_space.contains(obs)
