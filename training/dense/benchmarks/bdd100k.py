"""BDD100K on disk, in its official layout and in the one that YOLOP's code reads.

    official   images/100k/{train,val}/NAME.jpg
               labels/drivable/masks/{train,val}/NAME.png      0 direct, 1 alternative, 2 background
               labels/lane/masks/{train,val}/NAME.png          bits, see `is_lane`
               labels/det_20/det_{train,val}.json              Scalabel frames
    YOLOP's    images/{train,val}/NAME.jpg, da_seg_annotations/ and ll_seg_annotations/{train,val}/NAME.png,
               det_annotations/{train,val}/NAME.json

Sources: bdd100k's doc/source/format.rst and label/to_mask.py; hustvl/YOLOP, lib/dataset.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.errors import SourceError
from training.dense.benchmarks.files import json_file, labelled, picture
from training.dense.benchmarks.splits import SPLITS, Listed, refs_of
from training.dense.scene import Scene, SceneRef, Vehicles

VEHICLES = ("car", "bus", "truck", "train")
LOOKALIKES = ("other vehicle", "trailer")  # the official evaluation ignores them, as cars and as trucks
BACKGROUND_BIT, LANE_BITS = 8, 0b110111  # of a lane's byte: set, there is no lane; category, style and direction

BY_FOLDER = True  # pictures are all of a folder


def is_here(root: Path) -> bool:
    """Whether the folder holds one of the two layouts."""
    return any(_folder(root, theirs).is_dir() for theirs in ("train", "val"))


def _folder(root: Path, theirs: str) -> Path:
    official = root / "images" / "100k"
    return official / theirs if official.is_dir() else root / "images" / theirs


def index(root: Path, split: str) -> list[SceneRef]:
    """Pictures of one of our splits; see `refs_of`."""
    theirs = SPLITS[split]
    return refs_of(listed(root, theirs), drive_of, _folder(root, theirs), split)


def drive_of(name: str) -> str:
    """The first part of a name: what pictures of one drive share."""
    return name.split("-")[0]


def listed(root: Path, theirs: str) -> Listed:
    """Names of the pictures of one of the benchmark's splits, and what finds a picture's files by its name."""
    folder = _folder(root, theirs)
    names = sorted(path.stem for path in folder.glob("*.jpg"))
    records = None
    if names and folder.parent.name == "100k":
        records = _scalabel(root / "labels" / "det_20" / f"det_{theirs}.json")
    return names, lambda name: _ref(root, folder, theirs, name, records)


def _ref(root: Path, folder: Path, theirs: str, name: str, records: dict[str, Any] | None) -> SceneRef:
    image = folder / f"{name}.jpg"
    if records is None:
        kinds = {"drivable_area": "da_seg_annotations", "lane_lines": "ll_seg_annotations"}
        files = {task: root / kind / theirs / f"{name}.png" for task, kind in kinds.items()}
        return SceneRef(name, image, files | {"vehicles": root / "det_annotations" / theirs / f"{name}.json"})
    if image.name not in records:
        raise SourceError(
            f"det_{theirs}.json has no entry for {image.name}; every picture needs one, if only an empty one"
        )
    kinds = {"drivable_area": "drivable", "lane_lines": "lane"}
    files = {task: root / "labels" / kind / "masks" / theirs / f"{name}.png" for task, kind in kinds.items()}
    return SceneRef(name, image, files, records[image.name])


def _scalabel(path: Path) -> dict[str, Any]:
    """Picture's file name -> its labels. Scalabel writes a list of frames, or one under "frames"."""
    found = json_file(path)
    frames = found.get("frames") if isinstance(found, dict) else found
    if not isinstance(frames, list):
        raise SourceError(f"{path}: got {type(frames).__name__}, expected Scalabel's list of frames")
    for number, frame in enumerate(frames):
        if not (isinstance(frame, dict) and isinstance(frame.get("name"), str)):
            raise SourceError(f"{path}: frame {number} has no name, expected a picture's file name")
        if not isinstance(frame.get("labels"), list | None):
            raise SourceError(f"{path}: {frame['name']}: labels are no list")
    return {frame["name"]: frame.get("labels") or [] for frame in frames}


def read(ref: SceneRef) -> Scene:
    """Picture and truth, in the picture's own size. A SourceError names the file and what is wrong with it."""
    image = picture(ref.image)
    size = image.shape[:2]
    drivable, lanes = (labelled(ref.files[task], size) for task in ("drivable_area", "lane_lines"))
    if ref.record is None:  # YOLOP's
        area = np.where(drivable > 1, 0, 2).astype(np.uint8)  # it does not tell direct from alternative
        lane, vehicles = lanes > 1, yolop_vehicles(json_file(ref.files["vehicles"]), ref.files["vehicles"])
    else:
        if drivable.max() > 2:
            raise SourceError(f"{ref.files['drivable_area']}: holds {drivable.max()}, expected 0, 1 and 2")
        area, lane = drivable, is_lane(lanes, ref.files["lane_lines"])
        vehicles = scalabel_vehicles(ref.record, ref.name)
    return Scene(ref.name, image, {"vehicles": vehicles, "drivable_area": area, "lane_lines": lane.astype(np.uint8)})


def is_lane(lanes: NDArray[np.uint8], path: Path) -> NDArray[np.bool_]:
    """(h, w) bytes -> where a lane is drawn. Bit 3 set: none. Else category (bits 0 to 2), style (4), direction (5):
    byte 0 is a lane, a crosswalk's solid parallel line."""
    drawn = (lanes & BACKGROUND_BIT) == 0
    odd = drawn & (lanes & ~np.uint8(LANE_BITS) != 0)
    if odd.any():
        raise SourceError(
            f"{path}: holds {int(lanes[odd][0])}, expected bit 3 (no lane) or category + 16 style + 32 direction"
        )
    return np.asarray(drawn)


def lane_byte(category: int, *, dashed: bool, vertical: bool) -> int:
    """category: 0 crosswalk, 1 double other, 2 double white, 3 double yellow, 4 road curb, 5 single other, 6 single
    white, 7 single yellow."""
    return category + 16 * dashed + 32 * vertical


def scalabel_vehicles(labels: Iterable[dict[str, Any]], name: str) -> Vehicles:
    """Boxes of one Scalabel frame. Its x2 and y2 are the last pixel's: the official width is x2 - x1 + 1."""
    boxes, ignored = [], []
    for label in labels:
        category, box = label.get("category"), label.get("box2d")
        if category not in (*VEHICLES, *LOOKALIKES) or box is None:
            continue
        corners = corners_of(box, name)
        boxes.append([corners[0], corners[1], corners[2] + 1, corners[3] + 1])
        ignored.append(category in LOOKALIKES or bool((label.get("attributes") or {}).get("crowd")))
    return Vehicles(np.array(boxes, dtype=np.float32).reshape(-1, 4), np.array(ignored, dtype=bool))


def yolop_vehicles(record: dict[str, Any], path: Path) -> Vehicles:
    """Boxes of the form that YOLOP reads, whose width is x2 - x1."""
    try:
        objects = record["frames"][0]["objects"]
        found = [corners_of(o["box2d"], path) for o in objects if o["category"] in VEHICLES]
    except (KeyError, IndexError, TypeError) as error:
        raise SourceError(f"{path}: no frames[0].objects[] with category and box2d ({error!r})") from error
    return Vehicles(np.array(found, dtype=np.float32).reshape(-1, 4), np.zeros(len(found), dtype=bool))


def corners_of(box: Any, where: object) -> list[float]:
    """x1, y1, x2, y2 of a box2d. where: whose it is, for the message."""
    try:
        corners = [float(box[key]) for key in ("x1", "y1", "x2", "y2")]
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{where}: box2d {box!r}, expected numbers x1, y1, x2 and y2") from error
    if not (np.isfinite(corners).all() and corners[2] >= corners[0] and corners[3] >= corners[1]):
        raise SourceError(f"{where}: box {corners}, expected x1 <= x2 and y1 <= y2")
    return corners
