"""Maps of inverse depth without a unit, as small benchmarks keep it: label geometry, answer, metrics. 0 is unknown.

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
LEAST = 1e-6  # answers below count as this where they are divided by


def fitted(task: Task, truth: Map, box: LabelLetterbox) -> Map:
    """(h, w) -> (H, W). All of a picture at another size is as far; a part of it enlarged looks nearer."""
    return box.values(truth) * np.float32(box.zoom)


def answer(answered: NDArray[np.float32], box: LabelLetterbox) -> Map:
    """(1, H/s, W/s) -> (h, w)."""
    return box.values_back(np.maximum(answered[0], 0)) / np.float32(box.zoom)


@dataclass
class Metric:
    """Sums over all pixels of all pictures with a known truth."""

    task: Task
    off: float = 0.0
    shares: float = 0.0  # of the truth
    near: list[int] = field(default_factory=list)  # pixels of each picture that are close
    known: list[int] = field(default_factory=list)  # pixels of each picture
    means: list[float] = field(default_factory=list)  # error of each picture, NaN: nothing was known

    def add(self, answered: Map, truth: Map) -> float:
        """(h, w) each. Returns the picture's own share that is close."""
        judged = truth > 0
        known, found = truth[judged].astype(np.float64), np.maximum(answered[judged].astype(np.float64), 0)
        off = np.abs(found - known)
        ratio = np.maximum(found, LEAST) / known
        self.off += float(off.sum())
        self.shares += float((off / known).sum())
        self.near.append(int((np.maximum(ratio, 1 / ratio) < CLOSE).sum()))
        self.known.append(len(known))
        self.means.append(float(off.mean()) if len(known) else math.nan)
        return float(self.examples()[-1])

    def scores(self) -> dict[str, float]:
        """abs_err, rel_err: pooled over pixels, LibMTL's. abs_err_mean_over_pictures: mtan's with a batch of one."""
        n = max(sum(self.known), 1)
        return {
            "abs_err": self.off / n,
            "abs_err_mean_over_pictures": mean_of_known(np.array(self.means)),
            "rel_err": self.shares / n,
            "close": sum(self.near) / n,
        }

    def resampled(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """(R, pictures), how often each is drawn -> (R,) of what chooses a run and what tables hold; NaN: unknown."""
        known = weights @ np.array(self.known)
        off = np.nan_to_num(self.means) * self.known
        near = weights @ np.array(self.near)
        return {"abs_err": quotients(weights @ off, known), "close": quotients(near, known)}

    def examples(self) -> NDArray[np.float64]:
        near, known = np.array(self.near, dtype=np.float64), np.array(self.known)
        return np.where(known > 0, near / np.maximum(known, 1), math.nan)


def main_score(task: Task) -> str:
    return "close"


def judged_by(task: Task) -> str:
    return "abs_err"
