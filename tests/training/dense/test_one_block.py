"""One marked block goes through every geometry, always at its place: lesson, mirror, network, answer, metric."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.dense_tasks import BDD100K, CITYSCAPES, CITYSCAPES_SMALL, NYUDV2, PASCAL_CONTEXT  # noqa: E402
from codriver.tasks import Task, TaskSet  # noqa: E402
from training.dense.geometry import LabelLetterbox  # noqa: E402
from training.dense.lessons import VaryConfig, fitted, varied  # noqa: E402
from training.dense.model import KINDS, DenseUVM3TL, sized  # noqa: E402
from training.dense.scene import Scene, Vehicles  # noqa: E402

pytestmark = pytest.mark.torch
CAMERA, NETWORK = (180, 320), (96, 160)  # half the size, 3 rows of bar above
CELL = (10, 17)  # row and column of the marked cell of a map at stride 4
BLOCK = (slice(74, 82), slice(136, 144))  # of the camera: rows 2 (4 * 10 - 3) on, columns 2 * 4 * 17 on
IN_NETWORK, MIRRORED = (slice(40, 44), slice(68, 72)), (slice(40, 44), slice(88, 92))
MIRROR = VaryConfig(mirror=1.0, brightness=0.0, hue=0.0)
RIGHT, AHEAD = (0.6, 0.0, 0.8), (0.0, 0.0, 1.0)
CASES: list[tuple[Task, Any, Any]] = [  # task, its truth in the block, and elsewhere
    (BDD100K["drivable_area"], 1, 2),
    (BDD100K["lane_lines"], 1, 0),
    (CITYSCAPES["semantics"], 13, 0),
    (CITYSCAPES["disparity"], 24.0, 8.0),
    (CITYSCAPES_SMALL["inverse_depth"], 0.5, 0.2),
    (NYUDV2["depth"], 2.0, 5.0),
    (NYUDV2["normals"], RIGHT, AHEAD),
    (PASCAL_CONTEXT["saliency"], 1, 0),
    (PASCAL_CONTEXT["human_parts"], 4, 0),
]
IDS = [f"{task.name}-{task.kind}" for task, *_ in CASES]


def truth_of(task: Task, inside: Any, outside: Any) -> np.ndarray:
    whole = np.full((*CAMERA, *np.shape(inside)), outside, np.uint8 if isinstance(inside, int) else np.float32)
    whole[BLOCK] = inside
    return whole


def scene_of(task: Task, truth: Any) -> tuple[Scene, TaskSet]:
    image = np.zeros((*CAMERA, 3), np.uint8)
    image[BLOCK] = 255
    return Scene("x", image, {task.name: truth}), TaskSet("x", (task,))


def exactly(mask: np.ndarray, where: tuple[slice, slice]) -> bool:
    expected = np.zeros(mask.shape, bool)
    expected[where] = True
    return bool((mask == expected).all())


@pytest.mark.parametrize(("task", "inside", "outside"), CASES, ids=IDS)
def test_a_lesson_and_its_mirror_have_label_and_picture_at_one_place(task: Task, inside: Any, outside: Any) -> None:
    scene, tasks = scene_of(task, truth_of(task, inside, outside))
    lesson = fitted(scene, tasks, NETWORK)
    scale = 0.5 if task.kind == "disparity" else 1.0
    mirrored = varied(lesson, tasks, np.random.default_rng(0), MIRROR)
    turned = np.multiply(inside, (-1, 1, 1)) if task.kind == "normals" else inside
    for some, where, value in ((lesson, IN_NETWORK, inside), (mirrored, MIRRORED, turned)):
        same = np.isclose(some.truth[task.name], np.float32(value) * np.float32(scale))
        assert exactly(same.all(axis=2) if same.ndim == 3 else same, where)
        assert exactly((some.image == 255).all(axis=2), where)


def marked(task: Task, truth: np.ndarray, inside: Any) -> np.ndarray:
    """Where a map has the block, at whatever distance an enlarged part looks."""
    if task.kind == "normals":
        return np.abs(truth[..., 0]) > 0.5
    if task.kind in ("disparity", "inverse_depth"):
        return np.asarray(truth == truth.max())
    return np.asarray(truth == (truth[truth > 0].min() if task.kind == "depth" else inside))


@pytest.mark.parametrize("mirror", [0.0, 1.0], ids=["as it is", "mirrored"])
@pytest.mark.parametrize(("task", "inside", "outside"), CASES, ids=IDS)
def test_a_part_enlarged_has_label_and_picture_at_one_place(
    task: Task, inside: Any, outside: Any, mirror: float
) -> None:
    scene, tasks = scene_of(task, truth_of(task, inside, outside))
    lesson, vary = fitted(scene, tasks, NETWORK), VaryConfig(mirror=mirror, brightness=0.0, hue=0.0, zoom=2.0)
    shown = 0
    for seed in range(12):
        some = varied(lesson, tasks, np.random.default_rng(seed), vary)
        bright = np.argwhere((some.image > 140).all(axis=2))  # of a white block in black, half of its border
        if len(bright) and bright.min() > 1 and (bright.max(axis=0) < np.subtract(NETWORK, 2)).all():
            labelled = np.argwhere(marked(task, some.truth[task.name], inside))
            assert np.abs(labelled.mean(axis=0) - bright.mean(axis=0)).max() <= 0.75
            shown += 1
    assert shown >= 3  # of the others the block is not in the part, or cut off


def test_a_box_goes_the_way_of_its_pixels() -> None:
    box = np.array([[136, 74, 144, 82]], np.float32)
    scene, tasks = scene_of(BDD100K["vehicles"], Vehicles(box, np.array([False])))
    lesson = fitted(scene, tasks, NETWORK)
    mirrored = varied(lesson, tasks, np.random.default_rng(0), MIRROR)
    assert lesson.truth["vehicles"].boxes.tolist() == [[68, 40, 72, 44]]
    assert mirrored.truth["vehicles"].boxes.tolist() == [[88, 40, 92, 44]]
    assert LabelLetterbox(CAMERA, NETWORK).boxes_back(lesson.truth["vehicles"].boxes).tolist() == box.tolist()


def cells_of(task: Task, inside: Any, outside: Any) -> np.ndarray:
    """What a perfect network answers: (channels, H/4, W/4)."""
    if task.kind == "segmentation":
        cells = np.zeros((task.classes, 24, 40), np.float32)
        cells[outside], cells[(inside, *CELL)] = 1.0, 2.0
        return cells
    if task.kind == "saliency":
        inside, outside = 30.0, -30.0
    scale = np.float32(0.5 if task.kind == "disparity" else 1.0)
    cells = np.repeat(np.atleast_1d(np.float32(outside)), 24 * 40).reshape(-1, 24, 40)
    cells[:, CELL[0], CELL[1]] = inside
    return cells * scale


@pytest.mark.parametrize(("task", "inside", "outside"), CASES, ids=IDS)
def test_the_cell_that_saw_the_block_answers_for_its_pixels_and_the_metric_calls_it_right(
    task: Task, inside: Any, outside: Any
) -> None:
    kind, truth = KINDS[task.kind], truth_of(task, inside, outside)
    answered = kind.answer(cells_of(task, inside, outside), LabelLetterbox(CAMERA, NETWORK))
    assert np.allclose(answered, truth, atol=1e-6)
    metric = kind.Metric(task)
    metric.add(answered, truth)
    moved = kind.Metric(task)
    moved.add(np.roll(answered, 8, axis=1), truth)
    scores, wrong = metric.scores(), moved.scores()
    if task.kind == "segmentation":
        assert scores[f"iou_{task.labels[inside]}"] == 1.0 and wrong[f"iou_{task.labels[inside]}"] == 0.0
    elif task.kind == "saliency":
        assert scores["maxf"] == 1.0 > wrong["maxf"]
    else:
        name = {"disparity": "rmse_px", "depth": "rmse_m", "normals": "mean_deg", "inverse_depth": "abs_err"}[task.kind]
        least = 1e-4 if name == "abs_err" else 1e-2  # inverse depth is a small number
        assert scores[name] < least < wrong[name]


def test_the_network_answers_most_differently_where_the_picture_differs() -> None:
    torch.manual_seed(0)
    model = DenseUVM3TL(sized("toy", "cityscapes")).eval()
    picture = torch.full((2, *NETWORK, 3), 90, dtype=torch.uint8)
    picture[1][IN_NETWORK] = 255
    with torch.inference_mode():
        outputs = model(picture).outputs
    for name, maps in outputs.items():
        change = (maps[1] - maps[0]).abs().sum(dim=0)
        row, column = divmod(int(change.argmax()), change.shape[1])
        assert max(abs(row - CELL[0]), abs(column - CELL[1])) <= 2, name  # cells at stride 8 see two of these
