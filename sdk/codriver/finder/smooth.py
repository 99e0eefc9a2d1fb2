"""Points that neither tremble nor lag: a One-Euro filter (Casiez et al., CHI 2012), and no jump on one frame's word."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

STILL_HZ = 1.5  # cut-off while nothing moves
BETA = 5.0  # Hz more for each frame width or height per second
SPEED_HZ = 1.0  # cut-off of the speed itself
JUMP = 0.5  # of a box's own size: a middle that moves further must be seen twice
FORGET_S = 1.0  # after a pause this long the points begin anew


class Smoother:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._points: Floats | None = None
        self._speed: Floats | None = None
        self._t = 0.0
        self._doubted: Floats | None = None  # boxes that were somewhere else at the last look

    def update(self, points: Floats, boxes: Floats, t: float) -> Floats:
        """points: (P, 2), the last of them the corners of boxes: (n, 4) low x, y, high x, y. -> (P, 2)"""
        held, step_s = self._points, t - self._t
        if held is None or step_s > FORGET_S or step_s <= 0:
            return self._begin(points, t)
        if jumped(boxes, _boxes_of(held, len(boxes))):
            if self._doubted is not None and not jumped(boxes, self._doubted):
                return self._begin(points, t)
            self._doubted = boxes
            return held
        assert self._speed is not None
        moved = (points - held) / np.float32(step_s)
        self._speed = self._speed + _share(SPEED_HZ, step_s) * (moved - self._speed)
        self._points = held + _share(STILL_HZ + BETA * np.abs(self._speed), step_s) * (points - held)
        self._t, self._doubted = t, None
        return self._points

    def _begin(self, points: Floats, t: float) -> Floats:
        self._points, self._speed, self._t, self._doubted = points, np.zeros_like(points), t, None
        return points


def jumped(boxes: Floats, before: Floats) -> bool:
    """Whether the middle of any box lies further from where it was than half of the box's size. (n, 4)"""
    middle, was = ((some[:, :2] + some[:, 2:]) / 2 for some in (boxes, before))
    size = np.maximum(before[:, 2:] - before[:, :2], 1e-6)
    return bool((np.abs(middle - was) > JUMP * size).any())


def _boxes_of(points: Floats, count: int) -> Floats:
    return points[-2 * count :].reshape(count, 4)


def _share(cutoff_hz: NDArray[Any] | float, step_s: float) -> Floats:
    """How much of the way to a new value is gone within a step."""
    return np.asarray(1.0 / (1.0 + 1.0 / (2 * np.pi * cutoff_hz * step_s)), np.float32)
