"""Cabins without a driver, and with others in the car."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("tqdm")

from codriver.sources.aide import read_annotation
from training.footage.clip import RenderedClip
from training.footage.scenes import SCENES, StagedCabin, poses
from training.footage.spec import ClipSpec
from training.scenes import main, write_scenes

LABELS = {
    "driver_emotion": "Peace",
    "driver_behavior": "Normal Driving",
    "traffic_context": "Smooth Traffic",
    "vehicle_behavior": "Forward Moving",
}
SPEC = ClipSpec(7, 3, LABELS)


def first_frame(name: str) -> np.ndarray:
    return next(iter(StagedCabin(name, SPEC).frames([0]))).astype(int)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "out"
    write_scenes(out, each=1, seed=4, workers=1)
    return out


def test_the_same_seed_draws_the_same_bytes_whatever_the_number_of_workers(scenes: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / "again", each=1, seed=4, workers=2)
    files = sorted(path.relative_to(scenes) for path in scenes.rglob("*") if path.is_file())
    assert len(files) == 6 * 16 + 1
    assert all((scenes / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)


def test_a_driver_alone_in_the_cabin_looks_as_in_a_drive() -> None:
    """The scenes draw on the same cabin: with a driver and nobody else they are the footage itself."""
    drive = next(iter(RenderedClip(SPEC).frames("incar", [0]))).astype(int)
    companion = first_frame("driver_and_passenger")
    assert np.array_equal(drive[:, 200:], companion[:, 200:]) and not np.array_equal(drive, companion)


def test_the_driver_is_where_the_annotation_says_and_nowhere_without_one() -> None:
    x, y, width, height = (round(v) for v in poses("driver_and_passenger", SPEC)[0]["result"][0]["face_bbox"])
    face = np.s_[y : y + height, x : x + width]
    with_driver, empty = first_frame("driver_and_passenger"), first_frame("empty_seat")
    assert np.abs(with_driver[face] - empty[face]).mean() > 20
    assert np.abs(first_frame("passenger_only")[face] - empty[face]).mean() < 5


def test_a_covered_lens_shows_hardly_any_detail() -> None:
    images = (first_frame(name).astype(np.uint8) for name in ("empty_seat", "covered_lens"))
    sharp, covered = (cv2.Laplacian(cv2.resize(i, (32, 18), interpolation=cv2.INTER_AREA), cv2.CV_64F) for i in images)
    assert covered.std() < 0.2 * sharp.std()


def test_an_annotation_names_the_driver_alone(scenes: Path) -> None:
    for name, scene in SCENES.items():
        said = read_annotation(scenes / name / "0001.json")
        visible = scene.driver and not scene.covered
        assert (len(said.drivers), len(said.nobody)) == ((45, 0) if visible else (0, 45)), name
    assert set(json.loads((scenes / "scenes.json").read_text())["scenes"]) == set(SCENES)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main([str(tmp_path), "--each", "1", "--seed", "1"]) == 2 and "exists" in capsys.readouterr().err
    assert main([str(tmp_path / "new"), "--each", "0", "--seed", "1"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
