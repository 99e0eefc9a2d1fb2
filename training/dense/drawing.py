"""What is known of a picture, what was answered, and where the two differ, for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from codriver.tasks import Task, TaskSet
from training.dense.geometry import IGNORE, KNOWN_NORMAL
from training.dense.kinds.normals import angles_deg
from training.dense.scene import Scene

WIDTH_PX = 240  # of each drawing
FULL_PX, FULL_M = 40.0, 10.0  # disparity that is drawn brightest, depth that is drawn darkest
OFF_PX, OFF_M, OFF_DEG, OFF_SHARE = 8.0, 1.0, 60.0, 0.1  # differences that are drawn brightest
COLORS = np.array(  # BGR
    [(60, 160, 60), (170, 110, 40), (40, 40, 220), (40, 200, 220), (200, 60, 200), (120, 160, 200), (200, 200, 60)],
    dtype=np.uint8,
)
Image = NDArray[np.uint8]  # (h, w, 3) BGR


@dataclass(frozen=True)
class Drawn:
    """One picture for a page: columns of a task each, truth above answer above error."""

    name: str
    score: float
    image: bytes  # JPEG, as all of them
    columns: dict[str, tuple[bytes, ...]]  # task -> truth, answer, and error if the kind has one


def drawn(scene: Scene, found: Any, task_set: TaskSet, score: float) -> Drawn:
    columns = {}
    for task in task_set.tasks:
        truth, answer = scene.truth[task.name], found[task.name]
        tiles = [shown(scene.image, task, some) for some in (truth, answer)]
        if task.kind in ERRORS:
            tiles.append(_heat(ERRORS[task.kind](answer, truth)))
        columns[task.name] = tuple(jpeg(tile) for tile in tiles)
    return Drawn(scene.name, score, jpeg(scene.image), columns)


def jpeg(image: Image) -> bytes:
    height = round(WIDTH_PX * image.shape[0] / image.shape[1])
    small = cv2.resize(image, (WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return bytes(data.tobytes())


def shown(image: Image, task: Task, some: Any) -> Image:
    """Classes and boxes over the picture, other kinds as maps of their own."""
    if task.kind == "segmentation":
        return tinted(image, task, some)
    return outlined(image, some) if task.kind == "detection" else MAPS[task.kind](some)


def tinted(image: Image, task: Task, classes: NDArray[np.uint8]) -> Image:
    """Every class but the background in a colour of its own; unknown is black."""
    out = image.copy()
    foreground = [k for k, label in enumerate(task.labels) if label != "background"]
    for number, label in enumerate(foreground):
        at = classes == label
        out[at] = (out[at] * 0.45 + COLORS[number % len(COLORS)] * 0.55).astype(np.uint8)
    out[classes == IGNORE] = 0
    return out


def outlined(image: Image, some: Any) -> Image:
    """Boxes: the truth's that count, and answers of 0.3 and more."""
    out = image.copy()
    boxes = some[0][some[1] >= 0.3] if isinstance(some, tuple) else some.boxes[~some.ignored]
    for x1, y1, x2, y2 in boxes.astype(int).tolist():
        cv2.rectangle(out, (x1, y1), (x2, y2), tuple(COLORS[3].tolist()), max(1, image.shape[1] // 400))
    return out


def near_is_bright(disparity: NDArray[np.float32]) -> Image:
    """Unknown is black; on a scale of roots, as most of a street is far."""
    return _heat(np.sqrt(disparity / FULL_PX))


def near_is_bright_m(depth: NDArray[np.float32]) -> Image:
    """Unknown is black."""
    return _heat(np.where(depth > 0, 1 - 0.9 * np.minimum(depth / FULL_M, 1), 0))


def near_is_bright_share(inverse: NDArray[np.float32]) -> Image:
    """Unknown is black; on a scale of roots."""
    return _heat(np.sqrt(np.minimum(inverse, 1)))


def _heat(shades: NDArray[Any]) -> Image:
    whole = np.clip(255 * shades.astype(np.float32), 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(whole, cv2.COLORMAP_INFERNO), dtype=np.uint8)


def as_colors(normals: NDArray[np.float32]) -> Image:
    """The three numbers as red, green, blue, the middle 0; unknown is grey."""
    return np.asarray(((normals[..., ::-1] + 1) * 127.5).round(), dtype=np.uint8)


def as_lines(edges: NDArray[Any]) -> Image:
    """Truth of 0, 1, 255 or likelihoods 0..1; edges are dark."""
    likely = np.where(edges > 1, 0, edges)
    return np.repeat((255 * (1 - likely)).astype(np.uint8)[..., None], 3, axis=2)


def as_brightness(shares: NDArray[Any]) -> Image:
    """Truth of 0, 1, 255 or probabilities 0..1; what stands out is bright."""
    return _heat(np.where(shares > 1, 0, shares))


MAPS: dict[str, Callable[[Any], Image]] = {
    "disparity": near_is_bright,
    "depth": near_is_bright_m,
    "inverse_depth": near_is_bright_share,
    "normals": as_colors,
    "edges": as_lines,
    "saliency": as_brightness,
}


def off_by(full: float) -> Callable[[Any, Any], NDArray[Any]]:
    """Difference of two maps of values, 1 at `full` and beyond; 0 where the truth is unknown."""
    return lambda answer, truth: np.where(truth > 0, np.abs(answer - truth) / full, 0)


def off_in_angle(answer: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[Any]:
    out = np.zeros(truth.shape[:2], dtype=np.float32)
    known = np.linalg.norm(truth, axis=2) >= KNOWN_NORMAL
    out[known] = angles_deg(answer[known], truth[known]) / OFF_DEG
    return out


ERRORS: dict[
    str, Callable[[Any, Any], NDArray[Any]]
] = {  # answer, truth -> (h, w) 0 right, 1 wrong; kinds that have one
    "segmentation": lambda answer, truth: (answer != truth) & (truth != IGNORE),
    "saliency": lambda answer, truth: np.where(truth == IGNORE, 0, np.abs(answer - truth.astype(np.float32))),
    "disparity": off_by(OFF_PX),
    "depth": off_by(OFF_M),
    "inverse_depth": off_by(OFF_SHARE),
    "normals": off_in_angle,
}
