"""Maps of disparity in pixels: label geometry, loss, answer, metrics. 0 where it is unknown.

B batch · H W the network's picture · h w the camera's · s stride of the map
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codriver.tasks import Task
from training.dense.geometry import Letterbox, Size, coarse

STRIDE = 4
FARTHEST_PX = 80.0  # disparities from here on are not judged, as MTMamba's and TaskPrompter's code has it
CLOSE_PX, CLOSE_SHARE = 3.0, 0.05  # an answer is close within the larger of these (KITTI's D1, turned round)

Map = NDArray[np.float32]


def fitted(task: Task, truth: Map, box: Letterbox) -> Map:
    """(h, w) -> (H, W). A picture half as wide has half the disparities."""
    return box.values(truth) * np.float32(box.scale_x)


def mirrored(truth: Map, width: int) -> Map:
    return np.ascontiguousarray(truth[:, ::-1])


def counted(task: Task, truth: Map) -> dict[str, int]:
    """Pixels with and without a truth."""
    known = int((truth > 0).sum())
    return {"known": known, "unknown": truth.size - known}


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


def answer(answered: NDArray[np.float32], box: Letterbox) -> Map:
    """(1, H/s, W/s) -> (h, w) in the camera's pixels."""
    return box.values_back(np.maximum(answered[0], 0)) / np.float32(box.scale_x)


def constant(task: Task, truths: Iterable[Map]) -> Callable[[Size], Map]:
    """The median of each place of a coarse grid, over pictures that know it."""
    cells = np.stack([coarse(truth) for truth in truths])
    known = np.where(cells > 0, cells, np.nan)
    with np.errstate(all="ignore"):
        whole = np.nanmedian(known)
        medians = np.where(np.isnan(known).all(axis=0), whole, np.nanmedian(np.nan_to_num(known, nan=whole), axis=0))
    return lambda size: cv2.resize(medians.astype(np.float32), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


@dataclass
class Metric:
    """Sums over all pixels of all pictures with a truth above 0 and below FARTHEST_PX."""

    task: Task
    squares: float = 0.0
    sums: float = 0.0
    pixels: int = 0
    close: list[float] = field(default_factory=list)  # share of each picture

    def add(self, answered: Map, truth: Map) -> None:
        judged = (truth > 0) & (truth < FARTHEST_PX)
        off = np.abs(np.maximum(answered[judged], 0).astype(np.float64) - truth[judged])
        self.squares += float((off**2).sum())
        self.sums += float(off.sum())
        self.pixels += len(off)
        self.close.append(float((off <= np.maximum(CLOSE_PX, CLOSE_SHARE * truth[judged])).mean()) if len(off) else 1.0)

    def scores(self) -> dict[str, float]:
        """rmse_px and mean_abs_px: pooled over pixels. close: mean over pictures of the share that is close."""
        n = max(self.pixels, 1)
        return {
            "rmse_px": float(np.sqrt(self.squares / n)),
            "mean_abs_px": self.sums / n,
            "close": float(np.mean(self.close)),
        }

    def examples(self) -> NDArray[np.float64]:
        return np.array(self.close)


def main_score(task: Task) -> str:
    return "close"
