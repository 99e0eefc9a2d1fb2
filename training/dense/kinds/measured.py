"""Maps of one positive value, disparity and depth: what they have in common. 0 where the value is unknown.

B batch · H W the network's picture · s stride of the map
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codriver.tasks import Task
from training.dense.geometry import Size, coarse

STRIDE = 4

Map = NDArray[np.float32]


def channels(task: Task) -> int:
    return 1


def mirrored(truth: Map, width: int) -> Map:
    return np.ascontiguousarray(truth[:, ::-1])


def stacked(truths: list[Map]) -> Tensor:
    return torch.from_numpy(np.stack(truths))


def loss(task: Task, answered: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference where the truth is known. answered: (B, 1, H/s, W/s). truth: (B, H, W)."""
    middle = truth[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    known = middle > 0
    off = (answered[:, 0].float() - middle).abs()
    return torch.where(known, off, 0).sum() / known.sum().clamp(min=1)


def constant_loss(task: Task, truths: list[Map]) -> float:
    """Mean absolute deviation from the median, which is the best constant answer."""
    known = np.concatenate([truth[truth > 0] for truth in truths])
    return max(float(np.abs(known - np.median(known)).mean()), 1e-3) if len(known) else 1.0


def start(task: Task, truths: list[Map]) -> list[float]:
    """(1,) the best constant answer."""
    known = np.concatenate([truth[truth > 0] for truth in truths])
    return [float(np.median(known)) if len(known) else 0.0]


def constant(task: Task, truths: Iterable[Map]) -> Callable[[Size], Map]:
    """The median of each place of a coarse grid, over pictures that know it."""
    cells = np.stack([coarse(truth) for truth in truths])
    known = np.where(cells > 0, cells, np.nan)
    with np.errstate(all="ignore"):
        whole = np.nanmedian(known)
        medians = np.where(np.isnan(known).all(axis=0), whole, np.nanmedian(np.nan_to_num(known, nan=whole), axis=0))
    return lambda size: cv2.resize(medians.astype(np.float32), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def counted(task: Task, truth: Map) -> dict[str, int]:
    """Pixels of a picture, for a check."""
    known = int((truth > 0).sum())
    return {"known": known, "unknown": truth.size - known}
