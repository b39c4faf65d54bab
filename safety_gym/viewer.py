"""An interactive window: shows frames with lines of text over them and reports the keys.

    viewer = Viewer("SafetyPointGoal1-v0")
    while not viewer.closed:
        viewer.show(env.render(), [f"cost {cost}"], fps=30)
        events = viewer.poll()

`play` is the whole loop (pause, single step, speed, cameras, reset). What a key does is decided by `advance`, a
function without a window. The window needs pygame (the 'render' extra) and a display; one window per process.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HELP = "Tab camera   Space pause   Right step   S/F speed   R reset   T screenshot   H text   Esc quit"
SPEEDS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0, 16.0)

_FONT_SIZE = 21
_MARGIN = 8


class DisplayUnavailable(RuntimeError):
    """No window can be opened; the message says what to do instead."""


@dataclass(frozen=True)
class Events:
    """What happened since the last poll: characters held now, names of keys pressed, whether to close."""

    held: frozenset[str] = frozenset()
    pressed: tuple[str, ...] = ()
    closed: bool = False


@dataclass(frozen=True)
class Playback:
    """Where an interactive session stands; `step` and `reset` ask for one step or reset now."""

    camera: int = 0
    paused: bool = False
    speed: float = 1.0
    step: bool = False
    reset: bool = False
    closed: bool = False


def advance(playback: Playback, events: Events, ncamera: int) -> Playback:
    """Apply keys to the session: Tab, Space, Right, S and F, R, Escape."""
    playback = replace(playback, step=False, reset=False, closed=playback.closed or events.closed)
    for key in events.pressed:
        if key == "tab" and ncamera:
            playback = replace(playback, camera=(playback.camera + 1) % ncamera)
        elif key == "space":
            playback = replace(playback, paused=not playback.paused)
        elif key == "right":
            playback = replace(playback, paused=True, step=True)
        elif key in ("s", "f"):
            place = SPEEDS.index(playback.speed) + (1 if key == "f" else -1)
            playback = replace(playback, speed=SPEEDS[min(max(place, 0), len(SPEEDS) - 1)])
        elif key == "r":
            playback = replace(playback, reset=True)
        elif key == "escape":
            playback = replace(playback, closed=True)
    return playback


@dataclass
class Keyboard:
    """Collects key events by name between two polls."""

    held: set[str] = field(default_factory=set)
    pressed: list[str] = field(default_factory=list)
    closed: bool = False

    def down(self, key: str) -> None:
        """Note a pressed key; single characters count as held until released."""
        self.pressed.append(key)
        if len(key) == 1:
            self.held.add(key)

    def up(self, key: str) -> None:
        """Note a released key."""
        self.held.discard(key)

    def release_all(self) -> None:
        """Forget what is held: the window lost the keyboard and will not hear of releases."""
        self.held.clear()

    def poll(self) -> Events:
        """Return what happened since the last call."""
        events = Events(frozenset(self.held), tuple(self.pressed), self.closed)
        self.pressed.clear()
        return events


class Viewer:
    """One window. T saves what it shows as a PNG in `screenshots`, H hides the text, Esc closes it.

    After the user has closed the window, `closed` is True and `show` does nothing, so that a program that only
    watches goes on without it.
    """

    def __init__(
        self, title: str = "safety_gym", size: tuple[int, int] = (720, 720), screenshots: str | Path = "."
    ) -> None:
        self._pygame = _import_pygame()
        self.title = title
        self.screenshots = Path(screenshots)
        self.keyboard = Keyboard()
        self._text_shown = True
        self._window: Any = None
        self._unseen: list[str] = []  # keys pressed since the last frame
        self._open(size)

    @property
    def closed(self) -> bool:
        """Whether the window was closed, by the user or by `close`."""
        return self._window is None or self.keyboard.closed

    def show(self, frame: NDArray[np.uint8], lines: Sequence[str] = (), fps: float | None = None) -> None:
        """Show a colour frame (h, w, 3), scaled to the window, with lines of text over it.

        `fps` makes the call wait, so that a loop around it runs at most that fast.
        """
        frame = np.ascontiguousarray(frame)
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"a frame must be (h, w, 3) uint8, got {frame.shape} {frame.dtype}")
        self._collect()
        if self.closed:
            self.close()
            return
        pygame, window = self._pygame, self._window
        picture = pygame.image.frombuffer(frame.tobytes(), (frame.shape[1], frame.shape[0]), "RGB")
        scale = min(window.get_width() / picture.get_width(), window.get_height() / picture.get_height())
        if scale != 1.0:
            size = (round(picture.get_width() * scale), round(picture.get_height() * scale))
            picture = pygame.transform.smoothscale(picture, size)
        window.fill((0, 0, 0))
        window.blit(picture, picture.get_rect(center=window.get_rect().center))
        if self._text_shown:
            self._draw_text(window, lines)
        pygame.display.flip()
        if "t" in self._unseen:
            self.screenshot()
        self._unseen.clear()
        if fps is not None:
            self._clock.tick(fps)

    def poll(self) -> Events:
        """Return the keys since the last poll."""
        self._collect()
        return self.keyboard.poll()

    def screenshot(self, path: str | Path | None = None) -> Path:
        """Save what the window shows as a PNG and return its path."""
        if self._window is None:
            raise RuntimeError("the window is closed")
        if path is None:
            stem = time.strftime("screenshot-%Y%m%d-%H%M%S")
            path = self.screenshots / f"{stem}.png"
            for k in range(1, 1000):
                if not path.exists():
                    break
                path = self.screenshots / f"{stem}-{k}.png"
        self._pygame.image.save(self._window, str(path))
        return Path(path)

    def close(self) -> None:
        """Close the window; a second call does nothing."""
        global _active
        self._window = None
        if _active is self:
            _active = None
            self._pygame.display.quit()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self, size: tuple[int, int]) -> None:
        global _active
        pygame = self._pygame
        if _active is not None:  # SDL has one window; the newest viewer gets it
            _active.close()
        try:
            pygame.display.init()
            pygame.font.init()
            self._window = pygame.display.set_mode(size, pygame.RESIZABLE)
        except pygame.error as error:
            raise DisplayUnavailable(f"the window could not be opened: {error}. {_NO_DISPLAY}") from error
        driver = pygame.display.get_driver()
        if driver in ("offscreen", "dummy") and not os.environ.get("SDL_VIDEODRIVER"):  # SDL's silent way out
            pygame.display.quit()
            self._window = None
            raise DisplayUnavailable(f"no display answers (DISPLAY={os.environ.get('DISPLAY')!r}). {_NO_DISPLAY}")
        _active = self
        pygame.display.set_caption(self.title)
        self._font = pygame.font.Font(None, _FONT_SIZE)
        self._clock = pygame.time.Clock()

    def _collect(self) -> None:
        if self._window is None:
            self.keyboard.closed = True
            return
        pygame = self._pygame
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                self.keyboard.closed = True
            elif event.type == pygame.KEYDOWN:
                self._key_down(pygame.key.name(event.key))
            elif event.type == pygame.KEYUP:
                self.keyboard.up(pygame.key.name(event.key))
            elif event.type == pygame.WINDOWFOCUSLOST:
                self.keyboard.release_all()

    def _key_down(self, key: str) -> None:
        self.keyboard.down(key)
        self._unseen.append(key)
        if key == "h":
            self._text_shown = not self._text_shown
        elif key == "escape":
            self.keyboard.closed = True

    def _draw_text(self, window: Any, lines: Sequence[str]) -> None:
        if not lines:
            return
        pygame = self._pygame
        rows = [self._font.render(line, True, (240, 240, 240)) for line in lines]
        height = self._font.get_linesize()
        width = max(row.get_width() for row in rows) + 2 * _MARGIN
        panel = pygame.Surface((width, height * len(rows) + 2 * _MARGIN), pygame.SRCALPHA)
        panel.fill((0, 0, 0, 150))
        for i, row in enumerate(rows):
            panel.blit(row, (_MARGIN, _MARGIN + i * height))
        window.blit(panel, (_MARGIN, _MARGIN))


def play(
    viewer: Viewer,
    *,
    frame: Callable[[str], NDArray[np.uint8]],
    step: Callable[[frozenset[str]], None],
    reset: Callable[[], None],
    lines: Callable[[], Sequence[str]] = tuple,
    cameras: Sequence[str] = ("track",),
    fps: float = 30.0,
    max_frames: int | None = None,
) -> None:
    """Run an interactive session until the window is closed, or for `max_frames` frames.

    `frame(camera)` draws, `step(held)` advances the environment by one step given the characters held down,
    `reset()` starts an episode, `lines()` gives the text. At speed 1 one frame is one step.
    """
    if not cameras:
        raise ValueError("play needs one or more camera names")
    playback, credit, nframe = Playback(), 0.0, 0
    while max_frames is None or nframe < max_frames:
        events = viewer.poll()
        playback = advance(playback, events, len(cameras))
        if playback.closed:
            return
        if playback.reset:
            reset()
        if playback.step:
            step(events.held)
        elif not playback.paused:
            credit += playback.speed
            for _ in range(int(credit)):
                step(events.held)
            credit -= int(credit)
        camera = cameras[playback.camera]
        status = f"{camera}   speed {playback.speed:g}" + ("   paused" if playback.paused else "")
        viewer.show(frame(camera), [*lines(), status, HELP], fps=fps)
        nframe += 1


_active: Viewer | None = None
_NO_DISPLAY = (
    'Without a display use render_mode="rgb_array" or a video; a virtual display also works: xvfb-run -a python ...'
)


def _import_pygame() -> Any:
    """Import pygame, quietly, set up for a window that shows finished pictures."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    # Keep SDL from making an OpenGL context of its own beside the one that draws the frames.
    os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
    if sys.platform.startswith("linux") and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    ):
        raise DisplayUnavailable(f"no display: neither DISPLAY nor WAYLAND_DISPLAY is set. {_NO_DISPLAY}")
    try:
        import pygame
    except ImportError as error:
        raise ImportError("the interactive window needs pygame: install the 'render' extra") from error
    return pygame
