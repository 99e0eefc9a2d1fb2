"""Where the driver is, as the page draws it: boxes, bones and hands in pixels of the in-car frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from codriver.percept import DriverSight
from codriver.view.cameras import HANDS, LIMBS, MIN_SCORE, found_text


def overlay(sight: DriverSight) -> dict[str, Any]:
    """JSON-ready; nothing in it that is not finite."""
    bones: list[list[int]] = []
    hands: list[list[int]] = []
    if sight.keypoints is not None and np.shape(sight.keypoints) == (136, 3):
        points = np.asarray(sight.keypoints, np.float64)
        seen = np.isfinite(points).all(axis=1) & (points[:, 2] >= MIN_SCORE) & (np.abs(points[:, :2]) < 1e5).all(axis=1)
        seen &= (points[:, :2] > 0).any(axis=1)
        at = np.nan_to_num(points[:, :2]).round().astype(int).tolist()
        bones = [[*at[a], *at[b]] for a, b in LIMBS if seen[a] and seen[b]]
        hands = [at[point] for point in HANDS if seen[point]]
    return {
        "text": found_text(sight) if sight.certainty or sight.present is False else "",
        "face_px": _box(sight.face_px),
        "body_px": _box(sight.body_px),
        "bones": bones,
        "hands": hands,
    }


def _box(box_px: Sequence[float] | None) -> list[int] | None:
    numbers = [] if box_px is None else [float(value) for value in box_px]
    return [round(value) for value in numbers] if len(numbers) == 4 and all(map(math.isfinite, numbers)) else None
