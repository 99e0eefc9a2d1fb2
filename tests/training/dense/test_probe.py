"""The linear probe finds what is linear in colour and place, learns from known cells, and is judged beside a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.dense_tasks import NYUDV2
from codriver.tasks import TaskSet
from training.dense.evaluate import ahead, baselines
from training.dense.geometry import GRID, IGNORE
from training.dense.probe import features, fitted_probe
from training.dense.scene import Scene
from training.dense.scores import TaskScores

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


def test_boxes_have_no_probe_and_maps_have_both_baselines() -> None:
    tasks = TaskSet("some", (NYUDV2["depth"],))
    found: dict[str, dict[str, Any]] = baselines(tasks, Loader(), range(3), range(3, 6))  # type: ignore[arg-type]
    assert found["linear_probe"]["depth"].main > 0.99 > found["without_looking"]["depth"].main


def test_being_ahead_is_told_picture_by_picture() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(50)
    model, probe = (TaskScores({}, "", (0.0, 1.0), hard + plus) for plus in (0.1, 0.0))
    low, high = ahead({"depth": model}, {"depth": probe})["depth"]
    assert low == pytest.approx(0.1) and high == pytest.approx(0.1)
