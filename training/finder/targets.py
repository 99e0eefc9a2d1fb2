"""From an annotation to what the finder learns: points as shares of the frame, what each is worth, presence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codriver.finder_graph import HIGH, JOINT_POINTS, LOW, POINTS
from codriver.frames.preprocess import MIN_BODY_PX, MIN_FACE_PX
from codriver.percept import Driver

LEAST_WEIGHT = (
    0.1  # of a point that the annotation names with a score of zero: AIDE's scores are low, none means missing
)
CORNER_WEIGHT = 1.0
UNKNOWN = np.nan  # of a presence that nobody has said anything about


@dataclass(frozen=True)
class Target:
    """One frame's."""

    points: NDArray[np.float32]  # (P, 2) x, y as shares of the frame
    weights: NDArray[np.float32]  # (P,) 0: not known
    presence: NDArray[np.float32]  # (3,) 1, 0 or UNKNOWN


def target_of(driver: Driver | None, width_px: int, height_px: int) -> Target:
    """What a frame with this driver should give; None: somebody has looked, and there is no driver."""
    points, weights = np.zeros((POINTS, 2), np.float32), np.zeros(POINTS, np.float32)
    if driver is None:
        return Target(points, weights, np.array([0, 0, 1], np.float32))
    size = np.array([width_px, height_px], np.float32)
    joints = len(JOINT_POINTS)
    if driver.keypoints is not None:
        chosen = driver.keypoints[list(JOINT_POINTS)]
        known = np.asarray(np.isfinite(chosen).all(axis=1))
        points[:joints] = np.where(known[:, None], chosen[:, :2], 0.0) / size
        weights[:joints] = np.where(known, LEAST_WEIGHT + np.clip(np.nan_to_num(chosen[:, 2]), 0, 1), 0.0)
    boxes = ((driver.face_px, MIN_FACE_PX), (driver.body_px, MIN_BODY_PX))
    for row, (box, least) in zip((joints, joints + 2), boxes, strict=True):
        if box is not None and box[2] >= least[0] and box[3] >= least[1]:
            x, y, width, height = box
            points[row : row + 2] = np.array([[x, y], [x + width, y + height]], np.float32) / size
            weights[row : row + 2] = CORNER_WEIGHT
    face = float(weights[joints] > 0)
    return Target(np.clip(points, LOW, HIGH), weights, np.array([1, face, 1], np.float32))


def unusable_camera() -> Target:
    """Of a frame on which nothing can be seen."""
    nothing = target_of(None, 1, 1)
    return Target(nothing.points, nothing.weights, np.zeros(3, np.float32))
