"""Multi-agent environments: registry, PettingZoo's tests, batch equality, layouts, goals, costs, options, errors."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from mujoco.batch import Batch
from pettingzoo.test import parallel_api_test, parallel_seed_test
from pettingzoo.utils import parallel_to_aec

import safety_gym
from benchmarks import speed
from safety_gym.cli import bench
from safety_gym.describe import describe
from safety_gym.multi_agent import cost_parallel_env, is_multi_agent
from safety_gym.multi_agent.vector import MultiAgentVectorEnv
from safety_gym.objects import TEAM_GOALS, TEAM_RGB
from safety_gym.tasks.multi_velocity import BODIES, agent_items, driven_joints
from tests.helpers import arrays, assert_same

DATA = json.loads((Path(__file__).parent / "data" / "multi_agent.json").read_text())
MAMUJOCO = Path(__file__).parent / "data" / "mamujoco.npz"
IDS = safety_gym.multi_agent_ids()
GOALS = [i for i in IDS if "MultiGoal" in i]
WALKERS = [i for i in IDS if "Velocity" in i]
FEW = ["SafetyPointMultiGoal2-v0", "SafetyAntMultiGoal1-v0", "Safety4x2AntVelocity-v0", "Safety9x8HumanoidVelocity-v0"]


def vector(env_id: str, n: int = 3, **options: Any) -> MultiAgentVectorEnv:
    envs = safety_gym.make_vec(env_id, num_envs=n, **options)
    assert isinstance(envs, MultiAgentVectorEnv)
    return envs


def moves(envs: Any, seed: int, n: int) -> dict[str, np.ndarray[Any, Any]]:
    """Uniform actions of every agent, (n, u); of the agents in their order, simulation by simulation."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.uniform(space.low, space.high, (n, *space.shape)).astype(space.dtype)
        for name, space in envs.action_spaces.items()
    }


def still(envs: Any, n: int) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.zeros((n, *space.shape), space.dtype) for name, space in envs.action_spaces.items()}


# --- the registry -----------------------------------------------------------------------------------------------------


def test_the_ids_are_the_references() -> None:
    alias = {name.replace("|", "x") for name in DATA["velocity"]}
    assert set(IDS) == {*DATA["multi_goal"], *alias} and len(IDS) == 23
    assert safety_gym.multi_agent_ids("hopper") == ["Safety3x1HopperVelocity-v0"]
    assert not set(IDS) & set(safety_gym.ids())


@pytest.mark.parametrize("env_id", GOALS)
def test_multi_goal_is_what_the_registry_says(env_id: str) -> None:
    want, envs = DATA["multi_goal"][env_id], vector(env_id)
    full = vector(env_id, full_observation=True)
    assert list(envs.possible_agents) == want["agents"]
    for name, space in envs.observation_spaces.items():
        assert space.shape == (want["per_agent_block_dim"],) and str(space.dtype) == want["obs_dtype"]
        assert full.observation_spaces[name].shape == (want["obs_dim"],)
        action = envs.action_spaces[name]
        assert action.shape == (want["per_agent_act_dim"],) and str(action.dtype) == want["act_dtype"]
        np.testing.assert_allclose(action.low, want["act_low"], rtol=1e-7)
        np.testing.assert_allclose(action.high, want["act_high"], rtol=1e-7)
    assert envs.state_space.shape == (want["obs_dim"],)
    assert envs.sim.max_episode_steps == want["max_episode_steps"]
    assert list(envs.sim.task.config.extents) == want["extents"]
    assert {kind: slot.num for kind, slot in envs.scene.slots.items()} == {
        k: v for k, v in want["objects"].items() if v
    }
    assert {*envs.cost_names, "cost_sum"} == set(want["cost_keys"])


@pytest.mark.parametrize("given", DATA["velocity"])
def test_divided_walkers_are_what_the_registry_says(given: str) -> None:
    want = DATA["velocity"][given]
    for obsk, key in enumerate(("obsk_0", "obsk_1_default", "obsk_2")):
        envs = vector(given, obsk=obsk)
        assert [space.shape[0] for space in envs.observation_spaces.values()] == want["per_agent_obs_dim"][key]
    assert vector(given).sim.config.obsk == 1
    assert list(envs.possible_agents) == want["agents"]
    assert envs.state_space.shape == (want["state_dim"],)
    assert [space.shape[0] for space in envs.action_spaces.values()] == want["per_agent_act_dim"]
    assert [own.tolist() for own in envs.control_ids] == want["action_partition_ctrl_index"]
    for space in envs.action_spaces.values():
        assert str(space.dtype) == want["act_dtype"]
        np.testing.assert_allclose([space.low[0], space.high[0]], [want["act_low"], want["act_high"]], rtol=1e-7)
    config = envs.sim.config
    kinds = {"planar_norm": "planar", "absolute_x": "abs_x", "signed_x": "x"}
    assert (config.velocity_threshold, config.velocity_kind) == (  # type: ignore[attr-defined]
        want["velocity_threshold"],
        kinds[want["velocity_kind"]],
    )
    assert envs.sim.max_episode_steps == want["max_episode_steps"]


def test_other_names() -> None:
    for name in ("Safety9|8HumanoidVelocity-v0", "safety_gym:Safety9x8HumanoidVelocity-v0"):
        assert is_multi_agent(name) and vector(name, 1).env_id == "Safety9x8HumanoidVelocity-v0"
    assert vector("SafetyCarMultiGoal1Gymnasium-v0", 1).env_id == "SafetyCarMultiGoal1-v0"
    assert not is_multi_agent("SafetyPointGoal1-v0") and not is_multi_agent(None)


@pytest.mark.parametrize("env_id", ["SafetyPointMultiGoal1-v0", "Safety2x4AntVelocity-v0"])
@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
def test_gymnasium_says_what_makes_them(make: Callable[[str], Any], env_id: str) -> None:
    with pytest.raises(ValueError, match=rf"several agents.*safety_gym.parallel_env\('{env_id}'\)"):
        make(env_id)


# --- PettingZoo -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", IDS)
def test_pettingzoo(env_id: str) -> None:
    parallel_api_test(safety_gym.parallel_env(env_id), num_cycles=20)
    parallel_seed_test(lambda: safety_gym.parallel_env(env_id), num_cycles=6)


@pytest.mark.parametrize("env_id", IDS)
def test_steps_of_dicts(env_id: str) -> None:
    env, six = safety_gym.parallel_env(env_id, max_episode_steps=2), cost_parallel_env(env_id, max_episode_steps=2)
    obs, infos = env.reset(seed=1)
    six.reset(seed=1)
    assert infos == {name: {"cost": 0.0} for name in env.possible_agents}
    for t in (1, 2):
        actions = {name: env.action_space(name).sample() for name in env.agents}
        before = {name: action.copy() for name, action in actions.items()}
        obs, rewards, terminations, truncations, infos = env.step(actions)
        assert_same(actions, before)
        assert all(env.observation_space(name).contains(value) for name, value in obs.items())
        assert all(type(value) is float for value in rewards.values())
        for info in infos.values():
            assert {"cost", "cost_sum", *env.cost_names} <= set(info) and type(info["cost"]) is float
            assert ("goal_met" in info) == ("MultiGoal" in env_id)
        assert len({id(info) for info in infos.values()}) == len(infos)
        costs = {name: info["cost"] for name, info in infos.items()}
        assert_same(six.step(actions), (obs, rewards, costs, terminations, truncations, infos))
        assert env.state().shape == env.state_space.shape
        assert set(truncations.values()) == {t == 2}
    assert env.agents == []
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(actions)


def test_make_is_the_references() -> None:
    env = safety_gym.make("SafetyAntMultiGoal0-v0")
    env.reset(seed=0)
    assert len(env.step({name: env.action_space(name).sample() for name in env.agents})) == 6
    env = safety_gym.make_ma("Ant", "2x4d", agent_obsk=0)
    assert env.unwrapped.vec.sim.task.partition[0] == ("hip_1", "ankle_1", "hip_4", "ankle_4")
    assert env.unwrapped.vec.sim.config.velocity_threshold == 2.522


def test_turns() -> None:
    """PettingZoo's conversion: every agent acts in turn, the last one steps the simulation."""
    env, turns = safety_gym.parallel_env("SafetyPointMultiGoal1-v0"), safety_gym.aec_env("SafetyPointMultiGoal1-v0")
    assert type(turns) is type(parallel_to_aec(env))
    env.reset(seed=3)
    turns.reset(seed=3)
    actions = {name: env.action_space(name).sample() for name in env.agents}
    obs, rewards, _, _, infos = env.step(actions)
    for name in env.possible_agents:
        assert turns.agent_selection == name
        turns.step(actions[name])
    last = turns.last()
    np.testing.assert_array_equal(last[0], obs["agent_0"])
    assert last[1] == rewards["agent_0"] and last[4]["cost"] == infos["agent_0"]["cost"]


# --- the native vector form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", IDS)
def test_a_batch_equals_its_parallel_environments(env_id: str) -> None:
    """Through ends of episodes, to the last bit, on several threads; last observations included."""
    n, limit = 3, 5
    envs = vector(env_id, n, num_threads=2, max_episode_steps=limit)
    singles = [safety_gym.parallel_env(env_id, max_episode_steps=limit) for _ in range(n)]
    obs, _ = envs.reset(seed=20)
    rows = [env.reset(seed=20 + i)[0] for i, env in enumerate(singles)]
    ends = 0
    for t in range(12):
        for i, env in enumerate(singles):
            assert_same({name: value[i] for name, value in obs.items()}, rows[i], f"step {t}, simulation {i}")
            np.testing.assert_array_equal(envs.state()[i], env.state())
        actions = moves(envs, t, n)
        obs, reward, cost, terminated, truncated, info = envs.step(actions)
        assert reward.shape == cost.shape == (n, envs.num_agents) and terminated.shape == truncated.shape == (n,)
        for i, env in enumerate(singles):
            rows[i], rewards, te, tr, infos = env.step({name: action[i] for name, action in actions.items()})
            assert reward[i].tolist() == list(rewards.values())
            assert cost[i].tolist() == [one["cost"] for one in infos.values()]
            assert (terminated[i], truncated[i]) == (te["agent_0"], tr["agent_0"])
            for key in envs.cost_names:
                assert info[key][i].tolist() == [one[key] for one in infos.values()]
            if not env.agents:
                ends += 1
                assert info["_final_obs"][i] and info["final_info"]["cost"][i].tolist() == cost[i].tolist()
                assert_same({name: value[i] for name, value in info["final_obs"].items()}, rows[i])
                np.testing.assert_array_equal(info["final_state"][i], env.state())
                rows[i] = env.reset()[0]
    assert ends >= 6


@pytest.mark.parametrize("env_id", FEW)
def test_threads_change_nothing(env_id: str) -> None:
    outcomes = []
    for threads in (1, 2):
        envs = vector(env_id, 5, num_threads=threads, max_episode_steps=4)
        envs.reset(seed=0)
        outcomes.append([envs.step(moves(envs, t, 5))[:5] for t in range(6)])
    assert_same(*outcomes)


@pytest.mark.parametrize("env_id", FEW)
def test_nothing_returned_is_shared(env_id: str) -> None:
    envs = vector(env_id, 2, max_episode_steps=2)
    obs, _ = envs.reset(seed=0)
    kept = [obs, envs.state()]
    for t in range(3):
        kept.append(envs.step(moves(envs, t, 2))[:5])
        kept.append(envs.state())
    copies = [[a.copy() for a in arrays(value)] for value in kept]
    envs.step(moves(envs, 9, 2))
    envs.reset(seed=5)
    for value, copy in zip(kept, copies, strict=True):
        assert_same(arrays(value), copy)


@pytest.mark.parametrize("env_id", FEW)
def test_saved_states_continue_equally(env_id: str) -> None:
    envs, other = vector(env_id, max_episode_steps=9), vector(env_id, max_episode_steps=9)
    envs.reset(seed=7)
    for t in range(5):
        envs.step(moves(envs, t, 3))
    saved = pickle.loads(pickle.dumps(envs.get_state()))
    other.set_state(saved)
    copied = pickle.loads(pickle.dumps(envs))
    envs.set_state(saved)
    np.testing.assert_array_equal(envs.state(), other.state())
    for t in range(8):  # through the end of an episode
        steps = [e.step(moves(e, 50 + t, 3)) for e in (envs, other, copied)]
        assert_same(steps[0], steps[1])
        assert_same(steps[0], steps[2])
    with pytest.raises(ValueError, match="saved from"):
        vector("Safety2x3HalfCheetahVelocity-v0").set_state(saved)
    env = safety_gym.parallel_env(env_id)
    env.reset(seed=0)
    twin = pickle.loads(pickle.dumps(env))
    actions = {name: env.action_space(name).sample() for name in env.agents}
    env.set_state(env.get_state())
    assert_same(env.step(actions), twin.step(actions))


def test_autoreset_modes() -> None:
    late = vector("Safety2x3Walker2dVelocity-v0", 2, max_episode_steps=2, autoreset_mode="NextStep")
    late.reset(seed=0)
    late.step(moves(late, 0, 2))
    assert late.step(moves(late, 1, 2))[4].all()
    _, reward, cost, terminated, truncated, info = late.step(moves(late, 2, 2))
    assert not (reward.any() or cost.any() or terminated.any() or truncated.any() or info["cost"].any())
    off = vector("SafetyPointMultiGoal0-v0", 2, max_episode_steps=1, autoreset_mode=AutoresetMode.DISABLED)
    off.reset(seed=0)
    off.step(still(off, 2))
    with pytest.raises(gymnasium.error.ResetNeeded):
        off.step(still(off, 2))
    off.reset(options={"reset_mask": np.array([True, True])})
    off.step(still(off, 2))


def test_actions_as_one_array() -> None:
    envs, other = vector("Safety4x2AntVelocity-v0"), vector("Safety4x2AntVelocity-v0")
    envs.reset(seed=0)
    other.reset(seed=0)
    actions = moves(envs, 0, 3)
    assert_same(envs.step(actions), other.step(np.stack(list(actions.values()), axis=1)))
    with pytest.raises(ValueError, match=r"shape \(3, 2, 4\); expected \(3, 4, 2\)"):
        envs.step(np.zeros((3, 2, 4)))
    with pytest.raises(ValueError, match="agents differ in their number of actions"):
        vector("Safety9x8HumanoidVelocity-v0").step(np.zeros((3, 2, 9)))


def test_wrong_actions_move_nothing() -> None:
    envs = vector("SafetyPointMultiGoal1-v0")
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step(still(envs, 3))
    envs.reset(seed=0)
    before = envs.batch.state.copy()
    good = still(envs, 3)
    for bad, says in (
        ({"agent_0": good["agent_0"]}, "one for each of agent_0, agent_1"),
        ({**good, "agent_2": good["agent_0"]}, "one for each of agent_0, agent_1, got"),
        ({**good, "agent_1": np.zeros((3, 3))}, r"action of agent_1 has shape \(3, 3\); expected \(3, 2\)"),
        ({**good, "agent_1": np.full((3, 2), np.nan)}, r"NaN in rows \[0, 1, 2\]"),
    ):
        with pytest.raises(ValueError, match=says):
            envs.step(bad)
    np.testing.assert_array_equal(envs.batch.state, before)


def test_an_unstable_simulation_ends_alone() -> None:
    envs = vector("SafetyPointMultiGoal1-v0")
    envs.reset(seed=0)
    envs.sim.world.qvel[1, 0] = np.inf
    obs, reward, cost, terminated, truncated, info = envs.step(still(envs, 3))
    assert truncated.tolist() == [False, True, False] and not terminated.any()
    assert reward[1].tolist() == [-10.0, -10.0] and cost[1].tolist() == [1.0, 1.0]
    assert info["_cost_exception"].tolist() == [False, True, False]
    assert all(np.isfinite(value).all() for value in obs.values())


# --- MultiGoal --------------------------------------------------------------------------------------------------------

FAR = {"hazards": [(-1.4 + 0.41 * i, -2.6) for i in range(8)], "vases": [(2.6, 2.6)]}


@pytest.mark.parametrize("robot", ["Point", "Car", "Doggo", "Racecar", "Ant"])
def test_one_agent_among_others_is_the_single_agent(robot: str) -> None:
    """The others far away: sensors, lidars, reward and cost are those of the robot alone in the same layout."""
    wide = {"extents": (-3, -3, 3, 3)}
    envs = vector(f"Safety{robot}MultiGoal1-v0", 1, **wide)
    alone = gymnasium.make_vec(f"Safety{robot}Goal1-v0", num_envs=1, **wide)
    pose, goal = (0.3, 0.4, 0.7), (0.9, 0.4)
    rest = {"hazards": [(0.3, 0.8), *FAR["hazards"][1:]], "vases": [(0.0, 0.2)]}
    envs.reset(seed=0, options={"layout": {"agents": [(-2.5, 2.5, 0), pose], "goal_red": (2.5, 0),
                                           "goal_blue": goal, **rest}})  # fmt: skip
    alone.reset(seed=0, options={"layout": {"agent": pose, "goal": goal, **rest}})
    one, two = alone.unwrapped.sim, envs.sim  # type: ignore[attr-defined]
    nq, q = two.scene.agent_nq, int(two.scene.agent_qpos[1])
    one.world.qpos[0, :nq] = two.world.qpos[0, q : q + nq]  # start angles are drawn with noise
    one.world.forward()
    action = np.full((1, two.nact), 0.5)
    key = [t.key for t in two.observer.terms]
    for _ in range(4):
        obs, reward, cost, _, _, info = envs.step({"agent_0": 0 * action, "agent_1": action})
        obs1, reward1, _, _, info1 = alone.step(action)
        parts = {t.key: obs["agent_1"][0, t.start : t.stop] for t in two.observer.terms}
        for term in one.observer.terms:
            mine = parts["goal_blue_lidar" if term.key == "goal_lidar" else term.key]
            np.testing.assert_allclose(mine, obs1[0, term.start : term.stop], rtol=1e-6, atol=1e-6, err_msg=term.key)
        np.testing.assert_allclose(reward[0, 1], reward1[0], atol=1e-8)
        assert cost[0, 1] == info1["cost"][0] and info["cost_hazards"][0, 1] == info1["cost_hazards"][0]
    assert "goal_red_lidar" in key


AROUND = {"goal": (0.25, 0), "hazards": [(0.6, 0), (0, 0.6), *((-2.6, 0.45 * i - 2) for i in range(8))],
          "vases": [(-0.6, 0), *((2.6, 0.45 * i - 2) for i in range(9))]}  # fmt: skip


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("robot", ["Point", "Car", "Doggo", "Racecar", "Ant"])
def test_an_agent_alone_is_the_single_agent(robot: str, level: int) -> None:
    """With `num_agents=1`, to the last bit: layouts, observations, rewards, costs, goals that are drawn anew, ends."""
    n, wide = 3, {"extents": (-3, -3, 3, 3)}
    envs = vector(f"Safety{robot}MultiGoal{level}-v0", n, num_agents=1, **wide)
    single: Any = gymnasium.make_vec(f"Safety{robot}Goal{level}-v0", num_envs=n, **wide).unwrapped
    sims = (single.sim, envs.sim)
    for e in (single, envs):
        e.reset(seed=5)
    drawn = [np.delete(sim.world.placed_xy(np.arange(n)), 1, axis=1) for sim in sims]
    np.testing.assert_array_equal(*drawn)  # Goal draws its goal twice, as the reference does
    layout = {"agent": (0, 0, 0.3), **{kind: AROUND[kind][: slot.num] if kind != "goal" else AROUND["goal"]
                                       for kind, slot in single.scene.slots.items()}}  # fmt: skip
    obs, _ = single.reset(seed=7, options={"layout": layout})
    joint, _ = envs.reset(seed=7, options={"layout": {k.replace("goal", "goal_red"): v for k, v in layout.items()}})
    assert_same(joint, {"agent_0": obs})
    actions = np.random.default_rng(level).uniform(-1, 1, (30, n, envs.sim.nact)) * single.single_action_space.high
    met, paid = np.zeros(n), np.zeros(n)
    for t, action in enumerate(actions):
        if t in (12, 20):  # into a hazard, onto a vase
            place(sims, AROUND["hazards" if t == 12 else "vases"][0])
        obs, reward, terminated, truncated, info = single.step(action)
        joint, rewards, costs, *ended, infos = envs.step({"agent_0": action})
        assert_same(joint, {"agent_0": obs}, f"step {t}")
        assert_same((rewards[:, 0], costs[:, 0], *ended), (reward, info["cost"], terminated, truncated), f"step {t}")
        assert set(envs.cost_names) == set(single.cost_names)
        for key in envs.cost_names:
            np.testing.assert_array_equal(infos[key][:, 0], info[key])
        goal = info.get("goal_met", np.zeros(n, bool))
        np.testing.assert_array_equal(infos.get("goal_met", np.zeros((n, 1), bool))[:, 0], goal)
        np.testing.assert_array_equal(*(sim.world.object_xy for sim in sims))
        met, paid = met + goal, paid + info["cost"]
    assert met.all() and (paid.all() if level else not paid.any())
    assert len(np.unique(envs.sim.world.xy("goal_red"), axis=0)) == n


def place(sims: tuple[Any, ...], xy: tuple[float, float]) -> None:
    """Put the first robot there, in all simulations."""
    for sim in sims:
        sim.world.qpos[:, sim.scene.agent_qpos[0] + np.arange(2)] = xy
        sim.world.forward()


@pytest.mark.parametrize("env_id", ["SafetyPointMultiGoal0-v0", "SafetyPointMultiGoal2-v0"])
@pytest.mark.parametrize("options", [{}, {"num_agents": 4}, {"num_agents": 8, "shared_goal": True}], ids=str)
def test_layouts_never_overlap(env_id: str, options: dict[str, Any]) -> None:
    envs = vector(env_id, 40, **options)
    a = envs.num_agents
    envs.reset(seed=0)
    plan, world = envs.sim.task.plan, envs.sim.world
    for _ in range(3):
        xy = world.placed_xy(np.arange(40))
        gap = np.linalg.norm(xy[:, :, None] - xy[:, None], axis=3)
        keepout = np.array([e.keepout for e in plan.entities])
        apart = keepout[:, None] + keepout[None]
        np.fill_diagonal(apart, 0)
        assert (gap >= apart - 1e-9).all()
        assert (gap[:, :a, :a] + 9 * np.eye(a)).min() >= 0.8 - 1e-9
        envs.reset()


def steered(envs: MultiAgentVectorEnv) -> np.ndarray[Any, Any]:
    """Actions (n, a, 2) of Points that drive to their goals."""
    world, task = envs.sim.world, envs.sim.task
    goals = np.concatenate([world.xy(kind) for kind in task.goals], axis=1)  # type: ignore[attr-defined]
    way = goals - world.agent_pos[..., :2]
    error = (np.arctan2(way[..., 1], way[..., 0]) - world.agent_yaw() + np.pi) % (2 * np.pi) - np.pi
    return np.stack((np.where(np.abs(error) < 0.4, 1.0, 0.05), np.clip(3 * error, -1, 1)), axis=-1)


def test_only_goals_that_are_reached_move() -> None:
    n = 8
    envs = vector("SafetyPointMultiGoal0-v0", n, max_episode_steps=-1)
    envs.reset(seed=2)
    world, task, met = envs.sim.world, envs.sim.task, np.zeros(2, int)
    for _ in range(150):
        before = world.object_xy.copy()
        _, reward, _, terminated, _, info = envs.step(steered(envs))
        reached = info.get("goal_met", np.zeros((n, 2), bool))
        moved = (world.object_xy != before).any(axis=2)
        np.testing.assert_array_equal(moved, reached)
        np.testing.assert_array_equal(reward > 0.9, reached)
        assert not terminated.any()
        if reached.any():
            assert (world.memory["last_dist"][reached] >= 0.305 + 0.4 - 1e-9).all()
            every = np.linalg.norm(world.agent_pos[:, :, None, :2] - world.object_xy[:, None], axis=3)
            assert (every[:, :, :][reached.any(axis=1)] > 0).all()
            for i, j in np.argwhere(reached):
                assert every[i, :, j].min() >= 0.705 - 1e-9, "clear of every robot"
                assert np.linalg.norm(world.object_xy[i, 0] - world.object_xy[i, 1]) >= 0.61 - 1e-9
        met += reached.sum(axis=0)
    assert (met >= 3).all() and task.has_goal


def test_each_agent_drives_its_own_robot() -> None:
    """In the reference the first agent pushes both Points, the second turns both."""
    for wrong in (False, True):
        envs = vector("SafetyPointMultiGoal0-v0", 1, reference_controls=wrong)
        envs.reset(seed=0)
        before = envs.sim.world.agent_pos.copy(), envs.sim.world.agent_yaw()
        for _ in range(5):
            envs.step({"agent_0": np.ones((1, 2)), "agent_1": np.zeros((1, 2))})
        driven = np.linalg.norm(envs.sim.world.agent_pos - before[0], axis=2)[0] > 1e-3
        turned = np.abs(envs.sim.world.agent_yaw() - before[1])[0] > 1e-3
        assert (driven.tolist(), turned.tolist()) == (([True] * 2, [False] * 2) if wrong else ([True, False],) * 2)


def test_rewards_are_clipped() -> None:
    """The reference means to, at 10, but does not."""
    for clip, most in (({}, 10.0), ({"reward_clip": None}, 20.0)):
        envs = vector("SafetyPointMultiGoal0-v0", 1, goal={"reward_distance": 1000.0}, **clip)
        envs.reset(seed=0)
        envs.sim.world.memory["last_dist"] += 0.02
        assert envs.step(still(envs, 1))[1] == pytest.approx(most, abs=1.0)


def test_a_shared_goal() -> None:
    """Whoever reaches it is paid; all follow the next one."""
    envs = vector("SafetyPointMultiGoal0-v0", 1, shared_goal=True, num_agents=3)
    assert list(envs.scene.slots) == ["goal"]
    layout = {"agents": [(0.45, 0, np.pi), (-0.9, 0.6, 0), (-0.9, -0.6, 0)], "goal": (0, 0)}
    envs.reset(seed=0, options={"layout": layout})
    for _ in range(60):
        _, reward, _, _, _, info = envs.step(steered(envs) * [[[1], [0], [0]]])
        if "goal_met" in info:
            break
    assert info["goal_met"].tolist() == [[True, False, False]]
    assert reward[0, 0] > 0.9 and np.abs(reward[0, 1:]).max() < 1e-3
    world = envs.sim.world
    assert world.agent_distance("goal")[0].min() >= 0.705 - 1e-9
    np.testing.assert_allclose(world.memory["last_dist"], world.agent_distance("goal")[..., 0])


def test_robots_that_touch_both_pay() -> None:
    """Three ants: two overlap, one stands aside. The reference's credit misses it."""
    layout = {"agents": [(0, 0, 0), (1.5, 0, 0), (2.5, 2.5, 0)], "goal_red": (-2, 2), "goal_blue": (-2, 0),
              "goal_green": (-2, -2), **FAR, "vases": [(2.5, -2)]}  # fmt: skip
    envs = vector("SafetyAntMultiGoal1-v0", 1, num_agents=3, extents=(-3, -3, 3, 3))
    envs.reset(seed=0, options={"layout": layout})
    assert envs.step(still(envs, 1))[5]["cost_contact_other"].tolist() == [[0.0, 0.0, 0.0]]
    assert overlapping(envs).tolist() == [[1.0, 1.0, 0.0]]
    _, _, cost, _, _, info = envs.step(still(envs, 1))
    assert info["cost_contact_other"].tolist() == cost.tolist() == [[1.0, 1.0, 0.0]]
    two = {**layout, "agents": [(0, 0, 0), (1.5, 0, 0)]}
    del two["goal_green"]
    wrong = vector("SafetyAntMultiGoal1-v0", 1, reference_credit=True, extents=(-3, -3, 3, 3))
    wrong.reset(seed=0, options={"layout": two})
    assert overlapping(wrong).tolist() == [[0.0, 0.0]]


def overlapping(envs: MultiAgentVectorEnv) -> np.ndarray[Any, Any]:
    """Put the second ant into the first; return what it costs."""
    envs.sim.world.qpos[0, envs.scene.agent_qpos[1]] = 0.03
    envs.sim.world.forward()
    return envs.sim.raw_costs()["cost_contact_other"]


def test_robots_must_not_touch_at_the_start() -> None:
    layout = {"agents": [(0, 0, 0), (0.22, 0, np.pi)], "goal_red": (-1, 1), "goal_blue": (1, 1), **FAR}
    envs = vector("SafetyPointMultiGoal1-v0", 1)
    with pytest.raises(safety_gym.LayoutError, match="cost_contact_other"):
        envs.reset(seed=0, options={"layout": layout})


def vases_alone(**options: Any) -> MultiAgentVectorEnv:
    """Two Points and two vases far from each other."""
    no_hazards = {"hazards": None, "vases": {"num": 2}, "extents": (-3, -3, 3, 3)}
    envs = vector("SafetyPointMultiGoal2-v0", 1, **no_hazards, **options)
    layout = {"agents": [(-2, 0, 0), (2, 0, np.pi)], "goal_red": (0, 2.5), "goal_blue": (0, -2.5)}
    envs.reset(seed=0, options={"layout": {**layout, "vases": [(-1.68, 0), (1.2, 2)]}})
    return envs


def test_the_last_to_touch_a_vase_pays_for_its_speed() -> None:
    envs = vases_alone()
    push = {"agent_0": np.array([[1.0, 0.0]]), "agent_1": np.zeros((1, 2))}
    paid = np.zeros((0, 2))
    touched = 0
    for _ in range(60):
        _, _, _, _, _, info = envs.step(push)
        touched += int(info["cost_vases_contact"][0, 0])
        paid = np.vstack((paid, info["cost_vases_velocity"]))
        assert info["cost_vases_contact"][0, 1] == 0
    assert touched > 0 and paid[:, 0].sum() > touched / 2 and not paid[:, 1].any()
    envs.reset(seed=1)
    assert not envs.sim.world.memory["touched_last"].any(), "an episode begins without a memory"


@pytest.mark.parametrize(("credit", "payer"), [(False, [0.0, 0.0]), (True, [1.0, 0.0])])
def test_a_vase_that_nobody_touched(credit: bool, payer: list[float]) -> None:
    envs = vases_alone(reference_credit=credit)
    envs.sim.world.linvel("vases")[0, 1, 0] = 0.5
    assert envs.step(still(envs, 1))[2].tolist() == [payer]


def test_agents_lidar() -> None:
    envs = vector("SafetyPointMultiGoal0-v0", 1, num_agents=3, agent_lidar=True)
    plain = vector("SafetyPointMultiGoal0-v0", 1, num_agents=3)
    layout = {"agents": [(0, 0, 0), (0.75, 0, 1), (0, -1.2, 2)], "goal_red": (1, 1), "goal_blue": (-1, 1),
              "goal_green": (-1, 0)}  # fmt: skip
    obs, _ = envs.reset(seed=0, options={"layout": layout})
    other, _ = plain.reset(seed=0, options={"layout": layout})
    term = envs.sim.observer.terms[-1]
    assert term.key == "agents_lidar" and envs.observation_spaces["agent_0"].shape == (12 + 4 * 16,)
    np.testing.assert_array_equal(obs["agent_0"][:, :-16], other["agent_0"])
    red = obs["agent_0"][0, -16:]
    assert red[0] == pytest.approx((3 - 0.75) / 3) and red[12] == pytest.approx((3 - 1.2) / 3)
    assert not red[4:8].any(), "a robot does not see itself"


def test_full_observation_is_the_state() -> None:
    envs, full = vector("SafetyCarMultiGoal1-v0"), vector("SafetyCarMultiGoal1-v0", full_observation=True)
    obs, _ = envs.reset(seed=0)
    every, _ = full.reset(seed=0)
    joined = np.hstack(list(obs.values()))
    for value in (*every.values(), envs.state(), full.state()):
        np.testing.assert_array_equal(value, joined)


def test_dict_observations() -> None:
    env = safety_gym.parallel_env("SafetyPointMultiGoal1-v0", observation_flatten=False)
    obs, _ = env.reset(seed=0)
    assert list(obs["agent_1"])[4:6] == ["goal_red_lidar", "goal_blue_lidar"]
    assert env.observation_space("agent_1").contains(obs["agent_1"])


def test_arenas_grow_with_the_team() -> None:
    assert vector("SafetyPointMultiGoal1-v0", num_agents=8).sim.task.config.extents == (-3, -3, 3, 3)
    kept = vector("SafetyPointMultiGoal1-v0", num_agents=8, extents=(-4, -4, 4, 4))
    assert kept.sim.task.config.extents == (-4, -4, 4, 4)
    assert [slot.spec.rgb for slot in list(kept.scene.slots.values())[:8]] == list(TEAM_RGB.values())
    assert len({kind.kind for kind in TEAM_GOALS}) == 8


def test_noise_of_ants() -> None:
    for shared in (False, True):
        envs = vector("SafetyAntMultiGoal0-v0", 2, reference_noise=shared)
        envs.reset(seed=0)
        q = envs.scene.agent_qpos + envs.scene.agent_nq - 8
        angles = [envs.sim.world.qpos[:, i : i + 8] for i in q]
        assert np.array_equal(*angles) == shared


def test_goals_can_be_changed_together() -> None:
    envs = vector("SafetyPointMultiGoal0-v0", goal={"size": 0.5, "reward_goal": 3.0})
    assert {slot.spec.size for slot in envs.scene.slots.values()} == {0.5}


# --- divided walkers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", sorted({key.rsplit("/", 1)[0] for key in np.load(MAMUJOCO).files if key.endswith("obs")})
)
def test_observations_are_mamujocos(name: str) -> None:
    """Which numbers of the engine an agent sees, in which order: as gymnasium-robotics 1.2.2 has it."""
    walker, partition, obsk = name.split("/")
    with np.load(MAMUJOCO) as data:
        body, engine = BODIES[walker], {"qpos": data[f"{walker}/{partition}/qpos"]}
        speed = data[f"{walker}/{partition}/qvel"]
        engine["qvel"] = np.clip(speed, -body.clip, body.clip) if body.clip else speed
        for key in ("cinert", "cvel", "qfrc_actuator", "cfrc_ext"):
            engine[key] = data[f"{walker}/{key}"].ravel() if walker == "Humanoid" else np.zeros(0)
        want, sizes = data[f"{name}/obs"], data[f"{name}/sizes"]
        ctrl, joined = data[f"{walker}/{partition}/ctrl"], data[f"{walker}/{partition}/joined"]
    first = next(i for i in WALKERS if walker in i)
    envs = vector(first, 1, partition=partition, obsk=int(obsk))
    model, task = envs.scene.model, envs.sim.task
    items = [agent_items(model, body, own, int(obsk)) for own in task.partition]  # type: ignore[attr-defined]
    assert [len(mine) for mine in items] == sizes.tolist()
    got = np.array([engine[array][index] for mine in items for array, index in mine])
    np.testing.assert_array_equal(got, want)
    parts = np.split(ctrl[None], np.cumsum([len(own) for own in task.partition])[:-1], axis=1)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(envs.controls(dict(zip(envs.possible_agents, parts, strict=True)))[0], joined)


@pytest.mark.parametrize("env_id", WALKERS)
def test_the_observer_gathers_these_numbers(env_id: str) -> None:
    envs = vector(env_id)
    envs.reset(seed=0)
    for t in range(3):
        obs, *_ = envs.step(moves(envs, t, 3))
    world, body = envs.sim.world, BODIES[envs.parsed_id.robot]
    for own, value in zip(envs.sim.task.partition, obs.values(), strict=True):  # type: ignore[attr-defined]
        items = agent_items(envs.scene.model, body, own, 1)
        assert value.shape == (3, len(items))
        for column, (name, index) in zip(value.T, items, strict=True):
            source = world.memory["forces"] if name == "cfrc_ext" else world.readout(name)
            want = source.reshape(3, -1)[:, index]
            np.testing.assert_array_equal(column, np.clip(want, -body.clip, body.clip) if body.clip and name == "qvel"
                                          else want)  # fmt: skip


@pytest.mark.parametrize("env_id", WALKERS)
def test_a_divided_walker_is_the_walker(env_id: str) -> None:
    """Same seed, same controls: state, reward and end are the single agent's; the cost has its own rule."""
    envs = vector(env_id, max_episode_steps=30)
    config, walker = envs.sim.config, envs.parsed_id.robot
    same = {"velocity_threshold": config.velocity_threshold, "velocity_kind": config.velocity_kind}  # type: ignore[attr-defined]
    one = gymnasium.make_vec(f"Safety{walker}Velocity-v1", num_envs=3, max_episode_steps=30, **same)
    envs.reset(seed=4)
    obs1, _ = one.reset(seed=4)
    np.testing.assert_array_equal(envs.state(), obs1)
    for t in range(35):
        actions = moves(envs, t, 3)
        _, reward, cost, terminated, truncated, info = envs.step(actions)
        obs1, reward1, terminated1, truncated1, info1 = one.step(envs.controls(actions))
        np.testing.assert_array_equal(envs.state(), obs1)
        for j in range(envs.num_agents):
            np.testing.assert_array_equal(reward[:, j], reward1)
            np.testing.assert_array_equal(cost[:, j], info1["cost"])
        assert_same([terminated, truncated, info["velocity"]], [terminated1, truncated1, info1["velocity"]])


@pytest.mark.parametrize(("env_id", "signed"), [("Safety2x3HalfCheetahVelocity-v0", False),
                                                ("Safety2x1SwimmerVelocity-v0", True)])  # fmt: skip
def test_speed_backwards(env_id: str, signed: bool) -> None:
    """Fast backwards costs, but not for Swimmer, whose speed has a sign."""
    envs = vector(env_id, 1)
    envs.reset(seed=0)
    for pace, cost in ((5.0, 1.0), (-5.0, 0.0 if signed else 1.0)):
        envs.sim.world.qvel[:] = 0
        envs.sim.world.qvel[:, 0] = pace
        assert envs.step(still(envs, 1))[2].tolist() == [[cost, cost]]


def test_own_partitions() -> None:
    legs = [["hip_1"], ["ankle_1", "hip_2", "ankle_2"], ["hip_3", "ankle_3", "hip_4", "ankle_4"]]
    envs = vector("Safety2x4AntVelocity-v0", partition=legs)
    assert [space.shape[0] for space in envs.action_spaces.values()] == [1, 3, 4]
    assert [len(own) for own in envs.control_ids] == [1, 3, 4] and envs.num_agents == 3
    model = envs.scene.model
    actuated = {model.joint(int(j)).name for j in model.actuator_trnid[:, 0]}
    assert set(driven_joints(model)) == actuated and model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE
    full = vector("Safety2x4AntVelocity-v0", full_observation=True)
    obs, _ = full.reset(seed=0)
    for value in obs.values():
        np.testing.assert_array_equal(value, full.state())


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env_id", "options", "says"),
    [
        ("SafetyPointMultGoal1-v0", {}, "did you mean 'SafetyPointMultiGoal1-v0'"),
        ("SafetyPointGoal1-v0", {}, "has a single agent; make it with safety_gym.make"),
        (3, {}, "env_id=3: expected a string"),
        ("SafetyPointMultiGoal1-v0", {"num_agents": 0}, "num_agents=0: expected a whole number from 1 to 8"),
        ("SafetyPointMultiGoal1-v0", {"num_agents": 1, "agent_lidar": True}, "there are no other robots to see"),
        ("SafetyPointMultiGoal1-v0", {"num_agent": 3}, "unknown option 'num_agent'; did you mean 'num_agents'"),
        ("SafetyPointMultiGoal1-v0", {"num_agents": 3, "reference_credit": True}, "the reference has two agents"),
        ("SafetyPointMultiGoal1-v0", {"shared_goal": 1}, "shared_goal=1: expected True or False"),
        ("SafetyPointMultiGoal1-v0", {"contact_other_cost": -1.0}, "contact_other_cost=-1.0: expected a cost >= 0"),
        ("SafetyPointMultiGoal1-v0", {"full_observation": True, "observation_flatten": False}, "observation_flatten"),
        ("SafetyPointMultiGoal1-v0", {"goal": None}, "needs 'goal'"),
        ("SafetyPointMultiGoal1-v0", {"num_envs": 2}, "num_envs: this is a single simulation"),
        ("SafetyPointMultiGoal1-v0", {"render_mode": "human"}, "render_mode='human': expected None or one of"),
        ("SafetyPointMultiGoal1-v0", {"config": 3}, "config=3: expected a mapping"),
        ("Safety2x4AntVelocity-v0", {"obsk": -1}, "obsk=-1: expected a whole number >= 0"),
        ("Safety2x4AntVelocity-v0", {"rules": "v5"}, "rules='v5': divided walkers"),
        ("Safety2x4AntVelocity-v0", {"partition": "2x5"}, "unknown partition '2x5'; did you mean '2x4"),
        ("Safety2x4AntVelocity-v0", {"partition": [["hip_9"]]}, "unknown joint in partition of Ant 'hip_9'"),
        ("Safety2x4AntVelocity-v0", {"partition": []}, "expected a name"),
        (
            "Safety3x1HopperVelocity-v0",
            {"partition": [["leg_joint"], ["foot_joint"]]},
            "'thigh_joint' is named 0 times",
        ),
        ("Safety2x4AntVelocity-v0", {"num_agents": 2}, "unknown option 'num_agents'"),
    ],
)
def test_errors(env_id: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        safety_gym.parallel_env(env_id, **options)


# --- descriptions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", IDS)
def test_descriptions_agree_with_the_environment(env_id: str) -> None:
    about, envs = describe(env_id), vector(env_id, 1)
    assert about["id"] == env_id and [agent["name"] for agent in about["agents"]] == list(envs.possible_agents)
    for agent in about["agents"]:
        assert envs.observation_spaces[agent["name"]].shape == (agent["observation"],)
        assert envs.action_spaces[agent["name"]].shape == (len(agent["actuators"]),)
    assert [term["key"] for term in about["cost"]["terms"]] == list(envs.cost_names)
    joints = getattr(envs.sim.task, "partition", None)
    if joints is not None and "Ant" in env_id:  # whose actuators have the names of their joints
        assert [agent["actuators"] for agent in about["agents"]] == [list(own) for own in joints]
    assert all(option["value"] == option["default"] and option["meaning"] for option in about["options"])


def test_descriptions_follow_options() -> None:
    about = describe("SafetyPointMultiGoal1-v0", {"num_agents": 3, "agent_lidar": True})
    assert len(about["agents"]) == 3 and about["observation"]["slices"][-1]["key"] == "agents_lidar"
    assert {o["name"]: o["value"] for o in about["options"] if o["value"] != o["default"]}["num_agents"] == 3


# --- speed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", ["SafetyPointMultiGoal1-v0", "Safety2x4AntVelocity-v0"])
def test_speed_is_measured_beside_the_engine(env_id: str) -> None:
    row = bench.measure(env_id, 2, 0.2, {})
    assert row["env_steps"] > 0 and 0 < row["outside_share"] < 1 and 0 < row["ratio"] < 1.5
    args = argparse.Namespace(num_envs=[2], threads=1, repeats=1, bare_steps=20)
    single, batch = speed.measure_id(env_id, args, None)
    assert (single["face"], batch["face"]) == ("parallel_env", "make_vec, n = 2")
    assert batch["steps"] == 2000 and batch["of_bare"] == batch["rate"] / batch["bare_rate"]
    assert {single["resets"] > 0, batch["resets"] > 0} == {True}


def test_the_engine_alone_gets_the_controls_of_the_team() -> None:
    """From the same start it computes the same motion, up to what the environment adds: nothing, here."""
    envs = vector("SafetyCarMultiGoal0-v0", 2, num_threads=1)
    actions, controls = speed.draw_batched(envs, 5, seed=3)
    envs.reset(seed=0)
    bare = Batch(envs.scene.model, 2, nthread=1, persistent=envs.batch.persistent)
    bare.state[:] = envs.batch.state
    bare.forward()
    for action, control in zip(actions, controls, strict=True):
        bare.bind("ctrl")[:] = np.clip(control, *envs.scene.model.actuator_ctrlrange.T)
        bare.step(nstep=envs.scene.config.substeps)
        envs.step(action)
    np.testing.assert_array_equal(bare.state, envs.batch.state)


@pytest.mark.gl
def test_pictures_tell_robots_apart() -> None:
    env = safety_gym.parallel_env("SafetyCarMultiGoal0-v0", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert frame.shape == (256, 256, 3) and frame.dtype == np.uint8
    model = env.vec.scene.drawing
    colors = []
    for j, rgb in enumerate(list(TEAM_RGB.values())[:2]):
        names = [model.material(i).name for i in range(model.nmat)]
        rows = [i for i, name in enumerate(names) if name.startswith(f"agent{j}/")]
        assert any(np.allclose(model.mat_rgba[i, :3], rgb, atol=1e-4) for i in rows)
        colors.append(rgb)
    reddish = (frame[..., 0].astype(int) - frame[..., 2] > 40).sum()
    bluish = (frame[..., 2].astype(int) - frame[..., 0] > 30).sum()
    assert reddish > 10 and bluish > 10
    env.close()


@pytest.mark.gl
def test_pictures_tell_the_parts_of_a_walker_apart() -> None:
    """Each leg in the colour of its agent; the model that is simulated keeps its own."""
    env = safety_gym.parallel_env("Safety2x3Walker2dVelocity-v0", render_mode="rgb_array", camera_name="track")
    env.reset(seed=0)
    frame, drawing, model = env.render().astype(int), env.vec.scene.drawing, env.vec.scene.model
    for rgb, joints in zip(TEAM_RGB.values(), env.vec.sim.task.partition, strict=False):
        for joint in joints:
            geoms = drawing.geom_bodyid == drawing.joint(joint).bodyid[0]
            np.testing.assert_allclose(drawing.geom_rgba[geoms, :3], [rgb] * geoms.sum(), atol=1e-6)
            assert geoms.any() and not np.allclose(model.geom_rgba[geoms, :3], rgb, atol=0.1)
    assert (frame[..., 0] - frame[..., 2] > 60).sum() > 50 and (frame[..., 2] - frame[..., 0] > 40).sum() > 50
    env.close()


# --- documentation ----------------------------------------------------------------------------------------------------


DIFFERENCES: dict[str, Callable[..., None]] = {
    "Car, Doggo and Racecar are registered": test_multi_goal_is_what_the_registry_says,
    "Point: the model has both motors": test_each_agent_drives_its_own_robot,
    "Ant: `agent_1` is credited with contacts": test_robots_that_touch_both_pay,
    "moving vases that nobody touched": test_a_vase_that_nobody_touched,
    "who touched a vase is remembered": test_the_last_to_touch_a_vase_pays_for_its_speed,
    "all ants start with the same noise": test_noise_of_ants,
    "every agent receives the observations of both": test_full_observation_is_the_state,
    "`agent_1` is placed last, with a wrong radius": test_layouts_never_overlap,
    "new goals keep clear of `agent_0` only": test_only_goals_that_are_reached_move,
    "`cost_contact_other` is absent": test_steps_of_dicts,
    "rewards are not clipped": test_rewards_are_clipped,
    "a simulator error returns one number": test_an_unstable_simulation_ends_alone,
    "one `info` for all agents": test_steps_of_dicts,
    "with autoreset the environment resets at every step": test_a_batch_equals_its_parallel_environments,
    "`agents` names both after the end": test_steps_of_dicts,
    "`step` changes the caller's actions": test_steps_of_dicts,
    "divided walkers have no cost in `info`": test_steps_of_dicts,
    "MuJoCo 2.3.3 physics of the walkers": test_a_divided_walker_is_the_walker,
}
"""Rows of the page's table, by their first words, and what tests them."""


def test_every_difference_has_its_test() -> None:
    """Which uses the option that the page names."""
    text = (Path(__file__).parents[1] / "docs" / "multi_agent.md").read_text()
    section = text.partition("## Differences from the reference suite")[2]
    rows = re.findall(r"^\| (?!Reference)(?!-)(.*) \| (.*) \|(.*)\|$", section, re.M)
    assert len(rows) == len(DIFFERENCES)
    for start, _, option in rows:
        (test,) = [test for words, test in DIFFERENCES.items() if start.startswith(words)]
        for name in re.findall(r"`(\w+)=", option):
            assert name in inspect.getsource(test), start


def test_the_page_holds_the_tables_and_runs() -> None:
    root = Path(__file__).parents[1]
    spec = importlib.util.spec_from_file_location("make_docs", root / "scripts" / "make_docs.py")
    assert spec is not None and spec.loader is not None
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    text = docs.MULTI_AGENT.read_text(encoding="utf-8")
    assert docs.multi_agent_page(text) == text, "run `make docs`"
    emptied = re.sub(r"^\|.*\n", "", text, flags=re.M)
    assert docs.multi_agent_page(emptied).count("SafetyCarMultiGoal2-v0") == 1
    examples = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    assert len(examples) == 3
    space: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, "example", "exec"), space)
    assert space["state"].shape == (4, 376) and space["costs"].keys() == {"agent_0", "agent_1"}
    assert space["env"].unwrapped.vec.num_agents == 2
