"""How far two answers to one picture are apart, by a measure of their kind, and answers as golden.json keeps them.

Classes are a PNG of 8 bits, values one of 16 bits between two numbers, boxes numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.dense.boxes import iou
from codriver.dense.letterbox import Letterbox, Size
from codriver.dense.results import Boxes, DenseResult, Map
from codriver.dense.spec import DenseSpec
from codriver.errors import BundleError
from codriver.files.decode import rule
from codriver.tasks import Task

# What two runtimes on the same codes may differ by; a wrong graph is off by far more.
VALUES = ("depth", "disparity", "inverse_depth")
TOLERANCE = dict.fromkeys(("segmentation", *VALUES, "normals", "edges", "saliency"), 0.02)
TOLERANCE["detection"] = 0.1
SURE, NEARLY = 0.3, 0.2  # scores of boxes that must have a partner, and of partners: no threshold parts two alike
FULL = 65535  # code of `high`
FAR = 1e6  # no metre, pixel or likelihood is as large; squares of it stay numbers


@dataclass(frozen=True, kw_only=True)
class GoldenAnswer:
    map: str | None = rule(None, path=True, absent=True)  # beside golden.json
    low: float = rule(0.0, low=-FAR, high=FAR, absent=True)
    high: float = rule(1.0, low=-FAR, high=FAR, absent=True)
    boxes: tuple[tuple[float, ...], ...] | None = rule(None, low=-FAR, high=FAR, absent=True)  # x1, y1, x2, y2, score


@dataclass(frozen=True, kw_only=True)
class GoldenPicture:
    picture: str = rule(path=True)  # PNG beside golden.json
    expected: Mapping[str, Mapping[str, GoldenAnswer]]  # by variant and task


def differences(
    spec: DenseSpec | None,
    camera: Size,
    found: Mapping[str, DenseResult],
    told: Mapping[str, GoldenAnswer],
    read: Callable[[str], NDArray[Any]],
) -> Iterator[tuple[str, float, float]]:
    """Of each task: its name, how far it is off, and how far it may be. camera: size of the picture. read: a PNG as it
    is, by its name."""
    assert spec is not None
    box = Letterbox(camera, (spec.height_px, spec.width_px))
    for task in spec.asked:
        result = found[task.name]
        if task.name not in told or not result.valid:
            raise BundleError(
                f"golden pictures: no {task.name} ({result.reason or 'not recorded'}); build the bundle anew"
            )
        yield task.name, off(_restored(task, told[task.name], box, read), result), TOLERANCE[task.kind]


def _restored(task: Task, answer: GoldenAnswer, box: Letterbox, read: Callable[[str], NDArray[Any]]) -> DenseResult:
    """A recorded answer; a BundleError if it is of another kind."""
    if task.kind == "detection":
        if answer.boxes is None or any(len(row) != 5 for row in answer.boxes):
            raise BundleError(f"golden pictures: no boxes of five numbers for {task.name}; build the bundle anew")
        rows = np.array(answer.boxes, np.float32).reshape(-1, 5)
        return Boxes(kind=task.kind, boxes_px=rows[:, :4], scores=rows[:, 4], labels=task.labels * len(rows))
    if answer.map is None:
        raise BundleError(f"golden pictures: no map for {task.name}; build the bundle anew")
    codes = read(answer.map)
    if codes.dtype == np.uint16:
        codes = (answer.low + codes * ((answer.high - answer.low) / FULL)).astype(np.float32)
    return Map(kind=task.kind, values=codes, box=box)


def off(expected: DenseResult, found: DenseResult) -> float:
    """0 the same; 1 nothing alike, or further. By kind: share of cells of another class; difference as a share of the
    mean; angle as a share of a half turn; difference of likelihoods; share of boxes without a partner."""
    if isinstance(expected, Boxes) and isinstance(found, Boxes):
        return _without_partner(expected, found)
    assert isinstance(expected, Map) and isinstance(found, Map)
    a, b = expected.values, found.values
    if a.shape != b.shape:
        return 1.0
    if expected.kind == "segmentation":
        return float((a != b).mean())
    if expected.kind == "normals":
        halves = np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1))  # exact near 0 too
        return float(2 * halves.mean() / np.pi)
    scale = max(float(np.abs(a).mean()), 1e-6) if expected.kind in VALUES else 1.0
    return float(np.abs(a - b).mean() / scale)


def _without_partner(expected: Boxes, found: Boxes) -> float:
    alone, sure = 0, 0
    for one, other in ((expected, found), (found, expected)):
        strong, partners = one.boxes_px[one.scores >= SURE], other.boxes_px[other.scores >= NEARLY]
        sure += len(strong)
        if len(strong):
            alone += int((iou(strong, partners).max(axis=1, initial=0.0) <= 0.5).sum())
    return alone / max(sure, 1)
