"""A part of a picture enlarged to the whole's size; labels go the same way as the pixels that they belong to.

The centre of column x lies at (x + 0.5 - left) * zoom - 0.5 of the enlarged picture; rows likewise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.dense.geometry import Boxes, Size


@dataclass(frozen=True)
class Zoom:
    """Takes the place of a LabelLetterbox where a lesson is varied."""

    network: Size  # height, width, before and after
    zoom: float  # 1 or more
    top: float  # rows of the picture above the part
    left: float

    @property
    def scale_x(self) -> float:
        return self.zoom

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) -> the same, between pixels."""
        step = 1 / self.zoom
        back = [[step, 0, self.left + 0.5 * step - 0.5], [0, step, self.top + 0.5 * step - 0.5]]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        large = cv2.warpAffine(image, np.array(back), self.network[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(large, dtype=np.uint8)

    def classes(self, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W) -> the same, the nearest pixel's."""
        return np.asarray(self._nearest(classes), dtype=np.uint8)

    def thin(self, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Enlarging loses no line."""
        return self.classes(classes)

    def values(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) or (H, W, c) -> the same, the nearest pixel's."""
        return np.asarray(self._nearest(values), dtype=np.float32)

    def _nearest(self, whole: NDArray[Any]) -> NDArray[Any]:
        starts = zip(self.network, (self.top, self.left), strict=True)
        rows, columns = (((np.arange(side) + 0.5) / self.zoom + start).astype(int) for side, start in starts)
        height, width = self.network
        return np.ascontiguousarray(whole[np.minimum(rows, height - 1)][:, np.minimum(columns, width - 1)])

    def boxes(self, boxes: Boxes) -> Boxes:
        """(n, 4), wherever they end up."""
        corner = np.array([self.left, self.top, self.left, self.top], dtype=np.float32)
        return np.asarray((boxes - corner) * self.zoom, dtype=np.float32)


def some_zoom(network: Size, most: float, rng: np.random.Generator) -> Zoom:
    """A part of random size and place."""
    zoom = float(rng.uniform(1, most))
    top, left = (float(rng.uniform(0, side - side / zoom)) for side in network)
    return Zoom(network, zoom, top, left)
