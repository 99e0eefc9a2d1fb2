"""Procedural scenes in a benchmark's own layout, so that its loader reads them unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.dense.bdd100k import lane_byte
from training.footage.clip import Clip
from training.footage.labels import plan
from training.footage.mesh import (
    CAR,
    CAR_SHADOW,
    CENTRE_DASHED,
    CENTRE_SOLID,
    KERB,
    LANE_DASHED,
    ROAD,
    STOP_LINE,
)
from training.footage.outside.ego import LANE_M
from training.footage.scene import Labels, labels
from training.footage.spec import ClipSpec

MOMENTS = (8, 22, 36)  # frames of a clip that become pictures
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


@dataclass(frozen=True)
class Job:
    """One clip's pictures."""

    spec: ClipSpec
    out: Path
    split: str  # the benchmark's
    jpeg_quality: int


def bdd100k_picture(job: Job, name: str, image: NDArray[np.uint8], known: Labels, ego_y: float) -> dict[str, Any]:
    """Write a picture and its masks; returns its Scalabel frame."""
    write(job.out / "images" / "100k" / job.split / f"{name}.jpg", image, job.jpeg_quality)
    masks = {"drivable": drivable_area(known, ego_y), "lane": lane_bytes(known)}
    for kind, mask in masks.items():
        write(job.out / "labels" / kind / "masks" / job.split / f"{name}.png", mask)
    objects = [
        {
            "id": str(number),
            "category": "car",
            "attributes": {"occluded": False, "truncated": False, "crowd": False},
            "box2d": dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True)),
        }
        for number, corners in enumerate(vehicle_boxes(known))
    ]
    return {"name": f"{name}.jpg", "attributes": {}, "labels": objects}


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


def write(path: Path, image: NDArray[np.uint8], quality: int = 95) -> None:
    done, data = cv2.imencode(path.suffix, image, [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else [])
    assert done, path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())


PICTURES: dict[str, Callable[[Job, str, NDArray[np.uint8], Labels, float], dict[str, Any]]] = {
    "bdd100k": bdd100k_picture
}


def write_clip(layout: str, job: Job) -> list[dict[str, Any]]:
    """All pictures of one clip, and the frames that the layout's list of boxes takes."""
    clip = Clip(job.spec)
    images = clip.frames("front", MOMENTS)
    frames = []
    for moment, image, known in zip(MOMENTS, images, labels(clip.road, "front", MOMENTS), strict=True):
        name = f"{job.spec.number:04d}-{moment:02d}"
        frames.append(PICTURES[layout](job, name, image, known, float(clip.road.ego.y[moment])))
    return frames


def jobs(out: Path, clips: int, seed: int, size: tuple[int, int], jpeg_quality: int) -> Iterator[Job]:
    """size: width, height. The footage's test clips become the benchmark's val, all others its train."""
    for number, (split, chosen) in enumerate(plan(clips, seed), start=1):
        theirs = "val" if split == "testing" else "train"
        yield Job(ClipSpec(seed, number, chosen, *size), out, theirs, jpeg_quality)


def write_boxes(out: Path, frames: dict[str, list[dict[str, Any]]]) -> None:
    folder = out / "labels" / "det_20"
    folder.mkdir(parents=True, exist_ok=True)
    for split, some in frames.items():
        (folder / f"det_{split}.json").write_text(json.dumps(some) + "\n", encoding="utf-8")
