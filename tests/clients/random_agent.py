"""A random agent on one environment: the loop of the reference suite's documentation."""

import safety_gym as safety_gymnasium


def main():
    env = safety_gymnasium.make("SafetyPointGoal1-v0", max_episode_steps=15)
    env.action_space.seed(0)
    obs, info = env.reset(seed=0)
    seen = {"reset_info": dict(info), "space_dict": {k: v.shape for k, v in env.obs_space_dict.items()}}
    lengths, ep_ret, ep_cost, steps = [], 0.0, 0.0, 0
    while len(lengths) < 2:
        assert env.observation_space.contains(obs)
        act = env.action_space.sample()
        assert env.action_space.contains(act)
        obs, reward, cost, terminated, truncated, info = env.step(act)
        ep_ret += reward
        ep_cost += cost
        steps += 1
        if terminated or truncated:
            lengths.append(steps)
            steps = 0
            obs, _ = env.reset()
    env.close()
    return seen | {
        "obs": (obs.shape, str(obs.dtype)),
        "action": (act.shape, str(act.dtype)),
        "types": [type(x).__name__ for x in (cost, terminated, truncated)],
        "sums_are_numbers": [isinstance(float(ep_ret), float), isinstance(float(ep_cost), float)],
        "cost_keys": sorted(k for k in info if k.startswith("cost_")),
        "lengths": lengths,
    }
