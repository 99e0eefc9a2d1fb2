"""What is known of a picture and what was answered, for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from codriver.tasks import TaskSet
from training.dense.scene import Scene

WIDTH_PX = 320  # of each drawing
FULL_PX, FULL_M = 40.0, 10.0  # disparity that is drawn brightest, depth that is drawn darkest
COLORS = np.array(  # BGR
    [(60, 160, 60), (170, 110, 40), (40, 40, 220), (40, 200, 220), (200, 60, 200), (120, 160, 200), (200, 200, 60)],
    dtype=np.uint8,
)


def side_by_side(scene: Scene, found: Any, task_set: TaskSet) -> NDArray[np.uint8]:
    """Truth and answer: over the picture what can be drawn there, then each map that hides it."""
    pairs = (scene.truth, found)
    pictures = [drawn(scene.image, some, task_set) for some in pairs]
    pictures += [MAPS[t.kind](some[t.name]) for t in task_set.tasks if t.kind in MAPS for some in pairs]
    height = round(WIDTH_PX * scene.image.shape[0] / scene.image.shape[1])
    return np.hstack([cv2.resize(p, (WIDTH_PX, height), interpolation=cv2.INTER_AREA) for p in pictures])


def drawn(image: NDArray[np.uint8], some: Any, task_set: TaskSet) -> NDArray[np.uint8]:
    """Maps tinted in, boxes outlined. A thin map's background is its first class, another's its last, if it has one."""
    out = image.copy()
    color = 0
    for task in task_set.tasks:
        if task.kind == "segmentation":
            foreground = range(1, task.classes) if task.thin else range(task.classes - ("background" in task.labels))
            for label in foreground:
                at = some[task.name] == label
                out[at] = (out[at] * 0.45 + COLORS[color % len(COLORS)] * 0.55).astype(np.uint8)
                color += 1
    for task in task_set.tasks:
        if task.kind == "detection":
            answer = some[task.name]
            boxes = answer[0][answer[1] >= 0.3] if isinstance(answer, tuple) else answer.boxes[~answer.ignored]
            for x1, y1, x2, y2 in boxes.astype(int).tolist():
                cv2.rectangle(out, (x1, y1), (x2, y2), tuple(COLORS[3].tolist()), max(1, image.shape[1] // 400))
    return out


def near_is_bright(disparity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Unknown is black; on a scale of roots, as most of a street is far."""
    return _heat(np.sqrt(disparity / FULL_PX))


def near_is_bright_m(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Unknown is black."""
    return _heat(np.where(depth > 0, 1 - 0.9 * np.minimum(depth / FULL_M, 1), 0))


def _heat(shades: NDArray[np.float32]) -> NDArray[np.uint8]:
    whole = np.clip(255 * shades, 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(whole, cv2.COLORMAP_INFERNO), dtype=np.uint8)


def as_colors(normals: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The three numbers as red, green, blue, the middle 0; unknown is grey."""
    return np.asarray(((normals[..., ::-1] + 1) * 127.5).round(), dtype=np.uint8)


def as_lines(edges: NDArray[Any]) -> NDArray[np.uint8]:
    """Truth of 0, 1, 255 or likelihoods 0..1; edges are dark."""
    likely = np.where(edges > 1, 0, edges)
    return np.repeat((255 * (1 - likely)).astype(np.uint8)[..., None], 3, axis=2)


MAPS: dict[str, Callable[[Any], NDArray[np.uint8]]] = {
    "disparity": near_is_bright,
    "depth": near_is_bright_m,
    "normals": as_colors,
    "edges": as_lines,
}
