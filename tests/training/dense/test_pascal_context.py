"""PASCAL-Context's files: read right, or refused with file and reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy")

from PIL import Image
from scipy.io import savemat

from codriver.errors import SourceError
from training.dense.benchmarks.pascal_context import NYU_CLASSES, edges, index, read
from training.dense.benchmarks.pascal_parts import PART_OF
from training.dense.geometry import IGNORE
from training.dense.kinds.contours import thinned

SIZE = (12, 16)
PALETTE = [k * 37 % 256 for k in range(768)]
OBJECT = [("class", "O"), ("class_ind", "O"), ("mask", "O"), ("parts", "O")]
PART = [("part_name", "O"), ("mask", "O")]


def at(row: int, *, rows: int = 2) -> np.ndarray:
    """A mask of whole rows."""
    mask = np.zeros(SIZE, np.uint8)
    mask[row : row + rows] = 1
    return mask


def person(*parts: tuple[str, Any], number: int = 15) -> tuple[Any, ...]:
    found = np.array([tuple(part) for part in parts], dtype=PART)[None] if parts else np.zeros((0, 0))
    return ("person", np.uint8([[number]]), at(0, rows=12), found)


def write(path: Path, pixels: Any, *, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels))
    if palette:
        image.putpalette(PALETTE)
    image.save(path)


def write_parts(path: Path, *objects: tuple[Any, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    anno = {"imname": "2008_000001", "objects": np.array(list(objects), dtype=OBJECT)[None]}
    savemat(path, {"anno": anno})


def pascal(
    root: Path,
    *objects: tuple[Any, ...],
    semantics: Any = None,
    saliency: Any = None,
    normals: Any = None,
    label_map: Any = None,
    **how: bool,
) -> Path:
    """One picture of the benchmark's val."""
    for kind, text in (("Context", "2008_000001\n"), ("Parts", "")):
        (root / "ImageSets" / kind).mkdir(parents=True, exist_ok=True)
        if text:
            (root / "ImageSets" / kind / "val.txt").write_text(text)
    write(root / "JPEGImages/2008_000001.jpg", np.zeros((*SIZE, 3), np.uint8))
    write(root / "semseg/VOC12/2008_000001.png", np.zeros(SIZE, np.uint8) if semantics is None else semantics, **how)
    write(root / "sal_distill/2008_000001.png", np.zeros(SIZE, np.uint8) if saliency is None else saliency)
    write_parts(root / "human_parts/2008_000001.mat", *objects)
    write(root / "normals_distill/2008_000001.png", np.full((*SIZE, 3), 128, np.uint8) if normals is None else normals)
    path = root / "pascal-context/trainval/2008_000001.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"LabelMap": np.full(SIZE, 324, np.uint16) if label_map is None else label_map})
    return root


def list_parts(root: Path, **entries: Any) -> None:
    (root / "ImageSets/Parts/val.txt").write_text(json.dumps({f"2008_{key[1:]}": v for key, v in entries.items()}))


def truth(root: Path) -> Any:
    return read(index(root, "test")[0]).truth


@pytest.mark.parametrize("palette", [True, False])
def test_classes_are_a_palettes_numbers_or_grey_and_255_is_void(palette: bool, tmp_path: Path) -> None:
    classes = np.arange(192).reshape(SIZE).astype(np.uint8) % 21
    classes[3] = 255
    assert np.array_equal(truth(pascal(tmp_path, semantics=classes, palette=palette))["semantics"], classes)


def test_classes_of_voc_come_before_those_of_context(tmp_path: Path) -> None:
    pascal(tmp_path, semantics=np.full(SIZE, 15, np.uint8))
    write(tmp_path / "semseg/pascal-context/2008_000001.png", np.full(SIZE, 7, np.uint8))
    assert np.unique(truth(tmp_path)["semantics"]).tolist() == [15]
    (tmp_path / "semseg/VOC12/2008_000001.png").unlink()
    assert np.unique(truth(tmp_path)["semantics"]).tolist() == [7]


def test_what_stands_out_is_above_127(tmp_path: Path) -> None:
    grey = np.zeros(SIZE, np.uint8)
    grey[0], grey[1], grey[2] = 127, 128, 255
    found = truth(pascal(tmp_path, saliency=grey))["saliency"]
    assert found[:4, 0].tolist() == [0, 1, 1, 0]


def test_parts_are_merged_into_six_and_later_persons_lie_over_earlier_ones(tmp_path: Path) -> None:
    first = person(("hair", at(0)), ("neck", at(2)), ("rhand", at(4)), ("lfoot", at(6)))
    second = person(("luarm", at(3)), ("ruleg", at(8)))
    found = truth(pascal(tmp_path, first, second))["human_parts"]
    assert found[:, 0].tolist() == [1, 1, 2, 3, 3, 4, 6, 6, 5, 5, 0, 0]


def test_every_part_of_pascals_list_has_a_class() -> None:
    assert len(PART_OF) == 24 and sorted(set(PART_OF.values())) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "objects",
    [(), (person(),), (person(("head", np.zeros(SIZE, np.uint8))),), (person(("head", at(0)), number=12),)],
    ids=["no objects", "a person without parts", "an empty mask", "a dog's parts"],
)
def test_a_picture_without_a_persons_parts_is_ignored_as_a_whole(objects: Any, tmp_path: Path) -> None:
    assert (truth(pascal(tmp_path, *objects))["human_parts"] == IGNORE).all()


def test_the_list_says_which_pictures_have_persons_large_enough(tmp_path: Path) -> None:
    pascal(tmp_path, person(("head", at(0))))
    list_parts(tmp_path, _000001=[15])
    assert (truth(tmp_path)["human_parts"] == 1).any()
    list_parts(tmp_path, _000001=[-1])
    assert (truth(tmp_path)["human_parts"] == IGNORE).all()


def test_a_list_that_says_something_else_than_the_file_is_refused(tmp_path: Path) -> None:
    pascal(tmp_path, person(("head", at(0))))
    list_parts(tmp_path, _000001=[7, 15])
    with pytest.raises(SourceError, match=r"000001\.mat: holds objects of classes \[15\], but the list.*\[7, 15\]"):
        truth(tmp_path)
    list_parts(tmp_path, _000002=[15])
    with pytest.raises(SourceError, match=r"Parts/val\.txt has no entry for 2008_000001"):
        truth(tmp_path)


def test_normals_are_red_green_blue_of_length_1_and_known_for_nyus_classes_alone(tmp_path: Path) -> None:
    codes, classes = np.full((*SIZE, 3), 128, np.uint8), np.full(SIZE, 324, np.uint16)  # road: none of NYU's
    codes[2:8] = (255, 128, 128)
    classes[4:], codes[9] = 284, (128, 0, 128)
    found = truth(pascal(tmp_path, normals=codes, label_map=classes))["normals"]
    assert found.dtype == np.float32 and np.allclose(found[4:8], [1, 0, 0], atol=0.01)
    assert np.allclose(found[9], [0, -1, 0], atol=0.01) and np.allclose(np.linalg.norm(found[[4, 9]], axis=-1), 1)
    assert not found[:4].any() and not found[10:].any()  # a road, and codes of 128, which are no normal


def test_nyus_classes_are_the_170_that_context_has_too() -> None:
    assert len(NYU_CLASSES) == len(set(NYU_CLASSES.tolist())) == 170
    assert {59, 284, 355, 427, 440} <= set(NYU_CLASSES.tolist())  # car, person, sign, tvmonitor, wall
    assert not {44, 303, 324, 354, 360, 420, 431} & set(NYU_CLASSES.tolist())  # building, ..., unknown


def test_edges_are_one_pixel_wide_where_classes_change_and_have_gaps_where_equal_steps_cancel(tmp_path: Path) -> None:
    classes = np.full(SIZE, 100, np.uint16)
    classes[:, 8:] = 300
    found = truth(pascal(tmp_path, label_map=classes))["edges"]
    assert np.unique(np.nonzero(found)[1]).tolist() in ([7], [8]) and found.sum() >= SIZE[0] - 2
    stair = np.tile(np.arange(16, dtype=np.uint16) * 10, (12, 1))
    found = truth(pascal(tmp_path, label_map=stair))["edges"]
    assert not found[:, 1:-1].any()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            {"normals": np.zeros(SIZE, np.uint8)},
            r"distill/2008_000001\.png: got uint8 \(12, 16\), expected three colours",
        ),
        ({"normals": np.zeros((12, 8, 3), np.uint8)}, r"got \(12, 8, 3\), expected the picture's"),
        (
            {"label_map": np.zeros((6, 16), np.uint16)},
            r"trainval/2008_000001\.mat: got \(6, 16\), expected",
        ),
        ({"label_map": np.zeros(SIZE)}, "LabelMap is float64 .*expected whole numbers"),
        ({"semantics": np.full(SIZE, 21, np.uint8)}, "VOC12/2008_000001.png: holds 21, expected 0 to 20 and 255"),
        ({"semantics": np.zeros((*SIZE, 3), np.uint8)}, "mode RGB, expected a palette"),
        ({"semantics": np.zeros(SIZE, np.uint16)}, r"mode I;16, expected a palette \(P\) or grey"),
        ({"semantics": np.zeros((6, 16), np.uint8)}, r"got \(6, 16\), expected the picture's \(12, 16\)"),
        ({"saliency": np.zeros((*SIZE, 3), np.uint8)}, "sal_distill/2008_000001.png: got uint8 .*expected grey uint8"),
        ({"saliency": np.zeros((12, 8), np.uint8)}, r"expected the picture's \(12, 16\)"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_file(bad: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        truth(pascal(tmp_path, **bad))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (person(("tail", at(0))), "a person's part 'tail', expected one of hair"),
        (person(("head", np.ones((6, 16), np.uint8))), r"000001\.mat: got \(6, 16\), expected the picture's"),
    ],
)
def test_parts_that_cannot_be_meant_are_refused(bad: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        truth(pascal(tmp_path, bad))


def test_a_mat_file_that_is_cut_off_or_of_something_else_is_refused(tmp_path: Path) -> None:
    path = pascal(tmp_path, person(("head", at(0)))) / "human_parts/2008_000001.mat"
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"no MATLAB", b""):
        path.write_bytes(broken)
        with pytest.raises(SourceError, match=r"human_parts/2008_000001\.mat"):
            truth(tmp_path)
    savemat(path, {"LabelMap": at(0)})
    with pytest.raises(SourceError, match="holds no variable anno"):
        truth(tmp_path)
    savemat(path, {"anno": {"objects": np.array([("x", 1)], dtype=[("class", "O"), ("mask", "O")])[None]}})
    with pytest.raises(SourceError, match="an object without class_ind, parts"):
        truth(tmp_path)


def test_a_missing_label_is_named(tmp_path: Path) -> None:
    (pascal(tmp_path) / "sal_distill/2008_000001.png").unlink()
    with pytest.raises(SourceError, match=r"sal_distill/2008_000001\.png is missing, and 0 more"):
        index(tmp_path, "test")


def test_an_empty_list_of_pictures_is_no_split(tmp_path: Path) -> None:
    pascal(tmp_path)
    (tmp_path / "ImageSets/Context/val.txt").write_text("\n")
    with pytest.raises(SourceError, match=r"Context/val\.txt holds no pictures"):
        index(tmp_path, "test")


def test_edges_are_where_a_pixel_is_not_the_mean_of_its_four_neighbours_thinned() -> None:
    classes = np.random.default_rng(0).integers(1, 5, (9, 11)).repeat(3, axis=0).repeat(3, axis=1).astype(np.int32)
    wide = np.pad(classes, 1, mode="reflect")
    around = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
    assert np.array_equal(edges(classes), thinned(around != 4 * classes))
