"""A ring of past decisions, one for each environment, from which sequences are drawn.

Arrays lie in memory, or as files that are mapped into it: then the replay may be larger than memory, and a killed run
finds it again. A checkpoint remembers how much had been written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safepo.errors import UserError

Field = tuple[tuple[int, ...], Any]


class Replay:
    """Decisions of `num_envs` environments, `capacity` in all, each a record of `fields` (name -> shape, dtype)."""

    def __init__(self, fields: dict[str, Field], num_envs: int, capacity: int, folder: Path | None = None) -> None:
        self.num_envs, self.rows = num_envs, max(capacity // num_envs, 1)
        self.written = np.zeros(num_envs, np.int64)
        self._lost = np.zeros(num_envs, np.int64)
        self.arrays: dict[str, NDArray[Any]] = {}
        self.folder = folder
        self._header = self.written.copy()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._header = _map(folder / "written.bin", np.int64, (num_envs,))
        for name, (shape, dtype) in fields.items():
            full = (num_envs, self.rows, *shape)
            self.arrays[name] = np.zeros(full, dtype) if folder is None else _map(folder / f"{name}.bin", dtype, full)

    def add(self, ids: NDArray[np.intp], record: dict[str, NDArray[Any]]) -> None:
        """Append a record (len(ids), ...) of each field to the rings of environments `ids`."""
        place = self.written[ids] % self.rows
        self.written[ids] += 1
        self._header[ids] = np.maximum(self._header[ids], self.written[ids])
        for name, value in record.items():
            self.arrays[name][ids, place] = value

    def __len__(self) -> int:
        return int((self.written - self._oldest()).sum())

    def _oldest(self) -> NDArray[np.int64]:
        return np.maximum(np.maximum(self.written, self._lost) - self.rows, 0)

    def starts(self, length: int) -> NDArray[np.int64]:
        """Return for each environment how many sequences of `length` it holds, (num_envs,)."""
        return np.maximum(self.written - self._oldest() - length + 1, 0)

    def sample(self, batch: int, length: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        """Draw sequences uniformly, with replacement; arrays (length, batch, ...). There must be one.

        Sequences run over the ends of episodes, where `first` tells so; it is set at the beginning of each.
        """
        starts = self.starts(length)
        bounds = np.cumsum(starts)
        draw = rng.integers(bounds[-1], size=batch)
        env = np.searchsorted(bounds, draw, side="right")
        begin = self._oldest()[env] + draw - (bounds[env] - starts[env])
        place = (begin[None] + np.arange(length)[:, None]) % self.rows
        data = {name: array[env[None], place] for name, array in self.arrays.items()}
        data["first"][0] = True
        return data

    def state_dict(self) -> dict[str, Any]:
        """How much was written; and the records, unless they lie in files."""
        state: dict[str, Any] = {"written": self.written.copy(), "lost": self._lost.copy()}
        if self.folder is None:
            used = int(min(self.written.max(), self.rows))
            state["arrays"] = {name: array[:, :used].copy() for name, array in self.arrays.items()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        """Return to a checkpoint: what was written after it is forgotten, and what that had overwritten is gone.

        Returns False if something is. Files that hold less than was written are a `UserError`.
        """
        written = np.array(state["written"])
        if self.folder is not None and (self._header < written).any():
            raise UserError(
                f"{self.folder} lacks records of the checkpoint's {int(written.sum())}; move it along with the run's "
                "folder, or train anew"
            )
        self.written[:] = written
        self._lost = np.maximum(np.array(state["lost"]), np.minimum(self._header, written + self.rows))
        for name, array in state.get("arrays", {}).items():
            self.arrays[name][:, : array.shape[1]] = array
        return bool((self._oldest() == np.maximum(np.maximum(written, state["lost"]) - self.rows, 0)).all())


def _map(path: Path, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Map a file, which is created (sparse, all zero) if it is absent."""
    return np.memmap(path, dtype, "r+" if path.exists() else "w+", shape=shape)
