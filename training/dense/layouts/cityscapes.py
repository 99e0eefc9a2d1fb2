"""Cityscapes' files, from footage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dense.layouts.job import Job, write
from training.footage.mesh import (
    BUILDING,
    CAR,
    CAR_SHADOW,
    CENTRE_DASHED,
    CENTRE_SOLID,
    HOOD,
    KERB,
    LANE_DASHED,
    PAVEMENT,
    POLE,
    ROAD,
    SIGN,
    SKY,
    STOP_LINE,
    TREE,
)
from training.footage.scene import Labels

CITY = "footage"
BASELINE_M = 0.21  # between the two cameras, as Cityscapes' own has it
LABEL_IDS = {  # labels.py of cityscapesScripts
    **dict.fromkeys((ROAD, LANE_DASHED, CENTRE_DASHED, CENTRE_SOLID, STOP_LINE, CAR_SHADOW), 7),
    **dict.fromkeys((PAVEMENT, KERB), 8),
    BUILDING: 11,
    POLE: 17,
    SIGN: 20,
    TREE: 21,
    SKY: 23,
    CAR: 26,
    HOOD: 1,  # ego vehicle: not evaluated
}


def picture(job: Job, image: NDArray[np.uint8], known: Labels) -> dict[str, Any]:
    """Write a picture, its labelIds, its disparity and its camera."""
    stem = f"{CITY}_{job.clip:06d}_{job.moment:06d}"

    def path(kind: str, suffix: str) -> Path:
        return job.out / kind / job.split / CITY / f"{stem}_{suffix}"

    write(path("leftImg8bit", "leftImg8bit.png"), image)
    write(path("gtFine", "gtFine_labelIds.png"), label_ids(known))
    write(path("disparity", "disparity.png"), disparity_codes(known, job.focal_px))
    camera = {"extrinsic": {"baseline": BASELINE_M}, "intrinsic": {"fx": job.focal_px, "fy": job.focal_px}}
    file = path("camera", "camera.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(camera) + "\n", encoding="utf-8")
    return {"name": stem}


def label_ids(known: Labels) -> NDArray[np.uint8]:
    table = np.zeros(max(LABEL_IDS) + 1, dtype=np.uint8)
    for kind, label in LABEL_IDS.items():
        table[kind] = label
    return table[known.kinds]


def disparity_codes(known: Labels, focal_px: float) -> NDArray[np.uint16]:
    """round(256 d) + 1 for d = focal x baseline / depth, 0 where the distance is unknown."""
    depth = np.maximum(known.depth_m, 1e-3)
    codes = np.round(256 * focal_px * BASELINE_M / depth) + 1
    return np.where(known.depth_m > 0, np.minimum(codes, 65535), 0).astype(np.uint16)


def lists(out: Path, pictures: dict[str, list[dict[str, Any]]]) -> None:
    """Cityscapes has none."""
