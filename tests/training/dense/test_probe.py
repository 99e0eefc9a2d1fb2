"""The linear probe finds what is linear in colour and place, learns from known cells, and is judged beside a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.dense.boxes import iou
from codriver.dense_tasks import BDD100K, NYUDV2
from codriver.tasks import TaskSet
from training.dense.evaluate import baselines
from training.dense.geometry import GRID, IGNORE
from training.dense.probe import as_vehicles, features, fitted_probe
from training.dense.scene import Scene, Vehicles

pytestmark = pytest.mark.torch
CELL = 4  # pixels a side


def scene(seed: int) -> Scene:
    """Each cell of the grid has one colour; labels follow from it, or from the place."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*GRID, 3), dtype=np.uint8)
    depth = 1 + image[..., 0].astype(np.float32) / 100
    semantics = np.where(np.arange(GRID[1]) < 20, 0, 1)[None].repeat(GRID[0], axis=0).astype(np.uint8)
    normals = np.stack([image[..., 1] / 255.0 - 0.5, 0 * depth, 0 * depth + 1], axis=2)
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    truth = {"semantics": semantics, "depth": depth, "normals": normals.astype(np.float32)}
    truth["edges"] = (rng.random(GRID) < 0.5).astype(np.uint8)
    grown = {name: some.repeat(CELL, axis=0).repeat(CELL, axis=1) for name, some in truth.items()}
    return Scene(str(seed), image.repeat(CELL, axis=0).repeat(CELL, axis=1), grown)


def test_what_is_linear_in_colour_or_place_is_found() -> None:
    answer, new = fitted_probe(NYUDV2, (scene(k) for k in range(3))), scene(9)
    found = answer(new)
    assert np.abs(found["depth"] - new.truth["depth"]).max() < 0.01
    assert (found["semantics"] == new.truth["semantics"]).mean() > 0.95
    assert np.degrees(np.arccos(np.clip((found["normals"] * new.truth["normals"]).sum(axis=2), -1, 1))).mean() < 5
    assert abs(found["edges"].mean() - 0.5) < 0.05


def test_unknown_cells_teach_nothing() -> None:
    plain, holed = scene(1), scene(1)
    for name, nothing in (("depth", 0), ("semantics", IGNORE), ("normals", 0)):
        holed.truth[name][: 2 * CELL] = nothing
    found = fitted_probe(NYUDV2, [holed])(plain)
    assert np.abs(found["depth"] - plain.truth["depth"]).max() < 0.01
    assert (found["semantics"] == plain.truth["semantics"]).mean() > 0.95


def test_flat_parts_of_a_picture_have_features_that_are_numbers() -> None:
    rng = np.random.default_rng(0)
    image = np.zeros((240, 320, 3), np.uint8)
    image[:90] = rng.integers(0, 256, (90, 320, 3))
    image[150:] = (7, 130, 250)
    assert np.isfinite(features(image)).all()


class Loader:
    """Scenes by number."""

    def read(self, number: int) -> Scene:
        return scene(number)


def test_both_baselines_are_judged() -> None:
    tasks = TaskSet("some", (NYUDV2["depth"],))
    found: dict[str, dict[str, Any]] = baselines(tasks, Loader(), range(3), range(3, 6))  # type: ignore[arg-type]
    assert found["linear_probe"]["depth"].main > 0.99 > found["without_looking"]["depth"].main


def street(seed: int) -> Scene:
    """A bright vehicle on a dark street, and a crowd that is grey."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 40, (240, 400, 3)).astype(np.uint8)
    x, y = (int(some) * 10 for some in rng.integers(2, 10, 2))
    image[y : y + 60, x : x + 80], image[200:240, 300:400] = 230, 120
    boxes = np.array([[x, y, x + 80, y + 60], [300, 200, 400, 240]], dtype=np.float32)
    return Scene(str(seed), image, {"vehicles": Vehicles(boxes, np.array([False, True]))})


def test_boxes_stand_around_cells_that_look_like_vehicles() -> None:
    tasks = TaskSet("some", (BDD100K["vehicles"],))
    answer, new = fitted_probe(tasks, (street(k) for k in range(8))), street(9)
    boxes, scores = answer(new)["vehicles"]
    real = new.truth["vehicles"].boxes[:1]
    assert iou(boxes[:1], real)[0, 0] > 0.8 and scores[0] > 0.5 and (np.diff(scores) <= 0).all()


def test_where_nothing_looks_like_a_vehicle_there_is_no_box() -> None:
    boxes, scores = as_vehicles(np.zeros((*GRID, 1)), (240, 400))
    assert boxes.shape == (0, 4) and scores.shape == (0,)
