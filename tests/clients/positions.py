"""Logging where everything is, the way analysis scripts do it."""

import numpy as np

import safety_gym as safety_gymnasium

KINDS = ("goal", "hazards", "vases", "buttons", "gremlins", "pillars", "push_box")
IDS = (
    "SafetyPointGoal2-v0",
    "SafetyCarButton1-v0",
    "SafetyPointPush2-v0",
    "SafetyPointCircle1-v0",
    "SafetyPointRun0-v0",
)


def describe(value):
    if isinstance(value, list):
        return [len(value), describe(value[0]) if len(value) and not np.isscalar(value[0]) else "numbers"]
    return [type(value).__name__, value.shape, str(value.dtype)]


def one(env_id):
    env = safety_gymnasium.make(env_id)
    env.reset(seed=1)
    track = []
    for _ in range(3):
        env.step(np.ones(2))
        agent = env.task.agent
        track.append(agent.pos[:2].copy())
    agent = env.unwrapped.task.agent
    there = {kind: describe(getattr(env.task, kind).pos) for kind in KINDS if hasattr(env.task, kind)}
    heading = agent.mat[:2, 0]
    copied = agent.pos
    copied[:] = 0.0
    goal = getattr(env.task, "goal", None)
    dist = env.task.dist_goal() if goal is not None else None
    by_hand = np.linalg.norm(agent.pos[:2] - goal.pos[:2]) if goal is not None else None
    if goal is not None:
        assert np.isclose(dist, by_hand) and np.isclose(agent.dist_xy(goal.pos), by_hand)
    env.close()
    return {
        "objects": there,
        "agent": [describe(agent.pos), describe(agent.vel), describe(agent.mat)],
        "moves_with_its_velocity": bool(np.dot(track[-1] - track[0], agent.vel[:2]) > 0),
        "heading": round(float(np.linalg.norm(heading)), 2),
        "copies": bool(np.abs(agent.pos).max() > 0),
        "height": bool(agent.pos[2] > 0),
        "numbers": [
            getattr(env.task.hazards, "num", None) if hasattr(env.task, "hazards") else None,
            getattr(goal, "size", None),
            env.task.lidar_conf.num_bins,
            env.task.lidar_conf.max_dist,
            env.task.num_steps,
        ],
    }


def heights():
    """What does not depend on the layout: heights, and how a robot starts from rest, in its own frame."""
    env = safety_gymnasium.make("SafetyPointButton2-v0")
    env.reset(seed=0)
    task = env.task
    found = [x.pos[2] for x in (task.agent, task.goal)] + [x.pos[0][2] for x in (task.hazards, task.buttons)]
    env = safety_gymnasium.make("SafetyPointGoal0-v0")
    env.reset(seed=0)
    before = env.task.agent.pos
    for _ in range(3):
        env.step(np.array([1.0, 0.5]))
    agent = env.task.agent
    start = [*(agent.mat.T @ (agent.pos - before)), *(agent.mat.T @ agent.vel)]
    return [round(float(x), 4) for x in found], [round(float(x), 5) + 0.0 for x in start]


def main():
    return {env_id: one(env_id) for env_id in IDS} | {"numbers": heights()}
