"""Every score of every kind by its name, against loops over single pixels and boxes that share no code with the metric.

Edges' three scores have their reference in test_edges.py, which pairs and thins by its own code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.dense_tasks import DENSE_TASK_SETS  # noqa: E402
from codriver.tasks import Task  # noqa: E402
from training.dense.geometry import IGNORE  # noqa: E402
from training.dense.model import KINDS  # noqa: E402
from training.dense.scene import Vehicles  # noqa: E402

pytestmark = pytest.mark.torch
SIZE = (9, 11)
TASKS = {f"{name} {task.name}": task for name, some in DENSE_TASK_SETS.items() for task in some.tasks}
Pair = tuple[Any, Any]  # answer, truth
Scores = dict[str, float]


def share(parts: list[Any]) -> float:
    return sum(parts) / max(len(parts), 1)


def pixels(pairs: list[Pair]) -> list[tuple[Any, Any]]:
    """Answer and truth of each pixel of all pictures."""
    return [(a[y, x], t[y, x]) for a, t in pairs for y in range(SIZE[0]) for x in range(SIZE[1])]


def iou_of(seen: list[tuple[int, int]], label: Callable[[int], bool]) -> float | None:
    both = sum(label(a) and label(t) for a, t in seen)
    either = sum(label(a) or label(t) for a, t in seen)
    return both / either if either else None


def lane_f(pair: Pair, width: int) -> float:
    answered, truth = ([(y, x) for y in range(SIZE[0]) for x in range(SIZE[1]) if some[y, x] == 1] for some in pair)
    if not answered or not truth:
        return float(not answered and not truth)

    def reached(these: list[Any], those: list[Any]) -> float:
        return share([any((y - v) ** 2 + (x - u) ** 2 <= width**2 for v, u in those) for y, x in these])

    p, r = reached(answered, truth), reached(truth, answered)
    return 2 * p * r / (p + r) if p + r else 0.0


def segmentation(task: Task, pairs: list[Pair]) -> Scores:
    seen = [(int(a), int(t)) for a, t in pixels(pairs) if t != IGNORE]
    each = [[(int(a), int(t)) for a, t in pixels([pair]) if t != IGNORE] for pair in pairs]
    each = [some for some in each if some]  # a picture of which nothing is known is none
    ious = [iou_of(seen, lambda some, k=k: some == k) for k in range(task.classes)]
    own = [fmean(iou_of(some, lambda c, k=k: c == k) or 0.0 for k in range(task.classes)) for some in each]
    found = {f"iou_{label}": math.nan if iou is None else iou for label, iou in zip(task.labels, ious, strict=True)}
    found["miou"] = fmean(iou for iou in ious if iou is not None)
    found["miou_all_classes"] = fmean(iou or 0.0 for iou in ious)
    found["miou_mean_over_pictures"] = fmean(own)
    found["pixel_accuracy"] = share([a == t for a, t in seen])
    if "background" in task.labels:
        none = task.labels.index("background")
        halves = [[iou_of(some, lambda c, b=b: (c == none) is b) or 0.0 for b in (True, False)] for some in each]
        found["miou_of_two_mean_over_pictures"] = fmean(fmean(some) for some in halves)
        drawn = [(a, t) for a, t in seen if t != none]
        there = [k for k in range(task.classes) if k != none and any(t == k for _, t in drawn)]
        found["miou_foreground"] = fmean(iou_of(drawn, lambda c, k=k: c == k) or 0.0 for k in there)
    if task.thin:
        right = [share([a == k for a, t in seen if t == k]) for k in (0, 1)]
        found |= {"recall": right[1], "balanced_accuracy": fmean(right)}
        found |= {f"f_{w}px": fmean(lane_f(pair, w) for pair in pairs) for w in (1, 2, 5)}
    return found


def disparity(task: Task, pairs: list[Pair]) -> Scores:
    each = [[(max(float(a), 0.0), float(t)) for a, t in pixels([pair]) if 0 < t < 80] for pair in pairs]
    off = [abs(a - t) for some in each for a, t in some]
    near = [share([abs(a - t) <= max(3.0, 0.05 * t) for a, t in some]) for some in each if some]
    return {"rmse_px": math.sqrt(share([d * d for d in off])), "mean_abs_px": share(off), "close": fmean(near)}


def depth(task: Task, pairs: list[Pair]) -> Scores:
    each = [[(max(float(a), 1e-3), float(t)) for a, t in pixels([pair]) if t > 0] for pair in pairs]
    flat = [row for some in each for row in some]
    roots = [math.sqrt(share([(a - t) ** 2 for a, t in some])) for some in each if some]
    return {
        "rmse_m": math.sqrt(share([(a - t) ** 2 for a, t in flat])),
        "rmse_mean_over_pictures_m": fmean(roots),
        "abs_rel": share([abs(a - t) / t for a, t in flat]),
        "close": share([max(a / t, t / a) < 1.25 for a, t in flat]),
    }


def inverse_depth(task: Task, pairs: list[Pair]) -> Scores:
    each = [[(max(float(a), 0.0), float(t)) for a, t in pixels([pair]) if t > 0] for pair in pairs]
    flat = [row for some in each for row in some]
    return {
        "abs_err": share([abs(a - t) for a, t in flat]),
        "abs_err_mean_over_pictures": fmean(share([abs(a - t) for a, t in some]) for some in each if some),
        "rel_err": share([abs(a - t) / t for a, t in flat]),
        "close": share([max(max(a, 1e-6) / t, t / max(a, 1e-6)) < 1.25 for a, t in flat]),
    }


def normals(task: Task, pairs: list[Pair]) -> Scores:
    known = [(a.tolist(), t.tolist()) for a, t in pixels(pairs) if any(t)]

    def angle(a: list[float], t: list[float]) -> float:
        if not any(a):
            return 90.0
        cosine = sum(x * y for x, y in zip(a, t, strict=True)) / math.dist(a, (0, 0, 0)) / math.dist(t, (0, 0, 0))
        return math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))

    off = [angle(a, t) for a, t in known]
    shares = {f"under_{int(limit)}": share([d < limit for d in off]) for limit in (11.25, 22.5, 30.0)}
    return {"mean_deg": share(off), "rmse_deg": math.sqrt(share([d * d for d in off])), **shares}


def f_of(precision: float, recall: float, beta_2: float) -> float:
    whole = beta_2 * precision + recall
    return (1 + beta_2) * precision * recall / whole if whole else 0.0


def saliency(task: Task, pairs: list[Pair]) -> Scores:
    each = [[(float(a), t == 1) for a, t in pixels([pair]) if t != IGNORE] for pair in pairs]
    each = [some for some in each if some]

    def of(some: list[tuple[float, bool]], on: Callable[[float], bool]) -> tuple[float, float]:
        hits, found = sum(on(a) and t for a, t in some), sum(on(a) for a, _ in some)
        return hits / max(found, 1), hits / max(sum(t for _, t in some), 1)

    flat = [row for some in each for row in some]
    pooled = [f_of(*of(flat, lambda a, k=k: a >= np.float32(k / 20)), 0.3) for k in range(1, 20)]
    squashed = [f_of(*of(flat, lambda a, k=k: 1 / (1 + math.exp(-a)) >= k / 20), 0.3) for k in range(1, 20)]
    means = []
    for k in range(15):
        rows = [of(some, lambda a, k=k: a > np.float32(0.2 + 0.05 * k)) for some in each]
        means.append(f_of(fmean(p for p, _ in rows), fmean(r for _, r in rows), 1.0))
    return {"maxf": max(pooled), "maxf_five_thresholds": max(squashed), "maxf_mean_over_pictures": max(means)}


def overlap(a: list[float], b: list[float], *, of_answer: bool = False) -> float:
    both = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    one, two = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return both / (one if of_answer else one + two - both)


def coco(pairs: list[Pair], least: float) -> tuple[float, float]:
    """AP and recall at one overlap: by falling score an answer takes its best free box, else what is to be ignored."""
    rows, real = [], 0
    for (boxes, scores), truth in pairs:
        free = [box for box, left in zip(truth.boxes.tolist(), truth.ignored, strict=True) if not left]
        crowds = [box for box, left in zip(truth.boxes.tolist(), truth.ignored, strict=True) if left]
        real += len(free)
        for score, box in sorted(zip(scores.tolist(), boxes.tolist(), strict=True), key=lambda row: -row[0]):
            best = max(free, key=lambda b: overlap(box, b), default=None)
            if best is not None and overlap(box, best) >= least:
                free.remove(best)
                rows.append((score, True))
            elif not any(overlap(box, b, of_answer=True) >= least for b in crowds):
                rows.append((score, False))
    rows.sort(key=lambda row: -row[0])
    hits = [sum(hit for _, hit in rows[: k + 1]) for k in range(len(rows))]
    points = [(hit / real, hit / (k + 1)) for k, hit in enumerate(hits)]
    at = [max((p for r, p in points if r >= k / 100 - 1e-12), default=0.0) for k in range(101)]
    return fmean(at), hits[-1] / real


def yolop(pairs: list[Pair]) -> Scores:
    rows, real = [], 0
    for (boxes, scores), truth in pairs:
        kept = [box for box, left in zip(truth.boxes.tolist(), truth.ignored, strict=True) if not left]
        real, taken = real + len(kept), set()
        for score, box in zip(scores.tolist(), boxes.tolist(), strict=True):
            best = max(range(len(kept)), key=lambda k: overlap(box, kept[k]))
            hit = overlap(box, kept[best]) > 0.5 and best not in taken
            taken |= {best} if hit else set()
            rows.append((score, hit))
    rows.sort(key=lambda row: -row[0])
    points, found = [(0.0, 1.0)], 0
    for k, (_, hit) in enumerate(rows):
        found += hit
        points.append((found / real, found / (k + 1)))
    points.append((found / real + 0.01, 0.0))
    envelope = [max(p for _, p in points[k:]) for k in range(len(points))]
    at = np.interp(np.arange(101) / 100, [r for r, _ in points], envelope)
    return {
        "ap50_yolop": sum((a + b) / 2 for a, b in pairwise(at)) / 100,
        "recall_yolop": found / real,
    }


def detection(task: Task, pairs: list[Pair]) -> Scores:
    each = [coco(pairs, 0.5 + 0.05 * k) for k in range(10)]
    found = {"ap_coco": fmean(ap for ap, _ in each), "recall100_coco": fmean(recall for _, recall in each)}
    return found | {"ap50_coco": each[0][0], "ap75_coco": each[5][0]} | yolop(pairs)


REFERENCES = {
    some.__name__: some for some in (segmentation, disparity, depth, inverse_depth, normals, saliency, detection)
}


def classes_of(task: Task, rng: np.random.Generator) -> Pair:
    few = min(task.classes, 4)
    truth = rng.integers(0, few, SIZE).astype(np.uint8)
    answered = np.where(rng.random(SIZE) < 0.5, truth, rng.integers(0, few, SIZE)).astype(np.uint8)
    truth[rng.random(SIZE) < 0.2] = IGNORE
    return answered, truth


def values_of(task: Task, rng: np.random.Generator) -> Pair:
    truth = rng.uniform(0.2, 100 if task.kind == "disparity" else 3, SIZE).astype(np.float32)
    answered = (truth * rng.uniform(0.6, 1.5, SIZE) - 0.1).astype(np.float32)  # a few are below 0
    truth[rng.random(SIZE) < 0.3] = 0
    return answered, truth


def normals_of(task: Task, rng: np.random.Generator) -> Pair:
    truth = rng.normal(size=(*SIZE, 3))
    truth /= np.linalg.norm(truth, axis=2, keepdims=True)
    answered = truth + rng.normal(0, 0.3, truth.shape)
    answered /= np.linalg.norm(answered, axis=2, keepdims=True)
    truth[rng.random(SIZE) < 0.3] = answered[0, :2] = 0
    return answered.astype(np.float32), truth.astype(np.float32)


def marks_of(task: Task, rng: np.random.Generator) -> Pair:
    truth = (rng.random(SIZE) < 0.4).astype(np.uint8)
    answered = np.clip(0.3 * truth + rng.uniform(0, 0.8, SIZE), 0, 1).astype(np.float32)
    truth[rng.random(SIZE) < 0.2] = IGNORE
    return answered, truth


def boxes_of(task: Task, rng: np.random.Generator) -> Pair:
    corner, size = (
        rng.uniform(0, 60, (7, 2)),
        rng.uniform(12, 30, (7, 2)),
    )  # a 24th of recall is no 100th but where exact
    real = np.concatenate([corner, corner + size], axis=1)
    near = real + rng.normal(0, 1.5, (7, 4))
    boxes = np.concatenate([near, near[:2] + 2, [[70.0, 70, 90, 90]]])
    scores = np.sort(rng.random(10))[::-1].astype(np.float32)
    return (boxes[rng.permutation(10)].astype(np.float32), scores), Vehicles(real.astype(np.float32), np.arange(7) == 6)


MADE: dict[str, Callable[[Task, np.random.Generator], Pair]] = {
    "segmentation": classes_of,
    **dict.fromkeys(("disparity", "depth", "inverse_depth"), values_of),
    "normals": normals_of,
    "saliency": marks_of,
    "detection": boxes_of,
}


def unknown(task: Task, pair: Pair) -> Pair:
    """The same answer to a picture of which nothing is known."""
    return pair[0], np.full_like(pair[1], IGNORE if pair[1].dtype == np.uint8 else 0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("task", [some for some in TASKS.values() if some.kind != "edges"], ids=lambda some: some.kind)
def test_every_score_is_what_its_definition_says_and_none_is_without_a_reference(task: Task, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [MADE[task.kind](task, rng) for _ in range(4)]
    pairs += [unknown(task, pairs[0])] if task.kind != "detection" and not task.thin else []
    metric = KINDS[task.kind].Metric(task)
    for answered, truth in pairs:
        metric.add(answered, truth)
    scores, expected = metric.scores(), REFERENCES[task.kind](task, pairs)
    assert set(scores) == set(expected)
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, rel=1e-5, abs=1e-7, nan_ok=True), name


def test_edges_have_no_score_that_their_own_test_does_not_compute() -> None:
    metric = KINDS["edges"].Metric(TASKS["nyudv2 edges"])
    assert set(metric.scores()) == {"ods_f", "ois_f", "ap"}  # test_edges.py
