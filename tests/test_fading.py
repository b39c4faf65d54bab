"""Fading: what turns transparent when, what shows it again, in the state and in pictures; all else is the Goal task."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from safety_gym import rendering
from safety_gym.rendering import GLUnavailable
from tests.helpers import actions, single

REST = np.zeros(2)
STARTS = {"goal": 0.25, "hazards": 0.25, "vases": 1.0}
FADING = {"0": ("goal",), "1": ("goal",), "2": ("goal", "hazards")}
AWAY = [(-1.8, -1.8 + 0.38 * i) for i in range(10)]


def layout(hazard: tuple[float, float] = AWAY[0], vase: tuple[float, float] = (1.8, 1.8)) -> dict[str, Any]:
    """Return a layout of level 2 with one hazard and one vase at will and the rest away from the robot at (0, 0)."""
    vases = [vase, *((1.5, -1.8 + 0.4 * i) for i in range(9))]
    return {"agent": (0.0, 0.0, 0.0), "goal": (0.0, 1.8), "hazards": [hazard, *AWAY[1:]], "vases": vases}


def opacity(env: Any) -> dict[str, list[float]]:
    vec = getattr(env.unwrapped, "vec", env.unwrapped)
    return {kind: alpha.tolist() for kind, alpha in vec.sim.task.opacity(vec.sim.world).items()}


@pytest.mark.parametrize("level", ["0", "1", "2"])
@pytest.mark.parametrize(("task", "steps"), [("FadingEasy", 150), ("FadingHard", 75)])
def test_objects_fade_in_equal_steps(task: str, steps: int, level: str) -> None:
    env = single(f"SafetyPoint{task}{level}-v0", max_episode_steps=-1)
    env.reset(seed=0, options={"layout": layout()} if level == "2" else None)
    fading = (*FADING[level], "vases") if (task, level) == ("FadingHard", "2") else FADING[level]
    for t in range(steps + 3):
        want = {kind: [pytest.approx(STARTS[kind] * max(0, steps - t) / steps)] for kind in fading}
        assert opacity(env) == want
        env.step(REST)
    env.reset()
    assert opacity(env) == {kind: [STARTS[kind]] for kind in fading}


def test_a_new_goal_is_seen_again_in_its_simulation_alone() -> None:
    envs = gymnasium.make_vec("SafetyPointFadingEasy0-v0", num_envs=2)
    envs.reset(seed=0, options={"layout": {"agent": (0, 0, 0), "goal": (0.9, 0.9)}})
    for _ in range(5):
        envs.step(np.zeros((2, 2)))
    envs.unwrapped.place("goal", (0.1, 0.0), ids=[1])
    assert envs.step(np.zeros((2, 2)))[4]["goal_met"].tolist() == [False, True]
    assert opacity(envs)["goal"] == [pytest.approx(0.25 * 144 / 150), 0.25]


@pytest.mark.parametrize(
    ("where", "shown"),
    [({"hazard": (0.5, 0.0)}, "hazards"), ({"vase": (0.5, 0.0)}, "vases")],
    ids=["hazard", "vase"],
)
def test_kinds_that_cost_are_seen_again(where: dict[str, tuple[float, float]], shown: str) -> None:
    """Driven into a hazard or a vase: in steps that cost, all of that kind are as at the start, others fade on."""
    env = single("SafetyPointFadingHard2-v0")
    env.reset(options={"layout": layout(**where)})
    charged = 0
    for t in range(1, 40):
        info = env.step(np.array([1.0, 0.0]))[4]
        now = opacity(env)
        charged += bool(info["cost"])
        assert (now[shown] == [STARTS[shown]]) == bool(info["cost"])
        assert now["goal"] == [pytest.approx(0.25 * (75 - t) / 75)]
    assert charged > 5


@pytest.mark.parametrize("level", ["0", "1", "2"])
def test_all_else_is_the_goal_task(level: str) -> None:
    goal, fading = (single(f"SafetyCar{task}{level}-v0") for task in ("Goal", "FadingHard"))
    np.testing.assert_array_equal(goal.reset(seed=4)[0], fading.reset(seed=4)[0])
    for action in actions(0, 60, 2):
        ours, theirs = fading.step(action), goal.step(action)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1:] == theirs[1:]


def test_the_fade_belongs_to_the_state() -> None:
    env = single("SafetyPointFadingEasy2-v0")
    env.reset(seed=0)
    for _ in range(7):
        env.step(REST)
    state, want = env.unwrapped.get_state(), opacity(env)
    env.step(REST)
    assert opacity(env) != want
    env.unwrapped.set_state(state)
    assert opacity(env) == want


def test_what_fades_is_an_option() -> None:
    env = single("SafetyPointFadingEasy1-v0", fading=["vases"], fading_steps=2)
    env.reset(seed=0)
    env.step(REST)
    assert opacity(env) == {"vases": [0.5]}
    for options, says in (
        ({"fading": ["pillars"]}, r"fading=\('pillars',\).*goal"),
        ({"fading": "goal"}, "fading='goal'"),
        ({"fading_steps": 0}, "fading_steps=0"),
        ({"fading_steps": 1.5}, "fading_steps=1.5"),
    ):
        with pytest.raises(ValueError, match=says):
            single("SafetyPointFadingEasy1-v0", **options)


@pytest.mark.gl
def test_pictures_show_the_fade_of_each_simulation() -> None:
    """The same world in two simulations, one of which has just got a new goal where the old one was."""
    try:
        rendering.select_backend()
    except GLUnavailable as error:
        pytest.skip(f"no OpenGL backend: {error}")
    options: dict[str, Any] = {"num_envs": 2, "render_mode": "rgb_array", "camera_name": "fixedfar"}
    envs = gymnasium.make_vec("SafetyPointFadingHard0-v0", width=64, height=64, **options)
    envs.reset(options={"layout": {"agent": (0.8, -0.8, 0), "goal": (0, 0)}})

    def greens() -> list[int]:
        """Count the pixels of each picture that are greener than the floor."""
        return [int((frame[..., 1].astype(int) - frame[..., 0] > 20).sum()) for frame in envs.render()]

    start = greens()
    for _ in range(76):
        envs.step(np.zeros((2, 2)))
        envs.unwrapped.sim.task.show_goal(envs.unwrapped.sim.world, np.array([1]))
    faded, shown = greens()
    assert start[0] > 30 and faded < start[0] / 2 and abs(shown - start[1]) <= 3
    envs.close()
