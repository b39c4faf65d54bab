"""Speed of the reference suite; run by a Python that has it, never by ours.

    python3.10 -m venv reference && reference/bin/pip install safety-gymnasium==1.0.0
    python benchmarks/speed.py --reference-python reference/bin/python

That one install line resolves everything (seen: gymnasium 0.28.1, gymnasium-robotics 1.2.2, mujoco 2.3.3,
numpy 1.23.5, pygame 2.1.0). Python 3.10 is needed: on 3.11 the package does not import.

Run alone it measures the ids on its command line and prints a JSON line for each:

    reference/bin/python benchmarks/reference_speed.py SafetyPointGoal1-v0 --episodes 3

`--serve` reads one id per line from stdin and answers with one JSON line, so that speed.py can alternate both suites.
A measured episode is one reset plus random actions until the episode ends; the first reset of an id is not measured
(it reads meshes and textures from a cold disk cache). A line `ID N LENGTH` times LENGTH steps of N environments in a
process each, which is how training on the reference suite steps them; training.py asks that. A line
`ID N LENGTH SIZE` does so with camera frames of SIZE x SIZE pixels (N = 1: in this process); vision_speed.py asks that.
"""

import argparse
import contextlib
import functools
import json
import sys
import time
import warnings

warnings.filterwarnings("ignore")
_answers = sys.stdout
with contextlib.redirect_stdout(sys.stderr):
    import numpy as np
    import safety_gymnasium
    from safety_gymnasium.vector.async_vector_env import SafetyAsyncVectorEnv
    from safety_gymnasium.wrappers import SafeRescaleAction

_envs: dict = {}


def measure(env_id: str, seed: int) -> dict:
    """Time one episode of random actions: seconds in `reset`, seconds in `step`, number of steps."""
    if env_id not in _envs:
        _envs.clear()  # one compiled model at a time
        _envs[env_id] = safety_gymnasium.make(env_id)
        _envs[env_id].reset(seed=0)
    env = _envs[env_id]
    env.action_space.seed(seed)
    limit = env.spec.max_episode_steps or 1000
    actions = [env.action_space.sample() for _ in range(limit)]
    start = time.perf_counter()
    env.reset(seed=seed)
    reset_s = time.perf_counter() - start
    steps = 0
    start = time.perf_counter()
    for action in actions:
        _, _, _, terminated, truncated, _ = env.step(action)
        steps += 1
        if terminated or truncated:
            break
    step_s = time.perf_counter() - start
    return {"env_id": env_id, "seed": seed, "reset_s": reset_s, "step_s": step_s, "steps": steps}


def measure_async(env_id: str, num_envs: int, length: int, seed: int) -> dict:
    """Time `length` steps of `num_envs` environments with uniform actions in [-1, 1], the resets in them included.

    Starting the processes and the first reset are not measured.
    """
    key = (env_id, num_envs)
    if key not in _envs:
        _envs[key] = SafetyAsyncVectorEnv([lambda: rescaled(env_id)] * num_envs)
        _envs[key].reset(seed=0)
    env = _envs[key]
    shape = (length, num_envs, *env.single_action_space.shape)
    actions = np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
    start = time.perf_counter()
    for action in actions:
        env.step(action)
    return {"env_id": env_id, "num_envs": num_envs, "steps": length * num_envs, "wall_s": time.perf_counter() - start}


def rescaled(env_id: str) -> SafeRescaleAction:
    return SafeRescaleAction(safety_gymnasium.make(env_id), -1.0, 1.0)


def measure_vision(env_id: str, num_envs: int, length: int, size: int, seed: int) -> dict:
    """Time `length` steps of `num_envs` environments that observe frames; no reset falls into them."""
    key = (env_id, num_envs, size)
    if key not in _envs:
        _envs.clear()
        robot = next(name for name in ("Point", "Car", "Doggo", "Racecar", "Ant") if name in env_id)
        config = {"agent_name": robot, "observe_vision": True, "observation_flatten": False}
        config["vision_env_conf.vision_size"] = (size, size)
        make = functools.partial(safety_gymnasium.make, env_id, config=config)
        _envs[key] = make() if num_envs == 1 else SafetyAsyncVectorEnv([make] * num_envs)
    env = _envs[key]
    obs, _ = env.reset(seed=seed)
    assert obs["vision"].shape[-3:] == (size, size, 3)
    env.action_space.seed(seed)
    actions = [env.action_space.sample() for _ in range(length)]
    env.step(actions[0])  # OpenGL starts
    start = time.perf_counter()
    for action in actions:
        env.step(action)
    return {"env_id": env_id, "num_envs": num_envs, "steps": length * num_envs, "wall_s": time.perf_counter() - start}


def answer(result: dict) -> None:
    _answers.write(json.dumps(result) + "\n")
    _answers.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of safety-gymnasium 1.0.0, one environment, one process.")
    parser.add_argument("ids", nargs="*")
    parser.add_argument("--episodes", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help="read ids from stdin, answer with JSON lines")
    args = parser.parse_args()
    if args.serve:
        for count, line in enumerate(sys.stdin):
            env_id, *sizes = line.split()
            if len(sizes) == 3:
                num_envs, length, size = map(int, sizes)
                answer(measure_vision(env_id, num_envs, length, size, seed=count))
            elif sizes:
                num_envs, length = map(int, sizes)
                answer(measure_async(env_id, num_envs, length, seed=count))
            else:
                answer(measure(env_id, seed=count))
        return
    for env_id in args.ids:
        for episode in range(args.episodes):
            answer(measure(env_id, seed=episode))


if __name__ == "__main__":
    main()
