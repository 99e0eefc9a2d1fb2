"""What colour and place alone tell: a linear probe, fitted in closed form on cells of a coarse grid. A baseline.

R C rows and columns of the grid · F features of a cell · K numbers that a cell answers
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from codriver.dense.boxes import Found, suppressed
from codriver.tasks import Task, TaskSet
from training.dense.geometry import GRID, IGNORE, KNOWN_NORMAL, Size, coarse
from training.dense.kinds.segmentation import best_level
from training.dense.scene import Scene, Vehicles
from training.dense.scores import Answer, Answers

LEVELS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)  # at which neighbouring cells make a box
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


def classes_of(task: Task, truth: NDArray[np.uint8], size: Size) -> Cells:
    """(h, w) -> (R, C, K) 0 and 1."""
    cells = coarse(truth)
    known = np.eye(task.classes)[np.where(cells == IGNORE, 0, cells)]
    return np.where((cells == IGNORE)[..., None], np.nan, known)


def values_of(task: Task, truth: NDArray[np.float32], size: Size) -> Cells:
    cells = coarse(truth).astype(np.float64)
    return np.where(cells > 0, cells, np.nan)[..., None]


def normals_of(task: Task, truth: NDArray[np.float32], size: Size) -> Cells:
    cells = coarse(truth).astype(np.float64)
    return np.where(np.linalg.norm(cells, axis=2, keepdims=True) >= KNOWN_NORMAL, cells, np.nan)


def shares_of(task: Task, truth: NDArray[np.uint8], size: Size) -> Cells:
    """How much of each cell is 1; unknown where its middle is."""
    share = cv2.resize((truth == 1).astype(np.float64), GRID[::-1], interpolation=cv2.INTER_AREA)
    return np.where(coarse(truth) == IGNORE, np.nan, share)[..., None]


def vehicles_of(task: Task, truth: Vehicles, size: Size) -> Cells:
    """(R, C, 1) 1 where a cell's middle lies in a vehicle; unknown in what is to be ignored."""
    rows, columns = ((np.arange(n) + 0.5) * side / n for n, side in zip(GRID, size, strict=True))
    x, y = columns[None, :, None], rows[:, None, None]
    x1, y1, x2, y2 = truth.boxes.T
    inside = (x > x1) & (x < x2) & (y > y1) & (y < y2)  # (R, C, n)
    real, ignored = (inside[..., some].any(axis=2) for some in (~truth.ignored, truth.ignored))
    return np.where(real, 1.0, np.where(ignored, np.nan, 0.0))[..., None]


def _nearest(cells: NDArray[np.generic], size: Size) -> NDArray[np.generic]:
    return np.asarray(cv2.resize(cells, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT))


def as_classes(cells: Cells, size: Size) -> NDArray[np.generic]:
    return _nearest(cells.argmax(axis=2).astype(np.uint8), size)


def as_thin(cells: Cells, size: Size, level: float) -> NDArray[np.generic]:
    return _nearest((cells[..., 1] >= level).astype(np.uint8), size)


def as_values(cells: Cells, size: Size) -> NDArray[np.generic]:
    return _nearest(np.maximum(cells[..., 0], 0).astype(np.float32), size)


def as_normals(cells: Cells, size: Size) -> NDArray[np.generic]:
    return _nearest((cells / np.linalg.norm(cells, axis=2, keepdims=True)).astype(np.float32), size)


def as_shares(cells: Cells, size: Size) -> NDArray[np.generic]:
    smooth = cv2.resize(np.clip(cells[..., 0], 0, 1).astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth)


def as_vehicles(cells: Cells, size: Size) -> Found:
    """Around each patch of cells that reach a level, a box with the patch's mean as its score."""
    steps = np.array([size[1] / GRID[1], size[0] / GRID[0]] * 2)
    boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
    for level in LEVELS:
        _, patches, places, _ = cv2.connectedComponentsWithStats((cells[..., 0] >= level).astype(np.uint8))
        for number, (x, y, width, height, _) in enumerate(places[1:].tolist(), start=1):
            boxes.append(np.array([[x, y, x + width, y + height]]) * steps)
            scores.append(cells[..., 0][patches == number].mean(keepdims=True))
    return suppressed(np.concatenate(boxes).astype(np.float32), np.concatenate(scores).astype(np.float32))


# Kind -> what truth says of each cell, and what a cell's numbers mean.
FORMS: dict[str, tuple[Callable[..., Cells], Callable[[Cells, Size], Any]]] = {
    "segmentation": (classes_of, as_classes),
    "disparity": (values_of, as_values),
    "depth": (values_of, as_values),
    "inverse_depth": (values_of, as_values),
    "normals": (normals_of, as_normals),
    "edges": (shares_of, as_shares),
    "saliency": (shares_of, as_shares),
    "detection": (vehicles_of, as_vehicles),
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
    """Answers of the best linear map from features. Read one after the other; of thin classes cells are kept."""
    sums: dict[str, Sums] = {}
    kept: dict[str, list[tuple[Cells, Cells]]] = {
        task.name: [] for task in task_set.tasks if task.kind == "segmentation" and task.thin
    }
    tasks = task_set.tasks
    for scene in scenes:
        seen, size = features(scene.image), scene.image.shape[:2]
        for task in tasks:
            truth = FORMS[task.kind][0](task, scene.truth[task.name], size)
            if task.name not in sums:
                f, k = seen.shape[2], truth.shape[2]
                sums[task.name] = Sums(np.zeros((f, f)), np.zeros((f, k)))
            sums[task.name].add(seen, truth)
            if task.name in kept:
                kept[task.name].append((seen, truth))
    weights = {name: some.weights() for name, some in sums.items()}
    levels = {name: thin_level(some, weights[name]) for name, some in kept.items()}

    def answer(scene: Scene) -> Answers:
        seen, size = features(scene.image), scene.image.shape[:2]
        found: Answers = {}
        for task in tasks:
            cells = seen @ weights[task.name]
            level = levels.get(task.name)
            found[task.name] = FORMS[task.kind][1](cells, size) if level is None else as_thin(cells, size, level)
        return found

    return answer


def thin_level(kept: Sequence[tuple[Cells, Cells]], weights: NDArray[np.float64]) -> float:
    """From which likelihood on a thin class is answered: a line is nowhere likelier than none."""
    likely = np.stack([(seen @ weights)[..., 1] for seen, _ in kept])
    truth = np.stack([some[..., 1] for _, some in kept])
    return best_level(likely, np.nan_to_num(truth), np.isfinite(truth))
