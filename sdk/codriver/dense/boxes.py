"""From a detection's maps to boxes. Without anchors, after FCOS (arXiv 1904.01355): each cell says how likely it lies
near the middle of a vehicle, and how far the four sides are. Training reads this file too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codriver.dense.letterbox import Boxes, Letterbox
from codriver.dense.spec import BOX_STRIDES

MOST = 300  # boxes in an answer
OVERLAP = 0.6  # from which on the weaker of two boxes is dropped (YOLOP's)

Found = tuple[Boxes, NDArray[np.float32]]  # boxes (n, 4), scores (n,), falling


def boxes_of(maps: Sequence[NDArray[np.float32]], box: Letterbox, least_score: float) -> Found:
    """(5, H/stride, W/stride) by stride -> boxes in the camera's pixels with their scores, at most MOST."""
    corners, scores = [], []
    for values, stride in zip(maps, BOX_STRIDES, strict=True):
        likely = 1 / (1 + np.exp(-np.clip(values[0], -30, 30)))
        y, x = np.nonzero(likely > least_score)
        middles = (np.stack([x, y], axis=1) + np.float32(0.5)) * np.float32(stride)  # (n, 2)
        sides = np.logaddexp(0, values[1:, y, x].T) * np.float32(stride)  # (n, 4), softplus: each on its own side
        corners.append(np.concatenate([middles - sides[:, :2], middles + sides[:, 2:]], axis=1))
        scores.append(likely[y, x])
    boxes, found = suppressed(np.concatenate(corners).astype(np.float32), np.concatenate(scores).astype(np.float32))
    back = box.boxes_back(boxes)
    real = (back[:, 2:] > back[:, :2]).all(axis=1)
    return back[real], found[real]


def suppressed(boxes: Boxes, scores: NDArray[np.float32]) -> Found:
    """Non-maximum suppression: by falling score, none that overlaps a kept one by more than OVERLAP."""
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    kept: list[int] = []
    alive = np.ones(len(boxes), dtype=bool)
    for index in range(len(boxes)):
        if alive[index]:
            kept.append(index)
            if len(kept) == MOST:
                break
            alive[index + 1 :] &= iou(boxes[index : index + 1], boxes[index + 1 :])[0] <= OVERLAP
    return boxes[kept], scores[kept]


def iou(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Intersection over union, (n, m)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(some[:, 2:] - some[:, :2]).prod(axis=1) for some in (a, b)]
    return np.asarray(both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-9), dtype=np.float64)
