"""Maps of what stands out: label geometry, loss, answer, metrics. 1 stands out, 0 does not, IGNORE is unknown.

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
from training.dense.geometry import IGNORE, LabelLetterbox, Size, coarse

STRIDE = 4
BETA_2 = 0.3  # weight of recall against precision in F, squared
THRESHOLDS = np.linspace(0.05, 0.95, 19)
# Tables of InvPT, TaskPrompter and MTMamba apply a sigmoid to what is a probability already. All answers then lie
# between 0.5 and 0.73, so that of the same 19 thresholds five tell anything apart: these, as probabilities.
FIVE_THRESHOLDS = np.array([0.0, *(np.log(t / (1 - t)) for t in (0.55, 0.6, 0.65, 0.7))])
ASTMT_THRESHOLDS = np.linspace(0.2, 0.9, 15)
ASSUMED = 0.5  # threshold of a picture's own score

Shares = NDArray[np.float32]  # (h, w) probability of standing out
Marks = NDArray[np.uint8]  # (h, w) 0, 1, IGNORE


def channels(task: Task) -> int:
    return 1


def fitted(task: Task, truth: Marks, box: LabelLetterbox) -> Marks:
    """(h, w) -> (H, W)."""
    return box.classes(truth)


def mirrored(truth: Marks, width: int) -> Marks:
    return np.ascontiguousarray(truth[:, ::-1])


def counted(task: Task, truth: Marks) -> dict[str, int]:
    """Pixels of either kind."""
    return {name: int((truth == mark).sum()) for name, mark in (("salient", 1), ("rest", 0), ("unknown", IGNORE))}


def stacked(truths: list[Marks]) -> Tensor:
    return torch.from_numpy(np.stack(truths))


def loss(task: Task, logits: Tensor, truth: Tensor) -> Tensor:
    """Mean binary cross-entropy per known cell. logits: (B, 1, H/s, W/s). truth: (B, H, W)."""
    middle = truth[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    known = middle != IGNORE
    each = F.binary_cross_entropy_with_logits(logits[:, 0].float(), (middle == 1).float(), reduction="none")
    return torch.where(known, each, 0).sum() / known.sum().clamp(min=1)


def constant_loss(task: Task, truths: list[Marks]) -> float:
    """Loss of the best constant answer, the share that stands out: its entropy, in nats."""
    share = share_of(truths)
    return -(share * math.log(share) + (1 - share) * math.log(1 - share))


def share_of(truths: list[Marks]) -> float:
    """What stands out of all that is known, never quite nothing or all; one half if nothing is known."""
    cells = np.concatenate([truth[truth != IGNORE] for truth in truths])
    return float(np.clip((cells == 1).mean(), 1e-4, 1 - 1e-4)) if len(cells) else 0.5


def start(task: Task, truths: list[Marks]) -> list[float]:
    """(1,) the logit of the share that stands out."""
    share = share_of(truths)
    return [math.log(share / (1 - share))]


def answer(logits: NDArray[np.float32], box: LabelLetterbox) -> Shares:
    """(1, H/s, W/s) -> (h, w)."""
    return box.values_back(1 / (1 + np.exp(-np.clip(logits[0], -30, 30))))


def constant(task: Task, truths: Iterable[Marks]) -> Callable[[Size], Shares]:
    """How often each place of a coarse grid stands out."""
    cells = np.stack([coarse(truth) for truth in truths])
    known = cells != IGNORE
    shares = ((cells == 1).sum(axis=0) / np.maximum(known.sum(axis=0), 1)).astype(np.float32)
    return lambda size: cv2.resize(shares, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def f_measure(
    hits: NDArray[np.float64], found: NDArray[np.float64], real: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """(1 + b) P R / (b P + R) = (1 + b) hits / (b real + found) with b = BETA_2; 0 where nothing is found or real."""
    whole = BETA_2 * real + found
    return np.where(whole > 0, (1 + BETA_2) * hits / np.maximum(whole, 1e-12), 0.0)


@dataclass
class Pooled:
    """Counts over all pixels of all pictures, at each threshold."""

    thresholds: NDArray[np.float64]
    hits: NDArray[np.int64] = field(init=False)  # (thresholds,) found and real
    found: NDArray[np.int64] = field(init=False)
    real: int = 0

    def __post_init__(self) -> None:
        self.hits, self.found = (np.zeros(len(self.thresholds), dtype=np.int64) for _ in range(2))

    def add(self, answered: NDArray[np.float32], real: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Both (n,). Returns what came to hits, found and real, (3, thresholds)."""
        hits, found = reached(answered[real], self.thresholds), reached(answered, self.thresholds)
        self.hits += hits
        self.found += found
        self.real += int(real.sum())
        return np.stack([hits, found, np.full_like(hits, real.sum())])

    def best(self) -> float:
        return float(f_measure(self.hits.astype(np.float64), self.found.astype(np.float64), self.real).max())


def reached(answered: NDArray[np.float32], thresholds: NDArray[np.float64], side: str = "right") -> NDArray[np.int64]:
    """(thresholds,) how many answers are at or above each; side left: above."""
    steps = np.searchsorted(thresholds.astype(np.float32), answered, side=side)  # type: ignore[call-overload]
    counts = np.bincount(steps, minlength=len(thresholds) + 1)
    return np.asarray(counts[::-1].cumsum()[::-1][1:])


@dataclass
class Metric:
    """Counts over all pictures; memory does not grow with them but by one number each."""

    task: Task
    pooled: Pooled = field(default_factory=lambda: Pooled(THRESHOLDS))
    five: Pooled = field(default_factory=lambda: Pooled(FIVE_THRESHOLDS))
    precision: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(ASTMT_THRESHOLDS)))
    recall: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(ASTMT_THRESHOLDS)))
    own: list[float] = field(default_factory=list)  # F of each picture at ASSUMED; NaN: nothing was known
    each: list[NDArray[np.int64]] = field(default_factory=list)  # (3, thresholds): hits, found, real

    def add(self, answered: Shares, truth: Marks) -> float:
        """(h, w) each. Returns the picture's own F."""
        known = truth != IGNORE
        if not known.any():
            self.own.append(math.nan)
            self.each.append(np.zeros((3, len(THRESHOLDS)), dtype=np.int64))
            return math.nan
        shares, real = answered[known], truth[known] == 1
        self.each.append(self.pooled.add(shares, real))
        self.five.add(shares, real)
        hits, found = (reached(some, ASTMT_THRESHOLDS, "left") for some in (shares[real], shares))
        self.precision += hits / np.maximum(found, 1)
        self.recall += hits / max(int(real.sum()), 1)
        marked = shares >= ASSUMED
        both, either = float((marked & real).sum()), bool(marked.any() or real.any())
        self.own.append(float(f_measure(np.array(both), np.array(float(marked.sum())), real.sum())) if either else 1.0)
        return self.own[-1]

    def scores(self) -> dict[str, float]:
        """By the name of each definition."""
        n = max(int(np.isfinite(self.own).sum()), 1)
        precision, recall = self.precision / n, self.recall / n
        return {
            "maxf": self.pooled.best(),
            "maxf_five_thresholds": self.five.best(),
            "maxf_mean_over_pictures": float((2 * precision * recall / (precision + recall + 1e-12)).max()),
        }

    def resampled(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """(R, pictures), how often each is drawn -> (R,) of what a run is chosen by, which tables hold too."""
        hits, found, real = (weights @ np.array(some) for some in zip(*self.each, strict=True))  # (R, thresholds)
        return {"maxf": np.asarray(f_measure(hits, found, real).max(axis=1))}

    def examples(self) -> NDArray[np.float64]:
        """(pictures,) F of each at a threshold of one half; NaN where nothing was known."""
        return np.array(self.own)


def main_score(task: Task) -> str:
    return "maxf"


def judged_by(task: Task) -> str:
    return "maxf"
