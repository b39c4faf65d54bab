"""A loop that never calls reset: `autoreset=True`, with the last observation taken from `info`."""

import numpy as np

import safety_gym as safety_gymnasium


def main():
    env = safety_gymnasium.make(id="SafetyCarGoal1-v0", autoreset=True, max_episode_steps=4, disable_env_checker=True)
    obs, _ = env.reset(seed=3)
    rows = []
    for _ in range(9):
        before = obs
        obs, _, _, terminated, truncated, info = env.step(np.zeros(env.action_space.shape))
        if terminated or truncated:
            final = info["final_observation"]
            rows.append(
                {
                    "keys": sorted(info),
                    "final_costs": sorted(k for k in info["final_info"] if k.startswith("cost_")),
                    "final_shape": final.shape,
                    "new_episode": not np.allclose(final, obs),
                    "old_episode": bool(np.abs(final - before).max() < np.abs(obs - before).max()),
                }
            )
    env.close()
    return {"rows": rows, "ended": [bool(terminated), bool(truncated)]}
