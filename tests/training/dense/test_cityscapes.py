"""Cityscapes' files and disparity: codes read right or refused, and what a disparity means at another size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from codriver.dense_tasks import CITYSCAPES
from codriver.errors import SourceError
from training.dense.benchmarks.cityscapes import TRAIN_IDS, disparity_px, index, read
from training.dense.geometry import IGNORE, LabelLetterbox
from training.dense.kinds import disparity

SIZE = (16, 32)
TASK = CITYSCAPES["disparity"]


def write(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.asarray(pixels))


def city(root: Path, *, ids: Any = None, codes: Any = None) -> Path:
    stem = "val/town/town_000001_000019"
    write(root / "leftImg8bit" / f"{stem}_leftImg8bit.png", np.zeros((*SIZE, 3), np.uint8))
    write(root / "gtFine" / f"{stem}_gtFine_labelIds.png", np.full(SIZE, 7, np.uint8) if ids is None else ids)
    write(root / "disparity" / f"{stem}_disparity.png", np.full(SIZE, 257, np.uint16) if codes is None else codes)
    return root


def test_label_ids_become_the_nineteen_classes_in_their_order_and_the_rest_is_ignored() -> None:
    assert [int(TRAIN_IDS[i]) for i in (7, 8, 11, 12, 13, 17, 19, 20, 21, 22)] == list(range(10))
    assert [int(TRAIN_IDS[i]) for i in (23, 24, 25, 26, 27, 28, 31, 32, 33)] == list(range(10, 19))
    assert all(int(TRAIN_IDS[i]) == IGNORE for i in (0, 1, 5, 9, 10, 16, 18, 29, 30, 255))
    assert len(CITYSCAPES["semantics"].labels) == 19


def test_a_code_of_0_is_unknown_and_of_1_is_known_and_far() -> None:
    found = disparity_px(np.array([0, 1, 2, 257, 65535], dtype=np.uint16))
    assert found[0] == 0 and 0 < found[1] < 1e-4
    assert found[2:].tolist() == [1 / 256, 1.0, 65534 / 256]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"ids": np.full(SIZE, 40, np.uint8)}, "holds 40, expected labelIds from 0 to 33"),
        ({"codes": np.full(SIZE, 9, np.uint8)}, "expected grey uint16"),
        ({"codes": np.full((8, 32), 9, np.uint16)}, r"expected the picture's \(16, 32\)"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_file(bad: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        read(index(city(tmp_path, **bad), "test")[0])


def test_void_of_both_kinds_is_ignored_and_a_picture_of_nothing_else_is_read(tmp_path: Path) -> None:
    ids = np.zeros(SIZE, np.uint8)
    ids[:4] = 255  # a licence plate's -1, as other tools write it
    scene = read(index(city(tmp_path, ids=ids, codes=np.zeros(SIZE, np.uint16)), "test")[0])
    assert (scene.truth["semantics"] == IGNORE).all() and not scene.truth["disparity"].any()


@pytest.mark.parametrize("lost", ["gtFine", "disparity"])
def test_a_label_whose_picture_is_missing_is_named_by_the_check(lost: str, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("torch")
    from training.data.__main__ import main as data

    path = next((city(tmp_path) / lost).rglob("*.png"))
    other = path.with_name(path.name.replace("000001", "000002"))
    other.write_bytes(path.read_bytes())
    path.with_name(path.name.replace("labelIds", "color")).write_bytes(path.read_bytes())  # others' files are no labels
    assert data(["check", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert f"{other} has no picture" in said and "1 problems" in said


def test_a_missing_disparity_is_named(tmp_path: Path) -> None:
    city(tmp_path)
    next((tmp_path / "disparity").rglob("*.png")).unlink()
    with pytest.raises(SourceError, match=r"_disparity\.png is missing"):
        index(tmp_path, "test")


def test_half_the_width_has_half_the_disparities_and_back_again() -> None:
    box = LabelLetterbox((64, 128), (32, 64))
    truth = np.full((64, 128), 12.0, dtype=np.float32)
    small = disparity.fitted(TASK, truth, box)
    assert small.shape == (32, 64) and np.unique(small).tolist() == [6.0]
    cells = np.full((1, 8, 16), 6.0, dtype=np.float32)
    assert np.unique(disparity.answer(cells, box)).tolist() == [12.0]


def test_rmse_is_pooled_over_known_pixels_below_80_and_answers_are_not_negative() -> None:
    rng = np.random.default_rng(0)
    metric, squares = disparity.Metric(TASK), []
    for _ in range(3):
        truth = rng.uniform(0.1, 100, (5, 6)).astype(np.float32)
        truth[rng.random((5, 6)) < 0.3] = 0
        answered = (truth + rng.normal(0, 20, (5, 6))).astype(np.float32)
        metric.add(answered, truth)
        pairs = zip(answered.ravel().tolist(), truth.ravel().tolist(), strict=True)
        squares += [(max(a, 0.0) - t) ** 2 for a, t in pairs if 0 < t < 80]
    assert metric.scores()["rmse_px"] == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-5)


def test_the_best_constant_is_the_median_and_costs_one() -> None:
    torch = pytest.importorskip("torch")
    truth = np.tile(np.float32([1, 2, 3, 10]), (16, 4))
    constant = disparity.constant_loss(TASK, [truth])
    assert constant == pytest.approx(np.abs(truth - np.median(truth)).mean())
    unknown = torch.zeros(1, 16, 16)
    assert float(disparity.loss(TASK, torch.ones(1, 1, 4, 4), unknown)) == 0.0
