"""Maps of surfaces' normals: label geometry, loss, answer, metrics. A normal of length 0 is unknown.

Three numbers a pixel, the first towards the right of the picture. What the others mean is the benchmark's.

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
from training.dense.geometry import KNOWN_NORMAL, LabelLetterbox, Size, coarse
from training.dense.kinds.segmentation import quotients

STRIDE = 4
UNDER_DEG = {"under_11": 11.25, "under_22": 22.5, "under_30": 30.0}

Normals = NDArray[np.float32]  # (h, w, 3) of length 1, or 0


def channels(task: Task) -> int:
    return 3


def fitted(task: Task, truth: Normals, box: LabelLetterbox) -> Normals:
    """(h, w, 3) -> (H, W, 3), the nearest pixel's; unknown in the bars."""
    return box.values(truth)


def mirrored(truth: Normals, width: int) -> Normals:
    """What pointed right points left."""
    return np.ascontiguousarray(truth[:, ::-1] * np.array([-1, 1, 1], dtype=np.float32))


def stacked(truths: list[Normals]) -> Tensor:
    """(B, 3, H, W)."""
    return torch.from_numpy(np.stack(truths)).permute(0, 3, 1, 2)


def loss(task: Task, answered: Tensor, truth: Tensor) -> Tensor:
    """Absolute differences to the answer at length 1, summed over the three numbers, mean over known pixels.

    answered: (B, 3, H/s, W/s). truth: (B, 3, H, W).
    """
    middle = truth[:, :, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    known = middle.norm(dim=1) >= KNOWN_NORMAL
    off = (F.normalize(answered.float(), dim=1) - middle).abs().sum(dim=1)
    return torch.where(known, off, 0).sum() / known.sum().clamp(min=1)


def constant_loss(task: Task, truths: list[Normals]) -> float:
    """Loss of the mean direction: by cosines the best constant answer, by this loss nearly so."""
    known = np.concatenate([truth[np.linalg.norm(truth, axis=2) >= KNOWN_NORMAL] for truth in truths])
    if not len(known):
        return 1.0
    return max(float(np.abs(known - _direction(known.sum(axis=0))).sum(axis=1).mean()), 1e-3)


def start(task: Task, truths: list[Normals]) -> list[float]:
    """(3,) the mean direction."""
    return [float(some) for some in _direction(np.sum([truth.sum(axis=(0, 1)) for truth in truths], axis=0))]


def _direction(sums: NDArray[np.float32]) -> Normals:
    """(..., 3) of any length -> of length 1; 0 stays 0."""
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=-1, keepdims=True), 1e-12), dtype=np.float32)


def answer(answered: NDArray[np.float32], box: LabelLetterbox) -> Normals:
    """(3, H/s, W/s) -> (h, w, 3)."""
    return box.values_back(_direction(answered.transpose(1, 2, 0)))


def constant(task: Task, truths: Iterable[Normals]) -> Callable[[Size], Normals]:
    """The mean direction of each place of a coarse grid."""
    sums = np.sum([coarse(truth) for truth in truths], axis=0)
    sums = np.where(np.linalg.norm(sums, axis=2, keepdims=True) > 0, sums, sums.sum(axis=(0, 1)))
    means = _direction(sums)
    return lambda size: cv2.resize(means, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def counted(task: Task, truth: Normals) -> dict[str, int]:
    """Pixels of a picture, for a check."""
    known = int((np.linalg.norm(truth, axis=2) >= KNOWN_NORMAL).sum())
    return {"known": known, "unknown": truth[..., 0].size - known}


def angles_deg(answered: Normals, truth: Normals) -> NDArray[np.float64]:
    """(n, 3) both -> (n,) degrees between them, exact near 0 too. 90 for an answer of length 0."""
    a, b = (_direction(some).astype(np.float64) for some in (answered, truth))
    halves = np.arctan2(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))
    return np.asarray(np.degrees(2 * halves), dtype=np.float64)


@dataclass
class Metric:
    """Sums over all pixels of all pictures with a known normal."""

    task: Task
    degrees: float = 0.0
    squares: float = 0.0
    under: dict[str, int] = field(default_factory=lambda: dict.fromkeys(UNDER_DEG, 0))
    pixels: int = 0
    pictures: list[float] = field(default_factory=list)  # share under 22.5 degrees; NaN: nothing was known
    known: list[int] = field(default_factory=list)  # pixels of each picture
    off: list[float] = field(default_factory=list)  # sum of degrees of each picture

    def add(self, answered: Normals, truth: Normals) -> float:
        """(h, w, 3) each. Returns the picture's own share under 22.5 degrees."""
        known = np.linalg.norm(truth, axis=2) >= KNOWN_NORMAL
        off = angles_deg(answered[known], truth[known])
        self.degrees += float(off.sum())
        self.squares += float((off**2).sum())
        for name, limit in UNDER_DEG.items():
            self.under[name] += int((off < limit).sum())
        self.pixels += len(off)
        self.known.append(len(off))
        self.off.append(float(off.sum()))
        self.pictures.append(float((off < UNDER_DEG["under_22"]).mean()) if len(off) else math.nan)
        return self.pictures[-1]

    def scores(self) -> dict[str, float]:
        """All pooled over pixels. mean_deg: mErr of the tables. under_: shares below 11.25, 22.5, 30 degrees."""
        n = max(self.pixels, 1)
        angles = {"mean_deg": self.degrees / n, "rmse_deg": float(np.sqrt(self.squares / n))}
        return angles | {name: count / n for name, count in self.under.items()}

    def resampled(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """(R, pictures), how often each is drawn -> (R,) of what chooses a run and what tables hold; NaN: unknown."""
        known, off = weights @ np.array(self.known), weights @ np.array(self.off)
        near = weights @ (np.nan_to_num(self.pictures) * self.known)
        return {"mean_deg": quotients(off, known), "under_22": quotients(near, known)}

    def examples(self) -> NDArray[np.float64]:
        return np.array(self.pictures)


def main_score(task: Task) -> str:
    return "under_22"


def judged_by(task: Task) -> str:
    return "mean_deg"
