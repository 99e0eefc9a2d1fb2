"""Boxes: label geometry, loss, answer, metrics. Without anchors, after FCOS (arXiv 1904.01355); our instantiation.

Each cell of three maps says how likely it lies near the middle of a vehicle, and how far the four sides are.

B batch · N cells of all maps · n boxes
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from torch import Tensor
from torch.nn import functional as F

from codriver.dense.boxes import Found, boxes_of, iou
from codriver.dense.letterbox import Size
from codriver.dense.spec import BOX_STRIDES as STRIDES
from codriver.tasks import Task
from training.dense.geometry import LabelLetterbox, cut_off, mirror_boxes
from training.dense.kinds.redrawn_boxes import ap50_of_draws
from training.dense.scene import Vehicles

REACHES_PX = ((0, 48), (24, 96), (64, 1e6))  # longest side of the boxes that each map answers; they overlap
NEAR = 1.5  # cells from a box's middle within which a cell answers for it
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]  # recalls, rising, and the precision at each
LEAST_SCORE = 0.001  # of an answer (YOLOP's)
PRIOR = 0.01  # share of cells that lie in a vehicle, at the start


def fitted(task: Task, truth: Vehicles, box: LabelLetterbox) -> Vehicles:
    boxes, kept = cut_off(box.boxes(truth.boxes), box.network)
    return Vehicles(boxes[kept], truth.ignored[kept])


def mirrored(truth: Vehicles, width: int) -> Vehicles:
    return Vehicles(mirror_boxes(truth.boxes, width), truth.ignored)


def counted(task: Task, truth: Vehicles) -> dict[str, int]:
    """Boxes."""
    return {"vehicle": int((~truth.ignored).sum()), "ignored": int(truth.ignored.sum())}


def stacked(truths: list[Vehicles]) -> list[Tensor]:
    """(n, 5) for each picture: the box, and 1 where it is to be ignored."""
    return [torch.from_numpy(np.column_stack([t.boxes, t.ignored]).astype(np.float32).reshape(-1, 5)) for t in truths]


def cells(shapes: list[tuple[int, int]], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Middles (N, 2) x, y in pixels and strides (N,) of all cells of maps of these shapes."""
    middles, strides = [], []
    for (height, width), stride in zip(shapes, STRIDES, strict=True):
        y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
        middles.append((torch.stack([x, y], dim=2).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((height * width,), float(stride), device=device))
    return torch.cat(middles), torch.cat(strides)


def assigned(boxes: Tensor, middles: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """Which box each cell answers for, -1 none (N,), and which cells lie in an ignored box alone (N,) bool.

    boxes: (n, 5). Of several, the smallest.
    """
    if not len(boxes):
        return torch.full((len(middles),), -1), torch.zeros(len(middles), dtype=torch.bool)
    x1, y1, x2, y2, ignored = boxes.T
    x, y = middles[:, None].unbind(dim=2)  # (N, 1)
    inside = (x > x1) & (x < x2) & (y > y1) & (y < y2)
    near = NEAR * strides[:, None]
    middle = ((x - (x1 + x2) / 2).abs() < near) & ((y - (y1 + y2) / 2).abs() < near)
    side = torch.maximum(x2 - x1, y2 - y1)
    reaches = torch.tensor(REACHES_PX)[torch.log2(strides / STRIDES[0]).long()]
    fits = (side >= reaches[:, :1]) & (side < reaches[:, 1:])
    area = torch.where(inside & middle & fits & (ignored == 0), (x2 - x1) * (y2 - y1), torch.inf)
    smallest, which = area.min(dim=1)
    which = torch.where(torch.isfinite(smallest), which, -1)
    return which, (inside & (ignored > 0)).any(dim=1) & (which < 0)


def loss(task: Task, maps: list[Tensor], truth: list[Tensor]) -> Tensor:
    """Focal loss of the logits (gamma 2, alpha .25; arXiv 1708.02002) and GIoU of the boxes, each per answering cell.

    maps: (B, 5, H/stride, W/stride) by stride.
    """
    logits, sides = flattened(maps)
    middles, strides = cells([tuple(m.shape[2:]) for m in maps])
    positive, skipped, wanted = [], [], []
    for boxes in truth:
        which, ignored = assigned(boxes.cpu(), middles, strides)
        positive.append(which >= 0)
        skipped.append(ignored)
        wanted.append(boxes.cpu()[which[which >= 0], :4])
    hit, left_out = (torch.stack(some).to(logits.device) for some in (positive, skipped))
    count = hit.sum().clamp(min=1)
    focal = focal_loss(logits, hit.float())[~left_out].sum() / count
    answered = as_boxes(sides, middles.to(logits.device), strides.to(logits.device))[hit]
    boxes_off = (1 - giou(answered, torch.cat(wanted).to(logits.device))).sum() / count
    return focal + boxes_off


def constant_loss(task: Task, truths: list[Vehicles]) -> float:
    """About what the untrained network costs: boxes without overlap, and a logit that says PRIOR everywhere.

    Nearly all of its focal loss comes from the answering cells.
    """
    return float(1.0 + 0.25 * (1 - PRIOR) ** 2 * -np.log(PRIOR))


def flattened(maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Logits (B, N) and sides (B, N, 4) of all cells, in float32."""
    rows = torch.cat([some.float().flatten(2).transpose(1, 2) for some in maps], dim=1)  # (B, N, 5)
    return rows[..., 0], rows[..., 1:]


def as_boxes(sides: Tensor, middles: Tensor, strides: Tensor) -> Tensor:
    """(B, N, 4): softplus keeps every side on its own side of the middle."""
    reach = F.softplus(sides) * strides[:, None]
    return torch.cat([middles - reach[..., :2], middles + reach[..., 2:]], dim=-1)


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    wrong = torch.where(target > 0, 1 - logits.sigmoid(), logits.sigmoid())
    balance = torch.where(target > 0, alpha, 1 - alpha)
    return balance * wrong**gamma * F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def giou(a: Tensor, b: Tensor) -> Tensor:
    """(n,) generalised intersection over union of boxes (n, 4), -1 to 1 (arXiv 1902.09630)."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    both = (high - low).clamp(min=0).prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - both
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)
    return both / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def answer(maps: list[NDArray[np.float32]], box: LabelLetterbox) -> Found:
    """(5, H/stride, W/stride) by stride -> boxes in the camera's pixels with their scores."""
    return boxes_of(maps, box, LEAST_SCORE)


def constant(task: Task, truths: Iterable[Vehicles]) -> Callable[[Size], Found]:
    """No boxes at all."""
    return lambda size: (np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.float32))


@dataclass
class Metric:
    """Boxes of all pictures, judged at the end: COCO's way by pycocotools, and YOLOP's. In the camera's pixels."""

    task: Task
    answers: list[Found] = field(default_factory=list)
    truths: list[Vehicles] = field(default_factory=list)

    def add(self, answered: Found, truth: Vehicles) -> float:
        """Returns the picture's own F measure of boxes above one half; 1 where nothing is there or found."""
        self.answers.append(answered)
        self.truths.append(truth)
        return picture_f(answered, truth)

    def scores(self) -> dict[str, float]:
        return coco_scores(self.answers, self.truths) | yolop_scores(self.answers, self.truths)

    def curve(self) -> Curve:
        """COCO's 101 recalls with the precision at each, boxes overlapping by one half; its mean is ap50_coco."""
        judge = coco_judge(self.answers, self.truths)
        precision = np.zeros(101) if judge is None else np.maximum(judge.eval["precision"][0, :, 0, 0, 2], 0)
        return np.linspace(0, 1, 101), precision

    def resampled(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """(R, pictures), how often each is drawn -> (R,) of what a run is chosen by, which tables hold too."""
        judge = coco_judge(self.answers, self.truths)
        drawn = np.zeros(len(weights)) if judge is None else ap50_of_draws(judge, len(self.truths), weights)
        return {"ap50_coco": drawn}

    def examples(self) -> NDArray[np.float64]:
        """(pictures,) F measure of boxes above one half, for worst pictures; 1 where nothing is there or found."""
        return np.array([picture_f(a, t) for a, t in zip(self.answers, self.truths, strict=True)])


def main_score(task: Task) -> str:
    return "ap50_coco"


def judged_by(task: Task) -> str:
    return "ap50_coco"


def picture_f(answered: Found, truth: Vehicles, score: float = 0.5) -> float:
    boxes, real = answered[0][answered[1] >= score], truth.boxes[~truth.ignored]
    if not len(boxes) or not len(real):
        return float(len(boxes) == len(real))
    hits = (iou(boxes, real) > 0.5).any(axis=0).sum()
    return float(2 * hits / (len(boxes) + len(real)))


def coco_scores(answers: list[Found], truths: list[Vehicles]) -> dict[str, float]:
    """pycocotools' AP at 0.5, 0.75 and averaged from 0.5 to 0.95, and its recall with 100 boxes a picture."""
    named = {"ap_coco": 0, "ap50_coco": 1, "ap75_coco": 2, "recall100_coco": 8}
    judge = coco_judge(answers, truths)
    return {name: 0.0 if judge is None else float(judge.stats[place]) for name, place in named.items()}


def coco_judge(answers: list[Found], truths: list[Vehicles]) -> Any:
    """A COCOeval that has judged all, or None where nothing is found or nothing is there."""
    import contextlib
    import io

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = coco_truth(truths)
        truth.createIndex()
        found = coco_answers(answers)
        if not found or not truth.dataset["annotations"]:
            return None
        judge = COCOeval(truth, truth.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge


def coco_truth(truths: list[Vehicles]) -> dict[str, object]:
    annotations: list[dict[str, object]] = []
    for image, truth in enumerate(truths, start=1):
        for (x1, y1, x2, y2), ignored in zip(truth.boxes.tolist(), truth.ignored.tolist(), strict=True):
            width, height = x2 - x1, y2 - y1
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "bbox": [x1, y1, width, height],
                    "area": width * height,
                    "iscrowd": int(ignored),
                }
            )
    images = [{"id": image} for image in range(1, len(truths) + 1)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "vehicle"}]}


def coco_answers(answers: list[Found]) -> list[dict[str, object]]:
    return [
        {"image_id": image, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
        for image, (boxes, scores) in enumerate(answers, start=1)
        for (x1, y1, x2, y2), score in zip(boxes.tolist(), scores.tolist(), strict=True)
    ]


def yolop_scores(answers: list[Found], truths: list[Vehicles]) -> dict[str, float]:
    """AP and recall as YOLOP's tables have them (lib/core/evaluate.py there).

    By falling score over all pictures, an answer may take its best box alone, if that is free and overlaps by more than
    one half. AP: trapezoids under the envelope of precision at 101 recalls, precision 0 from last recall + 0.01 on.
    Recall: of all answers above LEAST_SCORE. Equal scores keep their order, so that runs agree. Ignored boxes are left
    out on both sides.
    """
    hits, scores, real = [], [], 0
    for (boxes, own), truth in zip(answers, truths, strict=True):
        kept = truth.boxes[~truth.ignored]
        real += len(kept)
        overlaps = iou(boxes, kept) if len(kept) else np.zeros((len(boxes), 0))
        taken: set[int] = set()
        for row in overlaps:
            best = int(row.argmax()) if len(row) else -1
            hit = best >= 0 and row[best] > 0.5 and best not in taken
            if hit:
                taken.add(best)
            hits.append(hit)
        scores.append(own)
    if not hits or not real:
        return {"ap50_yolop": 0.0, "recall_yolop": 0.0}
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right = np.array(hits)[order].cumsum()
    recall, precision = right / real, right / np.arange(1, len(right) + 1)
    return {"ap50_yolop": yolop_ap(recall, precision), "recall_yolop": float(recall[-1])}


def yolop_ap(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    points = np.concatenate([[0.0], recall, [recall[-1] + 0.01]])
    envelope = np.maximum.accumulate(np.concatenate([[1.0], precision, [0.0]])[::-1])[::-1]
    at = np.linspace(0, 1, 101)
    return float(trapezoid(np.interp(at, points, envelope), at))
