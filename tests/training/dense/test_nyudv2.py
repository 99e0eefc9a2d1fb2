"""NYUD-v2's files in both forms: read right, or refused with file and reason; and rooms that are written in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.dense_tasks import NYUDV2
from codriver.errors import SourceError
from training.data.__main__ import main as data
from training.dense.benchmarks.nyudv2 import drive_of, index, read
from training.dense.geometry import IGNORE
from training.dense.layouts.nyudv2 import edge_codes, normal_codes
from training.dense.model import KINDS
from training.dense.synth import jobs, write_clip
from training.footage.furniture import Block
from training.footage.room import Pose, cast, rays_of, seen

pytestmark = pytest.mark.torch
SIZE = (12, 16)
SPOT = (3, 5)  # row, column of the marked pixel


def write(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        assert cv2.imwrite(str(path), np.asarray(pixels))


def marked(background: Any, spot: Any, dtype: Any) -> np.ndarray:
    values = np.full((*SIZE, *np.shape(spot)), background, dtype)
    values[SPOT] = spot
    return values


PNG = {
    "images": marked(90, (0, 0, 255), np.uint8),
    "segmentation": marked(0, 40, np.uint8),
    "depth": marked(0, 2.5, np.float32),
    "normals": marked(128, (128, 128, 255), np.uint8),  # blue, green, red: points right
    "edge": marked(0, 255, np.uint8),
}
NPY = PNG | {"normals": marked(0, (1, 0, 0), np.float32), "edge": marked(0, 1, np.float32)}
ENDINGS = {"png": ("png", "png", "npy", "png", "png"), "npy": ("jpg", "png", "npy", "npy", "npy")}


def room(root: Path, form: str = "png", **bad: Any) -> Path:
    """One test picture."""
    for (folder, pixels), ending in zip((PNG if form == "png" else NPY).items(), ENDINGS[form], strict=True):
        write(root / folder / f"0007.{ending}", bad.get(folder, pixels))
    (root / "gt_sets").mkdir(exist_ok=True)
    (root / "gt_sets" / "val.txt").write_text(bad.get("val", "0007\n"))
    (root / "gt_sets" / "train.txt").write_text(bad.get("train", ""))
    return root


@pytest.mark.parametrize("form", ["png", "npy"])
def test_one_marked_pixel_is_read_at_its_place_in_every_file_of_both_forms(form: str, tmp_path: Path) -> None:
    scene = read(index(room(tmp_path, form), "test")[0])
    if form == "png":  # JPEG smears one pixel
        assert np.unravel_index(int(scene.image[..., 2].argmax()), SIZE) == SPOT
    assert scene.truth["semantics"][SPOT] == 39 and (scene.truth["semantics"] == IGNORE).sum() == 12 * 16 - 1
    assert scene.truth["depth"][SPOT] == 2.5 and (scene.truth["depth"] > 0).sum() == 1
    assert scene.truth["normals"][SPOT] == pytest.approx([1, 0, 0], abs=0.01)
    assert np.count_nonzero(scene.truth["normals"].any(axis=2)) == 1  # 128 in eight bits is a hole
    assert scene.truth["edges"][SPOT] == 1 and scene.truth["edges"].sum() == 1


def broken(value: float) -> np.ndarray:
    return marked(1.0, value, np.float32)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"segmentation": np.full(SIZE, 41, np.uint8)}, r"segmentation/0007\.png: holds 41, expected 0 \(unknown\)"),
        ({"segmentation": np.zeros((*SIZE, 3), np.uint8)}, "expected grey uint8"),
        ({"segmentation": np.zeros((12, 15), np.uint8)}, r"got \(12, 15\), expected the picture's \(12, 16\)"),
        ({"depth": np.ones(SIZE, np.int32)}, r"depth/0007\.npy: got int32, expected an array of floats"),
        ({"depth": np.ones((*SIZE, 1), np.float32)}, r"got \(12, 16, 1\), expected the picture's \(12, 16\)"),
        ({"depth": broken(np.nan)}, "1 numbers are not finite"),
        ({"depth": broken(-1)}, "holds -1.0, expected metres"),
        ({"normals": np.full(SIZE, 128, np.uint8)}, "expected three colours of uint8"),
        ({"normals": np.full((*SIZE, 3), 128, np.uint16)}, "uint16"),
        ({"edge": np.full(SIZE, 1, np.uint8)}, "holds 1 at most, expected 0 and 255"),
        ({"val": "0007\n0007\n"}, "0007 stands twice in gt_sets"),
        ({"train": "0007\n"}, "0007 stands twice in gt_sets"),
        ({"val": "0007\n0008\n"}, r"images/0008\.png is missing"),
        ({"val": "\n"}, "holds no pictures"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_file(bad: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        read(index(room(tmp_path, **bad), "test")[0])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"normals": np.full((*SIZE, 3), 200, np.float32)}, "holds 200, expected parts of unit vectors"),
        ({"edge": np.full(SIZE, 255, np.float32)}, "holds 255 to 255, expected 0 and 1"),
    ],
)
def test_arrays_that_hold_other_numbers_are_refused(bad: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        read(index(room(tmp_path, "npy", **bad), "test")[0])


def test_a_file_of_objects_or_a_cut_one_is_refused(tmp_path: Path) -> None:
    depth = room(tmp_path) / "depth/0007.npy"
    whole = depth.read_bytes()
    for content in (whole[:-9], whole[:20], b""):
        depth.write_bytes(content)
        with pytest.raises(SourceError, match=r"0007\.npy cannot be read"):
            read(index(tmp_path, "test")[0])
    np.save(depth, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(SourceError, match="cannot be read"):
        read(index(tmp_path, "test")[0])


def test_a_picture_of_which_nothing_is_known_is_read_and_counts_in_no_score(tmp_path: Path) -> None:
    nothing = {"segmentation": np.zeros(SIZE, np.uint8), "depth": np.zeros(SIZE, np.float32)}
    nothing |= {"normals": np.full((*SIZE, 3), 127, np.uint8), "edge": np.zeros(SIZE, np.uint8)}
    truth = read(index(room(tmp_path, **nothing), "test")[0]).truth
    for task, answered in (
        (NYUDV2["semantics"], np.zeros(SIZE, np.uint8)),
        (NYUDV2["depth"], np.ones(SIZE, np.float32)),
        (NYUDV2["normals"], np.ones((*SIZE, 3), np.float32)),
    ):
        metric = KINDS[task.kind].Metric(task)
        assert np.isnan(metric.add(answered, truth[task.name]))
        assert all(value == 0 or np.isnan(value) for value in metric.scores().values())
    assert not truth["edges"].any()


def test_both_forms_of_one_label_side_by_side_are_refused(tmp_path: Path) -> None:
    write(room(tmp_path) / "edge/0007.npy", np.zeros(SIZE, np.float32))
    with pytest.raises(SourceError, match=r"0007\.png lies beside 0007\.npy"):
        index(tmp_path, "test")


def test_a_missing_label_and_a_missing_list_are_named(tmp_path: Path) -> None:
    (room(tmp_path) / "depth/0007.npy").unlink()
    with pytest.raises(SourceError, match=r"depth/0007\.npy is missing"):
        index(tmp_path, "test")
    (tmp_path / "gt_sets/val.txt").unlink()
    with pytest.raises(SourceError, match=r"gt_sets/val\.txt cannot be read"):
        index(tmp_path, "test")


def test_neighbours_are_of_one_place() -> None:
    assert drive_of("img_0001") == drive_of("0012") != drive_of("0013")


def test_a_ray_meets_the_nearest_block_at_its_distance_and_side() -> None:
    wall = Block((5.1, 0, 0), (0.1, 9, 9), 0, 1, 0, (9.0, 9, 9))
    cube = Block((3, 0, 0), (0.5, 0.5, 0.5), np.pi / 4, 7, 1, (9.0, 9, 9))
    pose = Pose((0, 0, 0), 0.0, 0.0)
    depth, which, normals = cast([wall, cube], pose, (41, 61))
    assert depth[20, 30] == pytest.approx(3 - np.sqrt(0.5), abs=0.01) and which[20, 30] == 1
    assert depth[20, 0] == pytest.approx(5) and which[20, 0] == 0
    assert normals[20, 0].tolist() == pytest.approx([-1, 0, 0])
    left_of_edge = normals[20, 28]  # columns to the left look at larger y
    assert left_of_edge.tolist() == pytest.approx([-np.sqrt(0.5), np.sqrt(0.5), 0], abs=1e-5)


def test_depth_and_normals_of_a_room_agree_with_each_other() -> None:
    """Neighbouring points of one flat side differ at right angles to its normal."""
    view = seen(3, 1, 1, (60, 80))[0]
    points = rays_of((60, 80)) * view.depth_m[..., None] * np.float32([1, -1, -1])  # right, up, towards the camera
    step = points[:, 1:] - points[:, :-1]
    same = (view.normals[:, 1:] == view.normals[:, :-1]).all(axis=2) & (view.depth_m[:, 1:] > 0)
    same &= (view.objects[:, 1:] == view.objects[:, :-1]) & (np.linalg.norm(step, axis=2) < 0.2)
    off = np.abs((step * view.normals[:, 1:]).sum(axis=2))[same & (view.classes[:, 1:] <= 2)]
    assert same.mean() > 0.7 and np.quantile(off, 0.99) < 1e-3
    assert np.linalg.norm(view.normals[view.depth_m > 0], axis=1) == pytest.approx(1, abs=1e-4)
    assert (view.normals[..., 2][view.depth_m > 0] > -0.9).all()


def test_rooms_are_read_by_the_benchmarks_loader_to_the_bit(tmp_path: Path) -> None:
    job = next(iter(jobs("nyudv2", tmp_path, 1, 5, (80, 60), 90)))
    names = [one["name"] for one in write_clip("nyudv2", job)]
    (tmp_path / "gt_sets").mkdir()
    (tmp_path / "gt_sets/val.txt").write_text("\n".join(names))
    views = seen(5, 1, 3, (60, 80))
    for ref, view in zip(index(tmp_path, "test"), views, strict=True):
        scene = read(ref)
        assert np.array_equal(scene.image, view.image)
        assert np.array_equal(scene.truth["depth"], view.depth_m)
        assert np.array_equal(scene.truth["semantics"], np.where(view.classes, view.classes.astype(int) - 1, IGNORE))
        assert np.array_equal(scene.truth["edges"] * 255, edge_codes(view.objects))
        assert np.abs(scene.truth["normals"] - view.normals).max() < 0.01
        assert not scene.truth["normals"][view.depth_m == 0].any()


def test_a_hole_among_normals_is_stored_as_128() -> None:
    assert normal_codes(np.zeros((1, 1, 3), np.float32)).tolist() == [[[128, 128, 128]]]
    assert normal_codes(np.float32([[[1, 0, -1]]])).tolist() == [[[0, 128, 255]]]


def test_the_check_counts_and_names_every_bad_file_in_one_pass(tmp_path: Path, capsys: Any) -> None:
    room(tmp_path, edge=np.full(SIZE, 1, np.uint8), val="0007\n0008\n")
    assert data(["check", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "edge/0007.png: holds 1 at most" in said and "images/0008.png is missing" in said and "2 problems" in said
    assert data(["check", str(room(tmp_path))]) == 0
    assert "depth, pixels: known 1" in capsys.readouterr().out
