"""PASCAL-Context's files in the form of PASCAL_MT, from footage with people on foot.

Normals are x right, y up, z towards the camera, as pictures of normals commonly are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.dense.benchmarks.pascal_parts import PERSON as PERSON_CLASS
from training.dense.geometry import IGNORE
from training.dense.layouts.job import Job, write
from training.dense.layouts.nyudv2 import normal_codes
from training.footage.mesh import (
    BUILDING,
    CAR,
    CAR_SHADOW,
    CENTRE_DASHED,
    CENTRE_SOLID,
    HOOD,
    KERB,
    LANE_DASHED,
    PARTS,
    PAVEMENT,
    PERSON,
    POLE,
    ROAD,
    SIGN,
    SKY,
    STOP_LINE,
    TREE,
)
from training.footage.scene import Labels

CAR_CLASS = 7  # of VOC
CONTEXT = {  # LabelMap's classes
    **dict.fromkeys((ROAD, LANE_DASHED, CENTRE_DASHED, CENTRE_SOLID, STOP_LINE, CAR_SHADOW), 324),
    **dict.fromkeys((PAVEMENT, KERB), 354),
    BUILDING: 44,
    POLE: 303,
    SIGN: 355,
    TREE: 420,
    SKY: 360,
    CAR: 59,
    HOOD: 431,  # unknown
    **dict.fromkeys(range(PERSON, PERSON + len(PARTS)), 284),
}
SMALLEST_PX = 12  # pixels of an object; smaller ones no annotator would draw
PARTS_FROM_PX = 40  # pixels of a person whose parts an annotator would tell apart
SALIENT_M = 12.0  # people and cars nearer than this stand out
SOFT_PX = 1.5  # Gaussian sigma of their outline, as another network's answer has it
TO_THEIRS = np.array([1, -1, -1], dtype=np.float32)  # footage's normals are right, down, ahead
NAMES = {CAR_CLASS: "car", PERSON_CLASS: "person"}
OBJECT = [("class", "O"), ("class_ind", "O"), ("mask", "O"), ("parts", "O")]
PART = [("part_name", "O"), ("mask", "O")]


def picture(job: Job, image: NDArray[np.uint8], known: Labels) -> dict[str, Any]:
    """Write a picture and its labels; returns what the list of parts says of it. Every other clip's classes lie in
    pascal-context/ as grey, those of the rest in VOC12/ with VOC's palette."""
    write(job.out / "JPEGImages" / f"{job.name}.jpg", image, job.jpeg_quality)
    classes, found = semantics(known), objects(known)
    if job.clip % 2:
        write_palette(job.out / "semseg" / "VOC12" / f"{job.name}.png", classes)
    else:
        write(job.out / "semseg" / "pascal-context" / f"{job.name}.png", classes)
    write(job.out / "sal_distill" / f"{job.name}.png", saliency(known))
    write(job.out / "normals_distill" / f"{job.name}.png", normal_codes(known.normals * TO_THEIRS))
    write_mat(job.out / "pascal-context" / "trainval" / f"{job.name}.mat", {"LabelMap": label_map(known)})
    anno = {"imname": job.name, "objects": np.array(found, dtype=OBJECT)[None]}
    write_mat(job.out / "human_parts" / f"{job.name}.mat", {"anno": anno})
    return {"name": job.name, "objects": [int(number[0, 0]) for _, number, _, _ in found]}


def classes_of(known: Labels) -> NDArray[np.uint8]:
    """(h, w) VOC's class of each pixel."""
    return np.where(known.kinds >= PERSON, PERSON_CLASS, np.where(known.kinds == CAR, CAR_CLASS, 0)).astype(np.uint8)


def semantics(known: Labels) -> NDArray[np.uint8]:
    """VOC's classes, with void along every object's outline and where the own hood is."""
    classes = classes_of(known)
    inside = np.where(classes > 0, known.vehicles + 1, 0).astype(np.float32)
    outline = cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    return np.where(outline | (known.kinds == HOOD), IGNORE, classes).astype(np.uint8)


def objects(known: Labels) -> list[tuple[Any, ...]]:
    """PASCAL-Part's objects: class, class_ind, mask, parts."""
    classes = classes_of(known)
    found = []
    for number in np.unique(known.vehicles[classes > 0]):
        mask = (known.vehicles == number) & (classes > 0)
        if mask.sum() < SMALLEST_PX:
            continue
        label = int(classes[mask][0])
        parts = parts_of(known, mask) if label == PERSON_CLASS and mask.sum() >= PARTS_FROM_PX else np.zeros((0, 0))
        found.append((NAMES[label], np.array([[label]], np.uint8), mask.astype(np.uint8), parts))
    return found


def parts_of(known: Labels, mask: NDArray[np.bool_]) -> NDArray[Any]:
    """(1, n) part_name and mask of each part that is to be seen."""
    seen = [(part, (mask & (known.kinds == PERSON + k)).astype(np.uint8)) for k, part in enumerate(PARTS)]
    return np.array([(part, some) for part, some in seen if some.any()], dtype=PART)[None]


def saliency(known: Labels) -> NDArray[np.uint8]:
    """Grey: what stands out, softly."""
    near = (classes_of(known) > 0) & (known.depth_m > 0) & (known.depth_m < SALIENT_M)
    return np.asarray(cv2.GaussianBlur(np.where(near, 255, 0).astype(np.uint8), (0, 0), SOFT_PX), dtype=np.uint8)


def label_map(known: Labels) -> NDArray[np.uint16]:
    table = np.zeros(max(CONTEXT) + 1, dtype=np.uint16)
    table[list(CONTEXT)] = list(CONTEXT.values())
    return table[known.kinds]


def voc_palette() -> list[int]:
    """VOC's colours: the bits of a class spread over red, green and blue, from the highest down."""
    numbers, colors = np.arange(256), np.zeros((256, 3), dtype=np.int64)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= ((numbers >> (3 * bit + channel)) & 1) << (7 - bit)
    return [int(value) for value in colors.ravel()]


def write_palette(path: Path, classes: NDArray[np.uint8]) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(classes)
    image.putpalette(voc_palette())
    image.save(path)


def write_mat(path: Path, values: dict[str, Any]) -> None:
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, values, do_compression=True)


def lists(out: Path, pictures: dict[str, list[dict[str, Any]]]) -> None:
    """Names of a split's pictures; which objects each has, written as astmt writes it."""
    for kind in ("Context", "Parts"):
        (out / "ImageSets" / kind).mkdir(parents=True, exist_ok=True)
    for split, some in pictures.items():
        names = "".join(f"{one['name']}\n" for one in some)
        (out / "ImageSets" / "Context" / f"{split}.txt").write_text(names, encoding="utf-8")
        entries = ",\n\t".join(f"{json.dumps(one['name'])}: {json.dumps(one['objects'])}" for one in some)
        (out / "ImageSets" / "Parts" / f"{split}.txt").write_text("{\n\t" + entries + "\n}\n", encoding="utf-8")
