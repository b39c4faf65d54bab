"""Camera observations: what cameras see, as further terms of the observation of any task.

    gymnasium.make("SafetyPointGoal1Vision-v0")             # obs["vision"] (256, 256, 3) uint8, after the other keys
    gymnasium.make("SafetyPointGoal1-v0", vision="fast")    # (64, 64, 3)
    gymnasium.make("SafetyPointGoal1-v0", vision=Vision(84, 84, cameras=("vision", "vision_back"), depth=True))

A frame shows what the robot's camera would: no lidar rings, no cost marker, and nothing that was only put on the robot
for looks (it would stand in front of the camera). OpenGL starts with the first frame, at the first reset.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safety_gym.errors import unknown
from safety_gym.objects import check_types

MAX_SIZE = 2048
"""Pixels of an observation's side."""


@dataclass(frozen=True)
class Vision:
    """What is seen. `vision=` of `make` takes one of these, a mapping of its fields, the name of a preset, or True.

    Every camera adds the keys `<camera>` (height, width, 3) uint8; with `depth` also `<camera>_depth`
    (height, width, 1) float32, metres from the camera's plane; with `segmentation` also `<camera>_segmentation`
    (height, width, 1) uint8, the place of the kind of thing in `segmentation_labels`.
    """

    width: int = 256
    height: int = 256
    cameras: tuple[str, ...] = ("vision",)
    rgb: bool = True
    depth: bool = False
    segmentation: bool = False
    sky: bool = False
    """Draw the sky, which takes a fifth of the time of a frame; else it is black, as good as the reference's."""
    shadows: bool = False
    samples: int = 0
    """Samples per pixel that smooth edges; 4 take more than twice the time of 0."""

    def __post_init__(self) -> None:
        cameras = (self.cameras,) if isinstance(self.cameras, str) else tuple(self.cameras)
        object.__setattr__(self, "cameras", cameras)
        check_types("vision.", self)
        for name in ("width", "height"):
            if not 1 <= getattr(self, name) <= MAX_SIZE:
                raise ValueError(f"vision.{name}={getattr(self, name)!r}: expected 1 to {MAX_SIZE} pixels")
        if not cameras or len(set(cameras)) < len(cameras):
            raise ValueError(f"vision.cameras={cameras!r}: expected one or more different cameras")
        if not 0 <= self.samples <= 16:
            raise ValueError(f"vision.samples={self.samples!r}: expected a number from 0 to 16")
        if not (self.rgb or self.depth or self.segmentation):
            raise ValueError("vision: one of rgb, depth and segmentation must be on")


_SIZE = "vision_env_conf.vision_size"

PRESETS: Mapping[str, Vision] = {"default": Vision(), "fast": Vision(64, 64)}


def understand(value: Any) -> Vision | None:
    """Return what `vision=` of `make` means; None and False mean no cameras."""
    if value is None or value is False:
        return None
    if value is True:
        return PRESETS["default"]
    if isinstance(value, Vision):
        return value
    if isinstance(value, str):
        if value not in PRESETS:
            raise unknown("vision", value, PRESETS)
        return PRESETS[value]
    if not isinstance(value, Mapping):
        raise ValueError(f"vision={value!r}: expected True, {', '.join(map(repr, PRESETS))}, a mapping or a Vision")
    fields = [field.name for field in dataclasses.fields(Vision)]
    for name in value:
        if name not in fields:
            raise unknown("field of vision", str(name), fields)
    return Vision(**value)


def read_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with one `vision`, a `Vision` or None, in place of everything that says so.

    That is `vision` itself, and the reference suite's `observe_vision` and `vision_env_conf.vision_size` (rows,
    columns). Observations with frames are a dict: `observation_flatten` is switched off.
    """
    rest = {k: v for k, v in options.items() if k not in ("vision", "observe_vision", _SIZE)}
    vision = understand(options.get("vision", options.get("observe_vision")))
    if vision is not None and _SIZE in options:
        height, width = options[_SIZE]
        vision = dataclasses.replace(vision, width=width, height=height)
    if vision is not None:
        if options.get("observation_flatten"):
            raise ValueError("observation_flatten=True: an observation with camera frames is a dict")
        rest |= {"vision": vision, "observation_flatten": False}
    return rest
