"""Frames of an episode for a video."""

import numpy as np

import safety_gym as safety_gymnasium


def main():
    several = safety_gymnasium.vector.make(
        "SafetyPointGoal0-v0", num_envs=3, render_mode="rgb_array", width=32, height=16
    )
    several.reset(seed=0)
    tiled = several.render()
    several.close()

    env = safety_gymnasium.make(
        "SafetyPointGoal1-v0", render_mode="rgb_array", width=96, height=64, camera_name="fixedfar"
    )
    env.reset(seed=0)
    frames = [env.render()]
    for _ in range(2):
        env.step(env.action_space.sample())
        frames.append(env.render())
    near = env.task.render(width=48, height=32, mode="rgb_array", camera_name="fixednear", cost={})
    env.close()

    depth = safety_gymnasium.make("SafetyPointGoal1-v0", render_mode="depth_array", width=96, height=64)
    depth.reset(seed=0)
    far = depth.render()
    depth.close()

    listed = safety_gymnasium.make("SafetyPointGoal1-v0", render_mode="rgb_array_list", width=32, height=32)
    listed.reset(seed=0)
    listed.step(np.zeros(2))
    collected = listed.render()
    listed.close()
    return {
        "tiled": tiled.shape,
        "frames": [(f.shape, str(f.dtype), bool(f.std() > 0)) for f in frames],
        "near": (near.ndim, str(near.dtype)),
        "depth": far.shape,
        "list": [len(collected), collected[0].shape],
        "mode": env.render_mode,
    }
