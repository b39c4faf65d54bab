"""`safety-gym play`: drive a robot with the keyboard in a window."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from safety_gym.cli.common import Command, UserError, add_environment, count, find_id, parse_options, told

CAMERAS = ("track", "fixednear", "fixedfar", "vision", "vision_back")
FPS = 30


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment(parser)
    parser.add_argument("--seed", type=count(0), default=0, metavar="N", help="seed of the first layout (default 0)")
    parser.add_argument("--record", type=Path, metavar="FILE.mp4", help="also write a video: one frame per step shown")
    size = count(64, 4096)
    parser.add_argument("--size", type=size, default=720, metavar="PIXELS", help="of the picture (default 720)")
    parser.add_argument("--frames", type=count(1), metavar="N", help="stop after N frames")


def _run(args: argparse.Namespace) -> int:
    from safety_gym import LayoutError
    from safety_gym.rendering import GLUnavailable
    from safety_gym.viewer import DisplayUnavailable, Viewer, play

    options = parse_options(args.options)
    camera = options.pop("camera_name", None)
    drive = _drive(args, options)
    if camera not in (None, *CAMERAS):
        raise UserError(f"camera_name={camera!r}: expected one of {', '.join(CAMERAS)}")
    with contextlib.ExitStack() as stack:
        if args.record:
            drive.write = stack.enter_context(_video(args.record))
        stack.callback(drive.env.close)
        try:
            with told():
                drive.begin()
            viewer = stack.enter_context(Viewer(drive.id, (args.size, args.size)))
            _refuse_invisible()
            calls: dict[str, Any] = {"frame": drive.frame, "step": drive.step, "reset": drive.next_layout}
            cameras = sorted(CAMERAS, key=lambda name: name != camera)  # the one asked for comes first
            play(viewer, **calls, lines=drive.lines, cameras=cameras, fps=FPS, max_frames=args.frames)
        except (DisplayUnavailable, GLUnavailable, LayoutError, ImportError) as error:
            raise UserError(str(error)) from error
        print(drive.summary())
    if args.record:
        print(f"wrote {args.record}")
    return 0


def _drive(args: argparse.Namespace, options: dict[str, Any]) -> _Drive:
    """Make the environment, or say in one line what is wrong with the arguments."""
    from safety_gym import registry
    from safety_gym.multi_agent import is_multi_agent
    from safety_gym.robots import ROBOTS
    from safety_gym.views import SafetyEnv
    from safety_gym.wrappers import CostStep

    for name in ("render_mode", "width", "height", "keyboard"):
        if name in options:
            raise UserError(f"{name} cannot be set here; --size sets the size of the picture")
    if args.size % 2:
        raise UserError(f"--size {args.size}: expected an even number of pixels, as videos need")
    limit = options.pop("max_episode_steps", None)
    with told():
        env_id = find_id(args.id)
        if is_multi_agent(env_id):
            raise UserError(
                f"{env_id} has several agents, and the keyboard drives one: play SafetyPointGoal1-v0, say. A picture "
                f"of the team: safety_gym.parallel_env({env_id!r}, render_mode='rgb_array').render() after a reset"
            )
        robot = registry.resolve(env_id, options)[0].record
        if not robot.keys:
            drivable = [r.name for r in ROBOTS.values() if r.keys]
            raise UserError(f"{env_id}: there are no keys for {robot.name}; there are for {', '.join(drivable)}")
        picture = {"render_mode": "rgb_array", "width": args.size, "height": args.size}
        env = SafetyEnv(env_id, max_episode_steps=limit, keyboard=False, **picture, **options)
    return _Drive(CostStep(env), robot, env.env_id, args.seed)


@dataclasses.dataclass
class _Drive:
    """A keyboard session: the environment, the seed of the layout and what was earned since the reset."""

    env: Any
    robot: Any
    id: str
    seed: int
    write: Callable[[Any], None] | None = None
    steps: int = 0
    reward: float = 0.0
    cost: float = 0.0
    total: float = 0.0
    charged: float = 0.0
    ended: str = ""
    written: tuple[int, int] = (-1, -1)

    def begin(self) -> None:
        self.steps, self.reward, self.cost, self.total, self.charged, self.ended = 0, 0.0, 0.0, 0.0, 0.0, ""
        self.env.reset(seed=self.seed)

    def next_layout(self) -> None:
        print(self.summary(), flush=True)
        self.seed += 1
        self.begin()

    def step(self, held: frozenset[str]) -> None:
        from safety_gym.views import key_action

        if self.ended:
            self.next_layout()
        _, self.reward, self.cost, terminated, truncated, _ = self.env.step(key_action(self.robot, held))
        self.steps += 1
        self.total += self.reward
        self.charged += self.cost
        self.ended = "terminated" if terminated else "truncated" if truncated else ""

    def frame(self, camera: str) -> Any:
        picture = self.env.unwrapped.vec.frame(0, camera)
        if self.write is not None and self.written != (self.seed, self.steps):
            self.write(picture)
            self.written = (self.seed, self.steps)
        return picture

    def lines(self) -> list[str]:
        return [
            f"{self.id}   layout seed {self.seed}" + (f"   {self.ended}" if self.ended else ""),
            f"step {self.steps}   reward {self.reward:+.4f}   return {self.total:+.2f}",
            f"cost {self.cost:g}   sum of costs {self.charged:g}",
            "keys " + " ".join(key.upper() for key in (*self.robot.keys, *self.robot.exclusive_keys)),
        ]

    def summary(self) -> str:
        end = f", {self.ended}" if self.ended else ""
        return f"seed {self.seed}: {self.steps} steps, return {self.total:+.3f}, cost {self.charged:g}{end}"


def _refuse_invisible() -> None:
    """Raise UserError where SDL, unable to reach the display, has opened a window that nobody can see."""
    import pygame

    driver = pygame.display.get_driver()
    if driver in ("offscreen", "dummy") and not os.environ.get("SDL_VIDEODRIVER"):
        name = "DISPLAY" if os.environ.get("DISPLAY") else "WAYLAND_DISPLAY"
        raise UserError(f"the display {name}={os.environ.get(name)} cannot be reached; is it running, and yours?")


@contextlib.contextmanager
def _video(path: Path) -> Iterator[Callable[[Any], None]]:
    """Give a function that appends frames to an MP4 file; it is written beside and renamed when whole."""
    if path.suffix != ".mp4":
        raise UserError(f"--record {str(path)!r}: expected a name that ends in .mp4")
    if not path.parent.is_dir():
        raise UserError(f"--record {str(path)!r}: the folder {str(path.parent)!r} does not exist")
    try:
        import imageio.v2 as imageio
    except ImportError:
        raise UserError("--record needs imageio with ffmpeg: install the 'render' extra") from None
    part = path.with_name(f".{path.stem}.part.mp4")
    nframe = 0
    try:
        writer: Any = imageio.get_writer(part, fps=FPS, macro_block_size=2)
        with writer:

            def append(frame: Any) -> None:
                nonlocal nframe
                writer.append_data(frame)
                nframe += 1

            yield append
    except (OSError, ImportError) as error:
        raise UserError(f"--record {str(path)!r}: {error}") from error
    finally:
        if nframe and part.exists():
            os.replace(part, path)


COMMAND = Command(
    "play",
    "drive a robot with the keyboard",
    "I and K push forward and back, J and L turn left and right, R starts the layout of the next seed, Tab changes "
    "the camera, Space pauses, Esc quits; the window shows the other keys. An episode that ends is followed by the "
    "next seed. Needs a display and the 'render' extra.",
    _add_arguments,
    _run,
)
