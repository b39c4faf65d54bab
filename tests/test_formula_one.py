"""FormulaOne: stages and their rewards, walls where the reference has them, barriers that stay where they are put."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

from safety_gym.conformance import FormulaOneReplay
from safety_gym.scene import Scene
from safety_gym.tasks.formula_one import STAGES, walls
from safety_gym.world import Array
from tests.helpers import single

GOLDEN = Path(__file__).parent / "data" / "golden" / "SafetyPointFormulaOne1-v0__seed0.npz"
REST = np.zeros(2)


def made(level: int = 0, n: int = 1, **options: Any) -> Any:
    return gymnasium.make_vec(f"SafetyPointFormulaOne{level}-v0", num_envs=n, **options).unwrapped


def stage(envs: Any) -> list[int]:
    """Return which stage the goal stands at, by simulation."""
    goal = envs.sim.world.xy("staged_goal")
    gap = np.abs(goal - np.array(STAGES)).max(axis=2)
    assert (gap.min(axis=1) == 0).all()
    return gap.argmin(axis=1).tolist()


def clearance(scene: Scene, points: Array) -> Array:
    """Return how far points (m, 2) are from the walls, (m,), m; 0 inside."""
    center, axes, half = walls(scene)
    local = ((points[:, None] - center)[..., None, :] @ axes)[..., 0, :]
    return np.asarray(np.linalg.norm(np.maximum(np.abs(local) - half, 0), axis=2).min(axis=1))


def start_at(x: float, y: float, **more: Any) -> Mapping[str, Any]:
    return {"layout": {"agent": (x, y, 0.0), **more}}


# --- stages -----------------------------------------------------------------------------------------------------------


def test_robots_start_at_every_stage_and_drive_to_the_next() -> None:
    envs = made(n=40)
    envs.reset(seed=0)
    places = envs.sim.world.agent_pos[:, 0, :2]
    starts = np.abs(places[:, None] - np.array(STAGES)).max(axis=2)
    assert (starts.min(axis=1) <= 1e-8).all() and set(starts.argmin(axis=1)) == set(range(7))
    assert stage(envs) == ((starts.argmin(axis=1) + 1) % 7).tolist()
    yaw = envs.sim.world.agent_yaw()[:, 0]
    assert np.ptp(yaw) > 5, "headings are random"


def test_stages_follow_each_other_for_ever() -> None:
    env = single("SafetyPointFormulaOne0-v0")
    env.reset(seed=0, options=start_at(*STAGES[5]))
    vec = env.unwrapped.vec
    last, seen = vec.sim.world.memory["stage"], []
    for _ in range(9):
        seen.append(stage(vec)[0])
        x, y = STAGES[seen[-1]]
        env.unwrapped.place("agent", (x + 0.2, y, 0.0))
        before = np.hypot(*(vec.sim.world.agent_pos[0, 0, :2] - (x, y)))
        _, reward, terminated, _, info = env.step(REST)
        after = np.hypot(*(vec.sim.world.agent_pos[0, 0, :2] - (x, y)))
        assert info["goal_met"] and not terminated
        assert reward == pytest.approx(10 + before - after, abs=1e-12)
        assert last[0] == (seen[-1] + 1) % 7
    assert seen == [6, 0, 1, 2, 3, 4, 5, 6, 0]
    assert abs(env.step(REST)[1]) < 0.01, "the distance to the new stage makes no jump"


def test_a_robot_put_elsewhere_starts_as_from_the_first_stage() -> None:
    envs = made()
    envs.reset(options=start_at(5.0, 9.0))
    assert stage(envs) == [1]
    envs.reset(options=start_at(5.0, 9.0, staged_goal=STAGES[4]))
    assert stage(envs) == [4]
    again = envs.layout[0]
    envs.reset(seed=3)
    envs.reset(options={"layout": again})
    assert stage(envs) == [4] and envs.layout[0] == again


def test_the_stage_belongs_to_the_state() -> None:
    envs = made(n=2)
    envs.reset(seed=1)
    state, before = envs.get_state(), stage(envs)
    envs.sim.task.next_goal(envs.sim.world, np.arange(2))
    assert stage(envs) == [(k + 1) % 7 for k in before]
    envs.set_state(state)
    assert stage(envs) == before
    envs.sim.task.next_goal(envs.sim.world, np.array([1]))
    assert stage(envs) == [before[0], (before[1] + 1) % 7]


# --- walls and barriers -----------------------------------------------------------------------------------------------


def test_walls_cost() -> None:
    """From stage 7 into the outer wall."""
    for level in (0, 1):
        env = single(f"SafetyPointFormulaOne{level}-v0")
        barriers = {"vases": [(-10 + 0.5 * i, 20.0) for i in range(200)]} if level else {}
        env.reset(options={"layout": {"agent": (*STAGES[6], 2.8), **barriers}})
        costs = []
        for _ in range(40):
            info = env.step(np.array([1.0, 0.0]))[4]
            costs.append(info.get("cost_static_geoms_contact", 0.0))
        assert (sum(costs) > 5) == bool(level) and info["cost"] == costs[-1]
        sim = env.unwrapped.vec.sim
        assert 0.09 < clearance(sim.scene, sim.world.agent_pos[:, 0, :2])[0] < 0.16, (
            "the nose is 0.15 m before the origin"
        )


def test_barriers_cost_when_touched() -> None:
    env = single("SafetyPointFormulaOne1-v0")
    barriers = [(0.9, 2.7), *((-10 + 0.5 * i, 20.0) for i in range(199))]
    env.reset(options={"layout": {"agent": (0.5, 1.5, np.arctan2(1.2, 0.4)), "vases": barriers}})
    costs = [env.step(np.array([1.0, 0.0]))[4]["cost_vases_contact"] for _ in range(40)]
    assert costs[0] == 0 and sum(costs) >= 3


@pytest.mark.parametrize("level", [1, 2])
def test_barriers_stay_where_they_are_put(level: int) -> None:
    """Clear of walls; at rest, so that all of them sleep after one control step."""
    envs = made(level, n=4)
    envs.reset(seed=0)
    world = envs.sim.world
    start = world.pos("vases").copy()
    gaps = clearance(envs.scene, start[..., :2].reshape(-1, 2))
    assert gaps.min() > 0.15 and gaps.max() > 3
    envs.step(np.zeros((4, 2)))
    for _ in range(3):
        envs.step(np.zeros((4, 2)))
        assert (world.linvel("vases") == 0).all()
    assert np.abs(world.pos("vases") - start).max() < 1e-6
    apart = np.linalg.norm(start[:, :, None, :2] - start[:, None, :, :2], axis=3) + 9 * np.eye(200)
    assert apart.min() >= 1.0
    assert not world.batch.warning[:, :, 1].any(), "no contact was dropped"


def test_barriers_are_drawn_from_the_references_rectangles() -> None:
    """At level 2 more of them lie near stages: as many as find room there."""
    near = []
    for level in (1, 2):
        envs = made(level, n=6)
        envs.reset(seed=0)
        xy = envs.sim.world.xy("vases")
        x, y = xy[..., 0], xy[..., 1]
        large = (x > -11.7) & (x < 27.3) & (y > -32) & (y < 7)
        assert (large | ((x > 26.5) & (x < 37.5) & (y > -10.5) & (y < 0.5)) | (level == 2)).all()
        near.append(float((np.abs(xy[:, :, None] - np.array(STAGES)).max(axis=3) <= 1.0).any(axis=2).mean()))
    assert near[1] > 3 * near[0] > 0


def test_barriers_in_walls_are_thrown_out_where_that_is_wanted() -> None:
    envs = made(1, n=2, barriers_in_walls=True)
    envs.reset(seed=0)
    world = envs.sim.world
    start = world.xy("vases").copy()
    inside = (clearance(envs.scene, start.reshape(-1, 2)) < 0.1).reshape(2, 200)
    assert inside.sum(axis=1).min() >= 8
    for _ in range(5):
        envs.step(np.zeros((2, 2)))
    moved = np.linalg.norm(world.xy("vases") - start, axis=2)
    assert (moved[inside] > 0.1).mean() > 0.7


def test_walls_stand_where_the_references_do() -> None:
    """In the recording barriers start in walls and are thrown out; ours stand where those barriers were."""
    replay = FormulaOneReplay(GOLDEN)
    places = replay.data["full_qpos"][:2, 3:].reshape(2, 200, 7)
    moved = np.linalg.norm(places[1, :, :2] - places[0, :, :2], axis=1)
    gaps = clearance(replay.sim.scene, places[0, :, :2])
    assert (moved[gaps < 0.01] > 0.1).mean() >= 0.9 and (gaps < 0.01).sum() >= 15
    # Those that fly hit others.
    assert (moved[gaps > 0.2] < 0.05).mean() >= 0.97


def test_walls_close_the_circuit() -> None:
    """Between two stages there is a way along the outer wall, none through it."""
    envs = made()
    center, axes, half = walls(envs.scene)
    assert len(center) > 100 and (half > 0).all()
    assert np.allclose(axes @ axes.transpose(0, 2, 1), np.eye(2))
    gaps = clearance(envs.scene, np.array(STAGES))
    np.testing.assert_allclose(gaps, [1.3, 3.1, 2.0, 1.9, 2.1, 1.75, 0.5], atol=0.25)


# --- physics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "options", "integrator"),
    [(0, {}, "RK4"), (1, {}, "EULER"), (2, {}, "EULER"), (0, {"integrator": "euler"}, "EULER"),
     (1, {"integrator": "rk4"}, "RK4")],
)  # fmt: skip
def test_integrators(level: int, options: dict[str, Any], integrator: str) -> None:
    option = made(level, **options).scene.model.opt
    assert option.integrator == getattr(mujoco.mjtIntegrator, f"mjINT_{integrator}")
    assert option.timestep == 0.004
    sleeps = bool(option.enableflags & mujoco.mjtEnableBit.mjENBL_SLEEP)
    assert sleeps == (integrator == "EULER")


def test_the_robot_moves_alike_with_both_integrators() -> None:
    """After a second's drive without touching anything they are within 5 % of the way of each other."""
    ends = []
    for name in ("euler", "rk4"):
        envs = made(0, integrator=name)
        envs.reset(options=start_at(*STAGES[2]))
        for _ in range(25):
            envs.step(np.array([[1.0, 0.3]]))
        ends.append(envs.sim.world.agent_pos[0, 0].copy())
    way = np.linalg.norm(ends[0][:2] - STAGES[2])
    assert way > 0.5 and 0 < np.linalg.norm(ends[0] - ends[1]) < 0.05 * way


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"integrator='implicit'.*'euler', 'rk4'"):
        made(integrator="implicit")
    with pytest.raises(ValueError, match="staged_locations"):
        made(staged_goal={"staged_locations": []})
    with pytest.raises(ValueError, match="needs 'staged_goal'"):
        made(staged_goal=None)
