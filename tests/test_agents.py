"""The agent axis: the core simulates several robots in one scene, with the arrays it uses for one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from safety_gym import registry
from safety_gym.robots import ROBOTS
from safety_gym.simulator import Simulator


def simulator(robot: str, task: str, nagent: int) -> Simulator:
    _, kind, config = registry.resolve(f"Safety{robot}{task}-v0", {"extents": (-3, -3, 3, 3)})
    quiet = dataclasses.replace(ROBOTS[robot], home_noise=0.0)
    sim = Simulator(kind, config, (quiet,) * nagent, 2, None, 1)
    sim.seed([0, 1], [0, 1])
    sim.reset(np.arange(2))
    return sim


@pytest.mark.parametrize("task", ["Goal2", "Button1", "Push1", "Circle2", "Run0"])
@pytest.mark.parametrize("robot", list(ROBOTS))
def test_every_array_has_an_agent_axis(robot: str, task: str) -> None:
    sim = simulator(robot, task, 3)
    result = sim.step(sim.check_action(np.zeros((2, 3, sim.nact))))
    assert sim.observe().shape == (2, 3, sim.observer.size)
    assert result.reward.shape == result.cost.shape == (2, 3)
    assert all(values.shape == (2, 3) for values in result.costs.values())
    assert len(sim.layout(0)["agents"]) == 3


@pytest.mark.parametrize("robot", list(ROBOTS))
def test_agents_sense_and_pay_for_themselves(robot: str) -> None:
    """Two robots far apart: each reads what one robot alone at its place reads, and only the one in a hazard pays."""
    two, one = simulator(robot, "Goal1", 2), simulator(robot, "Goal1", 1)
    rest = {
        "goal": (1.2, -1.2),
        "hazards": [(-1.2, -1.2 + 0.3 * i) for i in range(7)] + [(0.9, 0.0)],
        "vases": [(1.2, 1.2)],
    }
    poses = [(0.9, 0.9, 0.3), (-0.2, 0.0, 1.0)]
    two.reset(np.arange(2), [{"agents": poses, **rest}] * 2)
    seen = two.observe().copy()
    for j, pose in enumerate(poses):
        one.reset(np.arange(2), [{"agent": pose, **rest}] * 2)
        np.testing.assert_allclose(seen[:, j], one.observe()[:, 0], atol=1e-9)
    two.world.move_zone(np.arange(2), "goal", np.array([[1.2, -1.0]] * 2))
    two.world.write_objects(np.arange(2), "hazards", np.array([[[0.95, 0.9, 0.0]]] * 2), slice(7, 8))
    result = two.step(two.check_action(np.zeros((2, 2, two.nact))))
    assert result.cost.tolist() == [[1.0, 0.0], [1.0, 0.0]]
