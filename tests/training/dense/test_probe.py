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
from training.dense.kinds.segmentation import best_level, constant
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


LANES = BDD100K["lane_lines"]


def lane(seed: int) -> Scene:
    """A bright line, two cells wide, at one of four places; the left one is the commonest."""
    rng = np.random.default_rng(seed)
    image, truth = np.zeros((*GRID, 3), np.uint8), np.zeros(GRID, np.uint8)
    column = (10, 10, 24, 30)[int(rng.integers(4))]
    image[:, column : column + 2], truth[:, column : column + 2] = 200, 1
    image = np.clip(image + rng.integers(0, 60, (*GRID, 1)), 0, 255).astype(np.uint8)
    grown = (some.repeat(CELL, axis=0).repeat(CELL, axis=1) for some in (image, truth))
    return Scene(str(seed), next(grown), {"lane_lines": next(grown)})


@pytest.mark.parametrize("seed", range(5))
def test_the_level_of_a_thin_class_is_the_best_of_all_there_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    likely, real = rng.random((4, 5)), rng.integers(0, 3, (4, 5))
    known = real + rng.integers(0, 9, (4, 5))

    def iou_at(level: float) -> float:
        on = likely >= level
        return float(real[on].sum() / (known[on].sum() + real[~on].sum()))

    assert iou_at(best_level(likely, real, known)) == pytest.approx(max(map(iou_at, likely.ravel().tolist())))
    assert best_level(likely, 0 * real, known) == np.inf


def test_neither_baseline_of_a_thin_class_answers_that_there_is_none() -> None:
    """Both would if they asked what is likelier: lines are where most pictures have none."""
    tasks, scenes = TaskSet("some", (LANES,)), [lane(k) for k in range(40)]
    plain = constant(LANES, [some.truth["lane_lines"] for some in scenes])((96, 160))
    assert plain[:, 10 * CELL : 12 * CELL].all() and plain.mean() <= 6 / GRID[1]
    found, new = fitted_probe(tasks, scenes)(lane(99))["lane_lines"], lane(99).truth["lane_lines"]
    assert ((found == 1) & (new == 1)).sum() / ((found == 1) | (new == 1)).sum() > 0.8
