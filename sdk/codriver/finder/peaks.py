"""From the graph's logits to points, each with its certainty, and to what is present."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Arrays
from codriver.finder_graph import CORNERS, GESTURE_MIRROR, HIGH, LOW, POSTURE_MIRROR

REACH_BINS = 4  # to each side of a peak; training spreads a point over a Gaussian whose sigma is 1.5

Floats = NDArray[np.float32]


class Sight(NamedTuple):
    """What one frame shows."""

    points: Floats  # (P, 2) x, y as shares of the frame: joints, then the boxes' corners
    certainty: Floats  # (P,) 0..1, the share of the belief that lies around the peak
    presence: Floats  # (3,) probabilities: driver, face, usable camera

    @property
    def boxes(self) -> Floats:
        """(2, 4) face and body: low x, low y, high x, high y as shares of the frame."""
        return self.points[-len(CORNERS) :].reshape(2, 4)

    @property
    def joints(self) -> int:
        """How many of the points are joints: those of posture, or of posture and gesture."""
        return len(self.points) - len(CORNERS)

    @property
    def box_certainty(self) -> tuple[float, float]:
        """Of a box its less certain corner's."""
        face, body = self.certainty[-len(CORNERS) :].reshape(2, 2).min(axis=1).tolist()
        return face, body


def in_a_mirror(sight: Sight) -> Sight:
    """What was seen in a mirrored frame, as it is: left and right change places, and so do a box's sides."""
    joints, corners = np.split(sight.points, [sight.joints])
    order = [*POSTURE_MIRROR, *(len(POSTURE_MIRROR) + row for row in GESTURE_MIRROR)][: sight.joints]
    lows, highs = corners[::2], corners[1::2]
    sides = np.stack([np.stack([highs[:, 0], lows[:, 1]], 1), np.stack([lows[:, 0], highs[:, 1]], 1)], 1)  # (2, 2, 2)
    points = np.concatenate([joints[order], sides.reshape(-1, 2)])
    points[:, 0] = 1.0 - points[:, 0]
    certainty = np.concatenate([sight.certainty[order], sight.certainty[sight.joints :]])
    return Sight(points, certainty, sight.presence)


def read_sight(outputs: Arrays) -> Sight:
    """outputs: logits `x` (1, P, bins), `y` (1, P, bins) and `presence` (1, 3)."""
    (x, sure_x), (y, sure_y) = (peaks(outputs[axis][0]) for axis in ("x", "y"))
    presence = 1.0 / (1.0 + np.exp(-np.clip(outputs["presence"][0], -60, 60)))
    certainty = np.minimum(sure_x, sure_y)
    return Sight(np.stack([x, y], axis=1), certainty, presence.astype(np.float32))


def peaks(logits: Floats) -> tuple[Floats, Floats]:
    """(P, bins) -> (P,) place of each row's peak as a share of the frame, and (P,) the belief around it.

    The mean over the bins around the highest one: finer than a bin, and a second peak far away does not pull at it.
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    rows, bins = powers.shape
    highest = powers.argmax(axis=1)
    around = highest[:, None] + np.arange(-REACH_BINS, REACH_BINS + 1)  # (P, 9)
    inside = (around >= 0) & (around < bins)
    near = np.where(inside, powers[np.arange(rows)[:, None], np.clip(around, 0, bins - 1)], 0.0)
    belief = near.sum(axis=1)
    place = (near * around).sum(axis=1) / belief
    shares = LOW + (place + 0.5) * ((HIGH - LOW) / bins)
    return shares.astype(np.float32), (belief / powers.sum(axis=1)).astype(np.float32)
