"""Checkpoints: nested dicts of tensors and primitives, written atomically, loaded without executing code."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from safepo.errors import UserError

FORMAT = 2
_NAME = re.compile(r"epoch-(\d+)\.pt")


def save(path: Path, state: dict[str, Any]) -> None:
    """Write beside the target, then rename: a kill at any moment leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".partial")
    with open(beside, "wb") as file:
        torch.save({"format": FORMAT, **_to_plain(state)}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU. Only tensors and primitives are accepted (`weights_only`)."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"checkpoint {path} does not exist") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} is not a safepo checkpoint, or it is damaged; nothing was executed ({reason})"
        ) from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise UserError(f"{path} has checkpoint format {found!r}; this version reads format {FORMAT}")
    return _from_plain(state)


def path_of(run_dir: Path, epoch: int) -> Path:
    return run_dir / "checkpoints" / f"epoch-{epoch:06d}.pt"


def latest(run_dir: Path) -> Path:
    """The checkpoint of the highest epoch (by number, not by name)."""
    found = {int(m[1]): p for p in (run_dir / "checkpoints").glob("epoch-*.pt") if (m := _NAME.fullmatch(p.name))}
    if not found:
        raise UserError(f"{run_dir} holds no checkpoint")
    return found[max(found)]


def resolve(run: str | Path) -> Path:
    """A run directory or a checkpoint file -> the checkpoint file."""
    path = Path(run)
    if not path.exists():
        raise UserError(f"run {str(run)!r} does not exist (expected a run directory or a checkpoint file)")
    return latest(path) if path.is_dir() else path


def _to_plain(x: Any) -> Any:
    """Arrays become `{"__array__": tensor}`, numpy scalars Python numbers; anything else unknown is refused."""
    if isinstance(x, np.ndarray):
        return {"__array__": torch.from_numpy(np.ascontiguousarray(x)).clone().reshape(x.shape)}
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, dict):
        return {k: _to_plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x)([_to_plain(v) for v in x])
    if x is None or isinstance(x, (torch.Tensor, bool, int, float, str)):
        return x
    raise TypeError(f"cannot store a {type(x).__name__} in a checkpoint; use arrays, tensors and primitives")


def _from_plain(x: Any) -> Any:
    if isinstance(x, dict):
        return x["__array__"].numpy() if x.keys() == {"__array__"} else {k: _from_plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x)([_from_plain(v) for v in x])
    return x
