"""Part by part, where the driver is: what the caller gives, else what was found and is sure enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Image
from codriver.bundle.manifest import FinderSpec
from codriver.finder.peaks import Sight
from codriver.finder_graph import JOINT_POINTS, PART_ROWS, PRESENCE
from codriver.percept import DRIVER_PARTS, NOT_LOOKED_FOR, Driver, DriverSight
from codriver.tasks import KEYPOINTS

NO_FINDER = "nobody says where the driver is: this bundle has no finder; pass driver="
NO_DRIVER = "no driver to be seen"
UNUSABLE = "the in-car camera shows too little to find a driver in"


class Found(NamedTuple):
    """The finder's last word, and what is believed to be there."""

    sight: Sight
    driver: bool
    face: bool
    camera: bool
    certainty: Mapping[str, float]  # of each part that is looked for; see `certainties`


def is_whole(given: Driver) -> bool:
    """Whether nothing is left to find."""
    return given.face_px is not None and given.body_px is not None and given.keypoints is not None


def driver_sight(found: Found | None, given: Driver, frame: Image, spec: FinderSpec) -> DriverSight:
    """found: None: nobody has looked. frame: the in-car frame, whose pixels boxes and points are told in."""
    of_given = {"face": given.face_px, "body": given.body_px, "posture": given.keypoints, "gesture": given.keypoints}
    sources = {part: "none" if value is None else "given" for part, value in of_given.items()}
    is_given = "given" in sources.values()
    certainty = {} if found is None else found.certainty
    reasons = {} if found is None else _reasons(found, certainty, spec)
    visible = found is not None and found.driver and found.camera
    for part in DRIVER_PARTS:
        if sources[part] == "none" and visible and part not in reasons:
            sources[part] = "found"
    return DriverSight(
        present=True if is_given else None if found is None else found.driver,
        reason="" if is_given else _why_nobody(found),
        sources=sources,
        reasons={part: why for part, why in reasons.items() if visible and sources[part] == "none"},
        certainty={part: certainty[part] for part in certainty if sources[part] != "given"},
        presence={} if found is None else dict(zip(PRESENCE, found.sight.presence.tolist(), strict=True)),
        **_parts(found, given, frame, sources),
    )


def _why_nobody(found: Found | None) -> str:
    if found is None:
        return NO_FINDER
    if not found.camera:
        return UNUSABLE
    return "" if found.driver else NO_DRIVER


def certainties(sight: Sight) -> dict[str, float]:
    """Of each part that is looked for: a box's less certain corner, the middle joint."""
    joints = {part: float(np.median(sight.certainty[rows])) for part, rows in _rows(sight).items()}
    return dict(zip(("face", "body"), sight.box_certainty, strict=True)) | joints


def _rows(sight: Sight) -> dict[str, slice]:
    """Of each part of joints that this finder looks for, its points."""
    return {part: rows for part, rows in PART_ROWS.items() if rows.stop <= sight.joints}


def _reasons(found: Found, certainty: Mapping[str, float], spec: FinderSpec) -> dict[str, str]:
    """Why a part is not to be used."""
    unsure = {
        part: f"the finder is {sure:.2f} sure of it, below {spec.sure:g}"
        for part, sure in certainty.items()
        if sure < spec.sure
    }
    unsure |= {part: NOT_LOOKED_FOR for part in DRIVER_PARTS if part not in certainty}
    return unsure if found.face else unsure | {"face": "it is not to be seen"}


def _parts(found: Found | None, given: Driver, frame: Image, sources: dict[str, str]) -> dict[str, Any]:
    parts: dict[str, Any] = {"face_px": given.face_px, "body_px": given.body_px, "keypoints": given.keypoints}
    if found is None:
        return parts
    size = np.array(frame.shape[1::-1], np.float32)  # width, height
    for part, box in zip(("face", "body"), found.sight.boxes, strict=True):
        if sources[part] == "found":
            low, high = box[:2] * size, box[2:] * size
            parts[f"{part}_px"] = tuple((*low.tolist(), *(high - low).tolist()))
    kept = {part: rows for part, rows in _rows(found.sight).items() if sources[part] == "found"}
    if kept:
        parts["keypoints"] = _keypoints(found.sight, size, kept)
    return parts


def _keypoints(sight: Sight, size: NDArray[np.float32], kept: Mapping[str, slice]) -> NDArray[np.float32]:
    """(136, 3) with what is kept, each point's certainty as its score; zeros leave their stream out."""
    keypoints = np.zeros((KEYPOINTS, 3), np.float32)
    for rows in kept.values():
        points = list(JOINT_POINTS[rows])
        keypoints[points, :2] = sight.points[rows] * size
        keypoints[points, 2] = sight.certainty[rows]
    return keypoints
