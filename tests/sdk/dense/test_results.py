"""From a graph's outputs to results: each kind against a reference written apart from the code."""

from __future__ import annotations

import json

import numpy as np
import pytest

from codriver.dense.boxes import MOST, boxes_of
from codriver.dense.letterbox import Letterbox
from codriver.dense.results import Boxes, Map, Segmentation, read_outputs
from codriver.dense.spec import BOX_STRIDES, DenseSpec
from tests.tiny_road import EVERY_KIND, SPEC

BOX = Letterbox((90, 160), (64, 96))


def outputs_for(spec: DenseSpec) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    return {name: random.normal(0, 2, shape).astype(np.float32) for name, shape in spec.outputs.items()}


def test_boxes_are_those_of_the_formula_cell_by_cell() -> None:
    maps = [np.full((5, 64 // s, 96 // s), -9, np.float32) for s in BOX_STRIDES]
    maps[1][:, 2, 3] = (2.0, 0.5, 1.0, 1.5, -0.5)  # cell of stride 16, middle at x 56, y 40
    boxes, scores = boxes_of(maps, BOX, 0.2)
    sides = 16 * np.log1p(np.exp([0.5, 1.0, 1.5, -0.5]))
    network = np.array([56 - sides[0], 40 - sides[1], 56 + sides[2], 40 + sides[3]])
    scale, top = 54 / 90, 5  # 160x90 fits as 96x54, with bars of five rows
    expected = [network[0] / scale, (network[1] - top) / scale, network[2] / scale, (network[3] - top) / scale]
    assert boxes == pytest.approx(np.clip([expected], 0, [160, 90, 160, 90]), rel=1e-5)
    assert scores == pytest.approx([1 / (1 + np.exp(-2.0))])


def test_the_boxes_are_those_that_training_learns_by() -> None:
    torch = pytest.importorskip("torch")
    from training.dense.kinds import detection

    maps = [values[0] for name, values in outputs_for(SPEC).items() if name.startswith("vehicles")]
    logits, sides = detection.flattened([torch.from_numpy(m)[None] for m in maps])
    middles, strides = detection.cells([m.shape[1:] for m in maps])
    corners = detection.as_boxes(sides, middles, strides)[0].numpy()
    boxes, scores = boxes_of(maps, BOX, 0.001)
    every = BOX.boxes_back(corners)
    for box, score in zip(boxes, scores, strict=True):
        same = np.isclose(logits.sigmoid()[0].numpy(), score, atol=1e-6)
        assert np.abs(every[same] - box).max(axis=1).min() < 1e-2


def test_there_are_never_more_boxes_than_promised() -> None:
    random = np.random.default_rng(0)
    maps = [random.normal(3, 1, (5, 640 // s, 960 // s)).astype(np.float32) - 3 for s in BOX_STRIDES]
    assert len(boxes_of(maps, Letterbox((640, 960), (640, 960)), 0.01)[0]) == MOST


def test_every_kind_gives_what_its_task_asks_for() -> None:
    raw = outputs_for(EVERY_KIND)
    found = read_outputs(EVERY_KIND, raw, Letterbox((48, 96), (32, 64)), 1.5)
    semantics, depth, normals, edges = (found[name] for name in EVERY_KIND.tasks)
    assert isinstance(semantics, Segmentation) and semantics.labels[0] == "wall"
    for row, column in ((0, 0), (3, 9), (7, 15)):
        assert semantics.classes[row, column] == max(range(40), key=lambda k: raw["semantics"][0, k, row, column])
    assert isinstance(depth, Map) and depth.unit == "m" and depth.values.min() == 0
    assert isinstance(normals, Map) and np.linalg.norm(normals.values, axis=2) == pytest.approx(1, abs=1e-5)
    assert isinstance(edges, Map) and 0 <= edges.values.min() <= edges.values.max() <= 1
    assert all(result.t == 1.5 and result.valid for result in found.values())


def test_a_disparity_is_in_the_cameras_pixels_and_becomes_metres_by_the_calibration() -> None:
    spec = DenseSpec(task_set="cityscapes", tasks=("disparity",), height_px=32, width_px=64)
    raw = {"disparity": np.full((1, 1, 8, 16), 5.0, np.float32)}
    (found,) = read_outputs(spec, raw, Letterbox((128, 256), (32, 64)), 0.0).values()
    assert isinstance(found, Map) and np.allclose(found.values, 20) and found.unit == "px"
    assert np.allclose(found.metres(baseline_m=0.2, focal_px=1000), 10)


def test_a_map_comes_over_the_picture_without_the_bars() -> None:
    cells = np.zeros((16, 24), np.uint8)
    cells[:8] = 1
    found = Segmentation(kind="segmentation", values=cells, box=BOX, labels=("a", "b"))
    whole = found.on(90, 160)
    assert whole.shape == (90, 160) and (whole[:44] == 1).all() and (whole[46:] == 0).all()
    assert found.on(45, 80).shape == (45, 80)
    # Bars are rows 0..4 and 59..63 of 64: middles of the cells' rows 1..14 lie inside
    assert len(found.inside) == 14 * 24 and found.to_dict()["shares"] == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("camera", [(1, 300), (300, 1), (2, 299)])
def test_a_picture_thinner_than_a_cell_still_has_figures(camera: tuple[int, int]) -> None:
    """A line of pixels was between the middles of two cells, and its summary an error of NumPy's."""
    found = read_outputs(EVERY_KIND, outputs_for(EVERY_KIND), Letterbox(camera, (32, 64)), 0.0)
    assert all(len(result.inside) for result in found.values() if isinstance(result, Map))
    json.dumps({name: result.to_dict() for name, result in found.items()}, allow_nan=False)


@pytest.mark.parametrize("spec", [SPEC, EVERY_KIND], ids=["road", "room"])
def test_results_are_ready_for_json(spec: DenseSpec) -> None:
    found = read_outputs(spec, outputs_for(spec), Letterbox((90, 160), (spec.height_px, spec.width_px)), 0.0)
    again = json.loads(json.dumps({name: result.to_dict() for name, result in found.items()}, allow_nan=False))
    assert set(again) == set(spec.tasks)
    boxes = found.get("vehicles")
    assert not isinstance(boxes, Boxes) or len(again["vehicles"]["boxes"]) == len(boxes.scores) == len(boxes.labels)
