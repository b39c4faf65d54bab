"""`safety-gym bench`: the speed of an environment, and of the bare engine in the same run."""

from __future__ import annotations

import argparse
import contextlib
import functools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from safety_gym.cli.common import (
    Command,
    UserError,
    add_environment,
    count,
    find_id,
    parse_options,
    timed,
    to_json,
    told,
)

COLUMNS: Mapping[str, str] = {
    "num_envs": "{num_envs}",
    "threads": "{threads}",
    "env steps/s": "{env_steps_per_second:,.0f}",
    "us/step": "{us_per_step:.2f}",
    "outside": "{outside_share:.0%}",
    "bare steps/s": "{bare_steps_per_second:,.0f}",
    "ratio": "{ratio:.2f}",
    "resets": "{resets}",
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment(parser)
    sizes = [1, 16, 256]
    parser.add_argument("--num-envs", type=count(1), nargs="+", default=sizes, metavar="N", help="default 1 16 256")
    parser.add_argument("--seconds", type=_seconds, default=3.0, metavar="S", help="per number of envs (default 3)")
    parser.add_argument("--threads", type=count(1), metavar="N", help="default: what the environment takes by itself")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds > 0")


def _run(args: argparse.Namespace) -> int:
    from safety_gym.world import available_cores

    options = parse_options(args.options)
    if "num_envs" in options:
        raise UserError("num_envs is no option of the environment; use --num-envs")
    if args.threads is not None:
        options["num_threads"] = args.threads
    with told():
        env_id = find_id(args.id)
    results: list[dict[str, Any]] = []
    for n in args.num_envs:
        with told():
            row = measure(env_id, n, args.seconds, options)
        if not (results or args.json):
            print(f"{env_id}, {args.seconds:g} s each, random actions, {available_cores()} cores usable")
            print("  " + "  ".join(COLUMNS))
        results.append(row)
        if not args.json:
            cells = (form.format(**row).rjust(len(name)) for name, form in COLUMNS.items())
            print("  " + "  ".join(cells), flush=True)
    if args.json:
        print(to_json({"id": env_id, "options": options, "cores": available_cores(), "results": results}))
    return 0


def measure(env_id: str, num_envs: int, seconds: float, options: Mapping[str, Any]) -> dict[str, Any]:
    """Time an environment and the bare engine in turns for `seconds` in sum.

    Resets that happen are in the time; for the episode that was not finished its share of one timed reset is added, so
    that a short run is charged for resets like a long one. The bare engine starts from the states of the environment
    after each reset and is given the same actions, so that it computes the same motion.
    """
    import numpy as np
    from mujoco.batch import Batch

    import safety_gym
    from safety_gym.multi_agent import is_multi_agent

    teams = is_multi_agent(env_id)
    envs = safety_gym.make_vec(env_id, num_envs=num_envs, **options)
    vec: Any = envs.unwrapped
    engine, limit, rng = vec.batch, vec.sim.max_episode_steps, np.random.default_rng(0)
    bare = Batch(vec.scene.model, num_envs, nthread=engine.nthread, persistent=engine.persistent)
    ctrl = bare.bind("ctrl")

    def draw(length: int) -> tuple[list[Any], list[Any]]:
        """What the environment takes, and what of it the engine gets."""
        spaces = vec.action_spaces if teams else {"": envs.single_action_space}
        rows = {name: rng.uniform(s.low, s.high, (length, num_envs, *s.shape)) for name, s in spaces.items()}
        if not teams:
            return list(rows[""]), list(rows[""])
        actions = [{name: array[t] for name, array in rows.items()} for t in range(length)]
        return actions, [vec.controls(action) for action in actions]

    envs.reset(seed=0)
    warm_up, _ = timed(_step_all, envs, draw(10)[0])
    block = int(min(max(0.1 * 10 / warm_up, 1), 1000, max(1, 2_000_000 // num_envs)))
    clock = _EngineClock(engine)
    env_s = bare_s = 0.0
    steps = resets = 0
    in_step = False  # whether the bare engine is where the environment is
    while env_s + bare_s < seconds or not steps:
        length = block if limit is None else min(block, limit - int(vec.sim.world.memory["steps"].max()))
        actions, controls = draw(length)  # an episode ends with the last of them
        if not in_step:
            bare.state[:] = engine.state
            bare.forward()
        elapsed, ended = timed(_step_all, envs, actions)
        env_s, resets, steps = env_s + elapsed, resets + ended, steps + length
        bare_s += timed(_step_bare, bare, ctrl, controls, vec.scene.config)[0]
        in_step = not ended
    engine_s = clock.seconds
    if limit is not None:
        share = max(0.0, steps / limit - resets / num_envs)
        env_s += share * timed(envs.reset)[0]
        engine_s += share * (clock.seconds - engine_s)
    clock.stop()
    envs.close()
    total = steps * num_envs
    return {
        "num_envs": num_envs,
        "threads": int(engine.nthread),
        "env_steps": total,
        "resets": resets,
        "env_steps_per_second": total / env_s,
        "us_per_step": 1e6 * env_s / total,
        "outside_share": 1 - engine_s / env_s,
        "bare_steps_per_second": total / bare_s,
        "ratio": bare_s / env_s,
    }


def _step_all(envs: Any, actions: Any) -> int:
    """Step the environment through `actions`; return how many episodes ended."""
    ended = 0
    for action in actions:
        _, _, _, terminated, truncated, _ = envs.step(action)
        ended += int((terminated | truncated).sum())
    return ended


def _step_bare(batch: Any, ctrl: Any, actions: Any, scene: Any) -> None:
    from mujoco import mjtStage

    stage = (mjtStage.mjSTAGE_NONE if scene.lagged else mjtStage.mjSTAGE_ACC).value  # what the environment asks for
    for action in actions:
        ctrl[:] = action
        batch.step(nstep=scene.substeps, stage=stage)


class _EngineClock:
    """Sums the seconds spent in the calls of one `Batch` from its making until `stop`."""

    CALLS = ("step", "rollout", "forward", "reset", "ray")

    def __init__(self, batch: Any) -> None:
        self.seconds = 0.0
        self._batch, self._inside = batch, False
        for name in self.CALLS:
            setattr(batch, name, functools.partial(self._call, getattr(batch, name)))

    def _call(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._inside:  # a call that another one makes is counted already
            return call(*args, **kwargs)
        self._inside, start = True, time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - start
            self._inside = False

    def stop(self) -> None:
        for name in self.CALLS:
            delattr(self._batch, name)


COMMAND = Command(
    "bench",
    "measure the speed of an environment",
    "Environment steps per second with random actions, resets included, and the bare physics engine (`Batch.step`) "
    "on the same model, states and threads, in turns in the same run. 'ratio' is the first over the second; "
    "'outside' is the share of the time that is not spent in the engine.",
    _add_arguments,
    _run,
)
