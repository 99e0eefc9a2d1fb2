"""From a camera's picture to the network's, and back. The only implementation: training reads this file too.

The longest side decides the scale, and bars fill the rest, half on each side. The centre of the pixel in column x of
the camera lies at (x + 0.5) * scale + left - 0.5 of the network's picture; rows likewise. Boxes are x1, y1, x2, y2 in
continuous coordinates, in which the first pixel reaches from 0 to 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Image
from codriver.resize import resize_to

BAR = 114  # grey of the bars, as other loaders of these benchmarks draw them
Size = tuple[int, int]  # height, width
Boxes = NDArray[np.float32]  # (n, 4)


class Letterbox(NamedTuple):
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

    @property
    def scale_x(self) -> float:
        """Columns of the network's picture for one of the camera's."""
        return self.inner[1] / self.camera[1]

    def image(self, image: Image, out: Image | None = None) -> Image:
        """(h, w, 3) -> (H, W, 3), in `out` if there is one."""
        whole = np.empty((*self.network, 3), np.uint8) if out is None else out
        whole[...] = BAR
        whole[self.window] = resize_to(image, self.inner[1], self.inner[0])
        return whole

    def boxes_back(self, boxes: Boxes) -> Boxes:
        """Boxes of the network's picture -> the camera's, cut off at its border."""
        back = (boxes - self._offsets()) / self._scales()
        height, width = self.camera
        return np.asarray(np.clip(back, 0, [width, height, width, height]), np.float32)

    def nearest_back(self, cells: NDArray[Any], size: Size | None = None) -> NDArray[Any]:
        """(H', W') or (H', W', c) cells at a whole fraction of the network's size -> (h, w) or `size`, the nearest
        cell's."""
        import cv2

        stride = self.network[0] // cells.shape[0]
        whole = np.repeat(np.repeat(cells, stride, axis=0), stride, axis=1)[self.window]
        return np.asarray(cv2.resize(whole, (size or self.camera)[::-1], interpolation=cv2.INTER_NEAREST_EXACT))

    def smooth_back(self, values: NDArray[np.float32], size: Size | None = None) -> NDArray[np.float32]:
        """(H', W') values likewise, but sloping from cell to cell."""
        import cv2

        whole = cv2.resize(values, self.network[::-1], interpolation=cv2.INTER_LINEAR)[self.window]
        sloped = cv2.resize(whole, (size or self.camera)[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(sloped, dtype=np.float32)

    def _scales(self) -> NDArray[np.float32]:
        y, x = self.inner[0] / self.camera[0], self.inner[1] / self.camera[1]
        return np.array([x, y, x, y], dtype=np.float32)

    def _offsets(self) -> NDArray[np.float32]:
        top, left = self.corner
        return np.array([left, top, left, top], dtype=np.float32)
