"""Which part of an environment's observations is seen, and its settings. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from safepo.errors import UserError


@dataclass(frozen=True)
class View:
    """What is seen of an environment's observations."""

    frames: int = 1
    """Past observations in each row, the current one included"""
    keys: tuple[str, ...] = ("*",)
    """Entries of a Dict: names or shell patterns; those after a `!` are left out"""
    image_size: int = 0
    """Side in pixels of the camera images that are asked for; 0: the environment's own"""


@dataclass(frozen=True)
class ViewSettings:
    """What of an environment's observations the networks see."""

    observe: str = ",".join(View.keys)
    """Entries of a Dict observation that the networks see: names or shell patterns, such as vision,*meter,gyro; with !
    those that they do not see, such as !*_lidar for all but the lidars."""
    image_size: int = View.image_size
    """Side in pixels of the camera images of safety_gym's environments; 0: the environment's own."""

    @property
    def view(self) -> View:
        """What an environment is asked for."""
        frames = getattr(self, "frames", View.frames)
        return View(frames, tuple(key.strip() for key in self.observe.split(",")), self.image_size)

    def check_view(self) -> None:
        """Refuse values that cannot work."""
        if not all(self.view.keys):
            raise UserError(f"observe must be names or patterns separated by commas, got {self.observe!r}")
        if self.image_size < 0:
            raise UserError(f"image_size must not be negative, got {self.image_size!r}")
