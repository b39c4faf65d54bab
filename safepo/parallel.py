"""Data-parallel training: several processes share the environments and the minibatches of one run.

    torchrun --nproc-per-node 2 -m safepo train ppo_lag --num-envs 16

Every process steps its share of the environments. Observations are exchanged at every step, so that the normaliser's
statistics are those of all environments, and the data of an epoch once at its end; then each process differentiates its
share of every minibatch and the gradients are summed. The curve is that of one process up to the rounding of sums.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from safepo.errors import UserError


@dataclass(frozen=True)
class Group:
    """The processes of a run; a group of one does nothing."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks to the terminal."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Return this process's part of `n` rows; parts differ by at most one row."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def envs(self, num_envs: int) -> int:
        """Return the number of environments of this process; all have equally many."""
        if num_envs % self.size:
            raise UserError(f"num_envs {num_envs} must be a multiple of the number of processes, {self.size}")
        return num_envs // self.size

    def gather(self, rows: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """Join equally shaped arrays of all processes along `axis`, in the order of ranks."""
        if self.size == 1:
            return rows
        plain = rows.view(np.uint8) if rows.dtype == bool else rows  # gloo carries no booleans
        here = torch.from_numpy(np.ascontiguousarray(plain))
        all_rows = [torch.empty_like(here) for _ in range(self.size)]
        dist.all_gather(all_rows, here, group=_cpu_group())
        return np.concatenate([part.numpy().view(rows.dtype) for part in all_rows], axis=axis)

    def gather_objects(self, value: Any) -> list[Any]:
        """Return the values of all processes in the order of ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=_cpu_group())
        return values

    def sum_(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes."""
        if self.size > 1:
            dist.all_reduce(tensor)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return any(self.gather_objects(flag))


ALONE = Group()
"""One process."""
_cpu: list[Any] = []


def _cpu_group() -> Any:
    """Arrays travel by gloo, whatever carries the gradients."""
    return _cpu[0] if _cpu else None


def start(device: torch.device) -> Group:
    """Join the processes that `torchrun` started; without it this is a group of one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        if device.type == "cuda":
            _cpu.append(dist.new_group(backend="gloo"))
    return Group(dist.get_rank(), dist.get_world_size())


def stop() -> None:
    """Leave the group."""
    if dist.is_available() and dist.is_initialized():
        _cpu.clear()
        dist.destroy_process_group()
