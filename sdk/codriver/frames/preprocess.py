"""Pixels and keypoints as the graphs take them. The only implementation: training reads this file too."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Arrays, Box, Image
from codriver.frames.check import check_keypoints
from codriver.percept import Driver
from codriver.resize import resize
from codriver.tasks import GESTURE_POINTS, JOINTS, POSTURE_POINTS, VIEWS

MIN_BODY_PX = (10, 20)  # width, height below which AIDE's loader calls a box unusable (dataset.py)
MIN_FACE_PX = (10, 10)
MAX_BAD_JOINTS = 0.5  # share of a stream's points; with more of them missing there is no body to read
_POINTS = np.array([*POSTURE_POINTS, *GESTURE_POINTS])
_LEAST, _MOST = np.array([-0.25, -0.25, 0.0], np.float32), np.array([1.25, 1.25, 1.0], np.float32)
POINTS_OF = dict(zip(JOINTS, (POSTURE_POINTS, GESTURE_POINTS), strict=True))


def crop(image: Image, box_px: Box, min_px: tuple[int, int]) -> Image | None:
    """Cut the box out of the frame, clamped to it on the right axes; None if less than `min_px` is left.

    image: (H, W, 3). box_px: x, y, width, height; may reach outside. min_px: width, height.
    """
    height, width = image.shape[:2]
    if len(box_px) != 4 or not np.all(np.isfinite(box_px)):
        return None
    x, y, box_width, box_height = box_px
    left, right = (round(min(max(edge, 0), width)) for edge in (x, x + box_width))
    top, bottom = (round(min(max(edge, 0), height)) for edge in (y, y + box_height))
    if right - left < min_px[0] or bottom - top < min_px[1]:
        return None
    return image[top:bottom, left:right]


def joints_from_keypoints(
    keypoints: NDArray[np.float32], width_px: int, height_px: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Halpe-136 keypoints -> posture (26, 3), gesture (42, 3): x, y in -0.25..1.25 of the frame, score 0..1.

    keypoints: (136, 3) x, y in pixels of the in-car frame, score. A point that is not finite becomes zeros.
    AIDE's y can exceed the frame and most scores are low, so neither means "missing" (UbH-GCN's statistics).
    """
    points = check_keypoints(keypoints)[_POINTS] / np.array([width_px, height_px, 1.0], np.float32)
    finite = np.isfinite(points)
    if not finite.all():
        points[~finite.all(axis=1)] = 0.0
    np.maximum(points, _LEAST, out=points)
    np.minimum(points, _MOST, out=points)
    return points[: len(POSTURE_POINTS)], points[len(POSTURE_POINTS) :]


def stream_inputs(
    frames: Mapping[str, Image],
    driver: Driver | None,
    size_px: Mapping[str, int],
    out: Mapping[str, Image] = {},
    joints: Arrays | None = None,
) -> Arrays:
    """One set of frames -> what the encoder takes, for every stream that can be had from it.

    frames: view -> (H, W, 3) uint8. size_px: image stream -> side in pixels; others are left out. out: image stream ->
    where to write it, (size, size, 3); others are new arrays. joints: as joint_inputs, where that is known already.
    Returns image streams (size, size, 3) uint8, channels as in the frames, and joint streams (P, 3) float32.
    Boxes and keypoints lie in the in-car frame, so without that frame the driver's streams are absent.
    """
    images = {view: frames[view] for view in VIEWS if view in frames}
    if driver is not None and "incar" in frames:
        images |= _crops(frames["incar"], driver)
        joints = joint_inputs(frames["incar"], driver) if joints is None else joints
    wanted = [stream for stream in images if stream in size_px]
    return {stream: resize(images[stream], size_px[stream], out.get(stream)) for stream in wanted} | (joints or {})


def _crops(incar: Image, driver: Driver) -> dict[str, Image]:
    crops = {}
    for stream, box, least in (("face", driver.face_px, MIN_FACE_PX), ("body", driver.body_px, MIN_BODY_PX)):
        cut = None if box is None else crop(incar, box, least)
        if cut is not None:
            crops[stream] = cut
    return crops


def joint_inputs(incar: Image, driver: Driver) -> Arrays:
    """The joint streams, (P, 3) float32. One is absent when more than half of its points are not finite, or all of
    them are zero. incar: only its size counts."""
    if driver.keypoints is None:
        return {}
    height, width = incar.shape[:2]
    joints = dict(zip(JOINTS, joints_from_keypoints(driver.keypoints, width, height), strict=True))
    bad = bad_joints(driver.keypoints)
    return {stream: points for stream, points in joints.items() if points.any() and bad[stream] <= MAX_BAD_JOINTS}


def bad_joints(keypoints: NDArray[np.float32]) -> dict[str, float]:
    """Stream of joints -> share of its points that are not finite. keypoints: (136, 3)."""
    finite = np.isfinite(keypoints)
    if finite.all():
        return dict.fromkeys(POINTS_OF, 0.0)
    bad = np.asarray(~finite.all(axis=1))  # (136,)
    return {stream: float(bad[list(points)].mean()) for stream, points in POINTS_OF.items()}
