"""BDD100K's official files, from footage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dense.benchmarks.bdd100k import lane_byte
from training.dense.layouts.job import Job, write
from training.footage.mesh import CAR, CAR_SHADOW, CENTRE_DASHED, CENTRE_SOLID, KERB, LANE_DASHED, ROAD, STOP_LINE
from training.footage.outside.ego import LANE_M
from training.footage.scene import Labels

NO_LANE = 255
LANES = {  # what the footage paints -> its byte
    LANE_DASHED: lane_byte(6, dashed=True, vertical=False),
    CENTRE_DASHED: lane_byte(7, dashed=True, vertical=False),
    CENTRE_SOLID: lane_byte(7, dashed=False, vertical=False),
    STOP_LINE: lane_byte(6, dashed=False, vertical=True),
    KERB: lane_byte(4, dashed=False, vertical=False),
}
STREET = (ROAD, CAR_SHADOW, *LANES)  # flat, and driven on
SMALLEST_PX = 2.0  # side of a box; smaller ones no annotator would draw


def picture(job: Job, image: NDArray[np.uint8], known: Labels) -> dict[str, Any]:
    """Write a picture and its masks; returns its Scalabel frame."""
    write(job.out / "images" / "100k" / job.split / f"{job.name}.jpg", image, job.jpeg_quality)
    masks = {"drivable": drivable_area(known, job.ego_y), "lane": lane_bytes(known)}
    for kind, mask in masks.items():
        write(job.out / "labels" / kind / "masks" / job.split / f"{job.name}.png", mask)
    objects = [
        {
            "id": str(number),
            "category": "car",
            "attributes": {"occluded": False, "truncated": False, "crowd": False},
            "box2d": dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True)),
        }
        for number, corners in enumerate(vehicle_boxes(known))
    ]
    return {"name": f"{job.name}.jpg", "attributes": {}, "labels": objects}


def drivable_area(known: Labels, ego_y: float) -> NDArray[np.uint8]:
    """0 the lane that the car is in, 1 the other lane of its direction, 2 all else."""
    y = known.ground[..., 1]
    flat = np.isin(known.kinds, STREET) & (known.depth_m > 0)
    ours = (y < 0) & (y > -2 * LANE_M)
    inner = ego_y > -LANE_M
    here = ours & ((y > -LANE_M) == inner)
    return np.where(flat & here, 0, np.where(flat & ours, 1, 2)).astype(np.uint8)


def lane_bytes(known: Labels) -> NDArray[np.uint8]:
    out = np.full(known.kinds.shape, NO_LANE, dtype=np.uint8)
    for kind, byte in LANES.items():
        out[known.kinds == kind] = byte
    return out


def vehicle_boxes(known: Labels) -> list[list[float]]:
    """x1, y1, x2, y2 of what is to be seen of each vehicle, first and last pixel; shadows do not count."""
    boxes = []
    seen = np.where(known.kinds == CAR, known.vehicles, -1)
    for vehicle in np.unique(seen[seen >= 0]):
        rows, columns = np.nonzero(seen == vehicle)
        box = [columns.min(), rows.min(), columns.max(), rows.max()]
        if min(box[2] - box[0], box[3] - box[1]) + 1 >= SMALLEST_PX:
            boxes.append([float(side) for side in box])
    return boxes


def lists(out: Path, frames: dict[str, list[dict[str, Any]]]) -> None:
    folder = out / "labels" / "det_20"
    folder.mkdir(parents=True, exist_ok=True)
    for split, some in frames.items():
        (folder / f"det_{split}.json").write_text(json.dumps(some) + "\n", encoding="utf-8")
