"""Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438) for reward and cost at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def gae(
    rewards: Floats, values: Floats, next_values: Floats, ends: NDArray[np.bool_], gamma: float, lam: Floats
) -> tuple[Floats, Floats]:
    """Return advantages and value targets `(t, n, c)`; `c` columns are independent signals (reward, cost).

    `next_values[t]` is the value of the state *after* step t: 0 where the episode terminated, the value of the
    final observation where it was truncated. `ends` `(t, n)` marks path ends (terminated or truncated); the last
    row always ends a path. `lam` `(c,)`.

        delta_t = r_t + gamma V(t+1) - V(t);   A_t = delta_t + gamma lam A_(t+1);   target_t = A_t + V(t)
    """
    delta = rewards + gamma * next_values - values
    keep = gamma * lam * ~ends[:, :, None]
    advantages = np.empty_like(delta)
    carry = np.zeros_like(delta[0])
    for t in range(len(delta) - 1, -1, -1):
        carry = delta[t] + keep[t] * carry
        advantages[t] = carry
    return advantages, advantages + values
