"""Scenes as a network takes them: fitted once, varied and stacked for each batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codriver.tasks import TaskSet
from training.dense.geometry import LabelLetterbox, Size
from training.dense.model import KINDS
from training.dense.scene import Scene
from training.dense.zoom import some_zoom

DenseBatch = tuple[Tensor, dict[str, Any]]  # (B, H, W, 3) uint8, task -> what its kind stacks


@dataclass(frozen=True, kw_only=True)
class VaryConfig:
    """Variation of a picture. Mirroring is fair: neither traffic side nor text is asked for."""

    mirror: float = 0.5  # probability
    brightness: float = 0.3  # largest change of a pixel's factor
    hue: float = 0.1  # largest change of a channel's factor
    zoom: float = 1.0  # a part of the picture is cut out and enlarged up to so many times


@dataclass(frozen=True)
class Lesson:
    """One scene at the network's size."""

    image: NDArray[np.uint8]  # (H, W, 3)
    truth: Mapping[str, Any]


def fitted(scene: Scene, task_set: TaskSet, network: Size) -> Lesson:
    box = LabelLetterbox(scene.image.shape[:2], network)
    truth = {task.name: KINDS[task.kind].fitted(task, scene.truth[task.name], box) for task in task_set.tasks}
    return Lesson(box.image(scene.image), truth)


def varied(lesson: Lesson, task_set: TaskSet, rng: np.random.Generator, config: VaryConfig) -> Lesson:
    """Mirrored or not, enlarged or not, another light. Labels go with the pixels."""
    image, truth = lesson.image, dict(lesson.truth)
    if rng.random() < config.mirror:
        width = image.shape[1]
        image = np.ascontiguousarray(image[:, ::-1])
        for task in task_set.tasks:
            truth[task.name] = KINDS[task.kind].mirrored(truth[task.name], width)
    if config.zoom > 1:
        box = some_zoom(image.shape[:2], config.zoom, rng)
        image = box.image(image)
        truth = {task.name: KINDS[task.kind].fitted(task, truth[task.name], box) for task in task_set.tasks}
    factors = 1 + rng.uniform(-config.brightness, config.brightness) + rng.uniform(-config.hue, config.hue, 3)
    table = np.clip(np.arange(256)[:, None] * factors, 0, 255).astype(np.uint8)[None]  # (1, 256, 3)
    return Lesson(np.asarray(cv2.LUT(image, table), dtype=np.uint8), truth)


def batch_of(lessons: Iterable[Lesson], task_set: TaskSet) -> DenseBatch:
    lessons = list(lessons)
    images = torch.from_numpy(np.stack([lesson.image for lesson in lessons]))
    truth = {t.name: KINDS[t.kind].stacked([lesson.truth[t.name] for lesson in lessons]) for t in task_set.tasks}
    return images, truth


def constants(lessons: Sequence[Lesson], task_set: TaskSet) -> dict[str, float]:
    """Task -> loss of its best constant answer on these scenes."""
    return {t.name: KINDS[t.kind].constant_loss(t, [some.truth[t.name] for some in lessons]) for t in task_set.tasks}


def start_of(lessons: Sequence[Lesson], task_set: TaskSet) -> dict[str, list[float]]:
    """Task -> its best constant answer on these scenes, of tasks with maps: what a model starts from."""
    mapped = (task for task in task_set.tasks if task.kind != "detection")
    return {t.name: KINDS[t.kind].start(t, [some.truth[t.name] for some in lessons]) for t in mapped}
