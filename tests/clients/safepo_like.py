"""Environments built, normalised, stepped and saved the way SafePO does, for one and for several environments."""

import io
import pickle

import numpy as np

import safety_gym as safety_gymnasium
from safety_gym.vector.async_vector_env import SafetyAsyncVectorEnv
from safety_gym.wrappers import SafeAutoResetWrapper, SafeNormalizeObservation, SafeRescaleAction, SafeUnsqueeze

LENGTH = 6


def make_env(num_envs, env_id, seed):
    if num_envs > 1:

        def create_env():
            env = safety_gymnasium.make(env_id, max_episode_steps=LENGTH)
            return SafeRescaleAction(env, -1.0, 1.0)

        env = SafetyAsyncVectorEnv([create_env for _ in range(num_envs)])
        env.reset(seed=seed)
        return env, env.single_observation_space, env.single_action_space
    env = safety_gymnasium.make(env_id, max_episode_steps=LENGTH)
    env.reset(seed=seed)
    obs_space, act_space = env.observation_space, env.action_space
    env = SafeAutoResetWrapper(env)
    env = SafeRescaleAction(env, -1.0, 1.0)
    env = SafeNormalizeObservation(env)
    env = SafeUnsqueeze(env)
    return env, obs_space, act_space


def rollout(num_envs):
    env, obs_space, act_space = make_env(num_envs, "SafetyPointGoal1-v0", seed=0)
    obs, _ = env.reset()
    returns, costs, lengths = np.zeros(num_envs), np.zeros(num_envs), np.zeros(num_envs)
    finished, bootstraps = [], []
    rng = np.random.default_rng(0)
    for step in range(2 * LENGTH + 1):
        act = rng.uniform(-1, 1, (num_envs, act_space.shape[0]))
        next_obs, reward, cost, terminated, truncated, info = env.step(act.squeeze() if num_envs == 1 else act)
        returns += reward
        costs += cost
        lengths += 1
        if "final_observation" in info:
            final = np.array(
                [array if array is not None else np.zeros(obs.shape[-1]) for array in info["final_observation"]]
            )
            bootstraps.append((step, final.shape, bool(np.isfinite(final.astype(float)).all())))
        obs = next_obs
        for idx in range(num_envs):
            if terminated[idx] or truncated[idx]:
                finished.append(int(lengths[idx]))
                returns[idx] = costs[idx] = lengths[idx] = 0.0
    file = io.BytesIO()
    if num_envs == 1:
        pickle.dump({"mean": env.obs_rms.mean, "var": env.obs_rms.var}, file)
    env.close()
    return {
        "obs": (obs.shape, str(obs.dtype)),
        "spaces": (obs_space.shape, act_space.shape),
        "shapes": [x.shape for x in (reward, cost, terminated, truncated)],
        "dtypes": [str(x.dtype) for x in (reward, cost, terminated, truncated)],
        "finished": finished,
        "bootstraps": bootstraps,
        "saved": len(file.getvalue()) > 0,
    }


def normalised():
    """The vector normaliser, before any episode ends."""

    def create_env():
        return SafeRescaleAction(safety_gymnasium.make("SafetyPointGoal1-v0"), -1.0, 1.0)

    env = SafeNormalizeObservation(SafetyAsyncVectorEnv([create_env, create_env]))
    obs, _ = env.reset(seed=0)
    for _ in range(2):
        obs, *_ = env.step(np.ones((2, 2)))
    env.close()
    return [obs.shape, str(obs.dtype), round(float(env.obs_rms.count), 4), env.obs_rms.mean.shape]


def main():
    return {"one": rollout(1), "three": rollout(3), "normalised": normalised()}
