"""From a camera's picture to the network's, and back; labels go the same way as the pixels they belong to.

The longest side decides the scale, and bars fill the rest, half on each side. The centre of the pixel in column x of
the camera lies at (x + 0.5) * scale + left - 0.5 of the network's picture; rows likewise. Boxes are x1, y1, x2, y2 in
continuous coordinates, in which the first pixel reaches from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

IGNORE = 255  # of a map of classes: counts for nothing
Size = tuple[int, int]  # height, width
Boxes = NDArray[np.float32]  # (n, 4)


@dataclass(frozen=True)
class Letterbox:
    """How pictures of one size become the network's."""

    camera: Size
    network: Size

    @property
    def inner(self) -> Size:
        """Height and width of the picture inside the bars."""
        scale = min(self.network[0] / self.camera[0], self.network[1] / self.camera[1])
        height, width = (max(1, round(side * scale)) for side in self.camera)
        return height, width

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the network's picture where the camera's begins."""
        return (self.network[0] - self.inner[0]) // 2, (self.network[1] - self.inner[1]) // 2

    @property
    def window(self) -> tuple[slice, slice]:
        (top, left), (height, width) = self.corner, self.inner
        return slice(top, top + height), slice(left, left + width)

    def _placed(self, inner: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
        whole = np.full((*self.network, *inner.shape[2:]), fill, dtype=np.uint8)
        whole[self.window] = inner
        return whole

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(h, w, 3) -> (H, W, 3); bars are grey, as other loaders of this benchmark draw them."""
        return self._placed(cv2.resize(image, self.inner[::-1], interpolation=cv2.INTER_AREA), 114)

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
    def scale_x(self) -> float:
        """Columns of the network's picture for one of the camera's."""
        return self.inner[1] / self.camera[1]

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

    def boxes_back(self, boxes: Boxes) -> Boxes:
        """Boxes of the network's picture -> the camera's, cut off at its border."""
        back = (boxes - self._offsets()) / self._scales()
        height, width = self.camera
        return np.asarray(np.clip(back, 0, [width, height, width, height]), np.float32)

    def classes_back(self, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H', W') classes at a whole fraction of the network's size -> (h, w), the nearest cell's."""
        return np.asarray(self._back(classes), dtype=np.uint8)

    def values_back(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H', W') or (H', W', c) values likewise."""
        return np.asarray(self._back(values), dtype=np.float32)

    def smooth_back(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H', W') values likewise, but sloping from cell to cell."""
        whole = cv2.resize(values, self.network[::-1], interpolation=cv2.INTER_LINEAR)[self.window]
        return np.asarray(cv2.resize(whole, self.camera[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)

    def _back(self, cells: NDArray[Any]) -> NDArray[Any]:
        stride = self.network[0] // cells.shape[0]
        whole = np.repeat(np.repeat(cells, stride, axis=0), stride, axis=1)[self.window]
        return np.asarray(cv2.resize(whole, self.camera[::-1], interpolation=cv2.INTER_NEAREST_EXACT))

    def _scales(self) -> NDArray[np.float32]:
        y, x = self.inner[0] / self.camera[0], self.inner[1] / self.camera[1]
        return np.array([x, y, x, y], dtype=np.float32)

    def _offsets(self) -> NDArray[np.float32]:
        top, left = self.corner
        return np.array([left, top, left, top], dtype=np.float32)


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
