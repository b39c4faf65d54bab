"""Record one episode of a trained policy as mp4, with return and cost written over the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from safepo import checkpoint
from safepo.envs import check_id, is_ours
from safepo.errors import UserError
from safepo.observations import History
from safepo.policy import Policy

SIZE = 400
"""Pixels of a side of the picture."""


def record(
    run: str | Path,
    output: str | Path | None = None,
    seed: int = 0,
    deterministic: bool = True,
    camera: str = "fixedfar",
) -> Path:
    """Run one episode and write it (default `RUN/video.mp4`); returns the path. `camera` is for safety_gym ids."""
    policy = Policy.load(checkpoint.resolve(run))
    if output is None:
        output = (Path(run) if Path(run).is_dir() else Path(run).parent) / "video.mp4"
    output = Path(output)
    policy.seed(seed)
    frames, fps = run_episode(policy, seed, deterministic, camera)
    try:
        import imageio.v2 as imageio
    except ModuleNotFoundError:
        raise UserError(
            'video needs imageio with ffmpeg; install the "render" extra: pip install "safe-rl-suite[render]"'
        ) from None
    try:
        imageio.mimwrite(output, frames, fps=fps, macro_block_size=2)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write video {str(output)!r}: {error}") from None
    return output


def run_episode(policy: Policy, seed: int, deterministic: bool, camera: str) -> tuple[list[np.ndarray], float]:
    """Frames (h, w, 3) uint8 of one episode, and their rate."""
    env = make_rendered(policy.env_id, camera)
    frames, total, cost = [], 0.0, 0.0
    try:
        obs, _ = env.reset(seed=seed)
        history = History(policy.obs, 1)
        row = history.start(policy.obs.frame(obs))
        frames.append(_frame(env, total, cost))
        ended = False
        while not ended:
            action = policy.predict(row[0], deterministic)
            given = action.astype(env.action_space.dtype).reshape(env.action_space.shape)
            obs, reward, terminated, truncated, info = env.step(given)
            row = history.push(policy.obs.frame(obs))
            total, cost = total + float(reward), cost + float(info.get("cost", 0.0))
            frames.append(_frame(env, total, cost))
            ended = terminated or truncated
        return frames, float(env.metadata.get("render_fps", 30))
    finally:
        env.close()


def make_rendered(env_id: str, camera: str) -> Any:
    """A single environment that renders arrays."""
    import gymnasium

    check_id(env_id)
    options: dict[str, Any] = {"camera_name": camera, "width": SIZE, "height": SIZE} if is_ours(env_id) else {}
    try:
        return gymnasium.make(env_id, render_mode="rgb_array", **options)
    except (ValueError, TypeError) as error:
        raise UserError(f"{env_id} cannot be drawn like this: {error}") from None


def _frame(env: Any, total: float, cost: float) -> np.ndarray:
    try:
        frame = env.render()
    except (RuntimeError, ImportError) as error:
        raise UserError(f"this environment cannot be drawn here: {error}") from None
    return overlay(np.asarray(frame), f"return {total:.2f}  cost {cost:g}")


def overlay(frame: np.ndarray, text: str) -> np.ndarray:
    """Write one line into the top left corner of a frame (h, w, 3); returns a new array."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(frame)
    draw = ImageDraw.Draw(image)
    draw.rectangle(draw.textbbox((4, 3), text), fill=(0, 0, 0))
    draw.text((4, 3), text, fill=(255, 255, 255))
    return np.array(image)
