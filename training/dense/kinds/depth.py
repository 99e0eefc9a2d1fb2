"""Maps of depth in metres along the camera's axis: label geometry, answer, metrics. 0 where it is unknown.

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

CLOSE = 1.25  # an answer is close if neither it nor the truth is so many times the other or more
NEAREST_M = 1e-3  # answers below count as this


def fitted(task: Task, truth: Map, box: LabelLetterbox) -> Map:
    """(h, w) -> (H, W). All of a picture at another size shows the same metres; a part of it enlarged looks nearer."""
    return box.values(truth) / np.float32(box.zoom)


def answer(answered: NDArray[np.float32], box: LabelLetterbox) -> Map:
    """(1, H/s, W/s) -> (h, w)."""
    return box.values_back(np.maximum(answered[0], 0)) * np.float32(box.zoom)


@dataclass
class Metric:
    """Sums over all pixels of all pictures with a known depth."""

    task: Task
    squares: float = 0.0
    shares: float = 0.0  # of the truth
    near: int = 0
    pixels: int = 0
    rmse_m: list[float] = field(default_factory=list)  # of each picture; NaN: nothing was known
    close: list[float] = field(default_factory=list)  # share of each picture; NaN: nothing was known
    known: list[int] = field(default_factory=list)  # pixels of each picture

    def add(self, answered: Map, truth: Map) -> float:
        """(h, w) each. Returns the picture's own share that is close."""
        judged = truth > 0
        known = truth[judged].astype(np.float64)
        found = np.maximum(answered[judged].astype(np.float64), NEAREST_M)
        squares = (found - known) ** 2
        close = np.maximum(found / known, known / found) < CLOSE
        self.squares += float(squares.sum())
        self.shares += float((np.abs(found - known) / known).sum())
        self.near += int(close.sum())
        self.pixels += len(known)
        self.rmse_m.append(float(np.sqrt(squares.mean())) if len(known) else math.nan)
        self.known.append(len(known))
        self.close.append(float(close.mean()) if len(known) else math.nan)
        return self.close[-1]

    def scores(self) -> dict[str, float]:
        """rmse_m: pooled over pixels. rmse_mean_over_pictures_m: ASTMT's. close: delta_1 of other tables, pooled."""
        n = max(self.pixels, 1)
        return {
            "rmse_m": float(np.sqrt(self.squares / n)),
            "rmse_mean_over_pictures_m": mean_of_known(np.array(self.rmse_m)),
            "abs_rel": self.shares / n,
            "close": self.near / n,
        }

    def resampled(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """(R, pictures), how often each is drawn -> (R,) of what chooses a run and what tables hold; NaN: unknown."""
        known = weights @ np.array(self.known)
        squares, near = (np.nan_to_num(some) * self.known for some in (np.square(self.rmse_m), self.close))
        return {"rmse_m": np.sqrt(quotients(weights @ squares, known)), "close": quotients(weights @ near, known)}

    def examples(self) -> NDArray[np.float64]:
        return np.array(self.close)


def main_score(task: Task) -> str:
    return "close"


def judged_by(task: Task) -> str:
    return "rmse_m"
