"""Maps of classes: label geometry, loss, answer, metrics.

K classes · B batch · H W the network's picture · h w the camera's · s stride of the logits
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from codriver.tasks import Task
from training.dense.geometry import IGNORE, LabelLetterbox, Size, coarse
from training.losses.afd import balanced_weights

STRIDE = 4  # logits leave the network at a quarter of its size
BALANCE = 0.5  # a class weighs in the loss as 1 / share to this power; 1 is all alike
LEAST_SHARE = 1e-4  # of a class that was not seen, in the answer that training starts from
BACKGROUND = "background"  # of labels: the class that is none
WIDTHS_PX = (1, 2, 5)  # by which the official lane metric widens both sides

Classes = NDArray[np.uint8]


def channels(task: Task) -> int:
    return task.classes


def fitted(task: Task, truth: Classes, box: LabelLetterbox) -> Classes:
    """(h, w) -> (H, W)."""
    return box.thin(truth) if task.thin else box.classes(truth)


def mirrored(truth: Classes, width: int) -> Classes:
    return np.ascontiguousarray(truth[:, ::-1])


def counted(task: Task, truth: Classes) -> dict[str, int]:
    """Pixels of each class."""
    counts = np.bincount(truth[truth != IGNORE], minlength=task.classes).tolist()
    return dict(zip((*task.labels, "unknown"), (*counts, int((truth == IGNORE).sum())), strict=True))


def stacked(truths: list[Classes]) -> Tensor:
    return torch.from_numpy(np.stack(truths).astype(np.int64))


def loss(task: Task, logits: Tensor, truth: Tensor) -> Tensor:
    """Mean cross-entropy of known cells, those of rare classes weighing more. logits: (B, K, H/s, W/s).

    truth: (B, H, W) int64. It comes to the logits' cells: a thin class wherever any pixel of a cell has it, others by
    the middle pixel. Where nothing is known (human parts of a batch without people) it is 0.
    """
    cells = at_cells(task, truth)
    counts = counts_of(task, cells)
    weights = balanced_weights(counts.tolist(), balance_of(task)).to(logits.device)
    whole = F.cross_entropy(logits.float(), cells, weights, ignore_index=IGNORE, reduction="sum")
    return whole / (weights * counts).sum().clamp(min=1)


def counts_of(task: Task, cells: Tensor) -> Tensor:
    """(K,) known cells of each class."""
    return torch.bincount(cells[cells != IGNORE].flatten(), minlength=task.classes)


def balance_of(task: Task) -> float:
    """A thin class is widened by its cells already: weighing more it would be painted wider still."""
    return 0.0 if task.thin else BALANCE


def at_cells(task: Task, truth: Tensor) -> Tensor:
    """(B, H, W) -> (B, H/s, W/s). A cell is unknown if all its pixels are: one that a bar reaches into still learns."""
    middle = truth[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    highest = F.max_pool2d(torch.where(truth == IGNORE, -1, truth).float()[:, None], STRIDE)[:, 0].long()
    known = torch.where(middle == IGNORE, highest, middle)
    return torch.where(highest < 0, IGNORE, highest if task.thin else known)


def constant_loss(task: Task, truths: list[Classes]) -> float:
    """Loss of the best constant answer, the classes' shares as they weigh: their entropy, in nats."""
    shares = weighed_shares(task, truths)
    return max(float(torch.special.entr(shares).sum()), 1e-3)


def weighed_shares(task: Task, truths: list[Classes]) -> Tensor:
    """(K,) of sum 1, or 0 where nothing is known."""
    counts = counts_of(task, at_cells(task, stacked(truths)))
    weighed = balanced_weights(counts.tolist(), balance_of(task)) * counts
    return weighed / weighed.sum().clamp(min=1e-12)


def start(task: Task, truths: list[Classes]) -> list[float]:
    """(K,) logits of the best constant answer."""
    return [float(some) for some in weighed_shares(task, truths).clamp(min=LEAST_SHARE).log()]


def answer(logits: NDArray[np.float32], box: LabelLetterbox) -> Classes:
    """(K, H/s, W/s) -> (h, w): argmax in the network's cells, the nearest one's for each pixel of the camera."""
    return box.classes_back(logits.argmax(axis=0).astype(np.uint8))


def constant(task: Task, truths: Iterable[Classes]) -> Callable[[Size], Classes]:
    """The commonest class of each place of a coarse grid.

    A thin class is nowhere the commonest: it is answered at the places that together have its best IoU.
    """
    cells = np.stack([coarse(truth) for truth in truths])
    votes = np.stack([(cells == label).sum(axis=0) for label in range(task.classes)])
    found = votes.argmax(axis=0).astype(np.uint8)
    if task.thin:
        shares = votes[1] / np.maximum(votes.sum(axis=0), 1)
        found = (shares >= best_level(shares, votes[1], votes.sum(axis=0))).astype(np.uint8)
    return lambda size: cv2.resize(found, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def best_level(likely: NDArray[np.float64], real: NDArray[Any], known: NDArray[Any]) -> float:
    """The level at and above which 1 is to be answered for the best IoU of 1; infinite if 1 was nowhere.

    likely: of places, in any shape; real, known: how often each was 1, and how often it was known, likewise.
    """
    order = np.argsort(-likely, axis=None, kind="stable")
    hits, found = (some.ravel()[order].cumsum() for some in (real, known))
    ious = hits / np.maximum(found + hits[-1] - hits, 1)
    return float(likely.ravel()[order][ious.argmax()]) if hits[-1] else math.inf


@dataclass
class Metric:
    """Counts over all pictures; memory does not grow with them. All at the camera's size."""

    task: Task
    counts: NDArray[np.int64] = field(init=False)  # (K, K) truth, answer
    batch: list[float] = field(default_factory=list)  # mean IoU of each, absent classes 0; NaN: nothing was known
    halves: list[float] = field(default_factory=list)  # the same of two classes, background and all else
    f_sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(WIDTHS_PX)))
    each: list[NDArray[np.int64]] = field(default_factory=list)  # (2, K) of each: pixels in both, in either

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.task.classes, self.task.classes), dtype=np.int64)

    def add(self, answered: Classes, truth: Classes) -> float:
        """(h, w) each; IGNORE in the truth counts for nothing. Returns the picture's own mean IoU."""
        known = truth != IGNORE
        if not known.any():  # a picture without truth is no picture: human parts where there are none
            self.batch.append(math.nan)
            self.each.append(np.zeros((2, self.task.classes), dtype=np.int64))
            return math.nan
        classes = self.task.classes
        own = np.bincount(classes * truth[known].astype(np.int64) + answered[known], minlength=classes**2).reshape(
            classes, classes
        )
        self.counts += own
        self.each.append(np.stack([own.diagonal(), own.sum(axis=0) + own.sum(axis=1) - own.diagonal()]))
        self.batch.append(float(per_class_iou(own, absent=0.0).mean()))
        if BACKGROUND in self.task.labels:
            self.halves.append(float(per_class_iou(in_two(own, self.task.labels.index(BACKGROUND)), absent=0.0).mean()))
        if self.task.thin:
            self.f_sums += [boundary_f(answered == 1, truth == 1, width) for width in WIDTHS_PX]
        return self.batch[-1]

    def scores(self) -> dict[str, float]:
        """By the name of each definition; shares from 0 to 1."""
        pooled = per_class_iou(self.counts)
        found = {f"iou_{label}": float(iou) for label, iou in zip(self.task.labels, pooled, strict=True)}
        found["miou"] = mean_of_known(pooled)
        found["miou_all_classes"] = float(np.nan_to_num(pooled).mean())  # papers: a class in neither counts 0
        found["miou_mean_over_pictures"] = mean_of_known(self.examples())
        found["pixel_accuracy"] = float(self.counts.diagonal().sum() / max(self.counts.sum(), 1))
        if BACKGROUND in self.task.labels:
            found["miou_of_two_mean_over_pictures"] = mean_of_known(np.array(self.halves))
            found["miou_foreground"] = foreground_miou(self.counts, self.task.labels.index(BACKGROUND))
        if self.task.thin:
            truth, correct = self.counts.sum(axis=1), self.counts.diagonal()
            shares = correct / np.maximum(truth, 1)
            found["recall"] = float(shares[1])  # what YOLOP's tables call accuracy
            found["balanced_accuracy"] = float(shares.mean())  # what HybridNets' do
            n = int(np.isfinite(self.batch).sum())
            found |= {f"f_{w}px": float(total / max(n, 1)) for w, total in zip(WIDTHS_PX, self.f_sums, strict=True)}
        return found

    def resampled(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """(R, pictures), how often each is drawn -> (R,) of what chooses a run and what tables hold; NaN: unknown."""
        both, either = (weights @ np.array(some) for some in zip(*self.each, strict=True))  # (R, K)
        ious = both / np.maximum(either, 1)
        scores = {"miou": quotients(ious.sum(axis=1), (either > 0).sum(axis=1))}
        return scores | ({"iou_lane": np.asarray(ious[:, 1])} if self.task.thin else {})

    def examples(self) -> NDArray[np.float64]:
        """(pictures,) mean IoU of each, for intervals and worst pictures; NaN where nothing was known."""
        return np.array(self.batch)


def main_score(task: Task) -> str:
    """The score that a run is chosen by."""
    return "iou_lane" if task.thin else "miou"


def judged_by(task: Task) -> str:
    """The score that tables hold."""
    return "miou"


def mean_of_known(values: NDArray[np.float64]) -> float:
    """Mean without NaN; 0 if there is nothing else."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def quotients(parts: NDArray[Any], wholes: NDArray[Any]) -> NDArray[np.float64]:
    """(R,) each; NaN where the whole is 0."""
    return np.where(wholes > 0, parts / np.where(wholes > 0, wholes, 1), math.nan)


def per_class_iou(counts: NDArray[np.int64], absent: float = math.nan) -> NDArray[np.float64]:
    """(K,) intersection over union. absent: of a class in neither truth nor answer; NaN leaves it out of means."""
    both = counts.diagonal().astype(np.float64)
    union = counts.sum(axis=0) + counts.sum(axis=1) - both
    return np.where(union > 0, both / np.maximum(union, 1), absent)


def in_two(counts: NDArray[np.int64], background: int) -> NDArray[np.int64]:
    """(K, K) counts -> (2, 2): background, and all other classes as one."""
    starts = [background, *(k for k in range(len(counts)) if k != background)]
    return np.add.reduceat(np.add.reduceat(counts[starts][:, starts], [0, 1], axis=0), [0, 1], axis=1)


def foreground_miou(counts: NDArray[np.int64], background: int) -> float:
    """BDD100K's evaluation of drivable area: a pixel whose truth is background counts for nothing, whatever is answered
    there, so that painting all of a picture costs nothing. A class without truth is left out."""
    kept = [k for k in range(len(counts)) if k != background]
    both, truth, answered = counts.diagonal()[kept], counts[kept].sum(axis=1), counts[kept][:, kept].sum(axis=0)
    ious = both / np.maximum(truth + answered - both, 1)
    return mean_of_known(np.where(truth > 0, ious, math.nan))


def boundary_f(answered: NDArray[np.bool_], truth: NDArray[np.bool_], width_px: int) -> float:
    """F measure of BDD100K's lane evaluation (bdd100k/eval/lane.py): what the other side reaches is right.

    Both empty is 1; one empty is 0.
    """
    if not answered.any() or not truth.any():
        return float(answered.any() == truth.any())
    y, x = np.mgrid[-width_px : width_px + 1, -width_px : width_px + 1]
    disk = (x * x + y * y <= width_px * width_px).astype(np.uint8)
    wide_answer, wide_truth = (cv2.dilate(some.astype(np.uint8), disk) > 0 for some in (answered, truth))
    precision, recall = (answered & wide_truth).sum() / answered.sum(), (truth & wide_answer).sum() / truth.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0
