"""Maps of edges: label geometry, loss, answer, metrics. 1 edge, 0 none, IGNORE unknown; answers are 0..1.

B batch · H W the network's picture · h w the camera's · s stride of the map
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from codriver.tasks import Task
from training.dense.geometry import GRID, IGNORE, LabelLetterbox, Size
from training.dense.kinds.contours import Pairing, suppressed, thinned
from training.dense.kinds.segmentation import Classes, at_cells
from training.dense.kinds.segmentation import fitted as fitted
from training.dense.kinds.segmentation import mirrored as mirrored
from training.dense.kinds.segmentation import stacked as stacked

LEVELS = np.arange(101) / 100  # an answer above one of these counts as an edge
RECALLS = np.arange(101) / 100  # at which AP reads the precision

Map = NDArray[np.float32]


def channels(task: Task) -> int:
    return 1


def loss(task: Task, logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy in which edges and all else weigh the same, however few the edges are (HED's balance).

    logits: (B, 1, H/s, W/s). truth: (B, H, W) int64.
    """
    cells = at_cells(task, truth)
    each = F.binary_cross_entropy_with_logits(logits[:, 0].float(), (cells == 1).float(), reduction="none")
    halves = [torch.where(some, each, 0).sum() / some.sum().clamp(min=1) for some in (cells == 1, cells == 0)]
    return (halves[0] + halves[1]) / 2


def constant_loss(task: Task, truths: list[Classes]) -> float:
    """Between two halves the best constant answer is one half, whatever the truth."""
    return math.log(2)


def start(task: Task, truths: list[Classes]) -> list[float]:
    """(1,) the logit of one half."""
    return [0.0]


def answer(logits: NDArray[np.float32], box: LabelLetterbox) -> Map:
    """(1, H/s, W/s) -> (h, w) 0..1."""
    return box.smooth_back(np.asarray(1 / (1 + np.exp(-logits[0])), dtype=np.float32))


def constant(task: Task, truths: Iterable[Classes]) -> Callable[[Size], Map]:
    """How often each place of a coarse grid holds an edge."""
    shares = [cv2.resize((truth == 1).astype(np.float32), GRID[::-1], interpolation=cv2.INTER_AREA) for truth in truths]
    mean = np.mean(shares, axis=0, dtype=np.float32)
    return lambda size: cv2.resize(mean, size[::-1], interpolation=cv2.INTER_LINEAR)


def counted(task: Task, truth: Classes) -> dict[str, int]:
    """Pixels of a picture, for a check."""
    return {"edge": int((truth == 1).sum()), "none": int((truth == 0).sum())}


@dataclass
class Metric:
    """Counts at each of LEVELS over all pictures: edges as contours, paired within `task.reach` of the diagonal."""

    task: Task
    paired: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(LEVELS), dtype=np.int64))
    answered: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(LEVELS), dtype=np.int64))
    real: int = 0
    at_best: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, dtype=np.int64))  # paired, answered
    pictures: list[float] = field(default_factory=list)  # F of each at its own best level; NaN: nothing was known
    each: list[NDArray[np.int64]] = field(default_factory=list)  # (3, levels): paired, answered, real

    def add(self, answered: Map, truth: Classes) -> float:
        """(h, w) each. A wide edge of the truth counts as its thinned line. Returns the picture's own best F."""
        if (truth == IGNORE).all():
            self.pictures.append(math.nan)
            self.each.append(np.zeros((3, len(LEVELS)), dtype=np.int64))
            return math.nan
        lines = thinned(truth == 1)
        likely = suppressed(np.where(truth == IGNORE, 0, answered).astype(np.float32))
        pairing = Pairing(lines, likely > 0, self.task.reach * math.hypot(*truth.shape))
        paired, counts = np.zeros(len(LEVELS), dtype=np.int64), np.zeros(len(LEVELS), dtype=np.int64)
        for k in reversed(range(len(LEVELS))):  # from few answered pixels to many: most of a pairing is kept
            found = thinned(likely > LEVELS[k])
            paired[k], counts[k] = pairing.count(found), found.sum()
        real = int(lines.sum())
        self.paired += paired
        self.answered += counts
        self.real += real
        self.each.append(np.stack([paired, counts, np.full_like(counts, real)]))
        f = f_measure(paired, counts, real)
        best = int(f.argmax())
        self.at_best += np.array([paired[best], counts[best]])
        self.pictures.append(float(f[best]) if real else float(not counts.any()))
        return self.pictures[-1]

    def scores(self) -> dict[str, float]:
        """ods_f: at one level for all pictures, the best. ois_f: at each picture's own best. ap: over recalls."""
        return {
            "ods_f": float(f_measure(self.paired, self.answered, self.real).max()),
            "ois_f": float(f_measure(self.at_best[:1], self.at_best[1:], self.real)[0]),
            "ap": average_precision(self.paired, self.answered, self.real),
        }

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Recall and precision at each level that answers anything, from the highest level down."""
        some = np.flatnonzero(self.answered)[::-1]
        return self.paired[some] / max(self.real, 1), self.paired[some] / self.answered[some]

    def resampled(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """(R, pictures), how often each is drawn -> (R,) of what a run is chosen by, which tables hold too."""
        paired, answered, real = (weights @ np.array(some) for some in zip(*self.each, strict=True))  # (R, levels)
        return {"ods_f": np.asarray((2 * paired / np.maximum(answered + real, 1)).max(axis=1))}

    def examples(self) -> NDArray[np.float64]:
        return np.array(self.pictures)


def f_measure(paired: NDArray[np.int64], answered: NDArray[np.int64], real: int) -> NDArray[np.float64]:
    """Harmonic mean of precision and recall: as one answers for one, twice the pairs over all pixels of both sides."""
    return 2 * paired / np.maximum(answered + real, 1)


def average_precision(paired: NDArray[np.int64], answered: NDArray[np.int64], real: int) -> float:
    """Mean precision at 101 recalls, straight lines between levels; 0 at recalls that no level reaches."""
    recall, precision = paired / max(real, 1), paired / np.maximum(answered, 1)
    recall, first = np.unique(recall, return_index=True)  # of levels with one recall the lowest, as the edges toolbox
    return float(np.interp(RECALLS, recall, precision[first], left=0, right=0).mean())


def main_score(task: Task) -> str:
    return "ods_f"


def judged_by(task: Task) -> str:
    return "ods_f"
