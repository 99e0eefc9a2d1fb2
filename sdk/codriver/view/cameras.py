"""One camera's tile: its picture, who is in it, and what is the matter with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Image
from codriver.percept import Driver, DriverSight, ViewStatus
from codriver.view import draw
from codriver.view.theme import BACKGROUND, SOFT, STATE_COLOURS, TEXT, Colour, Rect, mix

TITLES = {"incar": "In-car", "front": "Front", "left": "Left", "right": "Right"}
# Bones between points of Halpe-136.
LIMBS = ((17, 18), (18, 5), (18, 6), (5, 7), (7, 9), (6, 8), (8, 10), (18, 19), (19, 11), (19, 12))
HANDS = range(94, 136)
Floats = NDArray[np.float64]
MIN_SCORE = 0.05  # AIDE's scores are low; below this the points jump about


def draw_camera(
    image: Image,
    rect: Rect,
    view: str,
    frame: Image | None,
    status: ViewStatus,
    *,
    driver: DriverSight | None = None,
    title: bool = True,
) -> None:
    """Draw a tile. frame: the newest there is, or None. One that is not trusted is dimmed, a lost one not shown."""
    lost = frame is None or status.status in ("lost", "never")
    if lost:
        draw.no_signal(image, rect, status.reason)
    else:
        assert frame is not None
        scale, x, y = draw.place(image, rect, frame, dim=1.0 if status.status == "ok" else 0.55)
        if driver is not None and status.status == "ok":
            tile = image[rect.y : rect.bottom, rect.x : rect.right]  # nothing is drawn outside
            _draw_driver(tile, driver.driver, scale, np.array([x - rect.x, y - rect.y], dtype=np.float64))
            if rect.height > 300 and driver.certainty:
                draw.chip(image, (rect.x + 10, rect.bottom - 34), found_text(driver), 12, (BACKGROUND, SOFT))
    draw.round_corners(image, rect)
    big = rect.height > 300
    at, size = (rect.x + 10, rect.y + 10), 14 if big else 12
    wide = -6
    if title:
        wide = draw.chip(image, at, TITLES.get(view, view), size, (BACKGROUND, SOFT if lost else TEXT))
    if not lost and status.status != "ok":
        age = f" {status.age_s:.1f} s" if status.status == "late" else ""
        colours = BACKGROUND, STATE_COLOURS["degraded"]
        draw.chip(image, (at[0] + wide + 6, at[1]), f"{status.status}{age}", size, colours)


def found_text(driver: DriverSight) -> str:
    """What the finder says, for the picture: how sure it is of each part, or that nobody is there."""
    if not driver.present:
        return driver.reason
    shares = [f"{part} {100 * sure:.0f} %" for part, sure in driver.certainty.items()]
    return f"found: {', '.join(shares)}"


def _draw_driver(tile: Image, driver: Driver, scale: float, offset: Floats) -> None:
    if driver.keypoints is not None:
        _draw_points(tile, np.asarray(driver.keypoints, dtype=np.float64), scale, offset)
    for box, colour in ((driver.body_px, SOFT), (driver.face_px, TEXT)):
        if box is not None and len(box) == 4 and np.all(np.isfinite(box)):
            left, top = np.array(box[:2], dtype=np.float64) * scale + offset
            _brackets(tile, left, top, left + box[2] * scale, top + box[3] * scale, colour)


def _brackets(tile: Image, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
    """The corners of a box: they say where it is and hide nothing in it."""
    left, right = max(left, 3.0), min(right, tile.shape[1] - 4.0)
    top, bottom = max(top, 3.0), min(bottom, tile.shape[0] - 4.0)
    arm = min(22.0, 0.25 * min(right - left, bottom - top))
    if arm < 2:
        return
    for x, along in ((left, arm), (right, -arm)):
        for y, down in ((top, arm), (bottom, -arm)):
            draw.line(tile, np.array([[x + along, y], [x, y], [x, y + down]]), colour, 2)


def _draw_points(tile: Image, keypoints: Floats, scale: float, offset: Floats) -> None:
    import cv2

    if keypoints.shape != (136, 3):
        return
    at = keypoints[:, :2] * scale + offset
    known = np.isfinite(keypoints).all(axis=1) & (keypoints[:, :2] > 0).any(axis=1)
    seen = known & (keypoints[:, 2] >= MIN_SCORE) & (np.abs(at) < 1e4).all(axis=1)
    for start, end in LIMBS:
        if seen[start] and seen[end]:
            draw.line(tile, at[[start, end]], mix(SOFT, BACKGROUND, 0.8))
    for point in HANDS:
        if seen[point]:
            cv2.circle(tile, tuple(int(v) for v in at[point] * 16), 38, TEXT, -1, cv2.LINE_AA, 4)


def status_text(view: str, status: ViewStatus) -> str:
    """'Left: no frame for 0.8 s', for people."""
    return f"{TITLES.get(view, view)}: {status.reason or status.status}"
