"""Maps of disparity in pixels: label geometry, answer, metrics. 0 where it is unknown.

H W the network's picture · h w the camera's · s stride of the map
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from codriver.tasks import Task
from training.dense.geometry import LabelLetterbox
from training.dense.kinds.measured import Map
from training.dense.kinds.measured import channels as channels
from training.dense.kinds.measured import constant as constant
from training.dense.kinds.measured import constant_loss as constant_loss
from training.dense.kinds.measured import counted as counted
from training.dense.kinds.measured import loss as loss
from training.dense.kinds.measured import mirrored as mirrored
from training.dense.kinds.measured import stacked as stacked
from training.dense.kinds.measured import start as start
from training.dense.kinds.segmentation import mean_of_known, quotients

FARTHEST_PX = 80.0  # disparities from here on are not judged, as MTMamba's and TaskPrompter's code has it
CLOSE_PX, CLOSE_SHARE = 3.0, 0.05  # an answer is close within the larger of these (KITTI's D1, turned round)


def fitted(task: Task, truth: Map, box: LabelLetterbox) -> Map:
    """(h, w) -> (H, W). A picture half as wide has half the disparities."""
    return box.values(truth) * np.float32(box.scale_x)


def answer(answered: NDArray[np.float32], box: LabelLetterbox) -> Map:
    """(1, H/s, W/s) -> (h, w) in the camera's pixels."""
    return box.values_back(np.maximum(answered[0], 0)) / np.float32(box.scale_x)


@dataclass
class Metric:
    """Sums over all pixels of all pictures with a truth above 0 and below FARTHEST_PX."""

    task: Task
    squares: float = 0.0
    sums: float = 0.0
    pixels: int = 0
    close: list[float] = field(default_factory=list)  # share of each picture; NaN: nothing was known
    each: list[tuple[float, int]] = field(default_factory=list)  # squares and pixels of each picture

    def add(self, answered: Map, truth: Map) -> float:
        """(h, w) each. Returns the picture's own share that is close."""
        judged = (truth > 0) & (truth < FARTHEST_PX)
        off = np.abs(np.maximum(answered[judged], 0).astype(np.float64) - truth[judged])
        self.squares += float((off**2).sum())
        self.sums += float(off.sum())
        self.pixels += len(off)
        self.each.append((float((off**2).sum()), len(off)))
        self.close.append(
            float((off <= np.maximum(CLOSE_PX, CLOSE_SHARE * truth[judged])).mean()) if len(off) else math.nan
        )
        return self.close[-1]

    def scores(self) -> dict[str, float]:
        """rmse_px and mean_abs_px: pooled over pixels. close: mean over pictures of the share that is close."""
        n = max(self.pixels, 1)
        return {
            "rmse_px": float(np.sqrt(self.squares / n)),
            "mean_abs_px": self.sums / n,
            "close": mean_of_known(self.examples()),
        }

    def resampled(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """(R, pictures), how often each is drawn -> (R,) of what chooses a run and what tables hold; NaN: unknown."""
        squares, known = (weights @ np.array(some) for some in zip(*self.each, strict=True))
        close, judged = np.nan_to_num(self.close), np.isfinite(self.close)
        return {"rmse_px": np.sqrt(quotients(squares, known)), "close": quotients(weights @ close, weights @ judged)}

    def examples(self) -> NDArray[np.float64]:
        return np.array(self.close)


def main_score(task: Task) -> str:
    return "close"


def judged_by(task: Task) -> str:
    return "rmse_px"
