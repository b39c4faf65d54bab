"""Layouts: what the sampler promises, its distribution, explicit layouts, moving single objects."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import safety_gym
from safety_gym import LayoutError, layout, registry
from safety_gym.layout import Entity, Plan
from safety_gym.robots import ROBOTS
from tests.helpers import NAVIGATION, assert_same, single

Points = np.ndarray[Any, Any]


def sampled(plan: Plan, count: int, seed: int = 0) -> Points:
    return layout.sample([np.random.default_rng([seed, i]) for i in range(count)], plan)


def positions(envs: Any) -> tuple[list[str], Points]:
    """Return names and places (n, m, 2) of everything the sampler placed, robots first."""
    sim = envs.unwrapped.sim
    return list(sim.start.plan.names), sim.world.placed_xy(np.arange(envs.num_envs)).copy()


# --- what every layout keeps to ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", NAVIGATION)
def test_keepouts_and_extents_hold(env_id: str) -> None:
    """Also for the goal, which is drawn a second time; Button's goal marker lies on a button instead."""
    envs = gymnasium.make_vec(env_id, num_envs=32)
    envs.reset(seed=0)
    sim = envs.unwrapped.sim
    specs = {name: spec for spec in sim.config.objects for name in spec.names()}
    for _ in range(2):
        names, xy = positions(envs)
        keepout = np.array([sim.config.agent.keepout, *(specs[name].keepout for name in names[1:])])
        free = [
            j for j, name in enumerate(names) if specs.get(name) is None or specs[name].kind not in sim.task.derived
        ]
        gap = np.linalg.norm(xy[:, :, None] - xy[:, None], axis=-1)
        need = keepout[:, None] + keepout[None]
        for j in free:
            for k in (k for k in free if k < j and names[j] != "circle"):
                assert (gap[:, j, k] >= need[j, k] - 1e-12).all(), (names[j], names[k])
        for j in free:
            spec = specs.get(names[j])
            rects = (sim.config.agent.placements if j == 0 else spec.placements) or (sim.config.extents,)
            if j and spec.locations:
                np.testing.assert_allclose(xy[:, j], np.broadcast_to(spec.locations[0], (32, 2)), rtol=0, atol=1e-8)
                continue
            inside = np.zeros(32, bool)
            for x0, y0, x1, y1 in rects:
                low = np.array([x0, y0]) + keepout[j] - 1e-12
                high = np.array([x1, y1]) - keepout[j] + 1e-12
                inside |= ((xy[:, j] >= low) & (xy[:, j] <= high)).all(axis=1)
            assert inside.all(), names[j]
        envs.reset()


@pytest.mark.parametrize("env_id", NAVIGATION)
def test_no_episode_starts_with_a_cost(env_id: str) -> None:
    envs = gymnasium.make_vec(env_id, num_envs=32)
    envs.reset(seed=1)
    for _ in range(2):
        for key, values in envs.unwrapped.sim.raw_costs().items():
            assert not values.any() or key == "cost_buttons", key
        assert not envs.unwrapped.sim.last_cost.any()
        envs.reset()


def test_layouts_that_would_start_with_a_cost_are_drawn_again() -> None:
    """Large hazards with small keep-outs reach the robot in most layouts, but never in those that are used."""
    envs = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=32, hazards={"size": 0.75, "num": 3})
    envs.reset(seed=0)
    world = envs.unwrapped.sim.world
    assert (world.agent_distance("hazards") > 0.75).all()
    assert (envs.step(np.zeros((32, 2)))[4]["cost"] == 0).all()
    with pytest.raises(LayoutError, match="cost_hazards"):
        gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=2, hazards={"size": 6.0}).reset(seed=0)


rects = st.tuples(st.floats(-3, 0), st.floats(-3, 0), st.floats(1.2, 3), st.floats(1.2, 3))


@settings(max_examples=60, deadline=None)
@given(
    areas=st.lists(st.lists(rects, min_size=1, max_size=3), min_size=1, max_size=6),
    keepouts=st.lists(st.floats(0, 0.35), min_size=6, max_size=6),
    margin=st.floats(0, 0.05),
    seed=st.integers(0, 1000),
)
def test_any_plan_is_kept_to(
    areas: list[list[tuple[float, float, float, float]]], keepouts: list[float], margin: float, seed: int
) -> None:
    entities = [Entity(f"e{i}", keepouts[i], tuple(area)) for i, area in enumerate(areas)]
    try:
        out = sampled(Plan(entities, margin), 4, seed)
    except LayoutError:  # six large objects in a small square
        return
    assert out.shape == (4, len(entities), 3)
    assert (out[..., 2] >= 0).all() and (out[..., 2] < 2 * math.pi).all()
    for j, entity in enumerate(entities):
        inside = np.zeros(4, bool)
        for x0, y0, x1, y1 in entity.rects:
            k = entity.keepout - 1e-12
            x, y = out[:, j, 0], out[:, j, 1]
            inside |= (x >= x0 + k) & (x <= x1 - k) & (y >= y0 + k) & (y <= y1 - k)
        assert inside.all()
        for i in range(j):
            gap = np.linalg.norm(out[:, i, :2] - out[:, j, :2], axis=1)
            assert (gap >= entities[i].keepout + margin + entity.keepout - 1e-12).all()


# --- distribution -----------------------------------------------------------------------------------------------------


def literal_layout(
    rng: np.random.RandomState, entities: list[tuple[float, tuple[float, float, float, float]]]
) -> Points:
    """Layout sampling exactly as the specification tells it, one draw at a time."""
    for _ in range(10_000):
        placed: list[tuple[float, float, float]] = []
        for keepout, (x0, y0, x1, y1) in entities:
            for _ in range(100):
                x, y = rng.uniform(x0 + keepout, x1 - keepout), rng.uniform(y0 + keepout, y1 - keepout)
                if all(math.hypot(x - a, y - b) >= k + keepout for a, b, k in placed):
                    placed.append((x, y, keepout))
                    break
            else:
                break
        if len(placed) == len(entities):
            return np.array(placed)[:, :2]
    raise AssertionError("no layout")


def literal_goal(
    rng: np.random.RandomState, xy: Points, entities: list[tuple[float, tuple[float, float, float, float]]], goal: int
) -> None:
    """Draw the goal again, clear of everything else."""
    keepout, (x0, y0, x1, y1) = entities[goal]
    for _ in range(10_000):
        x, y = rng.uniform(x0 + keepout, x1 - keepout), rng.uniform(y0 + keepout, y1 - keepout)
        others = [k for k in range(len(xy)) if k != goal]
        if all(math.hypot(x - xy[k, 0], y - xy[k, 1]) >= entities[k][0] + keepout for k in others):
            xy[goal] = x, y
            return
    raise AssertionError("no goal")


def kolmogorov_smirnov(a: Points, b: Points) -> float:
    """Return the largest gap between two empirical distributions, in units of its scale under equality."""
    values = np.sort(np.concatenate((a, b)))
    gap = np.abs(
        np.searchsorted(np.sort(a), values, "right") / len(a) - np.searchsorted(np.sort(b), values, "right") / len(b)
    )
    return float(gap.max() / math.sqrt(1 / len(a) + 1 / len(b)))


SCALE_OF_1_IN_10000 = 2.23
COUNT = 1280


@pytest.mark.parametrize("env_id", ["SafetyPointGoal1-v0", "SafetyCarPush2-v0"])
def test_the_distribution_is_the_specified_one(env_id: str) -> None:
    """Kolmogorov-Smirnov on coordinates and distances, seeds fixed; one chance in 10000 of a false alarm each."""
    envs = gymnasium.make_vec(env_id, num_envs=64)
    blocks = []
    envs.reset(seed=0)
    for _ in range(COUNT // 64):
        names, xy = positions(envs)
        blocks.append(xy)
        envs.reset()
    ours = np.concatenate(blocks)
    config = envs.unwrapped.sim.config
    specs = {name: spec for spec in config.objects for name in spec.names()}
    entities = [(config.agent.keepout, config.extents), *((specs[n].keepout, config.extents) for n in names[1:])]
    rng = np.random.RandomState(0)
    theirs = np.empty_like(ours)
    for row in theirs:
        row[:] = literal_layout(rng, entities)
        literal_goal(rng, row, entities, names.index("goal"))

    def statistics(xy: Points) -> dict[str, Points]:
        out = {f"{name}.{axis}": xy[:, j, i] for j, name in enumerate(names) for i, axis in enumerate("xy")}
        gap = np.linalg.norm(xy[:, :, None] - xy[:, None], axis=-1)
        out |= {f"agent-{name}": gap[:, 0, j] for j, name in enumerate(names) if j}
        gap[:, np.arange(len(names)), np.arange(len(names))] = np.inf
        return out | {"closest pair": gap.min(axis=(1, 2)), "agent to nearest": gap[:, 0].min(axis=1)}

    ours_by, theirs_by = statistics(ours), statistics(theirs)
    worst = {key: kolmogorov_smirnov(ours_by[key], theirs_by[key]) for key in ours_by}
    assert max(worst.values()) < SCALE_OF_1_IN_10000, sorted(worst.items(), key=lambda item: -item[1])[:5]


def test_the_distribution_test_notices_a_wrong_keepout() -> None:
    """A goal with keep-out 0.4 instead of 0.305 is well past the threshold."""
    rng = np.random.RandomState(1)
    square = (-1.5, -1.5, 1.5, 1.5)
    distances = []
    for keepout in (0.305, 0.4):
        entities = [(0.4, square), (keepout, square), *[(0.18, square)] * 8, (0.15, square)]
        xy = np.array([literal_layout(rng, entities) for _ in range(COUNT)])
        for row in xy:
            literal_goal(rng, row, entities, 1)
        distances.append(np.linalg.norm(xy[:, 1:2] - xy[:, 2:10], axis=-1).min(axis=1))
    assert kolmogorov_smirnov(*distances) > SCALE_OF_1_IN_10000


@pytest.mark.parametrize("task", ["Goal1", "Push1"])
def test_the_goal_is_drawn_a_second_time_at_reset(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first place only influences the others; statistics hardly show it, so the sampler is watched."""
    drawn: list[Points] = []
    resample = layout.resample

    def watched(*args: Any) -> Any:
        xy, found = resample(*args)
        if len(xy):
            drawn.append(xy)
        return xy, found

    monkeypatch.setattr(layout, "resample", watched)
    envs = gymnasium.make_vec(f"SafetyPoint{task}-v0", num_envs=3)
    for k in range(1, 3):
        envs.reset(seed=k)
        assert len(drawn) == k
        np.testing.assert_array_equal([where["goal"] for where in envs.unwrapped.layout], drawn[-1])
    envs.reset(options={"layout": envs.unwrapped.layout})
    assert len(drawn) == 2, "a goal that was given is kept"


def test_yaws_are_uniform_and_independent() -> None:
    envs = gymnasium.make_vec("SafetyPointPush1-v0", num_envs=64)
    envs.reset(seed=3)
    yaws = []
    for _ in range(10):
        world = envs.unwrapped.sim.world
        yaws.append(np.column_stack((world.agent_yaw()[:, 0], world.object_yaw("push_box")[:, 0])) % (2 * math.pi))
        envs.reset()
    angles = np.concatenate(yaws)
    flat = (np.arange(20_000) + 0.5) / 20_000 * 2 * math.pi
    for column in (angles[:, 0], angles[:, 1], (angles[:, 0] - angles[:, 1]) % (2 * math.pi)):
        assert kolmogorov_smirnov(column, flat) < SCALE_OF_1_IN_10000


def test_button_goals_are_uniform_over_the_buttons() -> None:
    envs = gymnasium.make_vec("SafetyPointButton0-v0", num_envs=64)
    envs.reset(seed=0)
    counts = np.zeros(4)
    for _ in range(12):
        counts += np.bincount(envs.unwrapped.sim.world.memory["goal_button"], minlength=4)
        envs.reset()
    assert counts.sum() == 768
    assert ((counts - 192) ** 2 / 192).sum() < 21.1  # chi-squared, 3 degrees of freedom, 1 in 10000


# --- fixed places and several rectangles ------------------------------------------------------------------------------


def test_fixed_locations() -> None:
    """Given points are used as they are, the rest is drawn; the keep-outs hold between all."""
    hazards = {"num": 4, "locations": [(0.0, 0.0), (1.0, 1.0)], "keepout": 0.3}
    envs = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=32, hazards=hazards)
    envs.reset(seed=0)
    for _ in range(3):
        names, xy = positions(envs)
        first, free = names.index("hazard0"), names.index("hazard2")
        np.testing.assert_allclose(xy[:, first], 0.0, rtol=0, atol=2e-9)
        np.testing.assert_allclose(xy[:, first + 1], 1.0, rtol=0, atol=2e-9)
        assert np.ptp(xy[:, free], axis=0).min() > 0.5
        for j, keepout in ((0, 0.4), (1, 0.305), (free, 0.3)):
            assert (np.linalg.norm(xy[:, j] - xy[:, first], axis=1) >= keepout + 0.3 - 1e-8).all()
        envs.reset()


def test_a_location_outside_the_extents_is_used() -> None:
    env = single("SafetyPointGoal0-v0", goal={"locations": [(5.0, -4.0)]})
    env.reset(seed=0)
    assert env.unwrapped.layout["goal"] == pytest.approx((5.0, -4.0), abs=1e-8)


def test_several_rectangles_count_by_their_shrunk_area() -> None:
    """Shrunk by 0.1: areas 0.8 x 0.8, 0.3 x 0.8 twice (an overlap counts twice), and one that vanishes."""
    areas = ((0, 0, 1, 1), (2, 0, 2.5, 1), (2, 0, 2.5, 1), (5, 5, 5.15, 6))
    out = sampled(Plan([Entity("thing", 0.1, areas)]), 4000)[:, 0]
    assert (out[:, :2] < 3).all()
    share = (out[:, 0] < 1.5).mean()
    want = 0.64 / (0.64 + 0.24 + 0.24)
    assert abs(share - want) < 4 * math.sqrt(want * (1 - want) / 4000)
    for low, width, rows in ((0.1, 0.8, out[out[:, 0] < 1.5]), (2.1, 0.3, out[out[:, 0] > 1.5])):
        flat = low + (np.arange(20_000) + 0.5) / 20_000 * width
        assert kolmogorov_smirnov(rows[:, 0], flat) < SCALE_OF_1_IN_10000


def test_placements_of_objects_and_robot() -> None:
    areas = [(-1.5, -1.5, -0.5, 1.5), (0.9, -1.5, 1.5, 1.5)]
    envs = gymnasium.make_vec(
        "SafetyPointGoal0-v0", num_envs=64, goal={"placements": areas}, agent={"placements": [(-0.5, -0.5, 0.5, 0.5)]}
    )
    envs.reset(seed=0)
    _, xy = positions(envs)
    assert (np.abs(xy[:, 0]) <= 0.1 + 1e-12).all()
    assert ((xy[:, 1, 0] < -0.8) | (xy[:, 1, 0] == pytest.approx(1.2, abs=0.006))).all()
    assert (xy[:, 1, 0] < 0).sum() > 32


def test_points_as_rectangles_are_equally_likely() -> None:
    points = tuple((x, 0.0, x, 0.0) for x in (0.0, 1.0, 2.0))
    out = sampled(Plan([Entity("thing", 0.0, points)]), 900)[:, 0, 0]
    assert set(out) == {0.0, 1.0, 2.0}
    assert all(240 < (out == x).sum() < 360 for x in (0.0, 1.0, 2.0))


# --- crowded ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num", [40, 200])
def test_crowded_layouts_fail(num: int) -> None:
    envs = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=3, hazards={"num": num, "keepout": 0.4})
    with pytest.raises(LayoutError, match=r"simulations \[0, 1, 2\]") as caught:
        envs.reset(seed=0)
    assert caught.value.ids == (0, 1, 2)
    assert isinstance(caught.value, ValueError)
    assert "keep-out" in str(caught.value)


def test_a_keepout_larger_than_the_area_is_named() -> None:
    for options in (
        {"hazards": {"keepout": 1.6}},
        {"agent": {"keepout": 3.0}},
        {"goal": {"placements": [(0, 0, 0.1, 1)]}},
    ):
        with pytest.raises(LayoutError, match=r"'(hazard0|agent|goal)'.*no room"):
            single("SafetyPointGoal1-v0", **options).reset(seed=0)


def test_tight_layouts_succeed() -> None:
    """Two of three tries fail here; every simulation still gets its layout."""
    envs = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=32, hazards={"num": 16, "keepout": 0.25})
    envs.reset(seed=0)
    names, xy = positions(envs)
    j = names.index("hazard0")
    gap = np.linalg.norm(xy[:, j : j + 16, None] - xy[:, None, j : j + 16], axis=-1)
    gap[:, np.arange(16), np.arange(16)] = np.inf
    assert (gap >= 0.5 - 1e-12).all()


def test_a_failed_reset_leaves_the_environment_usable() -> None:
    env = single("SafetyPointGoal1-v0")
    env.reset(seed=0)
    with pytest.raises(LayoutError):
        env.reset(options={"layout": {}})
    env.step(np.zeros(2))
    env.reset(seed=0)
    np.testing.assert_array_equal(env.step(np.ones(2))[0].shape, (60,))


# --- explicit layouts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", NAVIGATION)
def test_layouts_round_trip(env_id: str) -> None:
    """`layout` of a fresh episode, given back, is the same world: same places, same first observation."""
    env, other = single(env_id), single(env_id)
    obs, _ = env.reset(seed=7)
    given = env.unwrapped.layout
    got, _ = other.reset(seed=1, options={"layout": given})
    again = other.unwrapped.layout
    assert list(again) == list(given)
    for name, value in given.items():
        want, have = np.array(value), np.array(again[name])
        np.testing.assert_array_equal(have[..., :2], want[..., :2], err_msg=name)
        # Yaws go through a matrix or a quaternion.
        np.testing.assert_allclose(np.sin(have[..., 2:]), np.sin(want[..., 2:]), rtol=0, atol=1e-14, err_msg=name)
        np.testing.assert_allclose(np.cos(have[..., 2:]), np.cos(want[..., 2:]), rtol=0, atol=1e-14, err_msg=name)
    # The Car starts on a contact surface; its accelerometer amplifies the rounding of the yaw. The Ant's joints are
    # drawn at each start.
    robot = ROBOTS[registry.parse(env_id).robot]
    quiet = slice(robot.nobs if robot.home_noise else 3, None)
    np.testing.assert_allclose(got[quiet], obs[quiet], rtol=0, atol=1e-9)


@pytest.mark.parametrize("env_id", ["SafetyPointGoal2-v0", "SafetyCarButton1-v0", "SafetyPointPush2-v0"])
def test_given_positions_are_where_things_are(env_id: str) -> None:
    env = single(env_id)
    env.reset(seed=2)
    given = env.unwrapped.layout
    env.reset(options={"layout": given})
    sim = env.unwrapped.vec.sim
    xpos = env.unwrapped.batch.bind("xpos")[0]
    for kind, slot in sim.scene.slots.items():
        points = [given[kind]] if slot.spec.unique else given[kind]
        for name, point in zip(slot.spec.names(), points, strict=True):
            try:
                body = sim.scene.model.body(name).id
            except KeyError:  # zones are no bodies
                continue
            np.testing.assert_allclose(xpos[body, :2], point[:2], rtol=0, atol=1e-12)
            assert xpos[body, 2] == pytest.approx(slot.spec.z, abs=1e-12)


GOAL1 = {
    "agent": (0.0, 0.0, 1.0),
    "goal": (1.0, 1.0),
    "hazards": [(-1.0, 1.2 - 0.3 * i) for i in range(8)],
    "vases": [(1.0, -1.0)],
}


def goal1(**changes: Any) -> dict[str, Any]:
    return {k: v for k, v in {**GOAL1, **changes}.items() if v is not ...}


def test_yaw_may_be_left_out() -> None:
    env = single("SafetyPointGoal1-v0")
    env.reset(options={"layout": goal1(agent=(0.5, 0.25))})
    assert env.unwrapped.layout["agent"] == (0.5, 0.25, 0.0)
    env.reset(options={"layout": goal1(agent=np.array([0.5, 0.25, 2.0]))})
    assert env.unwrapped.layout["agent"] == pytest.approx((0.5, 0.25, 2.0), abs=1e-14)


def test_given_layouts_need_not_keep_keepouts_or_extents() -> None:
    env = single("SafetyPointGoal1-v0")
    near = goal1(goal=(0.31, 0.0), vases=[(7.0, 0.0)])
    env.reset(options={"layout": near})
    assert env.unwrapped.layout["goal"] == (0.31, 0.0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (goal1(goal=...), r"misses 'goal'"),
        (goal1(hazards=..., vases=...), r"misses 'hazards', 'vases'"),
        (goal1(hazrads=[]), r"unknown layout entry 'hazrads'; did you mean 'hazards'"),
        (goal1(hazards=[(0, 1)]), r"layout\['hazards'\].*8 points"),
        (goal1(hazards=(0, 1)), r"layout\['hazards'\].*8 points"),
        (goal1(goal=(1.0,)), r"layout\['goal'\]"),
        (goal1(goal=[(1.0, 1.0)]), r"layout\['goal'\]"),
        (goal1(goal=(1.0, math.nan)), r"layout\['goal'\].*finite"),
        (goal1(goal=(1.0, math.inf)), r"layout\['goal'\].*finite"),
        (goal1(goal="here"), r"layout\['goal'\]"),
        (goal1(goal=None), r"layout\['goal'\]"),
        (goal1(hazards=None), r"layout\['hazards'\]"),
        (goal1(agent=(0, 0, 0, 0)), r"layout\['agent'\]"),
        (goal1(vases=[(0.15, 0.0)]), r"'agent' and 'vase0' overlap"),
        (goal1(agent=(-1.0, 1.1)), r"starts with a cost \(cost_hazards\)"),
        ([], "layout"),
        ("here", "layout"),
    ],
)
def test_wrong_layouts_say_what_is_wrong(given: Any, says: str) -> None:
    env = single("SafetyPointGoal1-v0")
    env.reset(seed=0)
    with pytest.raises(ValueError, match=says):
        env.reset(options={"layout": given})


def test_circle_and_markers_need_no_entry() -> None:
    env = single("SafetyPointCircle2-v0")
    env.reset(options={"layout": {"agent": (0.3, 0.2, 0.1)}})
    assert env.unwrapped.layout["circle"] == pytest.approx((0.0, 0.0), abs=1e-8)
    with pytest.raises(ValueError, match="unknown layout entry 'sigwalls'"):
        env.reset(options={"layout": {"agent": (0, 0), "sigwalls": [(1, 0)]}})


BUTTON = {"agent": (0, 0, 0), "buttons": [(1, 0), (0, 1), (-1, 0), (0, -1)]}


def test_button_goals_lie_on_a_button() -> None:
    env = single("SafetyPointButton0-v0")
    env.reset(options={"layout": {**BUTTON, "goal": (-1, 0)}})
    assert env.unwrapped.vec.sim.world.memory["goal_button"][0] == 2
    env.reset(options={"layout": BUTTON})
    goal = env.unwrapped.layout["goal"]
    assert goal in BUTTON["buttons"]
    with pytest.raises(LayoutError, match=r"layout\['goal'\] is not at a button"):
        env.reset(options={"layout": {**BUTTON, "goal": (0.5, 0.5)}})


def test_a_goal_left_out_of_a_button_layout_is_drawn() -> None:
    """The error message promises it: "leave 'goal' out to draw one"."""
    env = single("SafetyPointButton0-v0")
    env.reset(seed=0)
    goals = set()
    for _ in range(40):
        env.reset(options={"layout": BUTTON})
        goals.add(env.unwrapped.layout["goal"])
    assert len(goals) == 4


def test_layouts_of_a_batch() -> None:
    envs = safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=3, autoreset_mode="Disabled")
    layouts = [goal1(goal=(1.0, 0.1 * i)) for i in range(3)]
    envs.reset(options={"layout": layouts})
    assert [where["goal"] for where in envs.unwrapped.layout] == [(1.0, 0.0), (1.0, 0.1), (1.0, 0.2)]
    envs.reset(options={"layout": GOAL1})
    assert [where["goal"] for where in envs.unwrapped.layout] == [(1.0, 1.0)] * 3
    mask = np.array([False, True, True])
    envs.reset(options={"reset_mask": mask, "layout": layouts[1:]})
    assert [where["goal"] for where in envs.unwrapped.layout] == [(1.0, 1.0), (1.0, 0.1), (1.0, 0.2)]
    with pytest.raises(ValueError, match=r"2 layouts for 3 simulations"):
        envs.reset(options={"layout": layouts[:2]})


def test_explicit_layouts_leave_the_stream_of_layouts_alone() -> None:
    env, other = single("SafetyPointGoal1-v0"), single("SafetyPointGoal1-v0")
    env.reset(seed=0)
    other.reset(seed=0)
    env.reset(options={"layout": GOAL1})
    np.testing.assert_array_equal(env.reset()[0], other.reset()[0])


def test_a_seed_with_an_explicit_layout_seeds_what_follows() -> None:
    env = single("SafetyPointGoal1-v0", goal={"size": 2.0})
    runs = []
    for _ in range(2):
        env.reset(seed=5, options={"layout": GOAL1})
        runs.append([env.step(np.ones(2))[0] for _ in range(5)])
    np.testing.assert_array_equal(runs[0], runs[1])


# --- moving things ----------------------------------------------------------------------------------------------------


def test_place_moves_one_thing() -> None:
    env = single("SafetyPointGoal2-v0")
    env.reset(seed=0)
    for name, kind, index in (("hazard3", "hazards", 3), ("vase9", "vases", 9), ("goal", "goal", None)):
        before = env.unwrapped.layout
        env.unwrapped.place(name, (0.123, -1.9))
        after = env.unwrapped.layout
        moved = after[kind] if index is None else after[kind][index]
        assert moved[:2] == pytest.approx((0.123, -1.9), abs=1e-12)
        if index is not None:
            after[kind][index] = before[kind][index]
        else:
            after[kind] = before[kind]
        assert after == before
        env.unwrapped.place(name, (3.0 + (index or 0), 3.0))


def test_place_moves_the_robot() -> None:
    for robot in ("Point", "Car"):
        env = single(f"Safety{robot}Goal1-v0")
        env.reset(options={"layout": GOAL1})
        for _ in range(10):
            env.step(np.ones(2))
        env.unwrapped.place("agent", (0.5, -0.5, -2.0))
        assert env.unwrapped.layout["agent"] == pytest.approx((0.5, -0.5, -2.0), abs=1e-12)
        reward = env.step(np.zeros(2))[1]
        assert abs(reward) < 0.01, "the jump is not rewarded"


def test_place_keeps_rewards_free_of_jumps() -> None:
    env = single("SafetyPointGoal1-v0")
    env.reset(options={"layout": GOAL1})
    env.step(np.zeros(2))
    env.unwrapped.place("goal", (-1.4, -1.4))
    assert abs(env.step(np.zeros(2))[1]) < 1e-3


def test_place_in_some_simulations() -> None:
    envs = safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=4)
    envs.reset(seed=0)
    before = envs.unwrapped.layout
    envs.unwrapped.place("hazard0", (1.4, 1.4), ids=[1, 3])
    after = envs.unwrapped.layout
    for i in (0, 2):
        assert after[i] == before[i]
    for i in (1, 3):
        assert after[i]["hazards"][0] == (1.4, 1.4)
        assert after[i]["hazards"][1:] == before[i]["hazards"][1:]


def test_place_of_a_button_takes_its_marker_along() -> None:
    env = single("SafetyPointButton0-v0")
    env.reset(options={"layout": {**BUTTON, "goal": (1, 0)}})
    env.unwrapped.place("button0", (1.5, 0.5))
    assert env.unwrapped.layout["buttons"][0][:2] == (1.5, 0.5)
    assert env.unwrapped.layout["goal"] == (1.5, 0.5)


@pytest.mark.parametrize(
    ("name", "xy", "says"),
    [
        ("hazard8", (0, 0), "unknown object 'hazard8'"),
        ("hazards", (0, 0), "did you mean 'hazard"),
        ("goal", (0,), "goal"),
        ("goal", (0, math.nan), "finite"),
        ("goal", None, "goal"),
        ("goal", "x", "goal"),
    ],
)
def test_wrong_places_say_what_is_wrong(name: str, xy: Any, says: str) -> None:
    env = single("SafetyPointGoal1-v0")
    env.reset(seed=0)
    before = env.unwrapped.layout
    with pytest.raises(ValueError, match=says):
        env.unwrapped.place(name, xy)
    assert env.unwrapped.layout == before


def test_place_of_a_derived_goal_is_refused() -> None:
    env = single("SafetyPointButton0-v0")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="'goal' follows from other objects"):
        env.unwrapped.place("goal", (0, 0))


@pytest.mark.parametrize("env_id", ["SafetyPointGoal1-v0", "SafetyCarPush1-v0"])
def test_layout_follows_what_moves(env_id: str) -> None:
    env = single(env_id)
    env.reset(seed=0)
    before = env.unwrapped.layout
    for _ in range(30):
        env.step(np.ones(2))
    after = env.unwrapped.layout
    assert after["agent"] != before["agent"]
    assert_same(after["hazards"], before["hazards"])
