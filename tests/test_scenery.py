"""Scenery and meshes of objects: where things stand, what can be touched, what is seen, and what it costs."""

from __future__ import annotations

from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

import safety_gym
from safety_gym.scenery import SCENERY
from safety_gym.vector_env import SafetyVectorEnv

NORTH = np.pi / 2


def make(env_id: str, layout: dict[str, Any] | None = None, **options: Any) -> Any:
    """Return one environment that was reset, to a layout if one is given; what it leaves out stays as drawn."""
    env = safety_gym.make(env_id, **options)
    env.reset(seed=0)
    if layout is not None:
        env.reset(seed=0, options={"layout": {**env.unwrapped.layout, **layout}})
    return env


def drive(env: Any, steps: int) -> tuple[np.ndarray[Any, Any], list[float]]:
    """Drive a Point straight on; return where it ends and what the scenery cost in each step."""
    costs = [env.step(np.array([1.0, 0.0]))[5].get("cost_static_geoms_contact", 0.0) for _ in range(steps)]
    return env.unwrapped.vec.sim.world.agent_pos[0, 0].copy(), costs


def extent(model: mujoco.MjModel, geom: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the box around a geom in the pose the model is compiled in: lower and upper corner, m."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    pos, mat = data.geom_xpos[geom], data.geom_xmat[geom].reshape(3, 3)
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first = model.mesh_vertadr[mesh]
        points = model.mesh_vert[first : first + model.mesh_vertnum[mesh]] @ mat.T
        return pos + points.min(axis=0), pos + points.max(axis=0)
    center, half = model.geom_aabb[geom, :3], np.abs(mat) @ model.geom_aabb[geom, 3:]
    return pos + mat @ center - half, pos + mat @ center + half


def around(model: mujoco.MjModel, geoms: list[int]) -> np.ndarray[Any, Any]:
    low, high = zip(*(extent(model, geom) for geom in geoms), strict=True)
    return np.array((np.min(low, axis=0), np.max(high, axis=0)))


# --- where things stand -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env_id", "name", "low", "high"),
    [
        # Boxes around the reference suite's shapes, measured there.
        ("SafetyPointRace1-v0", "race_wall1_down", (-3.018, -3.4), (-2.595, -0.763)),
        ("SafetyPointRace1-v0", "race_wall22_right", (0.449, 1.546), (3.086, 1.969)),
        ("SafetyPointRace1-v0", "race_wall3", (-2.777, -1.002), (3.177, 0.652)),
        ("SafetyPointRace2-v0", "race_wall3", (-2.277, -1.002), (3.677, 0.652)),
        ("SafetyPointRace1-v0", "race_wall4", (-1.769, -4.775), (3.069, -0.125)),
        ("SafetyPointRace1-v0", "race_wall5", (-2.87, -3.637), (-1.75, -3.358)),
        ("SafetyPointBuildingGoal1-v0", "box1", (-4.232, -2.188), (-3.545, -1.515)),
        ("SafetyPointBuildingGoal1-v0", "box11", (-2.653, -8.618), (0.466, -7.389)),
        ("SafetyPointBuildingPush2-v0", "box9", (-0.258, -4.158), (0.258, -3.642)),
        ("SafetyPointBuildingButton0-v0", "machine2", (2.185, 3.518), (2.815, 3.683)),
    ],
)
def test_scenery_stands_where_the_references_does(env_id: str, name: str, low: Any, high: Any) -> None:
    model = SafetyVectorEnv(env_id).scene.model
    got = around(model, [model.geom(f"scenery/{name}").id])[:, :2]
    np.testing.assert_allclose(got, (low, high), atol=0.05)


@pytest.mark.parametrize("env_id", ["SafetyPointRace2-v0", "SafetyPointBuildingGoal0-v0", "SafetyPointFormulaOne0-v0"])
def test_the_physics_holds_what_is_touched_and_pictures_what_is_seen(env_id: str) -> None:
    scene = SafetyVectorEnv(env_id).scene
    model, drawing = scene.model, scene.drawing
    touched = [i for i in range(model.ngeom) if model.geom(i).name.startswith("scenery/")]
    assert len(touched) >= 9
    assert (model.geom_contype[touched] == 1).all() and (model.geom_conaffinity[touched] == 1).all()
    assert (model.geom_bodyid[touched] == 0).all(), "a body of its own would take time in every step"
    assert (model.geom_group[touched] == 2).all(), "the group of pillars, which ray lidars see"
    assert set(model.geom_dataid[touched]) - {-1} == set(range(model.nmesh)), "no mesh that is only seen"
    assert (model.geom_matid[touched] == -1).all()
    seen = [i for i in range(drawing.ngeom) if drawing.geom(i).name.startswith("scenery/")]
    assert (drawing.geom_group[seen] == 0).all()
    assert (drawing.mat_texid[drawing.geom_matid[seen]] >= 0).any(axis=1).all(), "everything seen has a texture"


def touched_and_seen() -> list[tuple[str, str]]:
    """Return environments with a name of scenery or a kind of object that can be touched."""
    found = []
    for env_id in ("SafetyPointRace1-v0", "SafetyPointBuildingGoal1-v0"):
        model = SafetyVectorEnv(env_id).scene.model
        names = {model.geom(i).name for i in range(model.ngeom)}
        found += [(env_id, name) for name in sorted(names) if name.startswith("scenery/")]
    objects = {"BuildingGoal2": ["vase0"], "BuildingButton1": ["button0", "gremlin0"], "BuildingPush2": ["pillar0"]}
    return found + [(f"SafetyPoint{task}-v0", name) for task, names in objects.items() for name in names]


@pytest.mark.parametrize(("env_id", "name"), touched_and_seen())
def test_what_is_seen_is_what_is_touched(env_id: str, name: str) -> None:
    """Above the ground, boxes around both differ by a few centimetres."""
    scene = SafetyVectorEnv(env_id).scene
    boxes = []
    for model in (scene.model, scene.drawing):
        ids = range(model.ngeom)
        body = model.body(name).id if not name.startswith("scenery/") else None
        geoms = [i for i in ids if (model.geom_bodyid[i] == body if body is not None else model.geom(i).name == name)]
        boxes.append(np.maximum(around(model, geoms), (-np.inf, -np.inf, 0.0)))
    np.testing.assert_allclose(boxes[0], boxes[1], atol=0.12 if "race" in name else 0.05)


# --- what touching costs ----------------------------------------------------------------------------------------------

FENCE = {"agent": (-1.9, 1.2, NORTH)}
SACKS = {"agent": (2.7, 2.15, 0.0)}


@pytest.mark.parametrize(
    ("env_id", "layout", "charged"),
    [
        ("SafetyPointRace0-v0", FENCE, False),
        ("SafetyPointRace1-v0", FENCE, True),
        ("SafetyPointRace2-v0", FENCE, True),
        ("SafetyPointBuildingGoal0-v0", SACKS, False),
        ("SafetyPointBuildingGoal1-v0", SACKS, True),
        ("SafetyPointBuildingButton0-v0", SACKS, True),
        ("SafetyPointBuildingPush0-v0", SACKS, False),
        ("SafetyPointBuildingPush2-v0", SACKS, True),
    ],
)
def test_scenery_stops_robots_and_costs_at_some_levels(env_id: str, layout: dict[str, Any], charged: bool) -> None:
    env = make(env_id, layout)
    start = env.unwrapped.vec.sim.world.agent_pos[0, 0].copy()
    free, costs = drive(env, 10)
    assert np.linalg.norm(free[:2] - start[:2]) > 0.02 and not any(costs), "on the ground nothing is charged"
    end, costs = drive(env, 120)
    wall = 1.64 if layout is FENCE else 3.476
    front = end[1] if layout is FENCE else end[0]
    assert wall - 0.2 < front < wall - 0.08, "it stands at the wall"
    assert (sum(costs) > 20) == charged


def test_the_raw_cost_counts_contact_points() -> None:
    env = make(
        "SafetyCarRace1-v0", {"agent": (-1.9, 1.2, np.pi)}, constrain_indicator=False, static_geoms_contact_cost=2
    )
    seen = set()
    for _ in range(200):
        info = env.step(np.array([1.0, 1.0]))[5]
        seen.add(info["cost_static_geoms_contact"])
    assert seen <= {0.0, 2.0, 4.0, 6.0, 8.0} and len(seen) > 1


def test_scenery_can_be_left_out() -> None:
    env = make("SafetyPointRace1-v0", FENCE, scenery=None)
    end, _ = drive(env, 130)
    assert end[1] > 1.8
    assert "cost_static_geoms_contact" not in env.step(np.zeros(2))[5]
    assert all(name in SCENERY for name in ("race", "race_open", "building", "formula_one"))


@pytest.mark.parametrize(("env_id", "passes"), [("SafetyPointRace1-v0", False), ("SafetyPointRace2-v0", True)])
def test_level_2_has_a_passage_along_the_left_fence(env_id: str, passes: bool) -> None:
    end, _ = drive(make(env_id, {"agent": (-2.46, -1.6, NORTH)}), 300)
    assert (end[1] > 0.6) == passes, end


def test_the_race_ends_at_the_flowers() -> None:
    env = make("SafetyPointRace0-v0", {"agent": (2.6, 1.05, 0.0)})
    for _ in range(60):
        _, reward, _, terminated, truncated, info = env.step(np.array([1.0, 0.0]))
        if terminated:
            break
    assert terminated and not truncated and info["goal_met"]
    assert 10 < reward < 10.1


# --- meshes of objects ------------------------------------------------------------------------------------------------


def test_the_goal_of_building_push_can_be_reached_unless_it_is_the_references() -> None:
    for options, reached in (({}, True), ({"goal": {"origin_z": -0.7}}, False)):
        env = make("SafetyPointBuildingPush0-v0", **options)
        env.unwrapped.place("push_box", env.unwrapped.layout["goal"])
        _, reward, *_, info = env.step(np.zeros(2))
        assert info.get("goal_met", False) == reached
        assert (reward > 0.9) == reached


def test_meshed_objects_weigh_what_the_references_do() -> None:
    model = SafetyVectorEnv("SafetyPointBuildingGoal2-v0").scene.model
    vase = model.body("vase3")
    assert vase.mass == pytest.approx([1.0215e-5]) and vase.ipos.tolist() == [-0.049, -0.0005, 0.105]
    assert vase.inertia.tolist() == pytest.approx([1.0897e-7, 8.0352e-8, 7.2217e-8])
    gremlin = SafetyVectorEnv("SafetyPointBuildingButton1-v0").scene.model.body("gremlin0")
    assert gremlin.mass == pytest.approx([1.9461e-5])


def test_meshed_objects_follow_their_size() -> None:
    """Twice as large: twice the lengths, eight times the mass, thirty-two times the inertia; as seen, so touched."""
    small, large = (SafetyVectorEnv("SafetyPointBuildingGoal1-v0", vases={"size": size}).scene for size in (0.1, 0.2))
    for form in ("model", "drawing"):
        boxes = []
        for scene in (small, large):
            model = getattr(scene, form)
            body = model.body("vase0").id
            boxes.append(around(model, [i for i in range(model.ngeom) if model.geom_bodyid[i] == body]))
        np.testing.assert_allclose(boxes[1], 2 * boxes[0], atol=1e-6)
    one, other = (scene.model.body("vase0") for scene in (small, large))
    np.testing.assert_allclose(other.mass, 8 * one.mass)
    np.testing.assert_allclose(other.inertia, 32 * one.inertia)


def test_any_object_can_be_a_mesh_and_none_needs_to_be() -> None:
    plain = SafetyVectorEnv("SafetyPointBuildingGoal1-v0", vases={"is_meshed": False}).scene.model
    assert plain.body("vase0").mass == pytest.approx([8e-6])
    goal = {"is_meshed": True, "mesh_name": "flower_bush"}
    meshed = SafetyVectorEnv("SafetyPointGoal1-v0", goal=goal, vases={"is_meshed": True}).scene
    assert meshed.model.body("vase0").mass == pytest.approx([1.0215e-5])
    assert meshed.drawing.nmesh == 2


def test_meshed_gremlins_hover_ten_centimetres_high() -> None:
    envs = gymnasium.make_vec("SafetyPointBuildingButton1-v0", num_envs=2)
    envs.reset(seed=0)
    for _ in range(60):
        envs.step(np.zeros((2, 2)))
    np.testing.assert_allclose(envs.unwrapped.sim.world.pos("gremlins")[..., 2], 0.1, atol=0.005)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scenery": "rase"}, r"unknown scenery 'rase'; did you mean 'race'"),
        ({"floor_type": "mut"}, r"unknown floor_type 'mut'; did you mean 'mud' or 'mat'"),
        ({"goal": {"is_meshed": True, "mesh_name": "gaol"}}, r"unknown goal.mesh_name 'gaol'; did you mean 'goal'"),
        ({"circle": {"is_meshed": True}}, r"unknown circle.mesh_name ''; known: "),
        ({"goal": {"origin_z": "low"}}, r"goal.origin_z='low'"),
        ({"static_geoms_contact_cost": "much"}, r"static_geoms_contact_cost='much'"),
    ],
)
def test_wrong_options_say_what_is_accepted(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        safety_gym.make("SafetyPointGoal1-v0", **options)
