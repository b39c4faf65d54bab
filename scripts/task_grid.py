"""Draw every robot in every task: docs/images/tasks.png, the picture in README.md.

python scripts/task_grid.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gymnasium
import numpy as np

from safety_gym.rendering import grid
from safety_gym.robots import ROBOTS
from safety_gym.tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent
CAMERAS = {"Run": "track"}  # the robot starts outside the picture of the fixed camera


def shown_ids() -> list[list[str]]:
    """Ids by robot, one of each task; the levels take turns, so that all of them are shown."""
    rows = []
    for i, robot in enumerate(ROBOTS):
        row = []
        for j, (name, task) in enumerate(_tasks()):
            levels = [level for level in task.levels if level.isdigit()]
            row.append(f"Safety{robot}{name}{levels[(i + j) % len(levels)]}-v0")
        rows.append(row)
    return rows


def _tasks() -> list[tuple[str, type]]:
    """Tasks with a layout, in the order of the table."""
    return [(name, task) for name, task in TASKS.items() if "Base" in task.levels]


def frame(env_id: str, width: int, height: int, camera: str) -> np.ndarray:
    """The first frame of an episode with seed 0."""
    env = gymnasium.make(env_id, render_mode="rgb_array", width=width, height=height, camera_name=camera)
    env.reset(seed=0)
    picture = env.render()
    env.close()
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw every robot in every task into one picture.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "tasks.png")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=320)
    parser.add_argument("--camera", default="fixedfar")
    args = parser.parse_args()
    from PIL import Image

    rows = shown_ids()
    frames, labels = [], []
    for row in rows:
        for env_id, (task, _) in zip(row, _tasks(), strict=True):
            frames.append(frame(env_id, args.width, args.height, CAMERAS.get(task, args.camera)))
            labels.append(env_id)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid(frames, len(rows[0]), labels)).save(args.output, optimize=True)
    print(f"{len(frames)} environments: {args.output}")


if __name__ == "__main__":
    main()
