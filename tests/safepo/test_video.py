"""Videos: what is drawn, several runs side by side, teams, episodes drawn again from saved states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import safepo
import safety_gym
from safepo import checkpoint
from safepo.errors import UserError
from safepo.overlay import GAP, LIMIT, RETURN, SAFE, UNSAFE, Gauge, Panel, ceiling, draw
from safepo.teams import TeamEnv
from safepo.video import TeamAsOne, make_rendered, record
from tests.safepo.toy import SpeedLimit

Small = Callable[..., Path]
GREY = np.full((60, 80, 3), 128, np.uint8)


def count(frame: np.ndarray, color: tuple[int, int, int]) -> int:
    """Pixels of a color in the longest row of them."""
    return int((frame == color).all(axis=2).sum(axis=1).max())


def read(path: Path) -> list[np.ndarray]:
    imageio = pytest.importorskip("imageio.v2", reason="videos need imageio")
    return list(imageio.mimread(path, memtest=False))


@pytest.mark.parametrize(
    ("value", "expected"), [(0, 1), (1, 1), (1.5, 2), (3, 5), (5, 5), (7, 10), (11, 20), (25, 50), (999, 1000)]
)
def test_scales_are_round(value: float, expected: float) -> None:
    assert ceiling(value) == expected


def test_bars_have_the_length_of_their_value() -> None:
    """A quarter of the limit's double is half of the way to its tick; beyond the limit the bar is red."""
    half, over = (draw([Panel("", "", GREY, (Gauge("cost", value, 50.0, 25.0),))], 120) for value in (12.5, 40.0))
    # The tick covers three pixels; a pixel of rounding counts 3.2 times.
    assert count(over, UNSAFE) + 3 == pytest.approx(count(half, SAFE) * 40 / 12.5, abs=4)
    assert count(half, UNSAFE) == count(over, SAFE) == 0
    assert count(half, LIMIT) >= 2 and count(over, LIMIT) >= 2
    back, forth = (draw([Panel("", "", GREY, (Gauge("return", value, 2.0),))], 120) for value in (-1.0, 1.0))
    assert count(back, RETURN) == pytest.approx(count(forth, RETURN) / 2, abs=3)  # negative values start in the middle
    assert count(forth, LIMIT) == 0


def test_panels_stand_side_by_side_and_sides_are_even() -> None:
    one = draw([Panel("a", "", GREY, ())], 121)
    five = draw([Panel("a", "", GREY, ())] * 5, 121)
    assert one.shape[0] % 2 == one.shape[1] % 2 == 0
    assert five.shape[0] == pytest.approx(2 * one.shape[0] + GAP, abs=2)
    assert five.shape[1] == pytest.approx(3 * one.shape[1] + 2 * GAP, abs=4)
    alarmed = draw([Panel("a", "", GREY, (), alarm=True)], 120)
    assert count(alarmed, UNSAFE) > 100 and count(one, UNSAFE) == 0
    seen = draw([Panel("a", "", GREY, (), inset=np.full((8, 8, 3), 255, np.uint8))], 120)
    assert count(seen, (255, 255, 255)) >= 36


def test_runs_of_different_lengths_in_one_video(small: Small, tmp_path: Path) -> None:
    """Twenty steps of a lamp beside fifty of the other: 51 pictures, the shorter one keeps its last."""
    lamp = small(env_id="ToyLamp-v0", encoder_size=8, eval_episodes=0, total_steps=200)
    speed = small(eval_episodes=0, total_steps=200)
    frames = read(record([lamp, speed], tmp_path / "both.mp4", size=64))
    assert len(frames) == 51 and frames[0].shape[1] >= 2 * 64
    assert len(read(record(lamp, size=64, steps=7))) == 8
    assert (lamp / "video.mp4").exists()


def test_states_are_drawn_again(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, states = small(eval_episodes=0, total_steps=200), tmp_path / "episode.states"
    first = read(record(run, tmp_path / "a.mp4", states=states, size=64, steps=12))
    saved = checkpoint.load(states)
    assert len(saved["moments"]) == len(first) == 13 and saved["env_id"] == "ToySpeed-v0"
    visited, original = [], SpeedLimit.set_state

    def visit(self: SpeedLimit, state: dict[str, Any]) -> None:
        visited.append(np.array(state["state"]))
        original(self, state)

    monkeypatch.setattr(SpeedLimit, "set_state", visit)
    again = read(record(states, tmp_path / "b.mp4", size=64))
    np.testing.assert_array_equal(visited, [moment["state"]["state"] for moment in saved["moments"]])
    assert len(again) == 13 and np.abs(np.subtract(again[5], first[5], dtype=float)).max() < 3


def test_totals_are_those_of_an_episode(small: Small, tmp_path: Path) -> None:
    run, states = small(eval_episodes=0, total_steps=200), tmp_path / "episode.states"
    record(run, tmp_path / "a.mp4", seed=3, states=states, size=64)
    last = checkpoint.load(states)["moments"][-1]
    policy, env = safepo.load(run), gymnasium.make("ToySpeed-v0")
    obs, _ = env.reset(seed=3)
    total = cost = 0.0
    for _ in range(50):
        obs, reward, _, _, info = env.step(np.clip(policy.predict(obs), -2, 2).astype(np.float32))
        total, cost = total + reward, cost + info["cost"]
    assert last["step"] == 50
    assert last["total"] == pytest.approx(total, abs=1e-6) and last["costs"] == pytest.approx([cost])


def test_what_cannot_be_recorded_is_named(small: Small, tmp_path: Path) -> None:
    run = small(eval_episodes=0, total_steps=200)
    with pytest.raises(UserError, match="size must be at least 64"):
        record(run, size=10)
    with pytest.raises(UserError, match="cannot write video"):
        record(run, tmp_path / "nowhere" / "a.mp4", size=64, steps=2)


@pytest.mark.parametrize(
    "env_id",
    ["SafetyPointGoal0-v0", "SafetyPointMultiGoal0-v0", "SafetySwimmerVelocity-v1", "Safety2x1SwimmerVelocity-v0"],
)
def test_every_kind_of_scene_has_its_camera(env_id: str) -> None:
    env = make_rendered(env_id, size=64)
    env.reset(seed=0)
    assert env.render().shape == (64, 64, 3)
    env.close()


def test_a_team_as_one_environment_steps_as_in_training() -> None:
    env_id = "SafetyPointMultiGoal1-v0"
    one, team = TeamAsOne(safety_gym.parallel_env(env_id)), TeamEnv(env_id, 1)
    obs, _ = one.reset(seed=4)
    rows = team.reset(4)
    rng = np.random.default_rng(0)
    for _ in range(5):
        np.testing.assert_array_equal(team.obs.frame(obs), rows)
        action: Any = rng.uniform(-1, 1, team.nact)
        obs, reward, terminated, truncated, info = one.step(action)
        step = team.step_raw(action[None])
        rows = step.obs
        assert (reward, info["cost"]) == pytest.approx((step.reward[0], step.cost[0]))
        assert [info[name] for name in team.cost_names] == step.costs[0].tolist()
        assert not terminated and not truncated
    one.close()
    team.close()
