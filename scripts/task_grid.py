"""Draw one picture of every task and level: docs/images/tasks.png, the picture in README.md.

    python scripts/task_grid.py
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import gymnasium
import numpy as np

import safety_gym
from safety_gym.rendering import grid

ROOT = Path(__file__).resolve().parent.parent
ROBOTS = ("Point", "Car")
CAMERAS = {"Run": "track"}  # the robot starts outside the picture of the fixed camera


def shown_ids() -> dict[str, list[str]]:
    """Ids by task: the numbered levels of every task, all robots side by side, neither Vision nor Debug."""
    rows: dict[str, list[str]] = {}
    for env_id in safety_gym.ids():
        match = re.fullmatch(rf"Safety({'|'.join(ROBOTS)})([A-Z][A-Za-z]*?)(\d)-v0", env_id)
        if match:
            rows.setdefault(match[2], []).append(env_id)
    return {task: sorted(ids, key=lambda i: ROBOTS.index(_robot(i))) for task, ids in rows.items()}


def _robot(env_id: str) -> str:
    return next(robot for robot in ROBOTS if env_id.startswith(f"Safety{robot}"))


def frame(env_id: str, width: int, height: int, camera: str) -> np.ndarray:
    """The first frame of an episode with seed 0."""
    env = gymnasium.make(env_id, render_mode="rgb_array", width=width, height=height, camera_name=camera)
    env.reset(seed=0)
    picture = env.render()
    env.close()
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw every task and level into one picture.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "tasks.png")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=320)
    parser.add_argument("--camera", default="fixedfar")
    args = parser.parse_args()
    from PIL import Image

    rows = shown_ids()
    columns = max(len(ids) for ids in rows.values())
    frames, labels = [], []
    for task in sorted(rows, key=lambda task: -len(rows[task])):  # one row per task; an incomplete row comes last
        for env_id in rows[task]:
            frames.append(frame(env_id, args.width, args.height, CAMERAS.get(task, args.camera)))
            labels.append(env_id)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid(frames, columns, labels)).save(args.output, optimize=True)
    print(f"{len(frames)} environments: {args.output}")


if __name__ == "__main__":
    main()
