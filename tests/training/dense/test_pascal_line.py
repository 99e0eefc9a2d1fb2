"""PASCAL-Context from footage: its files are what public code reads, and the line goes from them to scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from PIL import Image
from scipy.io import loadmat

from training.data.__main__ import main as data
from training.dense.benchmarks import pascal_context
from training.dense.benchmarks.pascal_parts import PART_OF
from training.dense.geometry import IGNORE
from training.evaluate import main as evaluate
from training.synth import main as synth
from training.train import main as train

pytestmark = pytest.mark.torch
CONTEXT = {44, 59, 284, 303, 324, 354, 355, 360, 420, 431}  # building, car, person, pole, road, sidewalk, sign, ...


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pascal") / "data"
    small = ["--width", "160", "--height", "112", "--workers", "1"]
    assert synth([str(out), "--layout", "pascal-context", "--clips", "12", "--seed", "7", *small]) == 0
    return out


def names(scenes: Path) -> list[str]:
    return [
        name for split in ("train", "val") for name in (scenes / f"ImageSets/Context/{split}.txt").read_text().split()
    ]


def public_parts(path: Path, size: tuple[int, ...]) -> np.ndarray:
    """As astmt's code takes them from the file: by position, never by name."""
    target = np.zeros(size, np.uint8)
    for one in loadmat(path)["anno"][0][0][1][0]:
        if one[1][0][0] == 15 and len(one[3]) != 0:
            for number in range(len(one[3][0])):
                target[one[3][0][number][1].astype(bool)] = PART_OF[str(one[3][0][number][0][0])]
    return target


def test_parts_read_by_position_as_public_code_reads_them_are_the_loaders(scenes: Path) -> None:
    seen = 0
    for ref in pascal_context.index(scenes, "train"):
        found = pascal_context.read(ref).truth["human_parts"]
        theirs = public_parts(ref.files["human_parts"], found.shape)
        assert np.array_equal(found, theirs if theirs.any() else np.full(theirs.shape, IGNORE))
        seen += theirs.any()
    assert 0 < seen < len(pascal_context.index(scenes, "train"))  # some pictures have nobody


def test_lists_of_parts_are_json_that_names_every_picture_and_its_objects(scenes: Path) -> None:
    for split in ("train", "val"):
        listed = json.loads((scenes / f"ImageSets/Parts/{split}.txt").read_text())
        assert list(listed) == (scenes / f"ImageSets/Context/{split}.txt").read_text().split()
        for name, classes in listed.items():
            objects = loadmat(scenes / f"human_parts/{name}.mat")["anno"][0][0][1][0]
            assert [int(one[1][0][0]) for one in objects] == classes


def test_classes_are_palettes_and_grey_with_void_round_every_object(scenes: Path) -> None:
    modes = set()
    for path in sorted((scenes / "semseg").rglob("*.png")):
        with Image.open(path) as image:
            modes.add((path.parent.name, image.mode))
            if image.mode == "P":
                assert image.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]  # VOC's first four
            classes = np.array(image)
        inside = np.isin(classes, (7, 15))
        beside = np.zeros_like(inside)
        beside[:, 1:] |= inside[:, :-1]
        beside[1:] |= inside[:-1]
        assert not (beside & (classes == 0)).any()
    assert modes == {("VOC12", "P"), ("pascal-context", "L")}


def test_every_pixel_has_a_context_class_and_people_are_people_everywhere(scenes: Path) -> None:
    for name in names(scenes):
        label_map = loadmat(scenes / f"pascal-context/trainval/{name}.mat")["LabelMap"]
        assert label_map.dtype == np.uint16 and set(np.unique(label_map)) <= {
            44,
            59,
            284,
            303,
            324,
            354,
            355,
            360,
            420,
            431,
        }
        parts = public_parts(scenes / f"human_parts/{name}.mat", label_map.shape)
        assert (label_map[parts > 0] == 284).all()


def test_normals_of_people_face_the_camera_and_roads_have_none(scenes: Path) -> None:
    for ref in pascal_context.index(scenes, "train")[:6]:
        found = pascal_context.read(ref).truth["normals"]
        label_map = loadmat(ref.files["edges"])["LabelMap"]
        people = found[label_map == 284]
        assert (np.linalg.norm(people, axis=1) > 0.99).all() and (people[:, 2] > 0).mean() > 0.99
        assert not found[label_map == 324].any()


def test_the_check_finds_nothing_and_names_what_is_broken(scenes: Path, tmp_path: Path, capsys: Any) -> None:
    assert data(["check", str(scenes), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pictures"] == {"train": 30, "val": 6} and found["problems"] == []
    assert found["counts"]["semantics"]["person"] > 0 and found["counts"]["human_parts"]["head"] > 0
    path = scenes / "ImageSets/Parts/val.txt"
    whole = path.read_text()
    path.write_text(whole.replace("7", "15", 1))
    try:
        assert data(["check", str(scenes)]) == 1
        assert "but the list of parts says" in capsys.readouterr().out
    finally:
        path.write_text(whole)


def test_a_run_is_trained_and_scored(scenes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [
        "--task-set",
        "pascal-context",
        "--data",
        str(scenes),
        "--out",
        str(run),
        "--epochs",
        "1",
        "--batch",
        "8",
    ]
    assert train([*command, "--workers", "0"]) == 0
    assert evaluate([str(run), "--data", str(scenes)]) == 0
    tasks = json.loads((run / "evaluation-test/report.json").read_text())["tasks"]
    assert set(tasks) == {"semantics", "human_parts", "saliency", "normals", "edges"}
    assert 0 < tasks["saliency"]["scores"]["maxf"] < 1
