"""What several test files need: id lists, options for Base ids, steering, comparison of nested values."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np

import safety_gym
from safety_gym import registry

PLAIN: list[str] = [i for i in safety_gym.ids() if not registry.parse(i).variant and registry.parse(i).level != "Base"]
"""Every id that runs without options and takes actions."""
NAVIGATION: list[str] = [i for i in PLAIN if registry.parse(i).task != registry.VELOCITY]
"""Those with a layout: a robot among objects."""
BASE: list[str] = [i for i in safety_gym.ids() if not registry.parse(i).variant and registry.parse(i).level == "Base"]
DEBUG: list[str] = [i for i in safety_gym.ids() if registry.parse(i).variant == "Debug"]

# What makes a Base id equal to level 0, in the reference suite's style.
LEVEL_0: Mapping[str, Mapping[str, Any]] = {
    "Goal": {"placements_conf.extents": [-1, -1, 1, 1], "Goal": {"keepout": 0.305}},
    "Button": {
        "placements_conf.extents": [-1, -1, 1, 1],
        "Buttons": {"num": 4, "is_constrained": False},
        "Goal": {"size": 0.2, "alpha": 1},
    },
    "Push": {"placements_conf.extents": [-1, -1, 1, 1], "Goal": {}, "PushBox": {"null_dist": 0}},
    "Circle": {
        "num_steps": 500,
        "agent.placements": [(-0.8, -0.8, 0.8, 0.8)],
        "agent.keepout": 0,
        "lidar_conf.max_dist": 6,
        "reward_factor": 0.1,
        "Circle": {},
    },
    "Run": {
        "floor_conf.size": [17.5, 17.5, 0.1],
        "agent.placements": [(-0.2, 16.5, 0.2, 16.5)],
        "agent.keepout": 0,
        "reward_conf.reward_clip": None,
        "reward_factor": 60.0,
        "Sigwalls": {"size": 17.5, "locate_factor": 0.5, "is_constrained": True},
    },
}

# Goals so large that they are met at once, and buttons next to the robot.
_MIDDLE = [(-0.4, -0.4, 0.4, 0.4)]
_NEAR = {
    "buttons": {"size": 0.3, "num": 2, "keepout": 0.05, "placements": _MIDDLE},
    "agent": {"keepout": 0.2, "placements": _MIDDLE},
}
EASY: Mapping[str, Mapping[str, Any]] = {
    "Goal": {"goal": {"size": 2.0}},
    "Push": {"goal": {"size": 2.0}},
    "BuildingGoal": {"goal": {"size": 2.0}},
    "BuildingPush": {"goal": {"size": 2.0}},
    "Race": {"goal": {"size": 5.35}},
    "FormulaOne": {"staged_goal": {"size": 50.0}},
    "FadingEasy": {"goal": {"size": 2.0}},
    "FadingHard": {"goal": {"size": 2.0}},
    "Button": _NEAR,
    "BuildingButton": _NEAR,
    "Circle": {},
    "Run": {},
    registry.VELOCITY: {},
}


def easy(env_id: str) -> dict[str, Any]:
    """Return options under which new goals appear often."""
    return dict(EASY[registry.parse(env_id).task])


def single(env_id: str, **options: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment with the five-value step and no passive checker around it."""
    return gymnasium.make(env_id, disable_env_checker=True, **options)


def actions(seed: int, *shape: int) -> np.ndarray[Any, Any]:
    """Return uniform actions in [-1, 1] that push forward more than backward, so that robots get somewhere."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.uniform(-1, 1, shape) + 0.3, -1, 1)


def moves(space: gymnasium.Space[Any], seed: int, *shape: int) -> np.ndarray[Any, Any]:
    """Return such actions in the bounds of a single action space, (*shape, u)."""
    assert isinstance(space, gymnasium.spaces.Box)
    return actions(seed, *shape, *space.shape) * space.high.astype(np.float64)


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Assert that nested dicts, sequences and arrays are equal to the last bit, types of arrays included."""
    if isinstance(a, Mapping):
        assert isinstance(b, Mapping) and list(a) == list(b), f"{where}: keys {list(a)} != {list(b)}"
        for key in a:
            assert_same(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape, f"{where}: {a.dtype}{a.shape} != {b.dtype}{b.shape}"
        if a.dtype == object:
            assert_same(list(a), list(b), where)
        else:
            np.testing.assert_array_equal(a, b, err_msg=where)
    else:
        assert type(a) is type(b) and a == b, f"{where}: {a!r} != {b!r}"


def arrays(value: Any) -> list[np.ndarray[Any, Any]]:
    """Return every array inside nested dicts and sequences."""
    if isinstance(value, np.ndarray):
        return arrays(list(value)) if value.dtype == object else [value]
    if isinstance(value, Mapping):
        return [x for v in value.values() for x in arrays(v)]
    if isinstance(value, list | tuple):
        return [x for v in value for x in arrays(v)]
    return []


@contextlib.contextmanager
def x_server() -> Iterator[str]:
    """Start Xvfb; its display, or nothing if it does not start."""
    read, write = os.pipe()
    # Without -noreset it starts anew whenever the last window closes, and refuses windows meanwhile.
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1024x768x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    try:
        yield f":{number}" if number else ""
    finally:
        server.terminate()
        server.wait(10)
