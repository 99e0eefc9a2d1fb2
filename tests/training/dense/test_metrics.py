"""Every metric against a reference that was written from its definition alone, on random answers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from codriver.dense import boxes as nms
from codriver.dense_tasks import BDD100K
from training.dense.geometry import IGNORE, Boxes
from training.dense.kinds import detection, segmentation
from training.dense.scene import Vehicles

AREA, LANES, VEHICLES = BDD100K["drivable_area"], BDD100K["lane_lines"], BDD100K["vehicles"]


def random_maps(classes: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(5):
        answered, truth = (rng.integers(0, classes, (7, 9), dtype=np.uint8) for _ in range(2))
        truth[rng.random((7, 9)) < 0.2] = IGNORE
        pairs.append((answered, truth))
    return pairs


def test_pooled_iou_counts_pixels_of_all_pictures_together() -> None:
    pairs = random_maps(3, 1)
    metric = segmentation.Metric(AREA)
    for answered, truth in pairs:
        metric.add(answered, truth)
    a = np.concatenate([x.ravel() for x, _ in pairs])
    t = np.concatenate([x.ravel() for _, x in pairs])
    ious = []
    for k in range(3):
        both = sum(1 for p, q in zip(a, t, strict=True) if p == k and q == k)
        either = sum(1 for p, q in zip(a, t, strict=True) if q != IGNORE and (p == k or q == k))
        ious.append(both / either)
    scores = metric.scores()
    assert [scores[f"iou_{label}"] for label in AREA.labels] == pytest.approx(ious)
    assert scores["miou"] == pytest.approx(np.mean(ious))


def test_a_class_in_neither_truth_nor_answer_is_left_out_of_the_pooled_mean() -> None:
    metric = segmentation.Metric(AREA)
    metric.add(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8))
    assert metric.scores()["miou"] == 1.0
    assert metric.scores()["miou_mean_over_pictures"] == pytest.approx(1 / 3)  # there it counts 0, as YOLOP's does


def test_yolops_drivable_area_is_two_classes_picture_by_picture_and_an_absent_one_counts_0() -> None:
    pairs = random_maps(3, 6)
    pairs.append((np.full((7, 9), 2, np.uint8), np.full((7, 9), 2, np.uint8)))  # nothing but background
    metric, means = segmentation.Metric(AREA), []
    for answered, truth in pairs:
        metric.add(answered, truth)
        known = truth != IGNORE
        ious = []
        for drawn in (False, True):
            a, t = ((some[known] != 2) == drawn for some in (answered, truth))
            ious.append((a & t).sum() / max((a | t).sum(), 1))
        means.append(np.mean(ious))
    assert means[-1] == 0.5
    assert metric.scores()["miou_of_two_mean_over_pictures"] == pytest.approx(np.mean(means))


def test_bdd100ks_own_drivable_area_does_not_look_where_the_truth_is_background() -> None:
    pairs = random_maps(3, 7)
    metric, painted = segmentation.Metric(AREA), segmentation.Metric(AREA)
    for answered, truth in pairs:
        metric.add(answered, truth)
        painted.add(np.where(truth < 2, truth, 0).astype(np.uint8), truth)
    pixels = [row for a, t in pairs for row in zip(a.ravel(), t.ravel(), strict=True) if row[1] < 2]
    ious = [sum(p == q == k for p, q in pixels) / sum(k in (p, q) for p, q in pixels) for k in (0, 1)]
    assert metric.scores()["miou_foreground"] == pytest.approx(np.mean(ious))
    assert painted.scores()["miou_foreground"] == 1.0 > painted.scores()["miou"]


def test_lane_recall_and_balanced_accuracy_are_the_two_accuracies_of_the_tables() -> None:
    pairs = random_maps(2, 2)
    metric = segmentation.Metric(LANES)
    for answered, truth in pairs:
        metric.add(answered, truth)
    pixels = [row for a, t in pairs for row in zip(a.ravel(), t.ravel(), strict=True)]
    hits = {k: [int(p == k) for p, q in pixels if q == k] for k in (0, 1)}
    assert metric.scores()["recall"] == pytest.approx(np.mean(hits[1]))
    assert metric.scores()["balanced_accuracy"] == pytest.approx((np.mean(hits[0]) + np.mean(hits[1])) / 2)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_the_lane_f_measure_counts_what_lies_within_the_width_of_the_other_side(width: int) -> None:
    rng = np.random.default_rng(width)
    answered, truth = (rng.random((15, 18)) < 0.05 for _ in range(2))

    def reached(points: np.ndarray, other: np.ndarray) -> float:
        places, others = np.argwhere(points), np.argwhere(other)
        near = [any(((p - q) ** 2).sum() <= width**2 for q in others) for p in places]
        return float(np.mean(near))

    precision, recall = reached(answered, truth), reached(truth, answered)
    expected = 2 * precision * recall / (precision + recall)
    assert segmentation.boundary_f(answered, truth, width) == pytest.approx(expected)


def test_two_empty_lane_maps_agree_and_one_empty_one_does_not() -> None:
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert segmentation.boundary_f(empty, empty, 1) == 1.0
    assert segmentation.boundary_f(full, empty, 1) == segmentation.boundary_f(empty, full, 1) == 0.0


def random_boxes(rng: np.random.Generator, count: int) -> Boxes:
    corner, size = rng.uniform(0, 60, (count, 2)), rng.uniform(12, 30, (count, 2))
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """By counting cells of a fine grid."""
    x, y = np.meshgrid(np.arange(0, 100, 0.1) + 0.05, np.arange(0, 100, 0.1) + 0.05)
    one, two = ((x > c[0]) & (x < c[2]) & (y > c[1]) & (y < c[3]) for c in (a, b))
    return float((one & two).sum() / (one | two).sum())


def test_iou_is_the_shared_area_over_the_joint_area() -> None:
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 4), random_boxes(rng, 4)
    found = detection.iou(a, b)
    assert all(found[i, j] == pytest.approx(overlap(a[i], b[j]), abs=0.01) for i, j in product(range(4), range(4)))


def test_suppression_keeps_the_strongest_of_what_overlaps() -> None:
    rng = np.random.default_rng(3)
    boxes, scores = random_boxes(rng, 60), rng.random(60).astype(np.float32)
    kept: list[int] = []
    for index in sorted(range(60), key=lambda i: -scores[i]):
        if all(detection.iou(boxes[[index]], boxes[[other]])[0, 0] <= nms.OVERLAP for other in kept):
            kept.append(index)
    found, values = nms.suppressed(boxes, scores)
    assert np.array_equal(found, boxes[kept]) and np.array_equal(values, scores[kept])


def judged(seed: int) -> tuple[list[detection.Found], list[Vehicles]]:
    rng = np.random.default_rng(seed)
    answers, truths = [], []
    for _ in range(6):
        real = random_boxes(rng, 5)
        near = real[:4] + rng.normal(0, 2, (4, 4)).astype(np.float32)
        boxes, scores = np.concatenate([near, random_boxes(rng, 6)]), rng.random(10).astype(np.float32)
        order = np.argsort(-scores)
        answers.append((boxes[order], scores[order]))
        truths.append(Vehicles(real, np.zeros(5, dtype=bool)))
    return answers, truths


def reference_ap(hits: list[bool], real: int) -> float:
    """YOLOP's: envelope of precision, trapezoids at 101 recalls, precision 0 from last recall + 0.01 on."""
    found, recalls, precisions = 0, [0.0], [1.0]
    for number, hit in enumerate(hits, start=1):
        found += hit
        recalls.append(found / real)
        precisions.append(found / number)
    recalls.append(recalls[-1] + 0.01)
    precisions.append(0.0)
    for k in range(len(precisions) - 2, -1, -1):
        precisions[k] = max(precisions[k], precisions[k + 1])
    values = [float(np.interp(k / 100, recalls, precisions)) for k in range(101)]
    return sum((values[k] + values[k + 1]) / 2 for k in range(100)) / 100


def test_yolops_ap_lets_an_answer_take_its_best_box_alone() -> None:
    answers, truths = judged(4)
    ranked = sorted(
        ((score, picture, k) for picture, (_, scores) in enumerate(answers) for k, score in enumerate(scores)),
        key=lambda row: -row[0],
    )
    taken, hits = set(), []
    for _, picture, k in ranked:
        overlaps = [detection.iou(answers[picture][0][[k]], box[None])[0, 0] for box in truths[picture].boxes]
        best = int(np.argmax(overlaps))
        hit = overlaps[best] > 0.5 and (picture, best) not in taken
        taken |= {(picture, best)} if hit else set()
        hits.append(bool(hit))
    scores = detection.yolop_scores(answers, truths)
    assert 0 < sum(hits) < len(hits)
    assert scores["ap50_yolop"] == pytest.approx(reference_ap(hits, 30))
    assert scores["recall_yolop"] == pytest.approx(sum(hits) / 30)


def test_cocos_ap_is_the_mean_precision_at_101_recalls() -> None:
    answers, truths = judged(5)
    rows = []
    for picture, (boxes, scores) in enumerate(answers):
        free = set(range(5))
        for box, score in sorted(zip(boxes, scores, strict=True), key=lambda row: -row[1]):
            options = {j: detection.iou(box[None], truths[picture].boxes[[j]])[0, 0] for j in free}
            best = max(options, key=lambda j: options[j]) if options else None
            hit = best is not None and options[best] >= 0.5
            free -= {best} if hit else set()
            rows.append((score, hit))
    rows.sort(key=lambda row: -row[0])
    right = np.cumsum([hit for _, hit in rows])
    precision, recall = right / np.arange(1, len(rows) + 1), right / 30
    at = [
        max([p for p, r in zip(precision, recall, strict=True) if r >= k], default=0.0) for k in np.linspace(0, 1, 101)
    ]
    assert detection.coco_scores(answers, truths)["ap50_coco"] == pytest.approx(np.mean(at), abs=1e-6)


def test_the_mean_of_the_curve_of_boxes_is_cocos_ap_and_it_never_rises() -> None:
    metric = detection.Metric(VEHICLES)
    for answered, truth in zip(*judged(8), strict=True):
        metric.add(answered, truth)
    recall, precision = metric.curve()
    assert recall.tolist() == pytest.approx([k / 100 for k in range(101)])
    assert precision.mean() == pytest.approx(metric.scores()["ap50_coco"]) and 0 < precision.mean() < 1
    assert (np.diff(precision) <= 0).all()
    assert detection.Metric(VEHICLES).curve()[1].max() == 0


def test_finding_an_ignored_box_is_neither_right_nor_wrong_for_coco() -> None:
    box = np.array([[0, 0, 20, 20]], dtype=np.float32)
    other = np.array([[40, 40, 60, 60]], dtype=np.float32)
    truth = [Vehicles(np.concatenate([box, other]), np.array([False, True]))]
    both = [(np.concatenate([other, box]), np.array([0.9, 0.8], dtype=np.float32))]
    assert detection.coco_scores(both, truth)["ap50_coco"] == pytest.approx(1.0)


def test_no_answers_at_all_score_zero() -> None:
    none = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    metric = detection.Metric(VEHICLES)
    metric.add(none, Vehicles(random_boxes(np.random.default_rng(0), 3), np.zeros(3, dtype=bool)))
    assert set(metric.scores().values()) == {0.0}
