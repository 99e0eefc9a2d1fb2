"""A score on pictures drawn again is what the metric says that sees exactly those pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.dense_tasks import DENSE_TASK_SETS
from codriver.tasks import Task
from training.dense.geometry import IGNORE
from training.dense.model import KINDS
from training.dense.scene import Vehicles
from training.dense.scores import TaskScores

pytestmark = pytest.mark.torch
DRAWS = np.array([[1, 1, 1, 1, 1], [2, 0, 1, 2, 0], [0, 3, 0, 0, 2]])
TASKS = {f"{name} {task.name}": task for name, some in DENSE_TASK_SETS.items() for task in some.tasks}
SIZE = (24, 30)


def unit(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    some = rng.normal(size=(*shape, 3))
    return (some / np.linalg.norm(some, axis=-1, keepdims=True)).astype(np.float32)


def classes(task: Task, rng: np.random.Generator) -> tuple[Any, Any]:
    answered, truth = (rng.integers(0, min(task.classes, 4), SIZE, dtype=np.uint8) for _ in range(2))
    truth[: rng.integers(1, 20)] = IGNORE
    return answered, truth


def marks(task: Task, rng: np.random.Generator) -> tuple[Any, Any]:
    return rng.random(SIZE, dtype=np.float32), (rng.random(SIZE) < 0.2).astype(np.uint8)


def values(task: Task, rng: np.random.Generator) -> tuple[Any, Any]:
    answered, truth = (rng.uniform(1, 9, SIZE).astype(np.float32) for _ in range(2))
    truth[: rng.integers(1, 20)] = 0
    return answered, truth


def normals(task: Task, rng: np.random.Generator) -> tuple[Any, Any]:
    truth = unit(SIZE, rng)
    truth[: rng.integers(1, 20)] = 0
    return unit(SIZE, rng), truth


def boxes(task: Task, rng: np.random.Generator) -> tuple[Any, Any]:
    corners = rng.uniform(0, 20, (6, 2))
    real = np.concatenate([corners, corners + rng.uniform(4, 20, (6, 2))], axis=1).astype(np.float32)
    moved = real + rng.normal(0, 3, real.shape).astype(np.float32)
    return (moved, rng.random(6, dtype=np.float32)), Vehicles(real, np.arange(6) == 5)


MADE = {
    "segmentation": classes,
    "edges": marks,
    "saliency": marks,
    "depth": values,
    "disparity": values,
    "inverse_depth": values,
    "normals": normals,
    "detection": boxes,
}


def judged(task: Task, pictures: list[tuple[Any, Any]]) -> Any:
    metric = KINDS[task.kind].Metric(task)
    for answered, truth in pictures:
        metric.add(answered, truth)
    return metric


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_drawn_pictures_score_as_if_they_were_all_there_is(task: Task) -> None:
    rng = np.random.default_rng(4)
    pictures = [MADE[task.kind](task, rng) for _ in range(DRAWS.shape[1])]
    metric, kind = judged(task, pictures), KINDS[task.kind]
    found = metric.resampled(DRAWS.astype(np.float64))
    assert set(found) == {kind.main_score(task), kind.judged_by(task)}
    for name, scores in found.items():
        for draw, score in zip(DRAWS, scores, strict=True):
            drawn = [picture for picture, times in zip(pictures, draw, strict=True) for _ in range(times)]
            assert score == pytest.approx(judged(task, drawn).scores()[name], abs=1e-12)
        assert scores[0] == pytest.approx(metric.scores()[name], abs=1e-12) and scores[0] != pytest.approx(scores[1])


@pytest.mark.parametrize("kind", ["segmentation", "depth", "normals", "disparity", "saliency"])
def test_a_picture_without_truth_moves_no_draw(kind: str) -> None:
    rng = np.random.default_rng(5)
    task = next(some for some in TASKS.values() if some.kind == kind and not some.thin)
    pictures = [MADE[kind](task, rng) for _ in range(2)]
    answered, truth = MADE[kind](task, rng)
    unknown = np.full_like(truth, IGNORE if truth.dtype == np.uint8 else 0)
    draws = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 4.0]])
    for found in judged(task, [*pictures, (answered, unknown)]).resampled(draws).values():
        assert found[0] == found[1] > 0
    main = KINDS[kind].main_score(task)
    alone = TaskScores({}, "", judged(task, [(answered, unknown)]).resampled(np.ones((2, 1)))[main], np.zeros(1))
    assert kind == "saliency" or (alone.interval == (0.0, 1.0) and alone.ahead_of(alone) == (-1.0, 1.0))


def test_no_answered_box_and_no_box_to_find_score_0_on_every_draw() -> None:
    none = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    task = TASKS["bdd100k vehicles"]
    for ignored in (False, True):
        truth = Vehicles(np.array([[0, 0, 5, 5]], np.float32), np.array([ignored]))
        assert judged(task, [(none, truth)]).resampled(np.ones((2, 1)))["ap50_coco"].tolist() == [0.0, 0.0]


def test_a_model_is_ahead_by_an_interval_of_the_same_draws() -> None:
    rng = np.random.default_rng(6)
    common = rng.normal(size=2000)
    mine, other = (TaskScores({"miou": 0.5}, "miou", common + shift, np.zeros(3)) for shift in (0.1, 0.0))
    assert mine.ahead_of(other) == pytest.approx((0.1, 0.1)) and mine.interval[0] < 0 < mine.interval[1]
