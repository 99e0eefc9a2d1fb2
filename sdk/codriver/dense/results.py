"""What the dense graph answers, by the kind of the task: frozen values, summed up for JSON.

H W the graph's picture at stride 4, bars included; `on` gives a map for the camera's picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Arrays
from codriver.dense.boxes import boxes_of
from codriver.dense.letterbox import Letterbox
from codriver.dense.spec import DenseSpec, outputs_of
from codriver.tasks import Task

UNITS = {"depth": "m", "disparity": "px"}  # disparity in the camera's pixels


@dataclass(frozen=True, eq=False, kw_only=True)
class DenseResult:
    """One task's answer about the camera's picture of time `t`. While invalid it holds no map and no box."""

    kind: str
    valid: bool = True
    reason: str = ""  # why it is invalid
    t: float | None = None  # capture time of the picture

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: boxes as they are, maps in a few numbers."""
        about = {"kind": self.kind, "valid": self.valid, "reason": self.reason, "t": self.t}
        return about | (self.summary() if self.valid else {})

    def summary(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, eq=False, kw_only=True)
class Boxes(DenseResult):
    """Detection."""

    boxes_px: NDArray[np.float32]  # (N, 4) x1, y1, x2, y2 in the camera's pixels, at most 300
    scores: NDArray[np.float32]  # (N,) falling
    labels: tuple[str, ...]  # of each box

    def summary(self) -> dict[str, Any]:
        found = zip(self.boxes_px.tolist(), self.scores.tolist(), self.labels, strict=True)
        return {"boxes": [{"box_px": box, "score": score, "label": label} for box, score, label in found]}


@dataclass(frozen=True, eq=False, kw_only=True)
class Map(DenseResult):
    """Depth, disparity, inverse depth (H, W) >= 0, 0 unknown; normals (H, W, 3) of length 1; others (H, W) 0..1."""

    values: NDArray[Any]
    unit: str = ""
    box: Letterbox  # how the picture lies in the graph's

    def on(self, height: int, width: int) -> NDArray[Any]:
        """The map over the camera's picture scaled to this size, the nearest cell's; edges slope."""
        back = self.box.smooth_back if self.kind == "edges" else self.box.nearest_back
        return back(self.values, (height, width))

    @property
    def inside(self) -> NDArray[Any]:
        """(n, ...) cells whose middle lies in the picture, not in its bars; of a thinner picture the next cell."""
        stride = self.box.network[0] // len(self.values)
        (top, left), (height, width) = self.box.corner, self.box.inner
        ends = ((low - stride // 2, low + side - stride // 2) for low, side in ((top, height), (left, width)))
        firsts = ((-(-first // stride), -(-end // stride)) for first, end in ends)
        rows, columns = (slice(first, max(end, first + 1)) for first, end in firsts)
        return self.values[rows, columns].reshape(-1, *self.values.shape[2:])

    def metres(self, baseline_m: float, focal_px: float) -> NDArray[np.float32]:
        """(H, W) of a disparity, by the distance of the two cameras and their focal length; 0 where it is 0."""
        return np.where(self.values > 0, baseline_m * focal_px / np.maximum(self.values, 1e-6), 0).astype(np.float32)

    def summary(self) -> dict[str, Any]:
        cells = self.inside
        if self.kind == "normals":
            return {"mean": [float(x) for x in cells.mean(axis=0)]}
        low, middle, high = (float(x) for x in np.percentile(cells, (5, 50, 95)))
        return {"unit": self.unit, "p5": low, "p50": middle, "p95": high}


@dataclass(frozen=True, eq=False, kw_only=True)
class Segmentation(Map):
    labels: tuple[str, ...]

    @property
    def classes(self) -> NDArray[np.uint8]:
        """(H, W) index of the label."""
        return self.values

    def summary(self) -> dict[str, Any]:
        cells = self.inside
        counts = np.bincount(cells, minlength=len(self.labels)) / max(len(cells), 1)
        return {"shares": dict(zip(self.labels, counts.tolist(), strict=True))}


CELLS: Mapping[str, Callable[[NDArray[np.float32]], NDArray[Any]]] = {  # (channels, H, W) of a map -> its values
    "segmentation": lambda logits: logits.argmax(axis=0).astype(np.uint8),
    "depth": lambda values: np.maximum(values[0], 0),
    "disparity": lambda values: np.maximum(values[0], 0),
    "inverse_depth": lambda values: np.maximum(values[0], 0),
    "normals": lambda values: np.moveaxis(values / np.maximum(np.linalg.norm(values, axis=0), 1e-12), 0, 2),
    "edges": lambda logits: 1 / (1 + np.exp(-np.clip(logits[0], -30, 30))),
    "saliency": lambda logits: 1 / (1 + np.exp(-np.clip(logits[0], -30, 30))),
}


def no_answers(spec: DenseSpec, reason: str) -> dict[str, DenseResult]:
    """Every task without an answer."""
    return {task.name: DenseResult(kind=task.kind, valid=False, reason=reason) for task in spec.asked}


def read_outputs(spec: DenseSpec, outputs: Arrays, box: Letterbox, t: float) -> dict[str, DenseResult]:
    """Every task's result from the graph's outputs, (1, channels, ...) by name."""
    return {
        task.name: _result(task, spec, [outputs[name][0] for name in outputs_of(task)], box, t) for task in spec.asked
    }


def _result(task: Task, spec: DenseSpec, maps: list[NDArray[np.float32]], box: Letterbox, t: float) -> DenseResult:
    if task.kind == "detection":
        boxes, scores = boxes_of(maps, box, spec.least_score)
        return Boxes(kind=task.kind, t=t, boxes_px=boxes, scores=scores, labels=task.labels * len(boxes))
    values = CELLS[task.kind](maps[0])
    if task.kind == "segmentation":
        return Segmentation(kind=task.kind, t=t, values=values, box=box, labels=task.labels)
    if task.kind == "disparity":
        values = values / np.float32(box.scale_x)
    return Map(kind=task.kind, t=t, values=values, box=box, unit=UNITS.get(task.kind, ""))
