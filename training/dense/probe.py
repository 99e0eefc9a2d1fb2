"""What colour and place alone tell: a linear probe, fitted in closed form on cells of a coarse grid. A baseline.

R C rows and columns of the grid · F features of a cell · K numbers that a cell answers
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from codriver.tasks import Task, TaskSet
from training.dense.geometry import GRID, IGNORE, Size, coarse
from training.dense.kinds import normals
from training.dense.scene import Scene
from training.dense.scores import Answer, Answers

RIDGE = 1e-6  # added for each cell, so that features that go together do no harm

Cells = NDArray[np.float64]  # (R, C, K); NaN unknown


def features(image: NDArray[np.uint8]) -> Cells:
    """(h, w, 3) -> (R, C, F): a cell's colour, its neighbours', how much they vary, where it lies."""
    small = cv2.resize(image, GRID[::-1], interpolation=cv2.INTER_AREA).astype(np.float64) / 255
    around = cv2.blur(small, (5, 5))
    squares = cv2.blur((small - cv2.blur(small, (3, 3))) ** 2, (3, 3))
    vary = np.maximum(squares, 0) ** 0.5  # OpenCV's running sums may end a hair below 0
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in GRID), indexing="ij")
    place = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=2)
    return np.concatenate([small, around, vary, place], axis=2)


def classes_of(task: Task, truth: NDArray[np.uint8]) -> Cells:
    """(h, w) -> (R, C, K) 0 and 1."""
    cells = coarse(truth)
    known = np.eye(task.classes)[np.where(cells == IGNORE, 0, cells)]
    return np.where((cells == IGNORE)[..., None], np.nan, known)


def values_of(task: Task, truth: NDArray[np.float32]) -> Cells:
    cells = coarse(truth).astype(np.float64)
    return np.where(cells > 0, cells, np.nan)[..., None]


def normals_of(task: Task, truth: NDArray[np.float32]) -> Cells:
    cells = coarse(truth).astype(np.float64)
    return np.where(np.linalg.norm(cells, axis=2, keepdims=True) >= normals.KNOWN, cells, np.nan)


def shares_of(task: Task, truth: NDArray[np.uint8]) -> Cells:
    """How much of each cell is 1; unknown where its middle is."""
    share = cv2.resize((truth == 1).astype(np.float64), GRID[::-1], interpolation=cv2.INTER_AREA)
    return np.where(coarse(truth) == IGNORE, np.nan, share)[..., None]


def _nearest(cells: NDArray[np.generic], size: Size) -> NDArray[np.generic]:
    return np.asarray(cv2.resize(cells, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT))


def as_classes(cells: Cells, size: Size) -> NDArray[np.generic]:
    return _nearest(cells.argmax(axis=2).astype(np.uint8), size)


def as_values(cells: Cells, size: Size) -> NDArray[np.generic]:
    return _nearest(np.maximum(cells[..., 0], 0).astype(np.float32), size)


def as_normals(cells: Cells, size: Size) -> NDArray[np.generic]:
    return _nearest((cells / np.linalg.norm(cells, axis=2, keepdims=True)).astype(np.float32), size)


def as_shares(cells: Cells, size: Size) -> NDArray[np.generic]:
    smooth = cv2.resize(np.clip(cells[..., 0], 0, 1).astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth)


# Kind -> what a map says at each cell, and the map that a cell's numbers mean. Boxes have no probe.
FORMS: dict[str, tuple[Callable[..., Cells], Callable[[Cells, Size], NDArray[np.generic]]]] = {
    "segmentation": (classes_of, as_classes),
    "disparity": (values_of, as_values),
    "depth": (values_of, as_values),
    "normals": (normals_of, as_normals),
    "edges": (shares_of, as_shares),
    "saliency": (shares_of, as_shares),
}


@dataclass
class Sums:
    """What least squares need of all cells seen: F x F products of features, F x K products with the truth."""

    own: NDArray[np.float64]
    with_truth: NDArray[np.float64]
    cells: int = 0

    def add(self, seen: Cells, truth: Cells) -> None:
        known = np.isfinite(truth).all(axis=2)
        x, y = seen[known], truth[known]
        self.own += x.T @ x
        self.with_truth += x.T @ y
        self.cells += len(x)

    def weights(self) -> NDArray[np.float64]:
        """(F, K)."""
        ridge = RIDGE * max(self.cells, 1) * np.eye(len(self.own))
        return np.asarray(np.linalg.solve(self.own + ridge, self.with_truth))


def fitted_probe(task_set: TaskSet, scenes: Iterable[Scene]) -> Answer:
    """Answers of the best linear map from features, for tasks that have maps. Scenes are read one after the other."""
    sums: dict[str, Sums] = {}
    tasks = [task for task in task_set.tasks if task.kind in FORMS]
    for scene in scenes:
        seen = features(scene.image)
        for task in tasks:
            truth = FORMS[task.kind][0](task, scene.truth[task.name])
            if task.name not in sums:
                f, k = seen.shape[2], truth.shape[2]
                sums[task.name] = Sums(np.zeros((f, f)), np.zeros((f, k)))
            sums[task.name].add(seen, truth)
    weights = {name: some.weights() for name, some in sums.items()}

    def answer(scene: Scene) -> Answers:
        seen, size = features(scene.image), scene.image.shape[:2]
        return {task.name: FORMS[task.kind][1](seen @ weights[task.name], size) for task in tasks}

    return answer
