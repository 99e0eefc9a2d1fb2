"""Cityscapes as NumPy files: read right or refused, and what inverse depth means at another size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.dense_tasks import CITYSCAPES_SMALL
from codriver.errors import SourceError
from training.data.__main__ import main as data
from training.dense.benchmarks.cityscapes_small import index, is_here, read
from training.dense.geometry import IGNORE, LabelLetterbox
from training.dense.kinds import inverse_depth
from training.dense.zoom import Zoom
from training.train import main as train

pytestmark = pytest.mark.torch
SIZE = (16, 32)
TASK = CITYSCAPES_SMALL["inverse_depth"]


def write(root: Path, split: str, number: int, **bad: Any) -> None:
    rng = np.random.default_rng(number)
    made = {
        "image": rng.random((*SIZE, 3)).astype(np.float32),
        "label": rng.integers(-1, 7, SIZE).astype(np.float32),
        "depth": (rng.random((*SIZE, 1)) * (rng.random((*SIZE, 1)) < 0.8)).astype(np.float64),
    }
    for kind, values in (made | bad).items():
        (root / split / kind).mkdir(parents=True, exist_ok=True)
        np.save(root / split / kind / f"{number}.npy", values)


def test_colours_classes_and_inverse_depth_are_read_as_they_stand(tmp_path: Path) -> None:
    image = np.zeros((*SIZE, 3), np.float32)
    image[..., 0] = 1.0  # red
    write(tmp_path, "val", 0, image=image)
    scene = read(index(tmp_path, "test")[0])
    assert scene.image[0, 0].tolist() == [0, 0, 255]
    label, depth = (np.load(tmp_path / "val" / kind / "0.npy") for kind in ("label", "depth"))
    assert np.array_equal(scene.truth["semantics"], np.where(label < 0, IGNORE, label).astype(np.uint8))
    assert np.array_equal(scene.truth["inverse_depth"], depth[..., 0].astype(np.float32))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"image": np.full((*SIZE, 3), 255.0)}, "image/0.npy: holds 255 to 255, expected colours from 0 to 1"),
        ({"image": np.zeros((3, *SIZE), np.float32)}, r"image/0.npy: got \(3, 16, 32\), expected \(h, w, 3\)"),
        ({"image": np.zeros((*SIZE, 3), np.uint8)}, "image/0.npy: got uint8, expected an array of floats"),
        ({"label": np.full(SIZE, 7)}, r"label/0.npy: holds 7, expected -1 \(unknown\) and 0 to 6"),
        ({"label": np.full(SIZE, 0.5)}, "label/0.npy: holds 0.5"),
        ({"label": np.zeros((8, 32))}, r"label/0.npy: got \(8, 32\), expected the picture's \(16, 32\)"),
        ({"depth": np.full((*SIZE, 1), -0.1)}, "depth/0.npy: holds -0.1, expected inverse depth"),
        ({"depth": np.full((*SIZE, 1), np.nan)}, "depth/0.npy: 512 numbers are not finite"),
        ({"depth": np.zeros(SIZE)}, r"depth/0.npy: got \(16, 32\), expected the picture's \(16, 32, 1\)"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_file(bad: dict[str, Any], message: str, tmp_path: Path) -> None:
    write(tmp_path, "val", 0, **bad)
    with pytest.raises(SourceError, match=message):
        read(index(tmp_path, "test")[0])


def test_a_twin_with_normals_is_not_taken_for_it(tmp_path: Path) -> None:
    write(tmp_path, "train", 0)
    assert is_here(tmp_path)
    (tmp_path / "train" / "normal").mkdir()
    assert not is_here(tmp_path)


def test_the_check_reads_all_and_names_a_label_without_a_picture_and_a_missing_one(tmp_path: Path, capsys: Any) -> None:
    for split in ("train", "val"):
        write(tmp_path, split, 3)
    assert data(["check", str(tmp_path)]) == 0
    assert "cityscapes-small: 1 pictures of train, 1 pictures of val" in capsys.readouterr().out
    (tmp_path / "train" / "depth" / "3.npy").rename(tmp_path / "train" / "depth" / "4.npy")
    assert data(["check", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert f"{Path('train/depth/3.npy')} is missing" in said and f"{Path('train/depth/4.npy')} has no picture" in said


def test_a_model_trains_on_it(tmp_path: Path) -> None:
    for number in range(0, 240, 12):  # a dozen of neighbours falls to one split
        write(tmp_path / "data", "train", number)
    write(tmp_path / "data", "val", 0)
    command = ["--task-set", "cityscapes-small", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert train([*command, "--epochs", "1", "--batch", "4", "--workers", "0"]) == 0


def test_another_size_is_as_far_and_a_part_enlarged_looks_nearer() -> None:
    truth = np.full((64, 128), 0.2, dtype=np.float32)
    assert np.unique(inverse_depth.fitted(TASK, truth, LabelLetterbox((64, 128), (32, 64)))).tolist() == [
        np.float32(0.2)
    ]
    nearer = inverse_depth.fitted(TASK, truth, Zoom((64, 128), 2.0, 10.0, 20.0))  # type: ignore[arg-type]
    assert np.unique(nearer).tolist() == [np.float32(0.4)]


def test_errors_are_pooled_over_known_pixels_or_means_of_pictures() -> None:
    rng = np.random.default_rng(0)
    metric, off, shares, means = inverse_depth.Metric(TASK), [], [], []
    for count in (5, 30, 0):
        truth = np.zeros(40, np.float32)
        truth[:count] = rng.uniform(0.1, 1, count)
        answered = rng.uniform(-0.2, 1, 40).astype(np.float32)
        metric.add(answered.reshape(5, 8), truth.reshape(5, 8))
        own = [abs(max(float(a), 0) - float(t)) for a, t in zip(answered, truth, strict=True) if t > 0]
        off += own
        shares += [some / float(t) for some, t in zip(own, truth, strict=False)]
        means += [sum(own) / len(own)] if own else []
    scores = metric.scores()
    assert scores["abs_err"] == pytest.approx(np.mean(off)) and scores["rel_err"] == pytest.approx(np.mean(shares))
    assert scores["abs_err_mean_over_pictures"] == pytest.approx(np.mean(means))
