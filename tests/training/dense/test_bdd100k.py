"""BDD100K's files in both layouts: read right, or refused with file and reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from codriver.errors import SourceError
from training.dense.benchmarks.bdd100k import drive_of, index, lane_byte, read
from training.dense.benchmarks.splits import for_validation

SIZE = (18, 32)
CAR = {"category": "car", "box2d": {"x1": 2, "y1": 3, "x2": 11, "y2": 8}}


def write(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.asarray(pixels))


def official(root: Path, labels: Any = (), *, drivable: Any = None, lanes: Any = None, name: str = "a-1") -> Path:
    """One test picture in the official layout."""
    write(root / "images/100k/val" / f"{name}.jpg", np.zeros((*SIZE, 3), np.uint8))
    grey = np.full(SIZE, 2, np.uint8) if drivable is None else drivable
    write(root / "labels/drivable/masks/val" / f"{name}.png", grey)
    write(root / "labels/lane/masks/val" / f"{name}.png", np.full(SIZE, 255, np.uint8) if lanes is None else lanes)
    boxes = root / "labels/det_20/det_val.json"
    boxes.parent.mkdir(parents=True, exist_ok=True)
    boxes.write_text(json.dumps([{"name": f"{name}.jpg", "labels": list(labels) if labels is not None else None}]))
    return root


def the_only(root: Path) -> Any:
    return read(index(root, "test")[0])


def test_a_byte_of_zero_is_a_lane_and_255_is_none(tmp_path: Path) -> None:
    lanes = np.full(SIZE, 255, np.uint8)
    lanes[4], lanes[9] = 0, lane_byte(7, dashed=True, vertical=True)
    found = the_only(official(tmp_path, lanes=lanes)).truth["lane_lines"]
    assert sorted(set(np.nonzero(found)[0])) == [4, 9]


def test_lane_bytes_hold_category_style_and_direction() -> None:
    assert lane_byte(6, dashed=True, vertical=False) == 0b010110
    assert lane_byte(4, dashed=False, vertical=True) == 0b100100


def test_the_official_box_ends_behind_its_last_pixel(tmp_path: Path) -> None:
    vehicles = the_only(official(tmp_path, [CAR])).truth["vehicles"]
    assert vehicles.boxes.tolist() == [[2, 3, 12, 9]] and vehicles.ignored.tolist() == [False]


@pytest.mark.parametrize(
    "label",
    [CAR | {"category": "other vehicle"}, CAR | {"category": "trailer"}, CAR | {"attributes": {"crowd": True}}],
)
def test_lookalikes_and_crowds_are_ignored_not_dropped(label: dict[str, Any], tmp_path: Path) -> None:
    vehicles = the_only(official(tmp_path, [label])).truth["vehicles"]
    assert vehicles.ignored.tolist() == [True]


def test_pedestrians_and_labels_without_a_box_are_no_vehicles(tmp_path: Path) -> None:
    labels = [CAR | {"category": "pedestrian"}, {"category": "car", "poly2d": []}]
    assert len(the_only(official(tmp_path, labels)).truth["vehicles"].boxes) == 0


@pytest.mark.parametrize("labels", [None, []])
def test_a_picture_without_boxes_is_a_picture(labels: Any, tmp_path: Path) -> None:
    scene = the_only(official(tmp_path, labels))
    assert scene.truth["vehicles"].boxes.shape == (0, 4) and not scene.truth["lane_lines"].any()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"drivable": np.full(SIZE, 3, np.uint8)}, "holds 3, expected 0, 1 and 2"),
        ({"drivable": np.zeros((9, 32), np.uint8)}, r"expected the picture's \(18, 32\)"),
        ({"drivable": np.zeros((*SIZE, 3), np.uint8)}, "expected grey uint8"),
        ({"drivable": np.zeros(SIZE, np.uint16)}, "uint16"),
        ({"lanes": np.full(SIZE, 64, np.uint8)}, "holds 64"),
        ({"labels": [CAR | {"box2d": {"x1": 9, "y1": 1, "x2": 3, "y2": 4}}]}, "x1 <= x2"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_file(bad: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        the_only(official(tmp_path, **bad))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ('{"pictures": []}', "got NoneType, expected Scalabel's list of frames"),
        ('[{"labels": []}]', "frame 0 has no name"),
        ('["a-1.jpg"]', "frame 0 has no name"),
        ('[{"name": "a-1.jpg", "labels": {}}]', r"a-1\.jpg: labels are no list"),
        ('[{"name": "a-1.jpg", "labels": [{"category": "car", "box2d": {"x1": 1}}]}]', "expected numbers x1, y1, x2"),
        ('[{"name": "a-1.jpg", "labels": [{"category": "car", "box2d": 7}]}]', "box2d 7, expected numbers"),
    ],
)
def test_a_list_of_boxes_of_another_form_is_refused(content: str, message: str, tmp_path: Path) -> None:
    """It ended in a KeyError, which a check of the whole folder could not go on after."""
    (official(tmp_path) / "labels/det_20/det_val.json").write_text(content)
    with pytest.raises(SourceError, match=message):
        the_only(tmp_path)


def test_a_missing_mask_is_named(tmp_path: Path) -> None:
    official(tmp_path)
    (tmp_path / "labels/lane/masks/val/a-1.png").unlink()
    with pytest.raises(SourceError, match=r"lane/masks/val/a-1\.png is missing, and 0 more"):
        index(tmp_path, "test")


def test_a_mask_whose_picture_is_missing_is_named_by_the_check(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("torch")
    from training.data.__main__ import main as data

    official(tmp_path)
    write(tmp_path / "labels/lane/masks/val/b-1.png", np.full(SIZE, 255, np.uint8))
    assert data(["check", str(tmp_path)]) == 1
    assert "lane/masks/val/b-1.png has no picture" in capsys.readouterr().out


def test_a_picture_that_the_list_of_boxes_lacks_is_named(tmp_path: Path) -> None:
    official(tmp_path)
    write(tmp_path / "images/100k/val/b-1.jpg", np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(SourceError, match=r"no entry for b-1\.jpg"):
        index(tmp_path, "test")


def test_a_damaged_mask_is_refused(tmp_path: Path) -> None:
    official(tmp_path)
    (tmp_path / "labels/drivable/masks/val/a-1.png").write_bytes(b"\x89PNG no more")
    with pytest.raises(SourceError, match="no picture that this OpenCV decodes"):
        the_only(tmp_path)


def yolop(root: Path, objects: Any, **bad: Any) -> Path:
    """One test picture in the form that YOLOP reads."""
    for folder, pixels in (
        ("images", np.zeros((*SIZE, 3), np.uint8)),
        ("da_seg_annotations", np.tile(np.uint8([0, 1, 2, 127]), (18, 8))),
        ("ll_seg_annotations", np.tile(np.uint8([0, 255]), (18, 16))),
    ):
        name = "n-1.jpg" if folder == "images" else "n-1.png"
        write(root / folder / "val" / name, bad.get(folder, pixels))
    boxes = root / "det_annotations/val/n-1.json"
    boxes.parent.mkdir(parents=True)
    boxes.write_text(json.dumps({"frames": [{"objects": objects}]}))
    return root


def test_yolops_layout_is_read_by_its_own_rules(tmp_path: Path) -> None:
    scene = the_only(yolop(tmp_path, [CAR, CAR | {"category": "person"}]))
    assert scene.truth["drivable_area"][0, :4].tolist() == [2, 2, 0, 0]
    assert scene.truth["lane_lines"][0, :2].tolist() == [0, 1]
    assert scene.truth["vehicles"].boxes.tolist() == [[2, 3, 11, 8]]


@pytest.mark.parametrize(
    ("objects", "bad", "message"),
    [
        ([CAR | {"box2d": {"x1": 9, "y1": 1, "x2": 3, "y2": 4}}], {}, r"n-1\.json: box .*, expected x1 <= x2"),
        ([CAR | {"box2d": {"x1": "a", "y1": 1, "x2": 3, "y2": 4}}], {}, "expected numbers x1, y1, x2 and y2"),
        ([{"box2d": CAR["box2d"]}], {}, r"n-1\.json: no frames\[0\]\.objects"),
        (None, {}, r"n-1\.json: no frames\[0\]\.objects"),
        ([], {"ll_seg_annotations": np.zeros(SIZE, np.uint16)}, r"ll_seg_annotations.*got uint16"),
        ([], {"da_seg_annotations": np.zeros((9, 32), np.uint8)}, r"da_seg_annotations.*expected the picture's"),
    ],
)
def test_what_cannot_be_meant_in_yolops_layout_is_refused_too(
    objects: Any, bad: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=message):
        the_only(yolop(tmp_path, objects, **bad))


def test_pictures_of_one_drive_are_never_in_train_and_validation() -> None:
    drives = [f"{number:04d}" for number in range(400)]
    kept = {drive: {for_validation(drive_of(f"{drive}-{moment:02d}")) for moment in (8, 22, 36)} for drive in drives}
    assert all(len(found) == 1 for found in kept.values())
    assert 20 <= sum(found == {True} for found in kept.values()) <= 60
