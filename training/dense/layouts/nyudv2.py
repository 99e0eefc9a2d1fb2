"""NYUD-v2's files in their png form, from rooms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dense.benchmarks.nyudv2 import NEIGHBOURS
from training.dense.layouts.job import Job, write
from training.footage.room import RoomView


def picture(job: Job, image: NDArray[np.uint8], known: RoomView) -> dict[str, Any]:
    """Write a picture and its four labels; returns its name. A room has a dozen of numbers to itself."""
    name = f"{NEIGHBOURS * job.clip + 1 + job.moment:05d}"
    write(job.out / "images" / f"{name}.png", image)
    write(job.out / "segmentation" / f"{name}.png", known.classes)
    write(job.out / "normals" / f"{name}.png", normal_codes(known.normals))
    write(job.out / "edge" / f"{name}.png", edge_codes(known.objects))
    depth = job.out / "depth" / f"{name}.npy"
    depth.parent.mkdir(parents=True, exist_ok=True)
    np.save(depth, known.depth_m)
    return {"name": name}


def normal_codes(normals: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(h, w, 3) -> 255 (n + 1) / 2 in OpenCV's order, blue first; 0 becomes 128 as nothing lies in the middle."""
    return np.round((normals[..., ::-1] + 1) * 127.5).astype(np.uint8)


def edge_codes(objects: NDArray[np.int32]) -> NDArray[np.uint8]:
    """255 where the pixel to the right or below shows another object."""
    edge = np.zeros(objects.shape, dtype=bool)
    edge[:, :-1] |= objects[:, 1:] != objects[:, :-1]
    edge[:-1] |= objects[1:] != objects[:-1]
    return np.where(edge, 255, 0).astype(np.uint8)


def lists(out: Path, pictures: dict[str, list[dict[str, Any]]]) -> None:
    folder = out / "gt_sets"
    folder.mkdir(parents=True, exist_ok=True)
    for split, some in pictures.items():
        (folder / f"{split}.txt").write_text("".join(f"{one['name']}\n" for one in some), encoding="utf-8")
