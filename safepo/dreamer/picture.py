"""Pictures of what the world model predicts without seeing it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safepo.dreamer.nets import symlog
from safepo.dreamer.world_model import Sequences, WorldModel

SCALE = 6
"""Pixels a number, in pictures of vectors."""
COLUMNS = 16
"""Frames shown, in pictures of images."""
GAP = 2
FLAT = 0.3
"""Spread of a symlog below which an entry of a vector counts as constant, so that noise is not shown as signal."""


@torch.no_grad()
def open_loop_picture(model: WorldModel, data: Sequences, context: int) -> NDArray[np.uint8]:
    """What was seen, what the model predicts, and the difference, (h, w, 3); time runs to the right.

    Left of a red line the model saw the observations, right of it the actions alone. Images are three rows; vectors are
    three blocks side by side, in which each is a column of grey values of its symlog.
    """
    generator = torch.Generator(data.action.device).manual_seed(0)
    feature, _, _ = model.open_loop(data, context, generator)
    vector, image = model.decode(feature)
    rows = []
    if image is not None:
        rows.append(_image_rows(data.image[:, 0].float() / 255, image[:, 0].clamp(0, 1), context))
    if vector is not None:
        rows.append(_vector_blocks(symlog(data.vector[:, 0]), vector[:, 0], context))
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 8), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(padded)


def _image_rows(truth: Tensor, model: Tensor, context: int) -> NDArray[np.uint8]:
    """Frames (T, c, s, s) of the first camera, evenly chosen over the prediction, beside the last of the context."""
    chosen = np.unique(np.linspace(context - 1, len(truth) - 1, COLUMNS).astype(int))
    rows = []
    for x in (truth, model, (truth - model).abs()):
        frames = [np.pad(f[:3].movedim(0, -1).cpu().numpy(), ((0, GAP), (0, GAP), (0, 0))) for f in x[chosen]]
        rows.append(np.concatenate(frames, 1))
    picture = (np.concatenate(rows) * 255).astype(np.uint8)
    edge = rows[0].shape[0]
    picture[:, edge - GAP : edge] = (255, 0, 0)
    return picture


def _vector_blocks(truth: Tensor, model: Tensor, context: int) -> NDArray[np.uint8]:
    """Vectors (T, v) as columns of grey values, each entry between its extremes in the truth."""
    low, high = truth.min(0).values, truth.max(0).values
    span = (high - low).clamp(min=FLAT)
    blocks = []
    for x in ((truth - low) / span, (model - low) / span, (truth - model).abs() / span):
        grey = (x.clamp(0, 1).T.cpu().numpy() * 255).astype(np.uint8)
        big = np.repeat(np.repeat(grey, SCALE, 0), SCALE, 1)[..., None].repeat(3, 2)
        big[:, context * SCALE - 1] = (255, 0, 0)
        blocks.append(np.pad(big, ((0, 0), (0, 2 * SCALE), (0, 0)), constant_values=255))
    return np.concatenate(blocks, 1)
