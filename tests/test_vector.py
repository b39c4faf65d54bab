"""The native vector environment: equal to single ones to the last bit, autoreset modes, info, threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import safety_gym
from tests.helpers import PLAIN, actions, assert_same, easy, moves, single

LOCKSTEP = [
    f"Safety{r}{t}-v0" for r in ("Point", "Car") for t in ("Goal1", "Goal2", "Button1", "Push1", "Circle1", "Run0")
]
MODES = ("SameStep", "NextStep", "Disabled")


# --- simulation i of n is the single environment with seed + i --------------------------------------------------------


def single_rows(env_id: str, seed: int, given: np.ndarray[Any, Any], limit: int, **options: Any) -> list[Any]:
    """Return what one environment gives for `given (t, u)`, resetting it whenever an episode ends.

    Each row is (obs, reward, terminated, truncated, info, last obs of an ended episode or None).
    """
    env = single(env_id, max_episode_steps=limit, **options)
    rows: list[Any] = [env.reset(seed=seed)]
    for action in given:
        obs, *rest = env.step(action)
        last = None
        if rest[1] or rest[2]:
            last, obs = obs, env.reset()[0]
        rows.append((obs, *rest, last))
    return rows


def compare_with_single(env_id: str, n: int, threads: int, limit: int, steps: int) -> int:
    """Run a batch and single environments with the same actions; return how many goals were met.

    Through time limits and new goals, with exact equality of everything.
    """
    envs = gymnasium.make_vec(env_id, num_envs=n, max_episode_steps=limit, num_threads=threads, **easy(env_id))
    given = moves(envs.single_action_space, n, steps, n)
    looked_at = range(n) if n < 16 else (0, 7, 15)
    want = {i: single_rows(env_id, 40 + i, given[:, i], limit, **easy(env_id)) for i in looked_at}
    obs, info = envs.reset(seed=40)
    assert info == {}
    for i in looked_at:
        np.testing.assert_array_equal(obs[i], want[i][0][0])
    met = 0
    for t, action in enumerate(given):
        obs, reward, terminated, truncated, info = envs.step(action)
        for i in looked_at:
            o, r, te, tr, single_info, last = want[i][t + 1]
            np.testing.assert_array_equal(obs[i], o, err_msg=f"observation {t}, simulation {i}")
            assert (reward[i], terminated[i], truncated[i]) == (r, te, tr), (t, i)
            row = {k: v[i] for k, v in info.items() if k[0] != "_" and not k.startswith("final") and info[f"_{k}"][i]}
            assert row == single_info, (t, i)
            met += "goal_met" in single_info
            if last is not None:
                assert info["_final_obs"][i] and info["_final_info"][i]
                np.testing.assert_array_equal(info["final_obs"][i], last)
                final = info["final_info"]
                assert {k: v[i] for k, v in final.items() if k[0] != "_" and final[f"_{k}"][i]} == single_info
            else:
                assert "_final_obs" not in info or not info["_final_obs"][i]
    assert truncated.dtype == bool
    return met


@pytest.mark.parametrize("env_id", PLAIN)
def test_every_batch_equals_its_single_environments(env_id: str) -> None:
    compare_with_single(env_id, n=3, threads=2, limit=6, steps=14)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n", [1, 16])
@pytest.mark.parametrize("env_id", LOCKSTEP)
def test_simulation_i_is_the_single_environment_with_seed_plus_i(env_id: str, n: int, threads: int) -> None:
    met = compare_with_single(env_id, n, threads, limit=25, steps=55 if n < 16 else 30)
    if easy(env_id) and n > 1:
        assert met > 0, "no goal was met: the test compares too little"


def test_goals_drawn_again_are_equal() -> None:
    """Robots steered to their goals by what they see; goals are drawn from each simulation's own stream."""

    def steer(obs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        bins = obs[..., 12:28].argmax(axis=-1)
        turn = np.where(bins < 8, 1.0, -1.0) * np.where((bins == 0) | (bins == 15), 0.1, 1.0)
        return np.stack((np.where((bins < 3) | (bins > 12), 1.0, 0.1), turn), axis=-1)

    envs = gymnasium.make_vec("SafetyPointGoal0-v0", num_envs=4, num_threads=2)
    singles = [single("SafetyPointGoal0-v0") for _ in range(4)]
    obs = envs.reset(seed=9)[0]
    rows = np.array([env.reset(seed=9 + i)[0] for i, env in enumerate(singles)])
    met = np.zeros(4, int)
    for _ in range(300):
        np.testing.assert_array_equal(obs, rows)
        obs, reward, _, _, info = envs.step(steer(obs))
        steps = [env.step(steer(row)) for env, row in zip(singles, rows, strict=True)]
        rows = np.array([step[0] for step in steps])
        assert reward.tolist() == [step[1] for step in steps]
        met += info.get("goal_met", np.zeros(4, bool))
    assert met.all() and met.sum() > 6, met


@pytest.mark.parametrize("env_id", ["SafetyPointGoal2-v0", "SafetyCarButton1-v0"])
def test_rows_do_not_feel_each_other(env_id: str) -> None:
    """Other actions, other seeds and other resets in the neighbours change nothing in simulation 1."""
    given = actions(0, 30, 3, 2)
    other = given[:, ::-1].copy()
    other[:, 1] = given[:, 1]
    first = gymnasium.make_vec(env_id, num_envs=3, autoreset_mode="Disabled")
    second = gymnasium.make_vec(env_id, num_envs=3, autoreset_mode="Disabled")
    a, b = first.reset(seed=[1, 2, 3])[0], second.reset(seed=[8, 2, 9])[0]
    for t in range(30):
        np.testing.assert_array_equal(a[1], b[1])
        if t % 7 == 3:
            second.reset(options={"reset_mask": np.array([True, False, t % 2 == 0])})
        a, ra, *_ = first.step(given[t])
        b, rb, *_ = second.step(other[t])
        assert ra[1] == rb[1]


@pytest.mark.parametrize("mode", MODES)
def test_modes_give_the_same_episodes(mode: str) -> None:
    """Whatever the mode, the first steps and the second episode of a simulation are the same."""
    args: dict[str, Any] = {"num_envs": 2, "max_episode_steps": 3}
    same = gymnasium.make_vec("SafetyPointGoal1-v0", autoreset_mode="SameStep", **args)
    envs = gymnasium.make_vec("SafetyPointGoal1-v0", autoreset_mode=mode, **args)
    given = actions(3, 6, 2, 2)
    want = [same.reset(seed=0)[0], *(same.step(a)[0] for a in given)]
    got = [envs.reset(seed=0)[0]]
    for t, action in enumerate(given):
        step = envs.step(action)
        if t % 3 == 2:
            assert step[3].all()
            obs = {"SameStep": lambda o=step[0]: o}.get(mode)
            if mode == "NextStep":
                got.append(envs.step(action)[0])
            elif mode == "Disabled":
                got.append(envs.reset(options={"reset_mask": np.ones(2, bool)})[0])
            else:
                got.append(obs())
        else:
            got.append(step[0])
    np.testing.assert_array_equal(got, want)


# --- autoreset step tables --------------------------------------------------------------------------------------------
# Two robots that stay put, the second inside a hazard; episodes of three steps.


def resting(mode: str | AutoresetMode, num: int = 2, **options: Any) -> Any:
    return safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=num, autoreset_mode=mode, max_episode_steps=3, **options)


def into_hazard(envs: Any, ids: Sequence[int] = (1,)) -> None:
    """Put a hazard under the robot of simulations `ids`, which costs from the next step on."""
    for i in ids:
        x, y, _ = envs.unwrapped.layout[i]["agent"]
        envs.unwrapped.place("hazard0", (x, y), ids=i)


STILL = np.zeros((2, 2))


def test_same_step_table() -> None:
    envs = resting("SameStep")
    first, _ = envs.reset(seed=0)
    into_hazard(envs)
    rows = [envs.step(STILL) for _ in range(4)]
    cost = [row[2].tolist() for row in rows]
    ended = [(row[3].tolist(), row[4].tolist()) for row in rows]
    no, yes = [False, False], [True, True]
    assert cost == [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]
    assert ended == [(no, no), (no, no), (no, yes), (no, no)]
    assert ["final_obs" in row[5] for row in rows] == [False, False, True, False]

    obs, _, _, _, _, info = rows[2]
    assert info["_final_obs"].tolist() == info["_final_info"].tolist() == [True, True]
    assert info["final_obs"].dtype == np.float64 and info["final_obs"].shape == (2, 60)
    np.testing.assert_allclose(info["final_obs"][:, 12:], rows[1][0][:, 12:], rtol=0, atol=1e-6)
    assert info["final_info"]["cost"].tolist() == [0.0, 1.0]
    assert info["final_info"]["_cost"].tolist() == [True, True]
    assert info["final_info"]["cost_hazards"].tolist() == [0.0, 1.0]
    assert info["cost"].tolist() == [0.0, 1.0]
    # The observation is the first of the new episode: a robot at rest elsewhere.
    assert not np.array_equal(obs[:, 12:], info["final_obs"][:, 12:])
    other = single("SafetyPointGoal1-v0")
    other.reset(seed=1)
    np.testing.assert_array_equal(obs[1], other.reset()[0])
    assert not np.array_equal(obs, first)


def test_same_step_resets_only_what_ended() -> None:
    envs = resting("SameStep", num=3, goal={"size": 0.3}, continue_goal=False)
    envs.reset(seed=0)
    x, y, _ = envs.unwrapped.layout[1]["agent"]
    envs.unwrapped.place("goal", (x + 0.1, y), ids=1)
    layouts = envs.unwrapped.layout
    _, reward, _, terminated, truncated, info = envs.step(np.zeros((3, 2)))
    assert terminated.tolist() == [False, True, False]
    assert truncated.tolist() == [False, False, False]
    assert info["_final_obs"].tolist() == info["_final_info"].tolist() == [False, True, False]
    assert info["final_info"]["_cost"].tolist() == [False, True, False]
    assert info["goal_met"].tolist() == info["_goal_met"].tolist() == [False, True, False]
    assert reward[1] == pytest.approx(1.0, abs=1e-3)
    assert [envs.unwrapped.layout[i]["hazards"] == layouts[i]["hazards"] for i in range(3)] == [True, False, True]
    ends = [envs.step(np.zeros((3, 2)))[4].tolist() for _ in range(3)]
    assert ends == [[False] * 3, [True, False, True], [False, True, False]]


def test_next_step_table() -> None:
    envs = resting("NextStep")
    envs.reset(seed=0)
    into_hazard(envs)
    rows = [envs.step(np.ones((2, 2))) for _ in range(5)]
    no, yes = [False, False], [True, True]
    assert [row[2].tolist() for row in rows] == [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    assert [(r[3].tolist(), r[4].tolist()) for r in rows] == [(no, no), (no, no), (no, yes), (no, no), (no, no)]
    assert not any("final_obs" in row[5] or "final_info" in row[5] for row in rows)
    # Step 4 is the reset: no reward, no cost, the action is not used.
    assert rows[3][1].tolist() == [0.0, 0.0]
    assert all(rows[3][5][key].tolist() == [0.0, 0.0] for key in ("cost", "cost_sum", "cost_hazards"))
    assert rows[4][1].all()
    for i in range(2):
        env = single("SafetyPointGoal1-v0")
        env.reset(seed=i)
        np.testing.assert_array_equal(rows[3][0][i], env.reset()[0])
        np.testing.assert_array_equal(rows[4][0][i], env.step(np.ones(2))[0])


def test_next_step_with_different_ends() -> None:
    envs = resting("NextStep", continue_goal=False, goal={"size": 0.3})
    envs.reset(seed=0)
    x, y, _ = envs.unwrapped.layout[0]["agent"]
    envs.unwrapped.place("goal", (x, y), ids=0)
    rows = [envs.step(STILL) for _ in range(6)]
    assert [row[3].tolist() for row in rows] == [[True, False]] + [[False, False]] * 5
    assert [row[4].tolist() for row in rows] == [
        [False, False], [False, False], [False, True], [False, False], [True, False], [False, False],
    ]  # fmt: skip
    assert "goal_met" in rows[0][5] and all("goal_met" not in row[5] for row in rows[1:])


def test_disabled_table() -> None:
    envs = resting("Disabled")
    envs.reset(seed=0)
    into_hazard(envs)
    rows = [envs.step(STILL) for _ in range(3)]
    assert [row[2].tolist() for row in rows] == [[0.0, 1.0]] * 3
    assert [row[4].tolist() for row in rows] == [[False, False], [False, False], [True, True]]
    assert not any("final_obs" in row[5] for row in rows)
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"\[0, 1\]"):
        envs.step(STILL)
    obs, info = envs.reset(options={"reset_mask": np.array([True, False])})
    assert info == {}
    np.testing.assert_array_equal(obs[1], rows[2][0][1])
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"\[1\]"):
        envs.step(STILL)
    envs.reset(options={"reset_mask": np.array([False, True])})
    assert envs.step(STILL)[4].tolist() == [False, False]


def test_a_masked_reset_touches_only_its_rows() -> None:
    envs = gymnasium.make_vec("SafetyPointButton1-v0", num_envs=4, autoreset_mode="Disabled")
    twin = gymnasium.make_vec("SafetyPointButton1-v0", num_envs=4, autoreset_mode="Disabled")
    envs.reset(seed=0)
    twin.reset(seed=0)
    given = actions(5, 20, 4, 2)
    for action in given[:12]:
        before = envs.step(action)[0]
        twin.step(action)
    mask = np.array([False, True, False, True])
    obs, _ = envs.reset(seed=100, options={"reset_mask": mask})
    np.testing.assert_array_equal(obs[~mask], before[~mask])
    for i in (1, 3):
        np.testing.assert_array_equal(obs[i], single("SafetyPointButton1-v0").reset(seed=100 + i)[0])
    for action in given[12:]:
        got, want = envs.step(action), twin.step(action)
        np.testing.assert_array_equal(got[0][~mask], want[0][~mask])
        np.testing.assert_array_equal(got[1][~mask], want[1][~mask])
        np.testing.assert_array_equal(got[4]["_cost_buttons"][~mask], want[4]["_cost_buttons"][~mask])


@pytest.mark.parametrize("mode", MODES)
def test_the_mode_is_declared(mode: str) -> None:
    for given in (mode, AutoresetMode(mode)):
        envs = safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=2, autoreset_mode=given)
        assert envs.metadata["autoreset_mode"] is AutoresetMode(mode)
        assert envs.unwrapped.autoreset_mode is AutoresetMode(mode)
    assert safety_gym.make_vec("SafetyPointGoal1-v0").metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


# --- info -------------------------------------------------------------------------------------------------------------


def test_info_arrays_and_masks() -> None:
    envs = gymnasium.make_vec("SafetyPointButton1-v0", num_envs=3, autoreset_mode="Disabled")
    envs.reset(seed=0)
    keys = ("cost", "cost_buttons", "cost_hazards", "cost_gremlins", "cost_sum")
    for step in range(1, 14):
        info = envs.step(np.zeros((3, 2)))[4]
        assert set(info) == {*keys, *(f"_{k}" for k in keys)}
        for key in keys:
            assert info[key].shape == (3,) and info[key].dtype == np.float64
            present = key != "cost_buttons" or step > 10
            assert info[f"_{key}"].dtype == bool and info[f"_{key}"].tolist() == [present] * 3
    mask = np.array([True, False, False])
    envs.reset(options={"reset_mask": mask})
    info = envs.step(np.zeros((3, 2)))[4]
    assert info["_cost_buttons"].tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("env_id", "names"),
    [
        ("SafetyPointGoal0-v0", ()),
        ("SafetyPointGoal1-v0", ("cost_hazards",)),
        ("SafetyPointGoal2-v0", ("cost_hazards", "cost_vases_contact", "cost_vases_velocity")),
        ("SafetyCarButton1-v0", ("cost_buttons", "cost_hazards", "cost_gremlins")),
        ("SafetyCarPush2-v0", ("cost_hazards", "cost_pillars")),
        ("SafetyCarRun0-v0", ("cost_out_of_boundary",)),
    ],
)
def test_cost_names(env_id: str, names: tuple[str, ...]) -> None:
    assert safety_gym.make_vec(env_id, num_envs=2).cost_names == names
    assert safety_gym.make(env_id).cost_names == names
    assert gymnasium.make_vec(env_id, num_envs=2).unwrapped.cost_names == names


def test_shapes_and_types() -> None:
    envs = safety_gym.make_vec("SafetyCarGoal1-v0", num_envs=5)
    obs, info = envs.reset(seed=0)
    assert obs.shape == (5, 72) and obs.dtype == np.float64 and envs.observation_space.contains(obs)
    action = envs.action_space.sample()
    assert action.shape == (5, 2)
    obs, reward, cost, terminated, truncated, info = envs.step(action)
    assert envs.observation_space.contains(obs)
    for values, dtype in ((reward, float), (cost, float), (terminated, bool), (truncated, bool)):
        assert values.shape == (5,) and values.dtype == dtype
    np.testing.assert_array_equal(cost, info["cost"])
    assert envs.num_envs == 5


# --- seeds ------------------------------------------------------------------------------------------------------------


def test_lists_of_seeds() -> None:
    envs = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=3)
    obs, _ = envs.reset(seed=[7, 3, 7])
    np.testing.assert_array_equal(obs[0], obs[2])
    for i, seed in enumerate((7, 3, 7)):
        np.testing.assert_array_equal(obs[i], single("SafetyPointGoal1-v0").reset(seed=seed)[0])
    again, _ = envs.reset(seed=[7, None, None])
    np.testing.assert_array_equal(again[0], obs[0])
    assert not np.array_equal(again[1], obs[1]) and not np.array_equal(again[2], obs[2])


def test_numpy_seeds_are_seeds() -> None:
    envs = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=2)
    want = envs.reset(seed=4)[0]
    np.testing.assert_array_equal(envs.reset(seed=np.int64(4))[0], want)
    np.testing.assert_array_equal(envs.reset(seed=np.array([4, 5]))[0], want)
    assert single("SafetyPointGoal1-v0").reset(seed=2**63)[0].shape == (60,)


def test_resets_without_a_seed_continue() -> None:
    first, second = (gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=3) for _ in range(2))
    rows = [first.reset(seed=1)[0], first.reset()[0], first.reset()[0]]
    np.testing.assert_array_equal([second.reset(seed=1)[0], second.reset()[0], second.reset()[0]], rows)
    assert len({row.tobytes() for block in rows for row in block}) == 9


def test_the_layout_stream_does_not_depend_on_the_number_of_simulations() -> None:
    """Also where the first layout is refused and the sampler tries again."""
    crowded = {"hazards": {"num": 14, "keepout": 0.25}}
    many = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=16, **crowded)
    rows = [many.reset(seed=0)[0], many.reset()[0]]
    for i in (0, 5, 11):
        env = single("SafetyPointGoal1-v0", **crowded)
        np.testing.assert_array_equal(env.reset(seed=i)[0], rows[0][i])
        np.testing.assert_array_equal(env.reset()[0], rows[1][i])


# --- threads ----------------------------------------------------------------------------------------------------------


def test_threads_by_argument_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def threads(num_envs: int, **options: Any) -> int:
        return safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=num_envs, **options).unwrapped.sim.world.num_threads

    assert threads(8, num_threads=2) == 2
    assert threads(2, num_threads=5) == 2
    monkeypatch.setenv("SAFETY_GYM_THREADS", "3")
    assert threads(8) == 3
    assert threads(2) == 2
    assert threads(8, num_threads=1) == 1
    for wrong in ("0", "two", "-1", "1.5"):
        monkeypatch.setenv("SAFETY_GYM_THREADS", wrong)
        with pytest.raises(ValueError, match=rf"SAFETY_GYM_THREADS='{wrong}'"):
            threads(2)
        assert threads(2, num_threads=1) == 1


def test_threads_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.delenv("SAFETY_GYM_THREADS", raising=False)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for num_envs in (1, 64):
        envs = safety_gym.make_vec("SafetyPointGoal0-v0", num_envs=num_envs)
        assert envs.unwrapped.sim.world.num_threads == min(num_envs, cores or 1)


# --- Gymnasium around it ----------------------------------------------------------------------------------------------


def test_gymnasium_makes_the_native_environment() -> None:
    from safety_gym.vector_env import SafetyVectorEnv

    for mode in (None, "vector_entry_point", gymnasium.VectorizeMode.VECTOR_ENTRY_POINT):
        envs = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=2, vectorization_mode=mode)
        assert type(envs) is SafetyVectorEnv
        assert envs.spec is not None and envs.spec.id == "SafetyPointGoal1-v0"


def test_gymnasiums_own_vectorization_gives_the_same_numbers() -> None:
    given = actions(6, 12, 3, 2)
    ours = gymnasium.make_vec("SafetyPointButton1-v0", num_envs=3)
    theirs = gymnasium.make_vec("SafetyPointButton1-v0", num_envs=3, vectorization_mode="sync")
    np.testing.assert_array_equal(ours.reset(seed=5)[0], theirs.reset(seed=5)[0])
    for action in given:
        want, got = ours.step(action), theirs.step(action)
        for a, b in zip(want[:4], got[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        for key in set(want[4]) & set(got[4]):
            np.testing.assert_array_equal(want[4][key], got[4][key], err_msg=key)
        assert {k for k in want[4] if want[4][k].any()} <= set(got[4])
        assert set(got[4]) <= set(want[4])


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_autoreset_is_gymnasiums_own(mode: str) -> None:
    args: dict[str, Any] = {"num_envs": 2, "max_episode_steps": 4}
    ours = gymnasium.make_vec("SafetyCarGoal1-v0", autoreset_mode=mode, **args)
    theirs = gymnasium.make_vec(
        "SafetyCarGoal1-v0",
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode(mode)},
        **args,
    )
    np.testing.assert_array_equal(ours.reset(seed=5)[0], theirs.reset(seed=5)[0])
    for t, action in enumerate(actions(10, 11, 2, 2)):
        want, got = theirs.step(action), ours.step(action)
        for a, b in zip(want[:4], got[:4], strict=True):
            np.testing.assert_array_equal(a, b, err_msg=f"step {t}")
        assert ("final_obs" in want[4]) == ("final_obs" in got[4])
        if "final_obs" in want[4]:
            np.testing.assert_array_equal(np.stack(want[4]["final_obs"]), got[4]["final_obs"])
            np.testing.assert_array_equal(want[4]["final_info"]["cost"], got[4]["final_info"]["cost"])


def test_vector_wrappers_of_gymnasium() -> None:
    """Observation wrappers need the next-step mode; statistics work in all."""
    from gymnasium.wrappers import vector

    envs = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=3, autoreset_mode="NextStep", max_episode_steps=4)
    envs = vector.NormalizeObservation(vector.ClipReward(envs, -1, 1))
    obs, _ = envs.reset(seed=0)
    for action in actions(7, 10, 3, 2):
        obs, reward, *_ = envs.step(action)
    assert obs.shape == (3, 60) and np.isfinite(obs).all() and np.isfinite(reward).all()


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_vector_episode_statistics(mode: str) -> None:
    from gymnasium.wrappers.vector import RecordEpisodeStatistics

    plain = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=2, autoreset_mode=mode, max_episode_steps=4)
    envs = RecordEpisodeStatistics(
        gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=2, autoreset_mode=mode, max_episode_steps=4)
    )
    plain.reset(seed=0)
    envs.reset(seed=0)
    given = actions(8, 9, 2, 2)
    rewards = np.array([plain.step(action)[1] for action in given])
    infos = [envs.step(action)[4] for action in given]
    ends = [3, 7] if mode == "SameStep" else [3, 8]
    assert [t for t, info in enumerate(infos) if "episode" in info] == ends
    for start, end in zip((0, 4), ends, strict=True):
        np.testing.assert_allclose(infos[end]["episode"]["r"], rewards[start : end + 1].sum(axis=0), atol=1e-9)
    assert infos[3]["episode"]["l"].tolist() == [4, 4]


def test_close_and_context() -> None:
    envs = safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=2)
    envs.reset(seed=0)
    envs.close()
    envs.close()


def test_equal_configurations_share_one_model() -> None:
    first = single("SafetyPointGoal1-v0").unwrapped.scene.model
    assert gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=3).unwrapped.scene.model is first
    assert single("SafetyPointGoal1-v0", hazards={"size": 0.3}).unwrapped.scene.model is not first


def test_two_batches_side_by_side_do_not_disturb_each_other() -> None:
    given = actions(9, 10, 2, 2)
    alone = gymnasium.make_vec("SafetyPointGoal2-v0", num_envs=2)
    want = [alone.reset(seed=3), *(alone.step(a) for a in given)]
    one, two = (gymnasium.make_vec("SafetyPointGoal2-v0", num_envs=2) for _ in range(2))
    got = [one.reset(seed=3)]
    two.reset(seed=4)
    for action in given:
        two.step(-action)
        got.append(one.step(action))
    assert_same(want, got)
