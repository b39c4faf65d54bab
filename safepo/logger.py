"""Writers of metrics: CSV and TensorBoard always, Weights & Biases on request, a table on the terminal.

The x axis is environment steps everywhere.
"""

from __future__ import annotations

import csv
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safepo.errors import UserError

Metrics = dict[str, float]
Pictures = dict[str, NDArray[np.uint8]]


class Writer:
    """Takes an epoch's metrics, now and then pictures, and leaves out what it has no place for."""

    def write(self, step: int, metrics: Metrics) -> None:
        raise NotImplementedError

    def show(self, step: int, pictures: Pictures) -> None:
        """Take pictures (h, w, 3) by name."""

    def close(self) -> None:
        """Close what is open."""


class CSVWriter(Writer):
    """`metrics.csv`: one row per epoch, first column `step`; new keys add columns, missing ones stay empty."""

    def __init__(self, path: Path, resume_step: int = 0) -> None:
        """Keep rows up to `resume_step` of an existing file: later ones will be written again."""
        self.path = path
        self.rows = [row for row in read_rows(path) if int(row["step"]) <= resume_step] if path.exists() else []
        self.columns: list[str] = list(self.rows[0]) if self.rows else []
        if path.exists():
            self._rewrite()

    def write(self, step: int, metrics: Metrics) -> None:
        row = {"step": str(step), **{k: repr(v) for k, v in metrics.items()}}
        self.rows.append(row)
        new = [k for k in row if k not in self.columns]
        self.columns += new
        if new:
            self._rewrite()
            return
        with open(self.path, "a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def _rewrite(self) -> None:
        beside = self.path.with_name(self.path.name + ".partial")
        with open(beside, "w", newline="") as file:
            writer = csv.DictWriter(file, self.columns or ["step"])
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(beside, self.path)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a metrics file; a last line cut off by a kill is dropped."""
    text = path.read_text()
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [row for row in csv.DictReader(lines) if row["step"].isdigit() and None not in row.values()]


class TensorBoardWriter(Writer):
    """Event files in `tb/`; on resume, points after the checkpoint are purged."""

    def __init__(self, folder: Path, resume_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=None if resume_step is None else resume_step + 1)

    def write(self, step: int, metrics: Metrics) -> None:
        for key, value in metrics.items():
            self.writer.add_scalar(key, value, step)
        self.writer.flush()

    def show(self, step: int, pictures: Pictures) -> None:
        for name, picture in pictures.items():
            self.writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


class PictureWriter(Writer):
    """The latest pictures as `<name>.png` in the run directory."""

    def __init__(self, run_dir: Path) -> None:
        self.folder = run_dir

    def show(self, step: int, pictures: Pictures) -> None:
        import imageio.v3 as iio

        for name, picture in pictures.items():
            iio.imwrite(self.folder / f"{name}.png", picture)

    def write(self, step: int, metrics: Metrics) -> None:
        pass


class WandbWriter(Writer):
    """Weights & Biases, online or offline as the environment variable WANDB_MODE says."""

    def __init__(self, run_dir: Path, config: dict[str, Any]) -> None:
        check_wandb()
        import wandb

        self.run = wandb.init(project="safepo", id=run_dir.name, dir=str(run_dir), config=config, resume="allow")

    def write(self, step: int, metrics: Metrics) -> None:
        self.run.log(metrics, step=step)

    def close(self) -> None:
        self.run.finish()


def check_wandb() -> None:
    """Refuse early when the package is missing."""
    try:
        import wandb  # noqa: F401
    except ModuleNotFoundError:
        raise UserError("--wandb needs the wandb package; install it with `pip install wandb`") from None


class ConsoleWriter(Writer):
    """A live table and progress bar on a terminal; one line per epoch elsewhere; nothing if not `shown`."""

    def __init__(
        self, title: str, total_steps: int, done_steps: int, cost_limit: float | str, shown: bool = True
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        self.title, self.total, self.limit = title, total_steps, cost_limit
        self.start_time, self.start_step, self.rate = time.monotonic(), done_steps, 0.0
        self.console = Console(quiet=not shown)
        self.step, self.metrics = done_steps, dict[str, float]()
        self.live: Live | None = None
        if not shown:
            return
        if self.console.is_terminal:
            self.live = Live(console=self.console, refresh_per_second=2, get_renderable=self._table, transient=False)
            self.live.start()
        else:
            print(title, flush=True)

    def progress(self, step: int) -> None:
        """Environment steps so far, between two writes."""
        self.step = step
        self.rate = (step - self.start_step) / max(time.monotonic() - self.start_time, 1e-9)

    def write(self, step: int, metrics: Metrics) -> None:
        self.progress(step)
        self.metrics = metrics
        if self.live is None:
            print(self._line(), flush=True)

    def note(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        if self.live is not None:
            self.live.stop()

    def _left(self) -> str:
        if not self.rate:
            return "?"
        seconds = int((self.total - self.step) / self.rate)
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"

    def _line(self) -> str:
        m = self.metrics
        parts = [f"{self.step:>11,} steps {100 * self.step / self.total:5.1f} %"]
        parts += [f"{key} {m.get(key, math.nan):.2f}" for key in ("ep/return", "ep/cost")]
        parts += [f"{key} {m[f'train/{key}']:.3g}" for key in ("kl", "passes", "multiplier") if f"train/{key}" in m]
        parts += [f"{self.rate:,.0f} steps/s", f"left {self._left()}"]
        return "  ".join(parts)

    def _table(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table(title=self.title, title_justify="left", box=None, pad_edge=False)
        for _ in range(2):
            table.add_column(style="cyan")
            table.add_column(justify="right", min_width=10)
        items = [(k, _format(v)) for k, v in self.metrics.items()]
        if "ep/cost" in self.metrics:
            items.append(("cost limit", show_limit(self.limit)))
        half = (len(items) + 1) // 2
        for i in range(half):
            right = items[half + i] if half + i < len(items) else ("", "")
            table.add_row(*items[i], *right)
        share = f"{self.step:,} / {self.total:,} steps   {self.rate:,.0f} steps/s   left {self._left()}"
        return Group(table, Text(share), ProgressBar(total=self.total, completed=self.step, width=60))


def _format(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def show_limit(limit: float | str) -> str:
    """A cost limit, or several by name, as text."""
    return limit if isinstance(limit, str) else f"{limit:g}"
