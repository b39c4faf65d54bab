"""Rewards, costs and ends of every task, computed by hand or from MuJoCo's own data on placed layouts."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

import safety_gym
from safety_gym import LayoutError
from tests.helpers import actions, assert_same, easy, single

REST = np.zeros(2)
FAR = [(-3.0, -2.0 + 0.4 * i) for i in range(12)]
"""Places where nothing is in the way."""


def mujoco_data(env: Any) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """Return the model and an MjData of its own in the state of the (only) simulation."""
    world = env.unwrapped.vec.sim.world
    model = world.scene.model
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = world.qpos[0], world.qvel[0]
    data.mocap_pos[:], data.mocap_quat[:] = world.mocap_pos[0], world.mocap_quat[0]
    data.ctrl[:] = world.ctrl[0]
    mujoco.mj_forward(model, data)
    return model, data


def contact_points(env: Any, singular: str) -> dict[str, int]:
    """Count contact points between the robot and each object whose name starts with `singular`."""
    model, data = mujoco_data(env)
    robot = model.body("agent/agent").rootid[0]
    counts = {model.body(i).name: 0 for i in range(model.nbody) if model.body(i).name.startswith(singular)}
    for k in range(data.ncon):
        bodies = [model.geom_bodyid[g] for g in data.contact.geom[k]]
        for one, other in (bodies, bodies[::-1]):
            if model.body_rootid[one] == robot and model.body(other).name in counts:
                counts[model.body(other).name] += 1
    return counts


def agent_xy(env: Any) -> np.ndarray[Any, Any]:
    return np.array(env.unwrapped.layout["agent"][:2])


def distance(env: Any, kind: str = "goal") -> float:
    return float(np.linalg.norm(agent_xy(env) - env.unwrapped.layout[kind][:2]))


# --- Goal -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", ["SafetyPointGoal0-v0", "SafetyCarGoal0-v0"])
def test_goal_rewards_the_way_made(env_id: str) -> None:
    env = single(env_id)
    env.reset(options={"layout": {"agent": (0.2, -0.1, 2.0), "goal": (-0.9, 0.8)}})
    last = distance(env)
    assert last == pytest.approx(math.hypot(1.1, 0.9), abs=1e-12)
    for action in actions(0, 20, 2):
        reward, info = env.step(action)[1::3]
        now = distance(env)
        assert reward == pytest.approx(last - now, abs=1e-14)
        assert "goal_met" not in info
        last = now


@pytest.mark.parametrize(("gap", "met"), [(0.0, True), (0.2999, True), (0.3001, False)])
def test_goal_is_met_within_its_size(gap: float, met: bool) -> None:
    env = single("SafetyPointGoal0-v0")
    env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (gap, 0)}})
    _, reward, terminated, truncated, info = env.step(REST)
    assert ("goal_met" in info) == met
    assert reward == pytest.approx(float(met), abs=1e-6)
    assert not terminated and not truncated


def test_a_met_goal_moves_and_the_observation_shows_the_new_one() -> None:
    env = single("SafetyPointGoal0-v0", observation_flatten=False)
    before, _ = env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (0.2, 0)}})
    obs = env.step(REST)[0]
    new = np.array(env.unwrapped.layout["goal"])
    assert np.linalg.norm(new) >= 0.4 + 0.305 - 1e-6 and (np.abs(new) <= 1 - 0.305).all()
    assert before["goal_lidar"].max() == pytest.approx(1 - 0.2 / 3, abs=1e-12)
    assert obs["goal_lidar"].max() == pytest.approx(1 - np.linalg.norm(new) / 3, abs=1e-6)
    # The next reward knows the new goal: no jump.
    assert abs(env.step(REST)[1]) < 1e-6


def test_goal_weights() -> None:
    env = single("SafetyPointGoal0-v0", goal={"reward_distance": 5.0, "reward_goal": 3.0, "size": 0.5})
    env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (1.0, 0)}})
    total, last = 0.0, 1.0
    while True:
        before = distance(env)
        _, reward, _, _, info = env.step(np.array([1.0, 0.0]))
        total += reward
        if "goal_met" in info:
            break
        last = distance(env)
        assert reward == pytest.approx(5 * (before - last), abs=1e-12)
    assert last > 0.5
    assert 3 + 5 * 0.5 <= total <= 3 + 5 * 0.55


def test_goals_with_obstacles_keep_clear_of_where_things_are_now() -> None:
    """A vase pushed away counts at its new place when the next goal is drawn."""
    envs = gymnasium.make_vec(
        "SafetyPointGoal1-v0", num_envs=64, goal={"size": 5.0, "keepout": 0.9}, hazards={"num": 0}
    )
    layout = {"agent": (-1.4, -1.4), "goal": (0, 0), "hazards": [], "vases": [(3.0, 3.0)]}
    envs.reset(seed=0, options={"layout": layout})
    envs.unwrapped.place("vase0", (0.6, 0.6))
    envs.step(np.zeros((64, 2)))
    goals = np.array([where["goal"] for where in envs.unwrapped.layout])
    assert (np.linalg.norm(goals - 0.6, axis=1) >= 0.9 + 0.15 - 1e-6).all()
    assert (np.abs(goals) <= 0.6).all() and np.ptp(goals) > 0.5


# --- ends -------------------------------------------------------------------------------------------------------------


def test_continue_goal_off_ends_the_episode_at_the_goal() -> None:
    env = single("SafetyPointGoal0-v0", continue_goal=False)
    env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (0.2, 0)}})
    obs, reward, terminated, truncated, info = env.step(REST)
    assert terminated and not truncated and info["goal_met"]
    assert reward == pytest.approx(1.0, abs=1e-6)
    assert env.unwrapped.layout["goal"] == (0.2, 0.0), "the goal stays"
    assert obs[12:28].max() == pytest.approx(1 - 0.2 / 3, abs=1e-6)


def test_terminated_and_truncated_together() -> None:
    env = safety_gym.make("SafetyPointGoal0-v0", continue_goal=False, num_steps=1)
    env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (0.2, 0)}})
    assert env.step(REST)[3:5] == (True, True)


NO_ROOM: dict[str, Any] = {"goal": {"keepout": 0.9}}
"""Goals must lie within 0.1 of the origin and 1.3 away from the robot, who stands there."""


def test_no_room_for_a_new_goal_ends_the_episode() -> None:
    env = single("SafetyPointGoal0-v0", **NO_ROOM)
    env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (0.2, 0)}})
    obs, reward, terminated, truncated, info = env.step(REST)
    assert terminated and not truncated and info["goal_met"]
    assert reward == pytest.approx(1.0, abs=1e-6)
    assert np.isfinite(obs).all()


def test_no_room_for_a_new_goal_ends_only_that_episode() -> None:
    envs = gymnasium.make_vec("SafetyPointGoal0-v0", num_envs=3, autoreset_mode="Disabled", **NO_ROOM)
    near = {"agent": (0, 0, 0), "goal": (0.2, 0)}
    far = {"agent": (0, 0, 0), "goal": (0.9, 0)}
    away = {"agent": (1.5, 0, 0), "goal": (1.5, 0.1)}
    envs.reset(options={"layout": [far, near, away]})
    _, _, terminated, _, info = envs.step(np.zeros((3, 2)))
    assert terminated.tolist() == [False, True, False]
    assert info["goal_met"].tolist() == [False, True, True]


def test_no_room_for_a_new_goal_can_be_an_error() -> None:
    env = single("SafetyPointGoal0-v0", terminate_resample_failure=False, **NO_ROOM)
    env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (0.2, 0)}})
    with pytest.raises(LayoutError, match="no room"):
        env.step(REST)


# --- hazards ----------------------------------------------------------------------------------------------------------


def in_hazards(**options: Any) -> Any:
    """A Point at the origin, hazards of size 0.2 at 0.05 and 0.1 m, all others far away."""
    env = single("SafetyPointGoal1-v0", **options)
    env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (1.4, 0), "hazards": FAR[:8], "vases": [(1.4, 1.4)]}})
    env.unwrapped.place("hazard2", (0.05, 0.0))
    env.unwrapped.place("hazard5", (0.0, -0.1))
    return env


def test_hazards_charge_their_summed_depth() -> None:
    info = in_hazards(constrain_indicator=False).step(REST)[4]
    assert info["cost_hazards"] == pytest.approx(0.15 + 0.1, abs=1e-6)
    assert info["cost_sum"] == info["cost"] == info["cost_hazards"]
    info = in_hazards(constrain_indicator=False, hazards={"cost": 4.0}).step(REST)[4]
    assert info["cost_hazards"] == pytest.approx(1.0, abs=4e-6)


def test_the_indicator_makes_costs_0_or_1() -> None:
    info = in_hazards().step(REST)[4]
    assert info == {"cost": 1.0, "cost_hazards": 1.0, "cost_sum": 1.0}


@pytest.mark.parametrize(("gap", "cost"), [(0.1999, 1.0), (0.2001, 0.0)])
def test_the_edge_of_a_hazard(gap: float, cost: float) -> None:
    env = in_hazards()
    env.unwrapped.place("hazard2", (3.0, 0.0))
    env.unwrapped.place("hazard5", (-gap * math.sin(0.7), gap * math.cos(0.7)))
    assert env.step(REST)[4]["cost_hazards"] == cost


def test_unconstrained_kinds_charge_nothing() -> None:
    env = single("SafetyPointGoal1-v0", hazards={"is_constrained": False})
    env.reset(options={"layout": {"agent": (0, 0), "goal": (1, 1), "hazards": [(0, 0)] * 8, "vases": [(2, 2)]}})
    assert env.step(REST)[4] == {"cost": 0.0, "cost_sum": 0.0}


# --- things that must not be touched ----------------------------------------------------------------------------------


def ahead(robot: str, gap: float) -> tuple[tuple[float, float, float], tuple[float, float], np.ndarray[Any, Any]]:
    """Return a pose, a point `gap` in front of it, and the action that drives there."""
    if robot == "Point":
        return (0.0, 0.0, 0.0), (gap, 0.0), np.array([1.0, 0.0])
    return (0.0, 0.0, math.pi / 2), (gap, 0.0), np.array([1.0, 1.0])  # the Car's front is its -y


@pytest.mark.parametrize("robot", ["Point", "Car"])
def test_vases_charge_contact_points_and_speeds(robot: str) -> None:
    pose, vase, drive = ahead(robot, 0.4)
    env = single(f"Safety{robot}Goal2-v0", constrain_indicator=False)
    vases = [vase, *FAR[:9]]
    env.reset(options={"layout": {"agent": pose, "goal": (0, 2), "hazards": [(0, -3)] * 10, "vases": vases}})
    touched = moved_untouched = 0
    for _ in range(60):
        info = env.step(drive)[4]
        counts = contact_points(env, "vase")
        assert len(counts) == 10
        assert info["cost_vases_contact"] == sum(counts.values())
        model, data = mujoco_data(env)
        speeds = [np.linalg.norm(data.qvel[model.joint(name).dofadr[0] :][:3]) for name in counts]
        assert info["cost_vases_velocity"] == pytest.approx(sum(v for v in speeds if v >= 1e-4), abs=1e-12)
        assert info["cost_sum"] == pytest.approx(info["cost_vases_contact"] + info["cost_vases_velocity"], abs=1e-12)
        touched += info["cost_vases_contact"] > 0
        moved_untouched += info["cost_vases_velocity"] > 0 == info["cost_vases_contact"]
    assert touched > 0 and moved_untouched > 0


def test_resting_vases_charge_nothing() -> None:
    env = single("SafetyPointGoal2-v0", constrain_indicator=False)
    env.reset(seed=0)
    for _ in range(120):
        assert env.step(REST)[4]["cost_vases_velocity"] == 0.0


def test_vase_weights_and_absent_keys() -> None:
    options = {"num": 1, "velocity_cost": 0.0, "contact_cost": 3.0}
    env = single("SafetyPointGoal2-v0", constrain_indicator=False, vases=options)
    env.reset(options={"layout": {"agent": (0, 0), "goal": (0, 2), "hazards": [(0, -3)] * 10, "vases": [(0.3, 0)]}})
    seen = 0
    for _ in range(30):
        info = env.step(np.array([1.0, 0.0]))[4]
        assert set(info) == {"cost", "cost_sum", "cost_hazards", "cost_vases_contact"}
        assert info["cost_vases_contact"] == 3.0 * contact_points(env, "vase")["vase0"]
        seen += info["cost_vases_contact"] > 0
    assert seen


@pytest.mark.parametrize("robot", ["Point", "Car"])
def test_pillars_charge_contact_points(robot: str) -> None:
    pose, pillar, drive = ahead(robot, 0.5)
    env = single(f"Safety{robot}Push2-v0", constrain_indicator=False)
    layout = {
        "agent": pose,
        "goal": (0, 2),
        "hazards": FAR[:4],
        "pillars": [pillar, *FAR[5:10:2]],
        "push_box": (-1, -1),
    }
    env.reset(options={"layout": layout})
    costs = []
    for _ in range(60):
        info = env.step(drive)[4]
        assert info["cost_pillars"] == sum(contact_points(env, "pillar").values())
        costs.append(info["cost_pillars"])
    assert costs[0] == 0 and max(costs) >= 1
    assert env.unwrapped.layout["pillars"][0][:2] == pillar, "pillars do not move"


@pytest.mark.parametrize("robot", ["Point", "Car"])
def test_gremlins_charge_contact_points(robot: str) -> None:
    """The robot drives to where the gremlin comes by."""
    pose, _, drive = ahead(robot, 0.0)
    env = single(f"Safety{robot}Button1-v0", constrain_indicator=False)
    layout = {"agent": pose, "buttons": FAR[:4], "hazards": FAR[:4], "gremlins": [(0.35, -0.3), *FAR[5:8]]}
    env.reset(options={"layout": layout})
    costs = []
    for _ in range(60):
        info = env.step(drive)[4]
        assert info["cost_gremlins"] == sum(contact_points(env, "gremlin").values())
        costs.append(info["cost_gremlins"])
    assert max(costs) >= 1


# --- Button -----------------------------------------------------------------------------------------------------------

# The Point's arrow reaches 0.15 ahead: a button at 0.24 is touched while driving on, and never left.
BUTTONS = [(0.24, 0.0), (1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0)]
FORWARD = np.array([1.0, 0.0])


def at_button(goal: int, **options: Any) -> Any:
    """A Point touching button 0 while button `goal` is the goal."""
    env = single("SafetyPointButton1-v0", hazards=None, gremlins=None, **options)
    env.reset(seed=0, options={"layout": {"agent": (0, 0, 0), "buttons": BUTTONS, "goal": BUTTONS[goal]}})
    return env


@pytest.mark.parametrize("delay", [10, 3])
def test_the_button_timer(delay: int) -> None:
    """Wrong buttons cost nothing on the first ten steps, where the key is absent; from the eleventh on they do."""
    env = at_button(2, buttons={"resampling_delay": delay})
    rows = [env.step(FORWARD)[4] for _ in range(delay + 5)]
    assert all(contact_points(env, "button")["button0"] > 0 for _ in range(1))
    assert ["cost_buttons" in info for info in rows] == [False] * delay + [True] * 5
    assert [info["cost"] for info in rows] == [0.0] * delay + [1.0] * 5
    assert [info.get("cost_buttons") for info in rows] == [None] * delay + [1.0] * 5


def test_the_buttons_lidar_hides_while_the_timer_runs() -> None:
    env = at_button(2, observation_flatten=False)
    rows = [env.reset(options={"layout": {"agent": (0, 0, 0), "buttons": BUTTONS, "goal": BUTTONS[2]}})[0]]
    rows += [env.step(REST)[0] for _ in range(12)]
    assert [bool(obs["buttons_lidar"].any()) for obs in rows] == [False] * 10 + [True] * 3
    assert all(obs["goal_lidar"].any() for obs in rows)


def test_touching_the_goal_button_scores_and_draws_again() -> None:
    env = at_button(0)
    pressed = []
    for _ in range(60):
        before = env.unwrapped.layout["goal"]
        dist = np.linalg.norm(agent_xy(env) - before)
        _, reward, _, _, info = env.step(FORWARD)
        touching = contact_points(env, "button")["button0"] > 0
        met = before == BUTTONS[0] and touching
        assert ("goal_met" in info) == met
        want = dist - np.linalg.norm(agent_xy(env) - before) + met
        assert reward == pytest.approx(want, abs=1e-14)
        assert env.unwrapped.layout["goal"] in BUTTONS
        pressed.append(met)
        if pressed[-1] and env.unwrapped.layout["goal"] != BUTTONS[0]:
            break
    assert pressed[-1]
    # The press started the timer: ten steps without the wrong button's cost, then it costs.
    rows = [env.step(FORWARD)[4] for _ in range(12)]
    assert [info.get("cost_buttons") for info in rows] == [None] * 10 + [1.0] * 2


def test_the_pressed_button_may_be_drawn_again() -> None:
    envs = gymnasium.make_vec("SafetyPointButton0-v0", num_envs=64)
    layout = {"agent": (0, 0, 0), "buttons": BUTTONS, "goal": BUTTONS[0]}
    envs.reset(seed=0, options={"layout": layout})
    for _ in range(8):
        info = envs.step(np.tile(FORWARD, (64, 1)))[4]
        if "goal_met" in info:
            break
    assert info["goal_met"].all()
    drawn = np.bincount(envs.unwrapped.sim.world.memory["goal_button"], minlength=4)
    assert (drawn >= 5).all(), drawn


def test_wrong_buttons_are_counted_by_contact_point() -> None:
    env = at_button(2, constrain_indicator=False, buttons={"cost": 2.5})
    for _ in range(14):
        info = env.step(FORWARD)[4]
    assert info["cost_buttons"] == 2.5 * contact_points(env, "button")["button0"] > 0


def test_the_goal_button_itself_never_costs() -> None:
    env = single("SafetyPointButton1-v0", hazards=None, gremlins=None, buttons={"num": 1})
    env.reset(seed=0, options={"layout": {"agent": (0, 0, 0), "buttons": BUTTONS[:1]}})
    rows = [env.step(FORWARD) for _ in range(15)]
    assert all(row[4]["cost"] == 0.0 for row in rows)
    met = ["goal_met" in row[4] for row in rows]
    assert met[-1] and rows[-1][1] == pytest.approx(1.0, abs=0.02)


# --- gremlins ---------------------------------------------------------------------------------------------------------


def test_gremlins_circle_around_their_places() -> None:
    """Clockwise, one radian per second, starting at the +y side, all in phase, 0.2 above the floor."""
    centres = [(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.2)]
    env = single("SafetyPointButton1-v0", hazards=None)
    layout = {"agent": (0, 0, 0), "buttons": FAR[:4], "gremlins": [(*c, 0.3 * i) for i, c in enumerate(centres)]}
    env.reset(options={"layout": layout})
    world = env.unwrapped.vec.sim.world
    np.testing.assert_allclose(world.pos("gremlins")[0, :, 2], 0.1, rtol=0, atol=1e-12)
    for step in range(1, 151):
        env.step(REST)
        t = step * 0.02
        assert world.time[0] == pytest.approx(t, abs=1e-12)
        assert [g[:2] for g in env.unwrapped.layout["gremlins"]] == centres, "a layout holds the centres"
        position = world.pos("gremlins")[0]
        if t < 0.5:
            continue
        target = np.array(centres) + 0.35 * np.array([math.sin(t), math.cos(t)])
        assert (np.linalg.norm(position[:, :2] - target, axis=1) < 0.05).all(), t
        np.testing.assert_allclose(position[:, 2], 0.2, rtol=0, atol=1e-3)
        offsets = position[:, :2] - centres
        np.testing.assert_allclose(offsets, np.tile(offsets[0], (4, 1)), rtol=0, atol=1e-3)


def test_gremlins_of_a_batch_keep_their_own_phase() -> None:
    """A simulation that was reset later is earlier on its circle."""
    envs = gymnasium.make_vec("SafetyPointButton1-v0", num_envs=2, autoreset_mode="Disabled")
    envs.reset(seed=0)
    for _ in range(50):
        envs.step(np.zeros((2, 2)))
    envs.reset(options={"reset_mask": np.array([False, True])})
    for _ in range(50):
        envs.step(np.zeros((2, 2)))
    world = envs.unwrapped.sim.world
    np.testing.assert_allclose(world.time, [2.0, 1.0], rtol=0, atol=1e-12)
    for i, t in enumerate((2.0, 1.0)):
        centres = np.array([g[:2] for g in envs.unwrapped.layout[i]["gremlins"]])
        target = centres + 0.35 * np.array([math.sin(t), math.cos(t)])
        assert (np.linalg.norm(world.pos("gremlins")[i, :, :2] - target, axis=1) < 0.05).all()


# --- boundaries, Circle, Run ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env_id", "xy", "cost"),
    [
        ("SafetyPointCircle1-v0", (1.124, 0.0), 0.0),
        ("SafetyPointCircle1-v0", (1.126, 0.0), 1.0),
        ("SafetyPointCircle1-v0", (-1.126, 0.0), 1.0),
        ("SafetyPointCircle1-v0", (0.0, 1.9), 0.0),
        ("SafetyPointCircle2-v0", (0.0, 1.126), 1.0),
        ("SafetyPointCircle2-v0", (0.0, -1.126), 1.0),
        ("SafetyPointCircle2-v0", (1.126, -1.126), 1.0),
        ("SafetyPointCircle2-v0", (1.124, -1.124), 0.0),
        ("SafetyPointRun0-v0", (0.499, 16.5), 0.0),
        ("SafetyPointRun0-v0", (0.501, 16.5), 1.0),
        ("SafetyPointRun0-v0", (-0.501, -300.0), 1.0),
        ("SafetyPointRun0-v0", (0.0, -300.0), 0.0),
    ],
)
def test_boundaries(env_id: str, xy: tuple[float, float], cost: float) -> None:
    env = single(env_id, constrain_indicator=False)
    env.reset(seed=0)
    env.unwrapped.place("agent", (*xy, 0.5))
    info = env.step(REST)[4]
    assert info == {"cost": cost, "cost_out_of_boundary": cost, "cost_sum": cost}


@pytest.mark.parametrize("env_id", ["SafetyPointCircle1-v0", "SafetyCarCircle2-v0"])
def test_circle_reward(env_id: str) -> None:
    env = single(env_id)
    env.reset(options={"layout": {"agent": (0.7, -0.4, 1.0)}})
    signs = set()
    for action in actions(1, 40, 2):
        reward = env.step(action)[1]
        model, data = mujoco_data(env)
        velocity = np.zeros(6)
        body = model.body("agent/agent").id
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, body, velocity, 0)
        (x, y, _), (u, v, _) = data.xpos[body], velocity[3:]
        radius = math.hypot(x, y)
        want = 0.1 * ((x * v - y * u) / radius) / (1 + abs(radius - 1.5))
        assert reward == pytest.approx(want, abs=1e-12)
        signs.add(reward > 0)
    assert signs == {True, False}


def test_circle_is_positive_counter_clockwise() -> None:
    for yaw, sign in ((math.pi / 2, 1), (-math.pi / 2, -1)):
        env = single("SafetyPointCircle0-v0")
        env.reset(options={"layout": {"agent": (1.5, 0.0, yaw)}})
        rewards = [env.step(FORWARD)[1] for _ in range(20)]
        assert all(reward * sign > 0 for reward in rewards)
        speed = np.linalg.norm(env.step(FORWARD)[0][3:5])
        assert abs(rewards[-1]) == pytest.approx(0.1 * speed, rel=0.1)


def test_circle_at_the_very_centre_is_finite() -> None:
    env = single("SafetyPointCircle0-v0")
    env.reset(options={"layout": {"agent": (0.0, 0.0, 0.0)}})
    for action in (REST, FORWARD):
        assert math.isfinite(env.step(action)[1])


@pytest.mark.parametrize("robot", ["Point", "Car"])
def test_run_rewards_the_way_to_a_far_point(robot: str) -> None:
    env = single(f"Safety{robot}Run0-v0")
    env.reset(seed=0)
    x, y, _ = env.unwrapped.layout["agent"]
    assert abs(x) <= 0.2 and y == pytest.approx(16.5, abs=1e-8)
    last = math.hypot(x, y + 1000)
    for action in actions(2, 20, 2):
        reward = env.step(action)[1]
        x, y = agent_xy(env)
        now = math.hypot(x, y + 1000)
        # Distances of 1000 m carry a rounding of 1e-13, 60 times as much in the reward.
        assert reward == pytest.approx(60 * (last - now), abs=5e-11)
        last = now


# --- Push -------------------------------------------------------------------------------------------------------------


def push_distances(env: Any) -> tuple[float, float]:
    model, data = mujoco_data(env)
    box, robot = data.xpos[model.body("push_box").id], data.xpos[model.body("agent/agent").id]
    goal = np.array([*env.unwrapped.layout["goal"], 0.16])
    return float(np.linalg.norm(robot - box)), float(np.linalg.norm(box - goal))


@pytest.mark.parametrize("robot", ["Point", "Car"])
def test_push_rewards_both_distances_in_three_dimensions(robot: str) -> None:
    pose, box, drive = ahead(robot, 0.55)
    env = single(f"Safety{robot}Push0-v0")
    env.reset(options={"layout": {"agent": pose, "goal": (1.4, 0.1), "push_box": box}})
    last_box, last_goal = push_distances(env)
    size = 0.2 if robot == "Point" else 0.125
    assert last_box == pytest.approx(math.hypot(0.55, size - 0.1), abs=1e-3)
    assert last_goal == pytest.approx(math.hypot(0.85, 0.1, size - 0.16), abs=1e-3)
    moved = 0
    for _ in range(60):
        reward, info = env.step(drive)[1::3]
        box_dist, box_goal = push_distances(env)
        if "goal_met" in info:
            break
        want = (last_box - box_dist) + (last_goal - box_goal)
        assert reward == pytest.approx(want, abs=1e-12)
        moved += abs(last_goal - box_goal) > 1e-3
        last_box, last_goal = box_dist, box_goal
    assert moved > 5


@pytest.mark.parametrize(
    ("robot", "gap", "met"), [("Point", 0.2965, True), ("Point", 0.2985, False), ("Car", 0.297, True)]
)
def test_push_success_is_three_dimensional(robot: str, gap: float, met: bool) -> None:
    env = single(f"Safety{robot}Push0-v0")
    env.reset(options={"layout": {"agent": (-1, -1, 0), "goal": (0.3, gap), "push_box": (0.3, 0.0)}})
    _, reward, _, _, info = env.step(REST)
    assert ("goal_met" in info) == met
    assert reward == pytest.approx(float(met), abs=2e-2)
    if met:
        assert env.unwrapped.layout["goal"] != (0.3, gap)
        assert abs(env.step(REST)[1]) < 2e-2, "no jump after the goal moved"


def test_push_box_term_stops_near_the_box() -> None:
    """With null_dist 2 and size 0.2 the way to the box counts only from farther than 0.4 m."""
    env = single("SafetyPointPushBase-v0", goal={}, push_box={}, extents=(-1, -1, 1, 1))
    env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (-1, 0), "push_box": (0.9, 0)}})
    gates = set()
    last_box, last_goal = push_distances(env)
    for _ in range(50):
        reward = env.step(FORWARD)[1]
        box_dist, box_goal = push_distances(env)
        gate = last_box > 0.4
        assert reward == pytest.approx(gate * (last_box - box_dist) + last_goal - box_goal, abs=1e-12)
        gates.add(gate)
        last_box, last_goal = box_dist, box_goal
    assert gates == {True, False}


def test_the_car_has_its_own_box() -> None:
    for robot, size, mass in (("Point", 0.2, 1.28e-4), ("Car", 0.125, 1.5625e-5)):
        env = single(f"Safety{robot}Push0-v0")
        model = env.unwrapped.scene.model
        assert model.body("push_box").mass[0] == pytest.approx(mass, rel=1e-9)
        spec = env.unwrapped.vec.sim.scene.slots["push_box"].spec
        assert (spec.size, spec.keepout) == (size, size)
    assert single("SafetyCarPush0-v0", push_box={"size": 0.15}).unwrapped.scene.slots["push_box"].spec.size == 0.15


# --- clip -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("clip", "want"), [(10.0, 10.0), (2.0, 2.0), (None, 70.0)])
def test_reward_clip(clip: float | None, want: float) -> None:
    env = single("SafetyPointGoal0-v0", goal={"reward_goal": 70.0}, reward_clip=clip)
    env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (0.2, 0)}})
    assert env.step(REST)[1] == pytest.approx(want, abs=1e-5)
    env = single("SafetyPointGoal0-v0", goal={"reward_goal": -70.0}, reward_clip=clip)
    env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (0.2, 0)}})
    assert env.step(REST)[1] == pytest.approx(-want, abs=1e-5)


# --- simulations that diverge -----------------------------------------------------------------------------------------


def diverge(envs: Any, i: int, how: str) -> None:
    """Make simulation `i` unstable from outside."""
    world = envs.unwrapped.sim.world
    if how == "velocity":
        world.qvel[i] = 1e30
    elif how == "position":
        world.qpos[i, 0] = np.nan
    else:
        world.qvel[i, -1] = np.inf


@pytest.mark.parametrize("how", ["velocity", "position", "infinite"])
@pytest.mark.parametrize("env_id", ["SafetyPointGoal1-v0", "SafetyCarButton1-v0", "SafetyPointPush1-v0"])
def test_a_diverged_simulation_ends_alone(env_id: str, how: str) -> None:
    envs, twin = (gymnasium.make_vec(env_id, num_envs=3, autoreset_mode="Disabled", **easy(env_id)) for _ in range(2))
    envs.reset(seed=0)
    twin.reset(seed=0)
    given = actions(3, 12, 3, 2)
    for action in given[:5]:
        before = envs.step(action)[0]
        twin.step(action)
    diverge(envs, 1, how)
    obs, reward, terminated, truncated, info = envs.step(given[5])
    want = twin.step(given[5])
    assert (reward[1], bool(terminated[1]), bool(truncated[1])) == (-10.0, False, True)
    np.testing.assert_array_equal(obs[1], before[1])
    assert info["cost"][1] == info["cost_sum"][1] == info["cost_exception"][1] == 1.0
    assert info["_cost_exception"].tolist() == [False, True, False]
    assert not info.get("goal_met", np.zeros(3, bool))[1]
    others = [0, 2]
    for a, b in zip((obs, reward, terminated, truncated), want[:4], strict=True):
        np.testing.assert_array_equal(a[others], b[others])
    for key in want[4]:
        np.testing.assert_array_equal(info[key][others], want[4][key][others], err_msg=key)
    # The others go on as if nothing had happened; the diverged one starts a new episode.
    mask = np.array([False, True, False])
    fresh, _ = envs.reset(options={"reset_mask": mask})
    twin.reset(options={"reset_mask": mask})
    assert envs.observation_space.contains(fresh)
    for action in given[6:]:
        got, want = envs.step(action), twin.step(action)
        assert "cost_exception" not in got[4]
        assert np.isfinite(got[0]).all() and np.isfinite(got[1]).all()
        np.testing.assert_array_equal(got[0][others], want[0][others])
        np.testing.assert_array_equal(got[1][others], want[1][others])
    assert not envs.unwrapped.sim.world.bad_state.any()


def test_divergence_under_same_step_autoreset() -> None:
    envs = safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=2)
    envs.reset(seed=0)
    before = envs.step(np.ones((2, 2)))[0]
    diverge(envs, 0, "velocity")
    obs, reward, cost, terminated, truncated, info = envs.step(np.ones((2, 2)))
    assert (reward[0], cost[0], bool(terminated[0]), bool(truncated[0])) == (-10.0, 1.0, False, True)
    np.testing.assert_array_equal(info["final_obs"][0], before[0])
    assert info["final_info"]["cost_exception"][0] == 1.0
    assert info["_final_obs"].tolist() == [True, False]
    assert np.isfinite(obs).all() and not np.array_equal(obs[0], before[0])
    assert "cost_exception" not in envs.step(np.ones((2, 2)))[5]


def test_divergence_under_next_step_autoreset() -> None:
    envs = safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=2, autoreset_mode="NextStep")
    envs.reset(seed=0)
    before = envs.step(np.ones((2, 2)))[0]
    diverge(envs, 0, "velocity")
    step = envs.step(np.ones((2, 2)))
    np.testing.assert_array_equal(step[0][0], before[0])
    assert step[4].tolist() == [True, False] and step[2].tolist()[0] == 1.0
    step = envs.step(np.ones((2, 2)))
    fresh = single("SafetyPointGoal1-v0")
    fresh.reset(seed=0)
    np.testing.assert_array_equal(step[0][0], fresh.reset()[0], err_msg="the first observation of the new episode")
    assert step[1][0] == 0.0 and step[2][0] == 0.0 and not step[4].any()
    assert "cost_exception" not in step[5]


def test_divergence_of_a_single_environment() -> None:
    env = safety_gym.make("SafetyPointGoal2-v0", reward_exception=-3.0)
    env.reset(seed=0)
    before = env.step(REST)[0]
    env.unwrapped.vec.sim.world.qvel[0] = 1e30
    obs, reward, cost, terminated, truncated, info = env.step(REST)
    np.testing.assert_array_equal(obs, before)
    assert (reward, cost, terminated, truncated) == (-3.0, 1.0, False, True)
    assert info["cost"] == info["cost_sum"] == info["cost_exception"] == 1.0
    assert info["cost_hazards"] == info["cost_vases_contact"] == info["cost_vases_velocity"] == 0.0
    fresh = safety_gym.make("SafetyPointGoal2-v0", reward_exception=-3.0)
    fresh.reset(seed=0)
    fresh.step(REST)
    assert_same(env.reset(), fresh.reset())
    assert_same(env.step(np.ones(2)), fresh.step(np.ones(2)))


def test_divergence_in_the_first_step_of_an_episode() -> None:
    """The last valid observation is the one of the reset."""
    env = safety_gym.make("SafetyPointGoal1-v0")
    first, _ = env.reset(seed=0)
    env.unwrapped.vec.sim.world.qpos[0] = np.nan
    obs, reward, *_ = env.step(REST)
    np.testing.assert_array_equal(obs, first)
    assert reward == -10.0


def test_diverged_button_episodes_leave_cost_buttons_out_where_the_timer_runs() -> None:
    env = safety_gym.make("SafetyPointButton1-v0")
    env.reset(seed=0)
    env.unwrapped.vec.sim.world.qvel[0] = 1e30
    info = env.step(REST)[5]
    assert info.get("cost_buttons", 0.0) == 0.0 and info["cost_exception"] == 1.0


def test_gremlins_move_also_where_they_cost_nothing() -> None:
    """Without contact sensors the drivers still run: the boxes float at twice their half-size."""
    env = single("SafetyPointGoal1-v0", gremlins={"num": 2, "is_constrained": False})
    env.reset(seed=0)
    for _ in range(100):
        env.step(np.zeros(2))
    np.testing.assert_allclose(env.unwrapped.vec.sim.world.pos("gremlins")[0, :, 2], 0.2, atol=1e-3)
