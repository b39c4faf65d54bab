"""`make train`: train PPO-Lag on SafetyPointGoal1-v0 for minutes, evaluate, plot, film, and say what came out.

Every step is a `safepo` command, printed before it runs. Interrupt it with Ctrl-C; the same command continues.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

from safepo import checkpoint
from safepo.cli import main as safepo
from safepo.config import PRESETS, make_config

ENV_ID = "SafetyPointGoal1-v0"
ALGORITHM = "ppo_lag"
PRESET = "quick"
EPISODES = 50


def command(*args: str | Path) -> int:
    """Run one safepo command in this process; return its exit code."""
    words = [str(arg) for arg in args]
    print(f"\n$ safepo {shlex.join(words)}", flush=True)
    return safepo(words)


def gl_problem() -> str | None:
    """Why no picture can be drawn here, as one line; None if one can."""
    from safety_gym.rendering import GLUnavailable, select_backend

    try:
        select_backend()
    except GLUnavailable as error:
        return str(error).splitlines()[0]
    return None


def train(run_dir: Path, nepoch: int, args: argparse.Namespace) -> int:
    """Start, continue, or leave alone."""
    if not run_dir.exists():
        steps = ["--total-steps", str(args.total_steps)] if args.total_steps else []
        return command(
            *("train", ALGORITHM, "--preset", PRESET, "--env-id", ENV_ID, "--seed", str(args.seed)),
            *("--log-dir", args.log_dir, "--eval-episodes", "0", *steps),  # evaluated below
        )
    if checkpoint.path_of(run_dir, nepoch).exists():
        print(f"{run_dir} is trained already; delete it to train again")
        return 0
    return command("resume", run_dir)


def verdict(result: dict) -> str:
    """Whether the cost limit is met, in one sentence, then the numbers of both ways of acting."""
    limit, modes = result["cost_limit"], ("deterministic", "stochastic")
    above = [mode for mode in modes if result[mode]["cost"]["mean"] > limit]
    lines = [
        f"The cost limit {limit:g} is NOT met yet by the {' and the '.join(above)} policy."
        if above
        else f"The cost limit {limit:g} is met."
    ]
    for mode in modes:
        cost, reward = result[mode]["cost"], result[mode]["return"]
        lines.append(
            f"  {mode:14} cost {cost['mean']:6.1f} +- {cost['stderr']:4.1f}   return {reward['mean']:6.1f} "
            f"+- {reward['stderr']:4.1f}   ({result[mode]['episodes']} episodes, mean +- standard error)"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Train, evaluate, plot and film PPO-Lag with a short budget.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log-dir", default="runs/demo")
    parser.add_argument("--total-steps", type=int, help="instead of the preset's")
    args = parser.parse_args()
    overrides = {"total_steps": args.total_steps} if args.total_steps else {}
    config = make_config(ALGORITHM, preset=PRESET, env_id=ENV_ID, seed=args.seed, log_dir=args.log_dir, **overrides)
    run_dir = config.run_dir()

    code = train(run_dir, config.run.nepoch, args)
    if code:
        print("Training did not finish; the same command continues it." if run_dir.exists() else "Training failed.")
        return code
    code = command("eval", run_dir, "--episodes", str(EPISODES), "--random")
    code = code or command("plot", run_dir, "--output", run_dir / "curves.png")
    if code:
        return code
    video = run_dir / "video.mp4"
    problem = gl_problem()
    if problem is None:
        if command("video", run_dir, "--output", video):
            return 1
        video_line = f"video        {video}"
    else:
        video_line = f"No video: {problem}"

    settings = ", ".join(f"{key} {value:,}" for key, value in (PRESETS[PRESET] | overrides).items())
    print(f"\nPreset {PRESET!r}: {settings}.")
    print("It has shorter epochs (policy and multiplier move five times as often per environment step) and larger step")
    print("sizes than the defaults, for a first look in minutes: not comparable with published curves.\n")
    print(verdict(json.loads((run_dir / "eval.json").read_text())))
    print(f"\nrun          {run_dir}")
    print(f"evaluation   {run_dir / 'eval.json'}")
    print(f"curves       {run_dir / 'curves.png'}")
    print(video_line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
