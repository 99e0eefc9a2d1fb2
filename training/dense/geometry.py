"""From a camera's labels to the network's, the same way as the pixels they belong to: codriver/dense/letterbox.py."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from codriver.dense.letterbox import Boxes as Boxes
from codriver.dense.letterbox import Letterbox
from codriver.dense.letterbox import Size as Size

IGNORE = 255  # of a map of classes: counts for nothing


class LabelLetterbox(Letterbox):
    """How pictures of one size, and what is known of them, become the network's."""

    def _placed(self, inner: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
        whole = np.full((*self.network, *inner.shape[2:]), fill, dtype=np.uint8)
        whole[self.window] = inner
        return whole

    def classes(self, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(h, w) -> (H, W), the nearest pixel's class; IGNORE in the bars."""
        return self._placed(cv2.resize(classes, self.inner[::-1], interpolation=cv2.INTER_NEAREST_EXACT), IGNORE)

    def thin(self, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(h, w) of 0, 1 and IGNORE -> (H, W): 1 wherever any of a pixel's area is 1, so that no line is lost."""
        shrunk = cv2.resize(
            np.where(classes == 1, 255, 0).astype(np.uint8), self.inner[::-1], interpolation=cv2.INTER_AREA
        )
        kept = cv2.resize(classes, self.inner[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return self._placed(np.where(shrunk > 0, 1, np.where(kept == IGNORE, IGNORE, 0)).astype(np.uint8), IGNORE)

    @property
    def zoom(self) -> float:
        """How many times larger things look than in the whole picture."""
        return 1.0

    def values(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(h, w) or (h, w, c) -> (H, W) or (H, W, c), the nearest pixel's value; 0 in the bars."""
        whole = np.zeros((*self.network, *values.shape[2:]), dtype=np.float32)
        whole[self.window] = cv2.resize(values, self.inner[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return whole

    def boxes(self, boxes: Boxes) -> Boxes:
        """Boxes of the camera's picture -> the network's."""
        return boxes * self._scales() + self._offsets()

    def classes_back(self, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H', W') classes at a whole fraction of the network's size -> (h, w), the nearest cell's."""
        return np.asarray(self.nearest_back(classes), dtype=np.uint8)

    def values_back(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H', W') or (H', W', c) values likewise."""
        return np.asarray(self.nearest_back(values), dtype=np.float32)


def mirror_boxes(boxes: Boxes, width: int) -> Boxes:
    """Boxes of a picture -> of its mirror image, left and right exchanged."""
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1).astype(np.float32)


LEFT_OVER = 0.1  # share of a box that must lie within the picture


def cut_off(boxes: Boxes, size: Size) -> tuple[Boxes, NDArray[np.bool_]]:
    """Boxes cut off at the border of a picture, and which of them keep enough of their area to count (n,)."""
    height, width = size
    cut = np.clip(boxes, 0, np.array([width, height, width, height], dtype=np.float32))
    before, after = ((some[:, 2] - some[:, 0]) * (some[:, 3] - some[:, 1]) for some in (boxes, cut))
    return cut, np.asarray(after >= LEFT_OVER * before)


GRID = (24, 40)  # rows, columns of answers that do not look


def coarse(truth: NDArray[Any]) -> NDArray[Any]:
    """(h, w) or (h, w, c) -> GRID or (*GRID, c): what lies in the middle of each cell."""
    size = truth.shape[:2]
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip(GRID, size, strict=True))
    return np.asarray(truth[rows][:, columns])


KNOWN_NORMAL = 0.5  # length from which on a normal is known: 8 bits a number write a length of 0 as 0.007


def unit_normals(normals: NDArray[Any]) -> NDArray[np.float32]:
    """(..., 3) -> of length 1; what is shorter than KNOWN_NORMAL becomes 0."""
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.where(length >= KNOWN_NORMAL, normals / np.maximum(length, KNOWN_NORMAL), 0).astype(np.float32)
