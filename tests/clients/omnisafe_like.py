"""An adapter that turns environments into tensors, the way OmniSafe's does (numpy stands in for torch)."""

import numpy as np

import safety_gym as safety_gymnasium
from safety_gym.utils.registration import safe_registry


class Adapter:
    def __init__(self, env_id, num_envs=1, **kwargs):
        assert env_id in safe_registry
        if num_envs > 1:
            self._env = safety_gymnasium.vector.make(env_id=env_id, num_envs=num_envs, **kwargs)
            self._action_space = self._env.single_action_space
            self._observation_space = self._env.single_observation_space
        else:
            self._env = safety_gymnasium.make(id=env_id, autoreset=True, **kwargs)
            self._action_space = self._env.action_space
            self._observation_space = self._env.observation_space
        self._metadata = self._env.metadata

    def step(self, action):
        obs, reward, cost, terminated, truncated, info = self._env.step(action)
        obs, reward, cost, terminated, truncated = (
            np.asarray(x, dtype=np.float32) for x in (obs, reward, cost, terminated, truncated)
        )
        if "final_observation" in info:
            info["final_observation"] = np.array(
                [array if array is not None else np.zeros(obs.shape[-1]) for array in info["final_observation"]]
            )
            info["final_observation"] = np.asarray(info["final_observation"], dtype=np.float32)
        return obs, reward, cost, terminated, truncated, info

    def reset(self, seed=None):
        obs, info = self._env.reset(seed=seed)
        return np.asarray(obs, dtype=np.float32), info

    def sample_action(self):
        return np.asarray(self._env.action_space.sample(), dtype=np.float32)


def run(env_id, **kwargs):
    env = Adapter(env_id, max_episode_steps=3, **kwargs)
    obs, _ = env.reset(seed=0)
    rows = []
    for _ in range(4):
        step = env.step(env.sample_action())
        final = step[5].get("final_observation")
        rows.append([[x.shape for x in step[:5]], None if final is None else final.shape])
    spaces = [env._observation_space.shape, env._action_space.shape]
    env._env.close()
    return {"obs": obs.shape, "rows": rows, "spaces": spaces, "modes": sorted(env._metadata["render_modes"])[:1]}


def main():
    rendering = {"render_mode": None, "camera_name": None, "camera_id": None, "width": 256, "height": 256}
    return {
        "one": run("SafetyPointButton1-v0", **rendering),
        "several": run("SafetyPointGoal1-v0", num_envs=2),
    }
