"""Lagrange multipliers, one per constraint: how strongly costs weigh against reward, adapted once per epoch."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safepo.errors import UserError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MultiplierSettings:
    """Settings of the naive multiplier."""

    multiplier_init: float = 0.001
    """Lagrange multiplier at the start."""
    multiplier_lr: float = 0.035
    """Adam step size of the multiplier (about the change per epoch)."""
    multiplier_max: float = math.inf
    """Upper bound of the multiplier."""

    def check(self) -> None:
        """Refuse values that cannot work, also those of the settings that this is put before."""
        super().check()  # type: ignore[misc]
        for name in ("multiplier_init", "multiplier_lr", "multiplier_max"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} must not be negative, got {getattr(self, name)!r}")


class AdamMultiplier:
    """Naive multiplier: Adam on the loss `-m (Jc - limit)`, clamped to [0, upper] after each step.

    Adam makes a step about `lr` whatever the size of the violation (Ray, Achiam, Amodei 2019 use it so, too).
    """

    def __init__(self, settings: MultiplierSettings, ncost: int = 1) -> None:
        self.lr, self.upper = settings.multiplier_lr, settings.multiplier_max
        self.values: Floats = np.full(ncost, min(max(settings.multiplier_init, 0.0), self.upper))
        self.mean, self.square = np.zeros(ncost), np.zeros(ncost)
        self.nstep = 0

    def update(self, episode_cost: Floats, limit: Floats) -> None:
        """Step with the mean undiscounted episode costs `Jc (k,)`; NaN (no episode has finished yet) changes
        nothing."""
        if np.isnan(episode_cost).any():
            return
        grad = -(episode_cost - limit)
        self.nstep += 1
        self.mean = 0.9 * self.mean + 0.1 * grad
        self.square = 0.999 * self.square + 0.001 * grad * grad
        mean_hat = self.mean / (1 - 0.9**self.nstep)
        square_hat = self.square / (1 - 0.999**self.nstep)
        self.values = np.clip(self.values - self.lr * mean_hat / (np.sqrt(square_hat) + 1e-8), 0.0, self.upper)

    def state_dict(self) -> dict[str, Any]:
        return {"values": self.values, "mean": self.mean, "square": self.square, "nstep": self.nstep}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values, self.mean, self.square = (np.array(state[k]) for k in ("values", "mean", "square"))
        self.nstep = int(state["nstep"])


@dataclass(frozen=True)
class PIDSettings:
    """Settings of the PID multiplier (Stooke, Achiam, Abbeel 2020, arXiv:2007.03964, algorithm 2)."""

    pid_kp: float = 0.1
    """Gain of the proportional part."""
    pid_ki: float = 0.01
    """Gain of the integral part."""
    pid_kd: float = 0.01
    """Gain of the derivative part."""
    pid_init: float = 0.001
    """Integral at the start."""
    pid_delay: int = 10
    """Epochs between the smoothed costs whose difference is the derivative."""
    pid_smoothing: float = 0.95
    """Weight of the past in the smoothed excess and the smoothed cost."""
    pid_max: float = math.inf
    """Upper bound of the integral and of the multiplier (anti-windup); SafePO has none with its defaults."""

    def check(self) -> None:
        """Refuse values that cannot work, also those of the settings that this is put before."""
        super().check()  # type: ignore[misc]
        for name in ("pid_kp", "pid_ki", "pid_kd", "pid_init", "pid_max"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} must not be negative, got {getattr(self, name)!r}")
        if not 0 <= self.pid_smoothing < 1:
            raise UserError(f"pid_smoothing must lie in [0, 1), got {self.pid_smoothing!r}")
        if self.pid_delay < 1:
            raise UserError(f"pid_delay must be at least 1, got {self.pid_delay!r}")


class PIDMultiplier:
    """Multiplier as the output of a PID controller on the excess `e = Jc - limit`, once per epoch:

        I <- clip(I + Ki e, 0, max),  P <- s P + (1 - s) e,  C <- s C + (1 - s) Jc,  D = max(0, C - C delayed)
        m = clip(Kp P + I + Kd D, 0, max)

    The delay line starts with a single 0, so the first epochs compare with 0.
    """

    def __init__(self, settings: PIDSettings, ncost: int = 1) -> None:
        self.settings = settings
        self.integral: Floats = np.full(ncost, settings.pid_init)
        self.proportional, self.smoothed = np.zeros(ncost), np.zeros(ncost)
        self.delayed: deque[Floats] = deque([np.zeros(ncost)], maxlen=settings.pid_delay)
        self.values: Floats = self.integral.copy()

    def update(self, episode_cost: Floats, limit: Floats) -> None:
        """Step with the mean undiscounted episode costs `Jc (k,)`; NaN (no episode has finished yet) changes
        nothing."""
        if np.isnan(episode_cost).any():
            return
        cfg, error = self.settings, episode_cost - limit
        keep = cfg.pid_smoothing
        self.integral = np.clip(self.integral + cfg.pid_ki * error, 0.0, cfg.pid_max)
        self.proportional = keep * self.proportional + (1 - keep) * error
        self.smoothed = keep * self.smoothed + (1 - keep) * episode_cost
        derivative = np.maximum(0.0, self.smoothed - self.delayed[0])
        output = cfg.pid_kp * self.proportional + self.integral + cfg.pid_kd * derivative
        self.values = np.clip(output, 0.0, cfg.pid_max)
        self.delayed.append(self.smoothed.copy())

    def state_dict(self) -> dict[str, Any]:
        names = ("integral", "proportional", "smoothed", "values")
        return {**{name: getattr(self, name) for name in names}, "delayed": list(self.delayed)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.integral, self.proportional = np.array(state["integral"]), np.array(state["proportional"])
        self.smoothed, self.values = np.array(state["smoothed"]), np.array(state["values"])
        self.delayed = deque((np.array(x) for x in state["delayed"]), maxlen=self.settings.pid_delay)
