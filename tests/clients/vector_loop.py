"""`vector.make` as training code calls it: keywords, seeds, spaces, ends of episodes, wrappers for each environment."""

import gymnasium
import numpy as np

import safety_gym as safety_gymnasium


class CountCosts(gymnasium.Wrapper):
    """A user's wrapper: six values in, six values out."""

    def reset(self, **kwargs):
        self.charged = 0
        return self.env.reset(**kwargs)

    def step(self, action):
        obs, reward, cost, terminated, truncated, info = self.env.step(action)
        self.charged += cost > 0
        return obs, reward, cost, terminated, truncated, {**info, "charged": self.charged}


def run(**kwargs):
    env = safety_gymnasium.vector.make(
        env_id="SafetyPointGoal1-v0", num_envs=3, disable_env_checker=True, max_episode_steps=4, **kwargs
    )
    assert env.num_envs == 3 and env.is_vector_env
    obs, info = env.reset(seed=[4, 5, 6])
    same, _ = env.reset(seed=4)
    assert np.array_equal(obs, same), "an integer seed means seed + i"
    env.action_space.seed(0)
    ends = []
    for step in range(9):
        obs, reward, cost, terminated, truncated, info = env.step(env.action_space.sample())
        if "final_observation" in info:
            ends.append(
                {
                    "step": step,
                    "mask": info["_final_observation"].tolist(),
                    "final_observation": [None if x is None else x.shape for x in info["final_observation"]],
                    "final_info": [None if x is None else "cost_hazards" in x for x in info["final_info"]],
                    "final_info_mask": info["_final_info"].tolist(),
                    "kinds": [str(info["final_observation"].dtype), str(info["final_info"].dtype)],
                    "value_type": type(info["final_info"][0]["cost_hazards"]).__name__,
                }
            )
        else:
            costs = info["cost_hazards"]
    env.close()
    return {
        "spaces": [x.shape for x in (env.single_observation_space, env.single_action_space, env.action_space)],
        "shapes": [x.shape for x in (obs, reward, cost, terminated, truncated, costs)],
        "dtypes": [str(x.dtype) for x in (obs, reward, cost, terminated, truncated, costs)],
        "ends": ends,
        "charged": info["charged"].shape if "charged" in info else None,
    }


def main():
    return {
        "sync": run(asynchronous=False),
        "async": run(asynchronous=True),
        "wrapped": run(asynchronous=False, wrappers=[CountCosts]),
        "one_wrapper": run(asynchronous=True, wrappers=CountCosts),
    }
